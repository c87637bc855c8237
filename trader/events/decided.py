"""Facts that the engine decided; those that are durable rebuild its state."""

from datetime import datetime
from decimal import Decimal

from trader.contracts import OrderType, Side, TradingMode, TradingState
from trader.events.base import DurableFact, Fact
from trader.events.lines import (
    Approved,
    CommissionLine,
    ExecutionLine,
    OrderLine,
    PolicyAlert,
    PositionLine,
)
from trader.events.vocabulary import (
    CancelReason,
    DecisionOutcome,
    MaintenanceKind,
    MaintenanceOutcome,
    MismatchKind,
    OrderOutcome,
    OrderState,
    OrderTrigger,
    PolicyState,
    RiskRule,
    StartReason,
)

# -- lifecycle and trading state


class ServiceStarted(DurableFact, frozen=True, gc=False):
    """A run began. ``boot_id`` names the host's boot that it is in, empty when nobody told it."""

    run_id: str
    reason: StartReason
    previous_exit_clean: bool
    version: str
    mode: TradingMode
    account: str
    config_hash: str
    boot_id: str = ""


class ServiceStopped(DurableFact, frozen=True, gc=False):
    run_id: str
    reason: str
    clean: bool


class TradingStateChanged(DurableFact, frozen=True, gc=False):
    old: TradingState
    new: TradingState
    source: str
    reason: str


class PolicyChanged(DurableFact, frozen=True, gc=False):
    """The alerts of one success metric changed, and with them perhaps what the budget policy makes of it."""

    slo: str
    old: PolicyState
    new: PolicyState
    alerts: tuple[PolicyAlert, ...]


class PolicyOverridden(DurableFact, frozen=True, gc=False):
    """The budget policy is set aside until ``until``; None: it counts again."""

    source: str
    reason: str
    until: datetime | None


class ReadinessChanged(Fact, frozen=True, gc=False):
    """``problems`` are the reasons why the service may not open positions; empty means ready."""

    ready: bool
    problems: tuple[str, ...]


class SessionOpened(DurableFact, frozen=True, gc=False):
    """A trading session began; the daily loss limit counts from here.

    ``unrealized`` is what open positions were worth above cost at that moment, in the base currency; None
    when it was not known, and then a ``SessionValued`` follows as soon as it is. ``targets_void`` says that
    positions are not kept overnight: what was wanted in an earlier session is wanted no more.
    """

    calendar: str
    session: str
    opened_at: datetime
    closes_at: datetime
    unrealized: Decimal | None = None
    targets_void: bool = False


class SessionValued(DurableFact, frozen=True, gc=False):
    """What open positions are worth above cost became known; the session's unrealized P&L counts from here.

    Comes when that was not known as the session opened, or when a position was adopted in it.
    """

    unrealized: Decimal


class SessionClosed(DurableFact, frozen=True, gc=False):
    """A trading session ended; amounts in the base currency, costs negative, None where not known."""

    calendar: str
    session: str
    realized: Decimal | None
    unrealized: Decimal | None
    commission: Decimal | None
    fees: Decimal | None


class MaintenanceFinished(DurableFact, frozen=True, gc=False):
    """A maintenance job ended, by its own word. ``period`` names what it looked at; ``tasks`` is each one's outcome."""

    kind: MaintenanceKind
    period: str
    outcome: MaintenanceOutcome
    duration_s: float
    tasks: dict[str, MaintenanceOutcome]


class PanicStepped(Fact, frozen=True, gc=False):
    step: str
    detail: str


class PanicCompleted(DurableFact, frozen=True, gc=False):
    """Every order is cancelled and every position is flat, by the broker's word."""

    duration_s: float


# -- decided by the engine: decisions and orders


class SignalChanged(DurableFact, frozen=True, gc=False):
    """A strategy wants another position than before. Depends on market data alone, so that runs compare."""

    strategy: str
    symbol: str
    previous: Decimal
    target: Decimal
    price: float
    reason: str


class DecisionMade(Fact, frozen=True, gc=False):
    """A decision that was not "hold" (holds are counted in the snapshot, they come with every tick).

    ``order_ref`` is the order that it leads to, empty when it leads to none.
    """

    strategy: str
    symbol: str
    outcome: DecisionOutcome
    duration_s: float
    data_age_s: float
    order_ref: str = ""


class IntentRefused(Fact, frozen=True, gc=False):
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    rule: RiskRule
    detail: str


class StrategyFailed(Fact, frozen=True, gc=False):
    strategy: str
    symbol: str
    error: str


class OrderIntended(DurableFact, frozen=True, gc=False):
    """Written ahead: this order is about to be sent under this reference and id.

    ``risk_ns`` is when risk was asked and when it had answered, by the monotonic clock; empty when it was not asked.
    """

    order_ref: str
    order_id: int
    approved: Approved
    risk_ns: tuple[int, ...] = ()


class OrderStateChanged(DurableFact, frozen=True, gc=False):
    order_ref: str
    old: OrderState
    new: OrderState
    trigger: OrderTrigger
    detail: str = ""
    perm_id: int = 0


class OrderAcknowledged(Fact, frozen=True, gc=False):
    """First word of the broker about an order. ``duration_s`` from the socket to that word."""

    order_ref: str
    duration_s: float


class CancelIntended(DurableFact, frozen=True, gc=False):
    order_ref: str
    reason: CancelReason


class OrderFinalized(Fact, frozen=True, gc=False):
    """An order will not change any more. ``eligible`` says whether it counts for the fill rate."""

    order_ref: str
    symbol: str
    order_type: OrderType
    outcome: OrderOutcome
    eligible: bool
    filled: Decimal
    duration_s: float


class OrderAdopted(DurableFact, frozen=True, gc=False):
    """An order found at the broker that is not in our books; it is shown and can be cancelled."""

    line: OrderLine


class DuplicateOrderBlocked(Fact, frozen=True, gc=False):
    symbol: str
    order_ref: str
    detail: str


class FillBooked(DurableFact, frozen=True, gc=False):
    """An execution entered the books.

    A correction names the execution that it replaces in ``corrects`` and that one's quantity in
    ``replaced_quantity`` (else 0). ``slippage_ratio`` is what was paid above the decision's price, over it.
    ``order_ref`` is empty for an execution of an order that is not ours.
    """

    order_ref: str
    line: ExecutionLine
    corrects: str | None
    replaced_quantity: Decimal
    slippage_ratio: float | None
    fill_duration_s: float | None


class CommissionBooked(DurableFact, frozen=True, gc=False):
    line: CommissionLine


class PositionAdopted(DurableFact, frozen=True, gc=False):
    """The books took a position over from the broker (first start, or an operator's word)."""

    line: PositionLine


class ExecutionIgnored(DurableFact, frozen=True, gc=False):
    """An execution that is not booked, because a position that was adopted already contains it."""

    line: ExecutionLine
    reason: str


class OrderIdsReserved(DurableFact, frozen=True, gc=False):
    """No order id below ``next_order_id`` may ever be used again."""

    next_order_id: int


# -- decided by the engine: reconciliation and data quality


class MismatchFound(DurableFact, frozen=True, gc=False):
    kind: MismatchKind
    subject: str
    ours: str
    theirs: str


class ReconciliationFinished(DurableFact, frozen=True, gc=False):
    """``unanswered`` names the requests whose answer is not known; mismatches are counted by kind."""

    clean: bool
    unanswered: tuple[str, ...]
    mismatches: dict[MismatchKind, int]
    duration_s: float


class QuoteStalenessChanged(Fact, frozen=True, gc=False):
    symbol: str
    stale: bool
    age_s: float
