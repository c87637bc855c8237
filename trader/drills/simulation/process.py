"""One life of the service's process: engine, loop and gateway over a journal that outlives them.

Rules: built and started as ``service.py`` does it; what differs is who moves time. A process that is dead, or that
ended by itself, takes nothing any more.
"""

from collections.abc import Callable, Mapping, Sequence

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.contracts import Instrument, TradingState
from trader.drills.simulation.broker import Broker
from trader.drills.simulation.client import SimulatedClient
from trader.drills.simulation.crash import Disk, MortalJournal, Trap
from trader.drills.simulation.model import Point, Scenario
from trader.drills.simulation.strategy import Restless
from trader.engine import Engine
from trader.events import (
    AnyFact,
    Command,
    PanicRequested,
    QuoteReceived,
    ScheduleFired,
    StartReason,
    StopRequested,
    TimerElapsed,
)
from trader.lifecycle import run_id
from trader.loop import TradingLoop
from trader.schedule import Schedule
from trader.session import SessionCalendar
from trader.strategy.api import Strategy
from trader.strategy.loader import load_strategy

PASSIVE = (QuoteReceived, TimerElapsed)


def strategy_of(scenario: Scenario, symbols: Sequence[str]) -> Strategy:
    if scenario.scripted:
        return Restless(scenario.seed, scenario.target_period_s)
    return load_strategy(scenario.settings.strategy, symbols)


def engine_of(scenario: Scenario, instruments: Mapping[str, Instrument], clock: Clock, name: str) -> Engine:
    """An engine as the service builds it."""
    settings = scenario.settings
    calendar = SessionCalendar.load(settings.session.calendar, settings.session.calendar_file)
    return Engine(settings, instruments, strategy_of(scenario, tuple(instruments)), calendar, clock, name)


class Watcher:
    """What a process tells the world of itself; each call may raise to end the world."""

    def __init__(
        self,
        heard: Callable[[AnyFact], None],
        commanded: Callable[[Command], None],
        processed: Callable[[], None],
        published: Callable[[Sequence[AnyFact]], None],
    ) -> None:
        self.heard = heard
        self.commanded = commanded
        self.processed = processed
        self.published = published


class Process:
    """The service, once."""

    def __init__(
        self,
        scenario: Scenario,
        broker: Broker,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        disk: Disk,
        trap: Trap,
        watcher: Watcher,
    ) -> None:
        self.alive = True
        self.stopping_until_ns: int | None = None
        self._scenario = scenario
        self._clock = clock
        self._trap = trap
        self._watcher = watcher
        self._busy = False
        self.engine = engine_of(scenario, instruments, clock, run_id(clock.now()))
        self.journal = MortalJournal(disk, trap)
        self.loop = TradingLoop(self.engine, self.journal, watcher.published, lambda: None, clock=clock)
        self.client = SimulatedClient(scenario, broker, instruments, clock, self.receive, trap, watcher.commanded)
        strategy = scenario.settings.strategy
        self._schedule = Schedule(None, strategy.schedule_time_zone, clock.now())
        if not scenario.scripted:
            self._schedule = Schedule(strategy.schedule, strategy.schedule_time_zone, clock.now())

    def start(self, reason: StartReason) -> None:
        """Restore from the journal, tell that a run began, and connect."""
        self.engine.restore(fact for _, fact in self.journal.read())
        self.loop.gateway = self.client
        self.loop.take(self.engine.start(reason, "simulated", "simulated"))
        self.client.connect()

    def receive(self, fact: AnyFact) -> None:
        """Take one fact from outside, and carry through what it leads to."""
        if not self.alive:
            return
        self._watcher.heard(fact)
        if self._busy:
            self.loop.post(fact)
            return
        active = not isinstance(fact, PASSIVE)
        if active:
            self._trap.pass_by(Point.BEFORE_RECEIVE)
        self._busy = True
        try:
            self.loop.post(fact)
        finally:
            self._busy = False
        if active:
            self._trap.pass_by(Point.AFTER_RECEIVE)
        self._watcher.processed()

    def beat(self, panic_flag: bool) -> None:
        """Time passes: what the service looks at many times a second."""
        now, now_ns = self._clock.now(), self._clock.monotonic_ns()
        if panic_flag and self.engine.trading_state is not TradingState.PANIC:
            self.receive(PanicRequested(at=now, source="flag"))
        self.receive(TimerElapsed(at=now, monotonic_ns=now_ns))
        if self._schedule.due(now):
            self.receive(ScheduleFired(at=now, strategy=self._scenario.settings.strategy.name, monotonic_ns=now_ns))

    def request_stop(self) -> None:
        if self.stopping_until_ns is None:
            timeout_ns = int(self._scenario.settings.stop.timeout_s * NANOSECONDS_PER_SECOND)
            self.stopping_until_ns = self._clock.monotonic_ns() + timeout_ns
            self.receive(StopRequested(at=self._clock.now(), reason="stopped by hand"))

    @property
    def wants_to_end(self) -> bool:
        """Whether a stop that was asked for is over."""
        until_ns = self.stopping_until_ns
        return self.alive and until_ns is not None and (self.engine.stopped or self._clock.monotonic_ns() > until_ns)

    def end(self) -> None:
        """The last step of a run that ends by itself."""
        self.loop.take(self.engine.stop("stopped", self.engine.stopped))
        self.die()

    def die(self) -> None:
        """Nothing is done any more; the host closes the sockets."""
        self.alive = False
        self.client.hang_up()
