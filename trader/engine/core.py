"""The engine's state, and the step that collects what one event leads to.

Rules: durable state changes in ``Core.apply`` alone, by durable facts, so that folding a journal gives the
same state as living through it. Everything else here is volatile: what the broker and the market say again
by themselves after a restart.
"""

from collections import deque
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec

from trader.clock import Clock
from trader.contracts import ZERO, Instrument, Quote, TradingState
from trader.engine.link import Link
from trader.events import (
    AnyDurableFact,
    AnyFact,
    Command,
    DurableFact,
    MismatchKind,
    OrderIntended,
    OrderStateChanged,
    PanicCompleted,
    PositionAdopted,
    ReconciliationFinished,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SignalChanged,
    TradingStateChanged,
)
from trader.flatten import FlattenProcedure
from trader.ledger import Ledger
from trader.market_data import MarketData
from trader.orders import Orders
from trader.policy import POLICY, BudgetPolicy
from trader.session import BrokerWindows, Session, SessionCalendar
from trader.settings import Settings
from trader.statistics import Statistics
from trader.strategy.api import Strategy


class AwaitedFills(msgspec.Struct, frozen=True, gc=False):
    """The broker said that this much is filled, but its executions have not come yet."""

    quantity: Decimal
    cancelled: bool
    since_ns: int


class Core:
    """All state of one engine. ``instruments`` are the configured ones, by symbol."""

    def __init__(
        self,
        settings: Settings,
        instruments: Mapping[str, Instrument],
        strategy: Strategy,
        calendar: SessionCalendar,
        clock: Clock,
        run_id: str,
        windows: BrokerWindows | None = None,
    ) -> None:
        self.settings = settings
        self.instruments = instruments
        self.strategy = strategy
        self.calendar = calendar
        self.clock = clock
        self.run_id = run_id
        self.windows = windows
        self.started_ns = clock.monotonic_ns()
        # durable
        self.orders = Orders()
        self.ledger = Ledger(settings.base_currency)
        self.trading_state = TradingState.ACTIVE
        self.state_reason = self.state_source = ""
        self.policy = BudgetPolicy()
        self.panic_completed = False
        self.targets: dict[str, Decimal] = {}
        self.session_name = ""
        self.session_opened_at: datetime | None = None
        self.starts: dict[str, int] = {}
        self.starts_today: dict[str, int] = {}
        self.starts_day: date | None = None
        self.last_stop_clean = self.previous_exit_clean = True
        self.ever_reconciled = False
        self.reconciled_at: datetime | None = None
        self.mismatches: dict[MismatchKind, int] = {}
        # volatile
        self.market_data = MarketData(settings.market_data)
        self.link = Link()
        self.statistics = Statistics(strategy.name)
        self.session: Session | None = None
        self.newest_open_at: datetime | None = None
        self.closed_from = self.closed_until = clock.now()
        self.calendar_problem = ""
        self.journal_problem = ""
        self.panic: FlattenProcedure | None = None
        self.order_count = 0
        self.sent_ns: dict[str, int] = {}
        self.ended_ns: dict[str, int] = {}
        self.cancel_sent_ns: dict[str, int] = {}
        # The order id to cancel by, where what lives of an order at the broker has another one than it was sent with.
        self.living_ids: dict[str, int] = {}
        self.awaited_fills: dict[str, AwaitedFills] = {}
        self.reject_hints: dict[str, str] = {}
        self.recent_orders_ns: deque[int] = deque(maxlen=2_000)
        self.unmet: set[str] = set()
        self.retry_at: dict[str, datetime] = {}
        self.retry_s: dict[str, float] = {}
        self.strategy_suspended = ""
        self.stopping = ""
        self.problems: tuple[str, ...] = ("starting",)
        # When the cause of the present decision arrived, and when the strategy answered it.
        self.decided_ns = self.answered_ns = 0
        self.last_timer_ns: int | None = None
        self.peak_net = ZERO
        self._marks: dict[str, tuple[Quote | None, Decimal | None]] = {}

    def now(self) -> datetime:
        return self.clock.now()

    def apply(self, fact: DurableFact) -> None:
        """Fold one durable fact into the state."""
        self.orders.apply(fact)
        self.ledger.apply(fact)
        self.policy.apply(fact)
        match fact:
            case SignalChanged():
                self.targets[fact.symbol] = fact.target
            case TradingStateChanged():
                self._change_trading_state(fact)
            case PanicCompleted():
                self.panic_completed = True
            case SessionOpened():
                self._open_session(fact)
            case SessionClosed():
                self.session_name = ""
            case ServiceStarted():
                self._count_start(fact)
                self.last_stop_clean = False
            case ServiceStopped():
                self.last_stop_clean = fact.clean
            case ReconciliationFinished():
                self.mismatches = dict(fact.mismatches)
                if fact.clean:
                    self.ever_reconciled, self.reconciled_at = True, fact.at
            case PositionAdopted():
                # What was adopted is ours to exit only where we already had a word in it.
                if fact.line.instrument.symbol in self.targets:
                    self.targets[fact.line.instrument.symbol] = fact.line.quantity
            case OrderIntended():
                self._note_order(fact.at)
            case OrderStateChanged():
                self._forget_volatile(fact.order_ref)
            case _:
                pass

    def _open_session(self, fact: SessionOpened) -> None:
        self.session_name, self.session_opened_at = fact.session, fact.opened_at
        self.orders.forget_final(before=fact.opened_at)
        self.ended_ns.clear()
        self.peak_net = ZERO
        if fact.targets_void:
            self.targets = dict.fromkeys(self.targets, ZERO)

    def _change_trading_state(self, fact: TradingStateChanged) -> None:
        self.trading_state, self.state_reason, self.state_source = fact.new, fact.reason, fact.source
        self.panic_completed = False
        if fact.new is TradingState.PANIC:
            # What was wanted before a forced exit is not bought back by whoever resumes.
            self.targets.clear()

    def _count_start(self, fact: ServiceStarted) -> None:
        self.starts[fact.reason] = self.starts.get(fact.reason, 0) + 1
        if fact.at.date() != self.starts_day:
            self.starts_day, self.starts_today = fact.at.date(), {}
        self.starts_today[fact.reason] = self.starts_today.get(fact.reason, 0) + 1

    def _note_order(self, intended_at: datetime) -> None:
        """An order counts towards the limit of a minute in whichever process it was intended."""
        age = max(self.now() - intended_at, timedelta(0))
        self.recent_orders_ns.append(self.clock.monotonic_ns() - age // timedelta(microseconds=1) * 1_000)

    def _forget_volatile(self, order_ref: str) -> None:
        order = self.orders.get(order_ref)
        if order is not None and order.final:
            self.awaited_fills.pop(order_ref, None)
            self.cancel_sent_ns.pop(order_ref, None)
            self.living_ids.pop(order_ref, None)
            self.reject_hints.pop(order_ref, None)
            self.unmet.add(order.symbol)

    # -- values

    @property
    def held_by_policy(self) -> bool:
        """Whether nothing but the budget policy keeps entries from being made."""
        return self.trading_state is TradingState.REDUCE_ONLY and self.state_source == POLICY

    @property
    def may_tighten(self) -> bool:
        """Whether *reduce only* would be news: trading is active, or only the budget policy has stopped entries."""
        return self.trading_state is TradingState.ACTIVE or self.held_by_policy

    def mark(self, symbol: str) -> Decimal | None:
        """The mark of a configured instrument, worked out once for each quote; None where there is no quote yet."""
        quote = self.market_data.quotes.get(symbol)
        known = self._marks.get(symbol)
        if known is not None and known[0] is quote:
            return known[1]
        mark = self.market_data.mark(symbol, self.instruments[symbol].tick_size)
        self._marks[symbol] = quote, mark
        return mark

    def marks(self) -> dict[str, Decimal | None]:
        """The mark of every configured instrument that is held; None where there is no quote yet."""
        return {symbol: self.mark(symbol) for symbol in self.ledger.positions() if symbol in self.instruments}

    def rate(self, currency: str) -> Decimal | None:
        """Base currency for one unit of ``currency``; None when the broker has not said."""
        return Decimal(1) if currency == self.settings.base_currency else self.link.rates.get(currency)

    def session_net(self) -> Decimal | None:
        """This session's net P&L in the base currency; None when a part is not known."""
        pnl = self.ledger.pnl_base(self.marks(), self.link.rates, session=True)
        if pnl is None or pnl.unrealized is None:
            return None
        return pnl.realized + pnl.unrealized - pnl.commission

    def gross_exposure(self) -> Decimal | None:
        """Σ |value| of positions and of orders that open one, in the base currency; None when not known."""
        units = {symbol: abs(quantity) for symbol, quantity in self.ledger.positions().items()}
        for order in self.orders.open():
            if not _reduces(order.approved):
                units[order.symbol] = units.get(order.symbol, ZERO) + order.remaining
        total = ZERO
        for symbol, quantity in units.items():
            instrument = self.instruments.get(symbol)
            if instrument is None or quantity == 0:
                continue
            mark, rate = self.mark(symbol), self.rate(instrument.currency)
            if mark is None or rate is None:
                return None
            total += quantity * mark * instrument.multiplier * rate
        return total


def _reduces(approved: object) -> bool:
    return bool(getattr(approved, "reduces", False))


class Step:
    """What one event leads to: facts in order, and the commands that may leave once those are durable."""

    __slots__ = ("_core", "commands", "facts")

    def __init__(self, core: Core) -> None:
        self._core = core
        self.facts: list[AnyFact] = []
        self.commands: list[Command] = []

    def emit(self, fact: AnyFact) -> None:
        """Change the state by ``fact`` and tell it; state changes before anyone is told."""
        if isinstance(fact, DurableFact):
            self._core.apply(fact)
        self._core.statistics.observe(fact)
        self.facts.append(fact)

    def send(self, command: Command) -> None:
        self.commands.append(command)

    def durable(self) -> list[AnyDurableFact]:
        """The facts that must be in the journal before a command of this step leaves."""
        return [fact for fact in self.facts if isinstance(fact, DurableFact)]
