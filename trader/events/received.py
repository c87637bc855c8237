"""Facts from outside: the clock, the operator, the broker. What ``engine.process`` takes."""

from datetime import datetime
from decimal import Decimal

from trader.contracts import Quote
from trader.events.base import Fact
from trader.events.lines import (
    AccountValue,
    AlertLine,
    CommissionLine,
    ExecutionLine,
    OrderLine,
    PositionLine,
)
from trader.events.vocabulary import (
    BadTickReason,
    BrokerOrderStatus,
    DisconnectReason,
    ErrorClass,
    MarketDataMode,
    RequestKind,
    RequestOutcome,
    SubscriptionStatus,
)

# -- from the clock, the operator and the process


class TimerElapsed(Fact, frozen=True, gc=False):
    monotonic_ns: int


class ScheduleFired(Fact, frozen=True, gc=False):
    """A strategy's cron schedule came due."""

    strategy: str
    monotonic_ns: int


class PanicRequested(Fact, frozen=True, gc=False):
    source: str


class HaltRequested(Fact, frozen=True, gc=False):
    source: str
    reason: str


class ReduceOnlyRequested(Fact, frozen=True, gc=False):
    source: str
    reason: str


class ResumeRequested(Fact, frozen=True, gc=False):
    """``accept_positions`` says that the broker's positions are right and our books are to follow them."""

    source: str
    accept_positions: bool = False


class PolicyAlertsReceived(Fact, frozen=True, gc=False):
    """What one message of Alertmanager says of the policy's alerts.

    ``heartbeat`` is whether the always-firing alert is told as firing, None when it is not told at all.
    """

    alerts: tuple[AlertLine, ...]
    heartbeat: bool | None
    monotonic_ns: int


class MetricsScraped(Fact, frozen=True, gc=False):
    """A monitoring system read the metrics; while it does, the success metrics are measured."""

    monotonic_ns: int


class PolicyOverrideRequested(Fact, frozen=True, gc=False):
    """An operator sets the budget policy aside until ``until``; None ends that."""

    source: str
    reason: str
    until: datetime | None


class StopRequested(Fact, frozen=True, gc=False):
    reason: str


class ReloadFinished(Fact, frozen=True, gc=False):
    """A reload of the configuration ended; ``problems`` is empty when it was applied."""

    changed: tuple[str, ...]
    problems: tuple[str, ...]


class ObserverFailed(Fact, frozen=True, gc=False):
    observer: str
    error: str


# -- from the gateway: the link


class BrokerConnectedReceived(Fact, frozen=True, gc=False):
    """The API session is up: handshake, start, accounts, next valid id and server time all came."""

    server_version: int
    client_id: int
    accounts: tuple[str, ...]
    next_valid_id: int
    monotonic_ns: int
    clock_offset_s: float = 0.0


class BrokerDisconnectedReceived(Fact, frozen=True, gc=False):
    reason: DisconnectReason
    detail: str
    monotonic_ns: int


class ConnectFailedReceived(Fact, frozen=True, gc=False):
    reason: DisconnectReason
    detail: str
    attempt: int
    retry_in_s: float


class UpstreamLostReceived(Fact, frozen=True, gc=False):
    """1100: the gateway lost IB's servers; the socket to the gateway stands."""

    code: int


class UpstreamRestoredReceived(Fact, frozen=True, gc=False):
    """1101 (``data_lost``) or 1102: the gateway reaches IB's servers again."""

    code: int
    data_lost: bool


class JournalLostReceived(Fact, frozen=True, gc=False):
    """The journal cannot be written, and why; told again when the reason changes. ``waiting`` facts are in memory."""

    problem: str
    waiting: int


class JournalRestoredReceived(Fact, frozen=True, gc=False):
    """The journal is written again, and has what it missed."""


class FarmChangedReceived(Fact, frozen=True, gc=False):
    farm: str
    connected: bool


class HeartbeatReceived(Fact, frozen=True, gc=False):
    duration_s: float
    clock_offset_s: float


class HeartbeatMissedReceived(Fact, frozen=True, gc=False):
    silent_s: float


class BrokerErrorReceived(Fact, frozen=True, gc=False):
    """An error message of the broker. A hint: an order's state comes from statuses and executions.

    ``provisional``: the code has been seen for orders that were live all the same, so the broker has to be asked.
    """

    request_id: int
    code: int
    message: str
    error_class: ErrorClass
    provisional: bool = False


class RequestFinished(Fact, frozen=True, gc=False):
    kind: RequestKind
    outcome: RequestOutcome
    duration_s: float


class PacingWaited(Fact, frozen=True, gc=False):
    kind: RequestKind
    waited_s: float


class DecodeFailed(Fact, frozen=True, gc=False):
    """A message of the broker could not be understood. If it was an execution, this is critical.

    ``lost``: it was an execution that nobody asked for, so what it said is known only once the broker was asked.
    """

    message_kind: str
    detail: str
    critical: bool
    lost: bool = False


# -- from the gateway: data


class QuoteReceived(Fact, frozen=True, gc=False):
    quote: Quote
    received_ns: int


class TradeReceived(Fact, frozen=True, gc=False):
    """A trade printed in the market (not ours)."""

    symbol: str
    price: float
    size: float
    received_ns: int


class BadTickDropped(Fact, frozen=True, gc=False):
    symbol: str
    reason: BadTickReason


class QuotesConflated(Fact, frozen=True, gc=False):
    """The service was behind: in one read, so many quotes had a later one of their instrument and went no further."""

    superseded: int


class SubscriptionChangedReceived(Fact, frozen=True, gc=False):
    symbol: str
    status: SubscriptionStatus
    code: int = 0
    message: str = ""


class MarketDataModeReceived(Fact, frozen=True, gc=False):
    symbol: str
    mode: MarketDataMode


class AccountValuesReceived(Fact, frozen=True, gc=False):
    values: tuple[AccountValue, ...]


class PositionReceived(Fact, frozen=True, gc=False):
    """The broker says that a position changed; a hint to reconcile when it is not what the books say."""

    line: PositionLine


# -- from the gateway: orders


class OrdersJournaled(Fact, frozen=True, gc=False):
    """The intents of these orders are in the journal; how long that took, by the monotonic clock."""

    order_refs: tuple[str, ...]
    started_ns: int
    ended_ns: int


class OrderSent(Fact, frozen=True, gc=False):
    """The order's frame was handed to the socket."""

    order_ref: str
    order_id: int
    sent_ns: int


class OrderSendFailed(Fact, frozen=True, gc=False):
    """The order's frame certainly did not leave the process."""

    order_ref: str
    detail: str


class OrderStatusReceived(Fact, frozen=True, gc=False):
    order_id: int
    perm_id: int
    client_id: int
    status: BrokerOrderStatus
    filled: Decimal
    remaining: Decimal
    why_held: str
    received_ns: int


class OpenOrderReceived(Fact, frozen=True, gc=False):
    line: OrderLine
    received_ns: int


class ExecutionReceived(Fact, frozen=True, gc=False):
    line: ExecutionLine
    received_ns: int


class CommissionReceived(Fact, frozen=True, gc=False):
    line: CommissionLine


class BrokerStateReceived(Fact, frozen=True, gc=False):
    """The broker's answers to one reconcile request. ``None`` is "could not tell", ``()`` is "none"."""

    requested_ns: int
    positions: tuple[PositionLine, ...] | None
    open_orders: tuple[OrderLine, ...] | None
    completed_orders: tuple[OrderLine, ...] | None
    executions: tuple[ExecutionLine, ...] | None
    commissions: tuple[CommissionLine, ...] = ()
