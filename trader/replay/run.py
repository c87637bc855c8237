"""The service's own engine over a recording, on virtual time, without sockets.

Rules: the same engine, strategy, risk and ledger as the service; what differs is where events come from and
that time is moved by them. The same files, settings and seed give the same facts. Timers elapse on virtual
time: every second while an order is under way, else every fifth, in a silence on whole minutes; always on
whole ones, so that sessions open and close when they do.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final

from trader.clock import NANOSECONDS_PER_SECOND, Clock, ManualClock, SystemClock
from trader.contracts import TradingMode
from trader.engine import Engine, Step
from trader.engine.view import net_cumulative
from trader.events import AnyFact, ScheduleFired, StartReason, TimerElapsed
from trader.replay import setup
from trader.replay.result import FACTS_MAX, ReplayError, ReplayResult
from trader.replay.sampler import Sampler
from trader.settings import Settings
from trader.settings_file import config_hash
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.inprocess import InProcessGateway
from trader.simulator.model import MarketEvent, Report
from trader.simulator.options import ExchangeOptions
from trader.simulator.recorded import MarketDataFileError, RecordedMarket

BUSY_STEP: Final = timedelta(seconds=1)
QUIET_STEP: Final = timedelta(seconds=5)
SILENT_STEP: Final = timedelta(minutes=1)
SETTLE_LIMIT: Final = timedelta(minutes=2)
READ_AHEAD: Final = 1_000
ONE_DAY_S: Final = 86_400.0
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
RUN_ID: Final = "replay"


def run_replay(
    files: Sequence[Path],
    settings: Settings | None = None,
    *,
    latency: timedelta = timedelta(0),
    seed: int = 0,
    stopwatch: Clock | None = None,
) -> ReplayResult:
    """Replay ``files`` in the order of their times; raises ReplayError with one sentence.

    ``settings`` None trades every recorded symbol with the defaults. ``latency`` is the virtual time from an
    order's sending to its arrival at the exchange. ``stopwatch`` measures how long the replay takes.
    """
    watch = stopwatch or SystemClock()
    started_ns = watch.monotonic_ns()
    market = setup.open_market(files)
    chosen = settings or setup.default_settings(market.contracts, market.start)
    replay = _Replay(market, chosen, latency, seed)
    try:
        replay.run()
    except MarketDataFileError as error:
        raise ReplayError(str(error)) from error
    return ReplayResult(
        files=tuple(str(path) for path in files),
        settings=chosen,
        started_at=market.start,
        ended_at=replay.ended_at,
        rows=market.rows,
        quotes=replay.quotes,
        trades=replay.trades,
        facts=tuple(replay.facts),
        equity=replay.sampler.equity(replay.facts, chosen.base_currency),
        prices=replay.sampler.prices(),
        snapshot=replay.engine.snapshot(),
        wall_s=(watch.monotonic_ns() - started_ns) / NANOSECONDS_PER_SECOND,
    )


def _virtual(settings: Settings) -> Settings:
    """A replay is simulated whatever the configuration says, and touches no account.

    Without a wire nothing can be missed, so the books are compared at the start and daily, not every few minutes.
    """
    gateway = settings.gateway.model_copy(update={"reconcile_interval_s": ONE_DAY_S})
    return settings.model_copy(update={"mode": TradingMode.SIMULATED, "account": "", "gateway": gateway})


class _Replay:
    """One run: the engine, the gateway, and the loop that moves time."""

    def __init__(self, market: RecordedMarket, chosen: Settings, latency: timedelta, seed: int) -> None:
        self._market = market
        self._config_hash = config_hash(chosen)
        settings = _virtual(chosen)
        calendar = setup.load_calendar(settings)
        setup.require_covered(calendar, market.start)
        self._clock = ManualClock(market.start)
        book = ContractBook(market.contracts, market.start.date())
        instruments = setup.qualify(settings, book, market.contracts)
        options = ExchangeOptions(base_currency=settings.base_currency, hours=setup.hours_of(settings), history_bars=0)
        exchange = Exchange(book, options, market.start, seed, _before_the_gateway)
        self.gateway = InProcessGateway(
            exchange,
            instruments,
            self._clock,
            self._receive,
            client_id=settings.gateway.client_id,
            latency=latency,
            trades=False,  # the engine does nothing with them, and they are a third of all events
        )
        exchange.listener = self.gateway.listen
        self._strategy = setup.build_strategy(settings, instruments)
        self.engine = Engine(settings, instruments, self._strategy, calendar, self._clock, RUN_ID)
        self.sampler = Sampler(partial(net_cumulative, self.engine.core), self.gateway.quotes)
        self._schedule = setup.schedule(settings, market.start)
        self._next_fire = next(self._schedule, None)
        self._timer_at = market.start
        self.facts: list[AnyFact] = []
        self.quotes = self.trades = 0

    @property
    def ended_at(self) -> datetime:
        return self._clock.now()

    def run(self) -> None:
        """Start, feed every row, and let what is under way at the end arrive."""
        self._take(self.engine.start(StartReason.MANUAL, version("ibkr-trading"), self._config_hash))
        self.gateway.connect()
        self.gateway.flush()
        self._feed()
        self._settle()

    def _feed(self) -> None:
        """The hot loop: a row of an instrument that is not traded costs one look-up."""
        traded = self.gateway.symbols_by_market_key
        apply = self.gateway.apply
        quotes = trades = 0
        for event in _in_batches(self._market.events()):
            if event.symbol not in traded:
                continue
            if event.at >= self._timer_at:
                self._elapse(event.at)
            if event.bid is not None or event.ask is not None:
                quotes += 1
            if event.last is not None:
                trades += 1
            apply(event)
        self.quotes, self.trades = quotes, trades

    def _elapse(self, until: datetime) -> None:
        """Let timers elapse up to and including ``until``."""
        while self._timer_at <= until:
            at = self._timer_at
            self.gateway.advance_to(at)
            self._fire_schedule(at)
            self._receive(TimerElapsed(at=at, monotonic_ns=self._clock.monotonic_ns()))
            self.gateway.flush()
            self.sampler.sample(at)
            self._timer_at = self._next_timer(at, until)

    def _next_timer(self, at: datetime, until: datetime) -> datetime:
        if self.gateway.pending or self.engine.core.orders.open():
            return at + BUSY_STEP
        return _after(at, QUIET_STEP if until - at <= SILENT_STEP else SILENT_STEP)

    def _fire_schedule(self, at: datetime) -> None:
        while self._next_fire is not None and self._next_fire <= at:
            self._next_fire = next(self._schedule, None)
            self._receive(ScheduleFired(at=at, strategy=self._strategy.name, monotonic_ns=self._clock.monotonic_ns()))

    def _settle(self) -> None:
        """After the last row: commissions, cancels and their answers still come; bounded."""
        limit = self._clock.now() + SETTLE_LIMIT
        while self.gateway.pending and self._clock.now() < limit:
            self._elapse(self._clock.now() + BUSY_STEP)
        self.sampler.finish(self._clock.now())

    def _receive(self, event: AnyFact) -> None:
        step = self.engine.process(event)
        if step.facts or step.commands:
            self._take(step)

    def _take(self, step: Step) -> None:
        """What the service does with a step, without a journal and observers."""
        self.facts.extend(step.facts)
        if len(self.facts) > FACTS_MAX:
            raise ReplayError(
                f"more than {FACTS_MAX:,} facts by {self._clock.now():%Y-%m-%d %H:%M:%S} UTC: "
                "replay fewer files or fewer instruments at a time"
            )
        for command in step.commands:
            self.gateway.execute(command)


def _in_batches(events: Iterator[MarketEvent]) -> Iterator[MarketEvent]:
    """The same events, read ahead: reading and trading by turns, row by row, takes a tenth longer."""
    while batch := list(islice(events, READ_AHEAD)):
        yield from batch


def _after(at: datetime, step: timedelta) -> datetime:
    """The first multiple of ``step``, counted from the epoch, after ``at``: opens and closes are never missed."""
    return at + step - (at - EPOCH) % step


def _before_the_gateway(report: Report) -> None:
    raise AssertionError(f"the exchange reported {report} before it was wired")
