"""March 2026, traded by the service's own engine at a simulated broker, with what goes wrong in a month.

Rules: 22 sessions and a change to daylight saving time on virtual time; the same seed gives the same journal. What the
engine wants to be durable is journaled in SQLite, and a new run of the service begins with nothing but that file.
Orders are refused, answered late and never, commissions come late or not at all, executions are corrected, the link is
lost, the service is deployed, crashes and is stopped, trading is halted, and once a position is held over a night.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from tests.unit.replay.conftest import PARAMETERS
from trader.clock import ManualClock
from trader.engine import Engine, Step
from trader.events import (
    AnyFact,
    DisconnectReason,
    DurableFact,
    HaltRequested,
    OrderIntended,
    ResumeRequested,
    StartReason,
    TimerElapsed,
)
from trader.journal import Journal, JournalReader
from trader.replay import setup
from trader.session import Session, SessionCalendar
from trader.settings import Settings
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.faults import FaultInjector, Faults
from trader.simulator.inprocess import InProcessGateway
from trader.simulator.model import CommissionReported, ExecutionReported, MarketEvent, OrderRequest, Report
from trader.simulator.options import ExchangeOptions

BEGIN: Final = datetime(2026, 2, 28, 12, 0, tzinfo=UTC)
MONTH_BEGINS: Final = datetime(2026, 3, 1, tzinfo=UTC)
MONTH_ENDS: Final = datetime(2026, 4, 1, tzinfo=UTC)
SYMBOLS: Final = ("IBM", "SPY")
SECOND: Final = timedelta(seconds=1)
QUIET: Final = timedelta(minutes=30)
CLOSING_S: Final = 75
LATENCY: Final = timedelta(milliseconds=180)
# Of one run orders arrive when the price that they were for is gone.
SLOW_RUN: Final = 5
SLOW: Final = timedelta(milliseconds=5_400)
# By the number of the session, from 0.
STARTS: Final = {
    3: (StartReason.DEPLOY, "a new version"),
    9: (StartReason.BOOT, "the host was updated"),
    17: (StartReason.MANUAL, "by hand"),
}
CRASHES: Final = frozenset({6, 14})
HALTED: Final = 11
CUT_OFF: Final = frozenset({5, 12})
HELD_OVER_NIGHT: Final = 8
QUIET_SESSION: Final = 13
# In these a price that jumped goes on instead of coming back.
TRENDING: Final = frozenset({1, 2, 7, 10, 16, 18, 19, 21})
# Of this one some commissions are told in the next session, and some never.
UNCHARGED: Final = 10
# The second in which an order is on its way.
IN_FLIGHT_S: Final = 85


def settings_of(folder: Path) -> Settings:
    """What trades the month, with its journal, reports and backups in ``folder``."""
    return Settings.model_validate(configuration(folder))


def configuration(folder: Path) -> dict[str, Any]:
    """The same as it stands in a file."""
    return {
        "mode": "simulated",
        "instruments": list(SYMBOLS),
        "strategy": {"name": "mean_reversion", "capital": 50_000, "parameters": dict(PARAMETERS)},
        "gateway": {"reconcile_interval_s": 1_800},
        "journal": {"url": f"sqlite:///{folder}/state/journal.db"},
        "control": {"socket": str(folder / "control.sock")},
        "panic": {"flag": str(folder / "state" / "panic.flag")},
        "maintenance": {
            "reports_folder": str(folder / "logs" / "reports"),
            "backups_folder": str(folder / "backups"),
            "work_folder": str(folder / "state" / "maintenance"),
        },
    }


class Broker(Exchange):
    """Refuses some orders, as a server between a client and the exchange does, and corrects some executions."""

    def __init__(self, book: ContractBook, options: ExchangeOptions, start: datetime, seed: int, faults: FaultInjector):
        super().__init__(book, options, start, seed, lambda report: None)
        self.faults = faults
        self.corrections: list[tuple[datetime, str, Decimal]] = []
        self.charges = True
        self.uncharged: dict[str, Report] = {}

    def place(self, request: OrderRequest) -> None:
        refused = self.faults.admit(request)
        if refused is not None:
            self.listener(refused)
        else:
            super().place(request)

    def commission(self, exec_id: str) -> CommissionReported | None:
        return None if exec_id in self.uncharged else super().commission(exec_id)

    def withholds(self, report: Report) -> bool:
        """Whether a report is not told; plans the correction of an execution that is."""
        if isinstance(report, ExecutionReported) and (due := self.faults.correction(report.execution)):
            self.corrections.append((self.now + timedelta(seconds=due.delay_s), due.exec_id, due.price))
        if isinstance(report, CommissionReported) and not self.charges:
            self.uncharged[report.exec_id] = report
            return True
        return False

    def correct_due(self) -> None:
        due = [item for item in self.corrections if item[0] <= self.now]
        self.corrections = [item for item in self.corrections if item[0] > self.now]
        for _, exec_id, price in due:
            self.correct_execution(exec_id, price)


class Month:
    """The broker, the market and whatever run of the service there is."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.settings = settings_of(folder)
        self.random = random.Random(seed)
        self.clock = ManualClock(BEGIN)
        self.calendar = SessionCalendar.load(self.settings.session.calendar)
        self.faults = FaultInjector(
            Faults(
                seed=seed, reject_ratio=0.04, late_ack_ratio=0.03, ack_delay_s=2.5, duplicate_status_ratio=0.1,
                execution_delay_ratio=0.1, execution_delay_s=0.6, commission_missing_ratio=0.01,
                commission_late_ratio=0.1, commission_delay_s=40.0, commission_first_ratio=0.05, correction_ratio=0.05,
                correction_delay_s=3.0, correction_ticks=2, no_callback_ratio=0.005,
            )
        )  # fmt: skip
        book = ContractBook(SYMBOLS, BEGIN.date())
        self.instruments = setup.qualify(self.settings, book, SYMBOLS)
        options = ExchangeOptions(hours=setup.hours_of(self.settings), history_bars=0)
        self.exchange = Broker(book, options, BEGIN, seed, self.faults)
        self.prices = {symbol: Decimal("100.00") + 50 * number for number, symbol in enumerate(SYMBOLS)}
        self.pending: list[DurableFact] = []
        self.runs = 0
        self._begin_run(StartReason.BOOT)

    # -- runs of the service

    def _begin_run(self, reason: StartReason) -> None:
        """A new engine from the journal's file alone, at the same broker."""
        self.runs += 1
        strategy = setup.build_strategy(self.settings, self.instruments)
        self.engine = Engine(self.settings, self.instruments, strategy, self.calendar, self.clock, f"run-{self.runs}")
        if self.runs > 1:
            with JournalReader.open(self.settings.journal.url) as journal:
                self.engine.restore(fact for _, fact in journal.read())
        self.gateway = InProcessGateway(
            self.exchange, self.instruments, self.clock, self._receive, client_id=self.settings.gateway.client_id,
            latency=SLOW if self.runs == SLOW_RUN else LATENCY, faults=self.faults, trades=False,
        )  # fmt: skip
        self.exchange.listener = self._listen
        self._take(self.engine.start(reason, "1.0", "hash"))
        self.gateway.connect()
        self.gateway.flush()

    def _listen(self, report: Report) -> None:
        if not self.exchange.withholds(report):
            self.gateway.listen(report)

    def restart(self, reason: StartReason, why: str = "") -> None:
        """End the run, in order when there is a ``why``, and begin another."""
        if why:
            self._take(self.engine.stop(why, clean=True))
        self.write()
        self.clock.advance(20 * SECOND)
        self._begin_run(reason)

    def write(self) -> None:
        """What was to be durable until now, in one transaction."""
        facts, self.pending = self.pending, []
        with Journal.open(self.settings.journal.url, "process", self.clock) as journal:
            journal.append(facts)

    def _receive(self, event: AnyFact) -> None:
        self._take(self.engine.process(event))

    def _take(self, step: Step) -> None:
        self.pending.extend(self._measured(fact) for fact in step.durable())
        for command in step.commands:
            self.gateway.execute(command)

    def _measured(self, fact: DurableFact) -> DurableFact:
        """Nothing takes time on a clock that stands still meanwhile, so what it took is made up."""
        if not isinstance(fact, OrderIntended) or not fact.risk_ns:
            return fact
        asked_ns = fact.approved.intent.decided_ns + self.random.randrange(200_000, 9_000_000)
        return replace(fact, risk_ns=(asked_ns, asked_ns + self.random.randrange(10_000, 400_000)))

    # -- time

    def elapse(self, until: datetime) -> None:
        """Timers, each second while something is under way and seldom otherwise; never past ``until``."""
        while self.clock.now() < until:
            busy = self.gateway.pending or self.engine.core.orders.open()
            now = self.clock.now()
            self.gateway.advance_to(min(until, now + SECOND if busy else _after(now, QUIET)))
            self.exchange.correct_due()
            self._receive(TimerElapsed(at=self.clock.now(), monotonic_ns=self.clock.monotonic_ns()))
            self.gateway.flush()

    # -- the market

    def trade(self, begin: datetime, seconds: int, *, trending: bool = False) -> Iterator[int]:
        """A quote a second of each instrument that wanders and now and then jumps; tells each second's number."""
        self.elapse(begin)
        for second in range(seconds):
            at = begin + second * SECOND
            if at < self.clock.now():
                continue  # a run that begins takes a while
            self.elapse(at)
            for offset, symbol in enumerate(SYMBOLS):
                self._quote(symbol, (second + 7 * offset) % 60, trending)
            if second % 5 == 0:
                self._receive(TimerElapsed(at=self.clock.now(), monotonic_ns=self.clock.monotonic_ns()))
                self.exchange.correct_due()
            yield second

    def _quote(self, symbol: str, phase: int, trending: bool) -> None:
        cent = Decimal("0.01")
        jump = 40 if 25 <= phase < 30 else -40 if phase >= 55 else 0
        self.prices[symbol] += self.random.choice((-1, 0, 1)) * cent
        if trending and phase in (29, 59):
            self.prices[symbol] += jump * 2 * cent
        bid = self.prices[symbol] + jump * cent
        sizes = [Decimal(self.random.choice((15, 60, 300))) for _ in range(2)]
        self.gateway.apply(
            MarketEvent(
                at=self.clock.now(), symbol=symbol, bid=bid, bid_size=sizes[0], ask=bid + cent, ask_size=sizes[1]
            )
        )  # fmt: skip

    # -- the month

    def run(self) -> None:
        """All sessions, and a day after the last one."""
        session = self.calendar.current_or_next(MONTH_BEGINS)
        number = 0
        while session.opens_at < MONTH_ENDS:
            self._before(number, session)
            self._during(number, session)
            session, number = self.calendar.next_session(session.opens_at), number + 1
        self.elapse(MONTH_ENDS + timedelta(hours=12))
        self._take(self.engine.stop("the month is over", clean=True))
        self.write()

    def _before(self, number: int, session: Session) -> None:
        self.elapse(session.opens_at - timedelta(hours=1))
        if number in STARTS:
            self.restart(*STARTS[number])

    def _during(self, number: int, session: Session) -> None:
        held, quiet = number == HELD_OVER_NIGHT, number == QUIET_SESSION
        seconds = 0 if quiet else 328 if held else self.random.randrange(200, 420)
        begin = session.opens_at + timedelta(minutes=self.random.randrange(20, 120), seconds=7)
        self.exchange.charges = number != UNCHARGED
        for second in self.trade(begin, seconds, trending=number in TRENDING):
            self._disturb(number, second)
        for _ in self.trade(session.closes_at - timedelta(seconds=60), 0 if held else CLOSING_S):
            pass
        self.elapse(session.closes_at + timedelta(minutes=10))
        self.write()

    def _disturb(self, number: int, second: int) -> None:
        now = self.clock.now()
        if number in CRASHES and second == IN_FLIGHT_S:
            self.restart(StartReason.CRASH)
        if number == HALTED and second == IN_FLIGHT_S:
            self._receive(HaltRequested(at=now, source="operator", reason="a look at the books"))
        if number == HALTED and second == IN_FLIGHT_S + 60:
            self._receive(ResumeRequested(at=now, source="operator", accept_positions=False))
        if number == UNCHARGED + 1 and second == 0:
            self._charge_late()
        if number in CUT_OFF and second == IN_FLIGHT_S:
            self.gateway.disconnect(DisconnectReason.CLOSED, "the gateway closed the socket")
        if number in CUT_OFF and second == IN_FLIGHT_S + 12:
            self.gateway.connect()

    def _charge_late(self) -> None:
        """Two of three commissions of the session before; the others are never told."""
        for place, report in enumerate(self.exchange.uncharged.values()):
            if place % 3:
                self.gateway.listen(report)


def _after(at: datetime, step: timedelta) -> datetime:
    """The first multiple of ``step`` in the day after ``at``: opens and closes are never missed."""
    return at + step - (at - datetime(1970, 1, 1, tzinfo=UTC)) % step


def simulate(folder: Path, seed: int) -> Settings:
    """Trade the month; its journal is in ``folder``."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    month = Month(folder, seed)
    month.run()
    return month.settings
