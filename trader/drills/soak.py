"""A week of trading at full load on virtual time, in one process, to see what grows.

Rules: what runs is the service's own: engine, loop, journal on the disk, recorder of market data, and the observers
that the caller hands in, over the in-process exchange. The exchange keeps as little as a broker tells, so that what
grows is the service's. Memory is read at the same moments of each session and compared between sessions: within one it
may rise, because the books keep a session's fills. The first sessions do not count: the books keep two, and the
allocator has found its level after a third. Nothing here connects to anything.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, ManualClock, SystemClock
from trader.contracts import Instrument, Quote
from trader.drills.memory import Sample, Slope, resident_bytes, slope_between_sessions
from trader.engine import Engine
from trader.events import AnyFact, FillBooked, OrderIntended, StartReason, TimerElapsed
from trader.journal import Journal
from trader.loop import TradingLoop
from trader.recorder import Recorder
from trader.session import Session, SessionCalendar
from trader.settings import Settings
from trader.simulator.calendar_hours import us_stock_hours
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.inprocess import InProcessGateway
from trader.simulator.market import SyntheticMarket
from trader.simulator.model import Report
from trader.simulator.options import ExchangeOptions
from trader.simulator.translate import instrument_of
from trader.snapshot import Snapshot
from trader.strategy.api import MarketView, Target

SYMBOLS: Final = ("AAPL", "AMD", "BAC", "IBM", "INTC", "KO", "MSFT", "NVDA", "QQQ", "SPY")
WEEK: Final = 5
WARM_UP: Final = 3
# Growth in a session that does not matter: a year of it without a restart is a two-hundredth of the unit's memory.
NEGLIGIBLE_BYTES: Final = 2**17
NEGLIGIBLE_BLOCKS: Final = 500
SESSION_S: Final = 23_400.0
SAMPLES_A_SESSION: Final = 6
START: Final = datetime(2026, 1, 5, 14, 29, tzinfo=UTC)
TIMER: Final = timedelta(seconds=1)
CLOSED_TIMER: Final = timedelta(hours=1)
SCRAPE_S: Final = 60.0
POSITION: Final = 100
# What the exchange keeps of the past: less than a short session's worth, so that it is full before it counts.
KEPT: Final = 50
FILE_BYTES_MAX: Final = 10_000_000

Publish = Callable[[Sequence[AnyFact]], None]
Scrape = Callable[[], int]
Watching = Callable[[Settings, Callable[[], Snapshot], ManualClock], tuple[Publish, Scrape]]
"""Makes the observers of a run: who is told of facts, and who renders the metrics, as so many bytes."""


class SoakOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``turn_s`` is for how long a position is held, and then none; ``session_s`` how much of a session is played."""

    folder: Path
    sessions: int = WARM_UP + WEEK
    quotes_per_s: float = 40.0
    turn_s: float = 60.0
    session_s: float = SESSION_S
    seed: int = 1


class SoakReport(msgspec.Struct, frozen=True, kw_only=True):
    """``resident`` and ``blocks`` are slopes a session, of bytes and of Python's memory blocks; files are in bytes."""

    sessions: int
    quotes: int
    orders: int
    fills: int
    facts: int
    scrapes: int
    samples: tuple[Sample, ...]
    resident: Slope
    blocks: Slope
    files: dict[str, tuple[int, ...]]
    duration_s: float

    @property
    def passed(self) -> bool:
        """Whether memory is flat, by both measures."""
        return self.resident.flat and self.blocks.flat


class Restless:
    """Holds a position in every instrument for a while of the market's time, then none; each at its own moment."""

    name = "restless"

    def __init__(self, turn_s: float) -> None:
        self._turn_s = turn_s
        self._wanted = (Decimal(0), Decimal(POSITION))

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        offset_s = len(SYMBOLS) * hash_of(quote.symbol)
        holds = int((quote.at.timestamp() + offset_s) // self._turn_s) % 2
        return (Target(quote.symbol, self._wanted[holds], "turn"),)

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        return ()


def hash_of(symbol: str) -> int:
    """A small number for a symbol, the same in every process."""
    return sum(symbol.encode()) % 97


def play_soak(options: SoakOptions, watching: Watching, told: Callable[[Sample], None]) -> SoakReport:
    """Trade ``options.sessions`` sessions; ``told`` hears of each sample. Raises JournalError."""
    watch = SystemClock()
    began_ns = watch.monotonic_ns()
    soak = _Soak(options, watching, told)
    try:
        soak.run()
    finally:
        soak.close()
    return soak.report(round((watch.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND, 1))


def soak_settings(folder: Path) -> Settings:
    """The defaults, with limits that let the load through and everything in ``folder``."""
    return Settings.model_validate(
        {
            "mode": "simulated",
            "instruments": list(SYMBOLS),
            "strategy": {"name": "observe"},
            "session": {"calendar": "XNYS"},
            "risk": {
                "max_order_notional": 1_000_000, "max_position_notional": 1_000_000, "max_gross_exposure": 10_000_000,
                "max_orders_per_minute": 2_000, "daily_loss_limit": 1_000_000_000,
            },
            "journal": {"url": f"sqlite:///{folder / 'journal.db'}"},
            "recorder": {"directory": folder / "recordings", "max_file_bytes": FILE_BYTES_MAX, "keep_days": 2},
            "panic": {"flag": folder / "panic.flag"},
            "control": {"socket": folder / "control.sock"},
        }
    )  # fmt: skip


class _Soak:
    """The parts of one run, and the loop that moves time."""

    def __init__(self, options: SoakOptions, watching: Watching, told: Callable[[Sample], None]) -> None:
        self._options, self._told = options, told
        self._settings = settings = soak_settings(options.folder)
        self._clock = clock = ManualClock(START)
        self._calendar = SessionCalendar.load(settings.session.calendar)
        hours = us_stock_hours()
        book = ContractBook(SYMBOLS, START.date())
        kept = ExchangeOptions(hours=hours, history_bars=0, completed_kept=KEPT, executions_kept=KEPT)
        exchange = Exchange(book, kept, START, options.seed, _before_the_gateway)
        instruments = _listed(book)
        self._engine = Engine(settings, instruments, Restless(options.turn_s), self._calendar, clock, "soak")
        self._publish, self._scrape = watching(settings, self._engine.snapshot, clock)
        self._journal = Journal.open(settings.journal.url, settings.journal.durability)
        names = {symbol: item.market_name for symbol, item in instruments.items()}
        assert settings.recorder.directory is not None
        self._recorder = Recorder(
            settings.recorder.directory, clock, settings.recorder.max_file_bytes, settings.recorder.keep_days, names
        )
        self._loop = TradingLoop(
            self._engine, self._journal, self._hear, _nothing, clock=clock, tap=self._recorder.observe
        )
        self._gateway = InProcessGateway(exchange, instruments, clock, self._post)
        exchange.listener = self._gateway.listen
        self._loop.gateway = self._gateway
        self._timer_at = START
        self._scraped_at = START
        self._samples: list[Sample] = []
        self._files: dict[str, list[int]] = {}
        self._quotes = self._orders = self._fills = self._facts = self._scrapes = 0

    def run(self) -> None:
        """Start, and play session after session."""
        self._loop.take(self._engine.start(StartReason.MANUAL, "soak", "soak"))
        self._gateway.connect()
        self._gateway.flush()
        for number in range(1, self._options.sessions + 1):
            session = self._calendar.current_or_next(self._clock.now())
            self._rest(session.opens_at)
            self._trade(number, session)
            self._rest(session.closes_at + CLOSED_TIMER)
            self._measure_files()

    def _trade(self, number: int, session: Session) -> None:
        """The part of ``session`` that is played, with samples at even distances."""
        options = self._options
        interval_s = len(SYMBOLS) / options.quotes_per_s
        market = SyntheticMarket(SYMBOLS, options.seed + number, session.opens_at, interval_s)
        ends_at = min(session.closes_at, session.opens_at + timedelta(seconds=options.session_s))
        step = (ends_at - session.opens_at) / SAMPLES_A_SESSION
        part = 1
        for event in market.events():
            while event.at >= session.opens_at + part * step:
                self._elapse(session.opens_at + part * step, TIMER)
                self._sample(number, part)
                part += 1
            if part > SAMPLES_A_SESSION:
                return
            self._elapse(event.at, TIMER)
            self._gateway.apply(event)
            self._quotes += 1

    def close(self) -> None:
        self._recorder.close()
        self._journal.close()

    def report(self, duration_s: float) -> SoakReport:
        samples = tuple(self._samples)
        return SoakReport(
            sessions=self._options.sessions, quotes=self._quotes, orders=self._orders, fills=self._fills,
            facts=self._facts, scrapes=self._scrapes, samples=samples,
            resident=slope_between_sessions(samples, WARM_UP, lambda sample: sample.resident_bytes, NEGLIGIBLE_BYTES),
            blocks=slope_between_sessions(samples, WARM_UP, lambda sample: sample.blocks, NEGLIGIBLE_BLOCKS),
            files={name: tuple(sizes) for name, sizes in self._files.items()}, duration_s=duration_s,
        )  # fmt: skip

    # -- driving

    def _elapse(self, until: datetime, step: timedelta) -> None:
        """Let timers elapse every ``step`` up to and including ``until``."""
        while self._timer_at <= until:
            at = self._timer_at
            self._gateway.advance_to(at)
            elapsed = TimerElapsed(at=at, monotonic_ns=self._clock.monotonic_ns())
            self._post(elapsed)
            self._publish((elapsed,))
            self._gateway.flush()
            if (at - self._scraped_at).total_seconds() >= SCRAPE_S:
                self._scrape()
                self._scrapes, self._scraped_at = self._scrapes + 1, at
            self._timer_at = at + step

    def _rest(self, until: datetime) -> None:
        """Let time pass in which there are no quotes."""
        self._elapse(until, CLOSED_TIMER)
        self._timer_at = until

    def _post(self, event: AnyFact) -> None:
        self._loop.post(event)
        if self._loop.failure is not None:
            raise self._loop.failure

    def _hear(self, facts: Sequence[AnyFact]) -> None:
        self._publish(facts)
        self._facts += len(facts)
        self._orders += sum(isinstance(fact, OrderIntended) for fact in facts)
        self._fills += sum(isinstance(fact, FillBooked) for fact in facts)

    # -- measuring

    def _sample(self, session: int, part: int) -> None:
        self._recorder.flush()
        gc.collect()
        sample = Sample(
            session=session, part=part, at=self._clock.now(), resident_bytes=resident_bytes(),
            blocks=sys.getallocatedblocks(), orders=self._orders,
        )  # fmt: skip
        self._samples.append(sample)
        self._told(sample)

    def _measure_files(self) -> None:
        """The size of every file and folder in the soak's folder, after a session."""
        for path in sorted(self._options.folder.iterdir()):
            size = sum(item.stat().st_size for item in path.rglob("*")) if path.is_dir() else path.stat().st_size
            self._files.setdefault(path.name, []).append(size)


def _listed(book: ContractBook) -> dict[str, Instrument]:
    found = {}
    for symbol in SYMBOLS:
        contract = book.by_key(symbol)
        assert contract is not None, f"{symbol} is a contract of the book"
        found[symbol] = instrument_of(contract, symbol)
    return found


def _nothing() -> None: ...


def _before_the_gateway(report: Report) -> None:
    raise AssertionError(f"the exchange reported {report} before it was wired")
