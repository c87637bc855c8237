"""One simulated world: one account at one exchange, one service that dies and comes back, one clock.

Rules: everything happens in the scheduler's order and nowhere else. After each thing that happened the invariants
are looked at; the first that does not hold ends the world. First things go wrong, then it is calm, and then all has
to be in order again; everything is bounded.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from trader.contracts import TradingState
from trader.drills.simulation.broker import Broker
from trader.drills.simulation.clocks import HostClock, Scheduler
from trader.drills.simulation.crash import Disk, ProcessDied, Trap
from trader.drills.simulation.invariants import When, broken
from trader.drills.simulation.model import (
    ACCOUNT,
    Action,
    ClockStep,
    DiskFull,
    ForeignCancel,
    ForeignOrder,
    Ghost,
    Halt,
    Kill,
    Panic,
    ReduceOnly,
    Reload,
    RequestsFail,
    Resume,
    Scenario,
    Stop,
    Violation,
    WorldResult,
)
from trader.drills.simulation.process import Process, Watcher, engine_of
from trader.drills.simulation.trace import Trace
from trader.drills.simulation.witness import Witness
from trader.events import (
    AnyFact,
    CancelAllOrders,
    Command,
    HaltRequested,
    PlaceOrder,
    ReduceOnlyRequested,
    ReloadFinished,
    ResumeRequested,
    StartReason,
)
from trader.journal import JournalError
from trader.replay.setup import hours_of, qualify
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.fault_options import LinkFault
from trader.simulator.market import SyntheticMarket
from trader.simulator.model import Report
from trader.simulator.options import ExchangeOptions

EVENTS_MAX: Final = 300_000
RESTART_AFTER_FAILURE_S: Final = 2.0
LOOK_EVERY_EVENTS: Final = 40
HALT_S: Final = 60.0
STEP_S: Final = 1.0
# How long things still go wrong after the death that a world is about.
AFTER_DEATH_S: Final = 15.0
OPERATOR: Final = "operator"


class WorldEnded(BaseException):
    """An invariant does not hold: the world ends here, past every handler."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


def run_world(scenario: Scenario, crash_point: int | None = None, trace: bool = False) -> tuple[WorldResult, Trace]:
    """Live through ``scenario``; ``crash_point`` is only told in what does not hold."""
    world = World(scenario, trace)
    violation = None
    try:
        world.run()
    except WorldEnded as ended:
        violation = world.violation(ended.invariant, ended.detail, crash_point)
    except Exception as error:  # noqa: BLE001 - a defect of the simulation is told like one of the service
        violation = world.violation("the simulation goes on", repr(error), crash_point)
    return world.result(violation), world.trace


class World:
    """The scenario played: exchange, wires, disk, service and operator; ``result`` says what came of it."""

    def __init__(self, scenario: Scenario, trace: bool) -> None:
        settings = scenario.settings
        self.scenario = scenario
        self.scheduler = Scheduler(scenario.start)
        self.trace = Trace(trace, lambda: self.scheduler.elapsed_s)
        self._clock = HostClock(self.scheduler)
        self._disk = Disk()
        self._trap = Trap(scenario.deaths)
        keys = tuple(item.instrument().market_name for item in settings.instruments)
        book = ContractBook(keys, scenario.start.date())
        self._instruments = qualify(settings, book, keys)
        options = ExchangeOptions(
            account=ACCOUNT, base_currency=settings.base_currency, hours=hours_of(settings), history_bars=0
        )
        self._exchange = Exchange(book, options, scenario.start, scenario.seed, lambda report: None)
        self._market = SyntheticMarket(
            keys, scenario.seed, scenario.start, scenario.quote_interval_s * len(keys)
        ).events()
        self._broker = Broker(scenario, self.scheduler, self._exchange)
        memory = partial(engine_of, scenario, self._instruments, self._clock, "memory")
        self._witness = Witness(scenario, self.scheduler, self._broker, self._instruments, lambda: memory().core)
        self._exchange.listener = self._reported
        self._disk.about_to_write = self._about_to_write
        self._disk.written = self._witness.written
        self._watcher = Watcher(self._heard, self._commanded, self._processed, self._published)
        self._digest = blake2b(digest_size=16)
        self._process: Process | None = None
        self._panic_flag = False
        self._stop_down_s = self._faults_end_s = 0.0
        self._events = self._deaths = self._starts = 0
        self._calm = False
        self._trouble_ends_s = scenario.duration_s

    # -- the course of things

    def run(self) -> None:
        scenario = self.scenario
        for action in scenario.actions:
            self.scheduler.at(action.at_s, partial(self._act, action))
        for fault in scenario.faults.link:
            self.scheduler.at(fault.at_s, partial(self._fault, fault))
        self.scheduler.later(0.0, self._move_market)
        self.scheduler.later(0.0, partial(self._start, StartReason.MANUAL))
        while self.scheduler.elapsed_s < self._trouble_ends_s:
            self._pass(STEP_S)
        self._settle()
        self._look(When.SOMETIMES)
        self._look(When.END)

    def _settle(self) -> None:
        """Nothing goes wrong any more: the service has to find its way back, and then to stand still."""
        self._calm = True
        self._broker.heal()
        self._disk.full = False
        self._trap.disarm()
        self.trace.note("world", "from here on nothing goes wrong")
        # What was asked before may still wait for an answer in vain.
        waits_until_s = self.scheduler.elapsed_s + self.scenario.settings.gateway.request_timeout_s + STEP_S
        self._pass(max(waits_until_s, self._faults_end_s) - self.scheduler.elapsed_s)
        self._pass_until(self._settled, self.scenario.calm_s)
        if self.scenario.disturbed_symbol or self.scenario.faults.correction_ratio:
            # A correction that was not told, or is somebody else's, is heard of by asking only.
            self._pass(self.scenario.settings.gateway.reconcile_interval_s + 2 * STEP_S)
        core = self._core()
        if core is not None and core.link.connected and not core.link.reconciled:
            # A day's executions that the broker does not tell any more: a person has to say whose books are right.
            self._resume(accept_positions=True)
            self._pass_until(self._settled, self.scenario.calm_s)
        if self._witness.trading_state is not TradingState.PANIC:
            self._halt("the end")
        self._pass_until(self._quiet, HALT_S)
        self._pass(STEP_S)

    def _settled(self) -> bool:
        core = self._core()
        return core is not None and not core.problems and not self._flattening()

    def _flattening(self) -> bool:
        process = self._process
        return process is not None and process.engine.flattening

    def _quiet(self) -> bool:
        core = self._core()
        return self._settled() and core is not None and not core.orders.open() and not self._witness.living()

    def _core(self) -> Any:
        process = self._process
        return process.engine.core if process is not None and process.alive else None

    def _pass_until(self, holds: Callable[[], bool], limit_s: float) -> None:
        until_s = self.scheduler.elapsed_s + limit_s
        self._pass(STEP_S)
        while not holds() and self.scheduler.elapsed_s < until_s:
            self._pass(STEP_S)

    def _pass(self, duration_s: float) -> None:
        """Let ``duration_s`` seconds go by, with all that happens in them."""
        until = self.scheduler.now + timedelta(seconds=duration_s)
        while (action := self.scheduler.next(until)) is not None:
            self._exchange.advance_to(self.scheduler.now)
            self._events += 1
            if self._events > EVENTS_MAX:
                raise WorldEnded("the world ends", f"more than {EVENTS_MAX} things happened")
            try:
                action()
            except ProcessDied as death:
                self._died(str(death))
        self._exchange.advance_to(self.scheduler.now)

    def _move_market(self) -> None:
        event = next(self._market)
        self._exchange.apply(event)
        self.scheduler.later(self.scenario.quote_interval_s, self._move_market)

    # -- the process

    def build_process(self) -> Process:
        """The service, not started yet; raises what a strategy or schedule that cannot be built raises."""
        return Process(
            self.scenario, self._broker, self._instruments, self._clock, self._disk, self._trap, self._watcher
        )

    def _start(self, reason: StartReason) -> None:
        if self._process is not None and self._process.alive:
            return
        self._starts += 1
        self._witness.restarted()
        self.trace.note("world", f"start {self._starts}: {reason}")
        process = self._process = self.build_process()
        try:
            process.start(reason)
        except ProcessDied as death:
            self._died(str(death))
            return
        except JournalError as error:
            self._ended(error)
            return
        self._look(When.SOMETIMES)
        self.scheduler.later(0.0, partial(self._beat, process))

    def _beat(self, process: Process) -> None:
        if not process.alive:
            return
        self.scheduler.later(self.scenario.beat_s, partial(self._beat, process))
        process.beat(self._panic_flag)
        if process.wants_to_end:
            self._end(process)

    def _end(self, process: Process) -> None:
        """The service ends by itself, and is started again."""
        try:
            process.end()
        except JournalError as error:
            self._ended(error)
            return
        self.trace.note("world", "the service stopped")
        self._bury(self._stop_down_s, StartReason.MANUAL)

    def _died(self, how: str) -> None:
        """The process is gone at this very moment; the host starts it again."""
        self._deaths += 1
        self.trace.note("world", f"the process died {how}")
        if self._trap.last == self.scenario.last_point:
            self._trouble_ends_s = min(self._trouble_ends_s, self.scheduler.elapsed_s + AFTER_DEATH_S)
        self._bury(self.scenario.death_down_s, StartReason.CRASH)

    def _bury(self, down_s: float, reason: StartReason) -> None:
        if self._process is not None:
            self._process.die()
        self.scheduler.later(down_s, partial(self._start, reason))

    def _ended(self, failure: Exception) -> None:
        """The service ended by itself: only a journal that cannot be written is a reason."""
        if not (isinstance(failure, JournalError) and self._disk.full):
            raise WorldEnded("the service does not raise", repr(failure))
        self.trace.note("world", f"the service ended: {failure}")
        self._bury(RESTART_AFTER_FAILURE_S, StartReason.CRASH)

    # -- what is watched

    def _heard(self, fact: AnyFact) -> None:
        self.trace.value("broker", fact)
        self._witness.agreement.hear(fact, self._clock.monotonic_ns())

    def _commanded(self, command: Command) -> None:
        self.trace.value("command", command)
        self._note(f"{type(command).__name__} {getattr(command, 'order_ref', '')}")
        self._look(When.COMMAND, command)
        if isinstance(command, PlaceOrder):
            self._witness.placed(command)
        elif isinstance(command, CancelAllOrders):
            self._witness.cancelled_all = True

    def _about_to_write(self, fact: AnyFact) -> None:
        self.trace.value("journal", fact)
        self._look(When.ROW, fact)

    def _reported(self, report: Report) -> None:
        self._witness.reported(report)
        self._broker.traffic.report(report)
        if not hasattr(report, "event"):
            self.trace.value("exchange", report)
            self._note(type(report).__name__)
            self._look(When.EXCHANGE, report)

    def _published(self, facts: Sequence[AnyFact]) -> None:
        """Observers hear of everything; nobody listens here."""

    def _processed(self) -> None:
        process = self._process
        assert process is not None
        if process.loop.failure is not None:
            self._ended(process.loop.failure)
            return
        self._look(When.EVENT)
        if self._events % LOOK_EVERY_EVENTS == 0:
            self._look(When.SOMETIMES)

    def _look(self, when: When, subject: Any = None) -> None:
        if self._process is None:
            return
        core = self._process.engine.core
        for invariant, detail in broken(when, self._witness, core, subject):
            raise WorldEnded(invariant, detail)

    def _note(self, text: str) -> None:
        self._digest.update(f"{self.scheduler.elapsed_s:.6f} {text}\n".encode())

    # -- faults and actions

    def _fault(self, fault: LinkFault) -> None:
        if self._calm:
            return
        self.trace.value("world", fault)
        self._faults_end_s = max(self._faults_end_s, self.scheduler.elapsed_s + fault.duration_s + STEP_S)
        self._broker.play(fault)

    def _to_process(self, fact: AnyFact) -> None:
        if self._process is not None:
            self._process.receive(fact)

    def _act(self, action: Action) -> None:
        if self._calm:
            return
        self.trace.value("world", action)
        match action:
            case ForeignOrder():
                self._broker.trade_elsewhere(self._instruments[action.symbol].con_id, action.quantity)
            case ForeignCancel():
                self._broker.cancel_elsewhere()
            case Ghost():
                self._double()
            case RequestsFail():
                self._broker.fail_requests(action)
            case ClockStep():
                self._clock.step(action.by_s)
                self._witness.stepped()
            case DiskFull():
                self._disk.full = True
                self.scheduler.later(action.duration_s, self._free_disk)
            case _:
                self._act_on_process(action)

    def _act_on_process(self, action: Kill | Stop | Panic | Halt | ReduceOnly | Resume | Reload) -> None:
        match action:
            case Kill():
                self._kill(action)
            case Stop():
                self._stop(action)
            case Panic():
                self._panic_flag = True
            case Halt():
                self._halt("by hand")
            case ReduceOnly():
                self._to_process(ReduceOnlyRequested(at=self._clock.now(), source=OPERATOR, reason="by hand"))
            case Resume():
                self._resume(action.accept_positions)
            case Reload():
                self._reload(action)

    def _halt(self, reason: str) -> None:
        self._to_process(HaltRequested(at=self._clock.now(), source=OPERATOR, reason=reason))

    def _kill(self, action: Kill) -> None:
        if self._process is None or not self._process.alive:
            return
        self._deaths += 1
        if action.boot:
            self._process.die()
            self._clock.boot()
        self._bury(action.down_s, StartReason.BOOT if action.boot else StartReason.CRASH)

    def _stop(self, action: Stop) -> None:
        if self._process is not None and self._process.alive:
            self._stop_down_s = action.down_s
            self._process.request_stop()

    def _resume(self, accept_positions: bool) -> None:
        if self._flattening():
            return
        self._panic_flag = False
        self._to_process(ResumeRequested(at=self._clock.now(), source=OPERATOR, accept_positions=accept_positions))

    def _reload(self, action: Reload) -> None:
        process = self._process
        if process is None or not process.alive:
            return
        old = process.engine.core.settings
        risk = old.risk.model_copy(update={"max_order_quantity": Decimal(action.max_order_quantity)})
        execution = old.execution.model_copy(update={"cancel_after_s": action.cancel_after_s})
        process.engine.reconfigure(old.model_copy(update={"risk": risk, "execution": execution}))
        self._to_process(ReloadFinished(at=self._clock.now(), changed=("risk", "execution"), problems=()))

    def _double(self) -> None:
        request = self._broker.oldest_of_ours()
        if request is not None:
            self._witness.ghosts.add(request.order_ref)
            self._witness.ghost_symbols.add(self._witness.symbol_of(request))
            self._broker.double(request)

    def _free_disk(self) -> None:
        self._disk.full = False

    # -- the end

    def violation(self, invariant: str, detail: str, crash_point: int | None) -> Violation:
        self.trace.note("world", f"VIOLATION {invariant}: {detail}")
        return Violation(
            seed=self.scenario.seed,
            crash_point=crash_point,
            invariant=invariant,
            at_s=round(self.scheduler.elapsed_s, 6),
            detail=detail,
        )

    def result(self, violation: Violation | None) -> WorldResult:
        self._digest.update(self._disk.digest.encode())
        return WorldResult(
            seed=self.scenario.seed,
            violation=violation,
            history_hash=self._digest.hexdigest(),
            events=self._events,
            orders=len(self._witness.commanded),
            fills=len(self._witness.executions),
            deaths=self._deaths,
            starts=self._starts,
            simulated_s=self.scheduler.elapsed_s,
            points=tuple(self._trap.points),
        )
