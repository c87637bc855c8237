"""The closed vocabularies of facts: reasons, states, kinds. Their values are labels of metrics."""

from enum import IntEnum, StrEnum


class DisconnectReason(StrEnum):
    """Why the socket to the gateway is gone."""

    REFUSED = "refused"
    CLOSED = "closed"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HEARTBEAT_LOST = "heartbeat_lost"
    CLIENT_ID_BUSY = "client_id_busy"
    WRONG_ACCOUNT = "wrong_account"
    WRONG_GATEWAY = "wrong_gateway"
    STOPPING = "stopping"


class ErrorClass(StrEnum):
    """What a broker's error code means for us; the table is ``gateway/codes.py``."""

    NOTICE = "notice"
    PACING = "pacing"
    CONNECTIVITY = "connectivity"
    MARKET_DATA = "market_data"
    ORDER_REJECTED = "order_rejected"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_LIVE = "order_live"
    CANCEL_REFUSED = "cancel_refused"
    REQUEST_FAILED = "request_failed"
    UNKNOWN = "unknown"


class RequestKind(StrEnum):
    PLACE_ORDER = "place_order"
    CANCEL_ORDER = "cancel_order"
    GLOBAL_CANCEL = "global_cancel"
    MARKET_DATA = "market_data"
    CONTRACT_DETAILS = "contract_details"
    POSITIONS = "positions"
    OPEN_ORDERS = "open_orders"
    COMPLETED_ORDERS = "completed_orders"
    EXECUTIONS = "executions"
    ACCOUNT = "account"
    SERVER_TIME = "server_time"


class RequestOutcome(StrEnum):
    OK = "ok"
    TIMEOUT = "timeout"
    ERROR = "error"
    DROPPED = "dropped"


class BadTickReason(StrEnum):
    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    CROSSED = "crossed"
    OUTLIER = "outlier"


class MarketDataMode(StrEnum):
    LIVE = "live"
    DELAYED = "delayed"
    FROZEN = "frozen"


class SubscriptionStatus(StrEnum):
    SUBSCRIBED = "subscribed"
    REFUSED = "refused"
    LOST = "lost"


class BrokerOrderStatus(StrEnum):
    """IB's order statuses, as they are spelled on the wire."""

    API_PENDING = "ApiPending"
    PENDING_SUBMIT = "PendingSubmit"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    PENDING_CANCEL = "PendingCancel"
    CANCELLED = "Cancelled"
    API_CANCELLED = "ApiCancelled"
    FILLED = "Filled"
    INACTIVE = "Inactive"


class OrderState(StrEnum):
    """Our view of one order; the transitions are the table in ``orders.py``."""

    INTENDED = "intended"
    SENT = "sent"
    WORKING = "working"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    VANISHED = "vanished"


class OrderOutcome(StrEnum):
    FILLED = "filled"
    PARTIAL = "partial"
    UNFILLED = "unfilled"
    REJECTED = "rejected"
    CANCELLED_BY_US = "cancelled_by_us"
    ERROR = "error"


class CancelReason(StrEnum):
    TIMEOUT = "timeout"
    SUPERSEDED = "superseded"
    HALT = "halt"
    PANIC = "panic"
    SHUTDOWN = "shutdown"
    SESSION_CLOSE = "session_close"
    DUPLICATE = "duplicate"


class DecisionOutcome(StrEnum):
    ENTER = "enter"
    EXIT = "exit"
    HOLD = "hold"
    BLOCKED = "blocked"
    STALE = "stale"
    ERROR = "error"


class RiskRule(StrEnum):
    """Every rule that can refuse an intent."""

    TRADING_STATE = "trading_state"
    NOT_READY = "not_ready"
    SESSION = "session"
    REDUCE_ONLY = "reduce_only"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    BAD_QUANTITY = "bad_quantity"
    ORDER_QUANTITY = "order_quantity"
    ORDER_NOTIONAL = "order_notional"
    POSITION = "position"
    GROSS_EXPOSURE = "gross_exposure"
    NO_QUOTE = "no_quote"
    STALE_QUOTE = "stale_quote"
    PRICE_COLLAR = "price_collar"
    ORDER_RATE = "order_rate"
    OPEN_ORDERS = "open_orders"
    DAILY_LOSS = "daily_loss"
    UNKNOWN_ORDER = "unknown_order"
    DUPLICATE = "duplicate"


class MismatchKind(StrEnum):
    POSITION = "position"
    ORDER = "order"
    CASH = "cash"
    EXECUTION = "execution"


class OrderTrigger(StrEnum):
    """What can happen to an order; the rows of the transition table in ``orders.py``."""

    SENT = "sent"
    SEND_FAILED = "send_failed"
    ACKNOWLEDGED = "acknowledged"
    FOUND_OPEN = "found_open"
    PARTLY_FILLED = "partly_filled"
    FULLY_FILLED = "fully_filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    LINK_LOST = "link_lost"
    NOT_FOUND = "not_found"


class PolicyState(IntEnum):
    """What the budget policy makes of one success metric; its value is what the metric exports."""

    OK = 0
    CAUTION = 1
    NO_NEW_ENTRIES = 2


class StartReason(StrEnum):
    DEPLOY = "deploy"
    BOOT = "boot"
    MANUAL = "manual"
    CRASH = "crash"
    WATCHDOG = "watchdog"
    OOM = "oom"


class MaintenanceKind(StrEnum):
    """The three maintenance jobs."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class MaintenanceOutcome(StrEnum):
    """How a maintenance job or one of its tasks ended, from best to worst; a job's is the worst of its tasks'."""

    OK = "ok"
    #: What could not be looked at: said plainly, and no reason to wake anybody.
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAILED = "failed"
