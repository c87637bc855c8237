"""What the simulated exchange and its servers say to each other.

Rules: the exchange is pure and clock-driven. It is told the time, orders and cancels; it answers with
reports, in order, through one listener. It knows clients by their clientId and nothing of sockets. The wire
server and the in-process gateway are two listeners of the same reports. Prices and quantities are Decimal.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

import msgspec

from trader.contracts import OrderType, SecurityType, Side, TimeInForce


class ListedContract(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One contract that the simulated broker knows. ``expiry`` is YYYYMMDD for futures, else empty."""

    con_id: int
    symbol: str
    security_type: SecurityType
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str
    long_name: str
    expiry: str = ""
    multiplier: Decimal = Decimal(1)
    tick_size: Decimal = Decimal("0.01")
    time_zone: str = "America/New_York"
    market_rule_id: int = 26


class MarketEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One row of a market: what changed in one contract at one time. None where it did not change.

    ``bid``/``ask`` come with their sizes; ``last`` is a trade with its volume.
    """

    at: datetime
    symbol: str
    bid: Decimal | None = None
    bid_size: Decimal | None = None
    ask: Decimal | None = None
    ask_size: Decimal | None = None
    last: Decimal | None = None
    last_size: Decimal | None = None


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a client sends it; ``order_id`` is unique within ``client_id`` only.

    ``raw`` keeps, by name, further fields of the protocol that the exchange does not interpret, so that an
    open order echoes what its client sent.
    """

    client_id: int
    order_id: int
    con_id: int
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    trailing_percent: Decimal | None = None
    trail_stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    outside_rth: bool = False
    order_ref: str = ""
    oca_group: str = ""
    oca_type: int = 0
    parent_id: int = 0
    transmit: bool = True
    what_if: bool = False
    account: str = ""
    exchange: str = "SMART"
    raw: dict[str, str] = {}


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """One order of the exchange at one moment; ``status`` is IB's word. ``average_price`` is 0 unfilled.

    ``preview`` is there for a what-if order only.
    """

    request: OrderRequest
    contract: ListedContract
    perm_id: int
    status: str
    filled: Decimal
    remaining: Decimal
    average_price: Decimal
    last_fill_price: Decimal
    why_held: str = ""
    completed_at: datetime | None = None
    completed_status: str = ""
    preview: "OrderPreview | None" = None


class OrderPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What an order would do, in the base currency: margins and equity before and after, its commission."""

    margin_before: Decimal
    margin_after: Decimal
    equity_before: Decimal
    equity_after: Decimal
    commission: Decimal
    currency: str


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. ``liquidity`` 1 adds, 2 removes. A correction repeats the id up to its last dot."""

    exec_id: str
    order: OrderView
    at: datetime
    side: Side
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    average_price: Decimal
    exchange: str
    liquidity: int


class PositionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``average_cost`` of one unit without multiplier; IB's wire figure includes the multiplier."""

    contract: ListedContract
    quantity: Decimal
    average_cost: Decimal
    realized: Decimal
    market_price: Decimal
    unrealized: Decimal


# -- reports, in the order in which the exchange makes them


class OrderReported(msgspec.Struct, frozen=True):
    """openOrder followed by orderStatus."""

    order: OrderView


class StatusReported(msgspec.Struct, frozen=True):
    """orderStatus alone."""

    order: OrderView


class ExecutionReported(msgspec.Struct, frozen=True):
    execution: Execution


class CommissionReported(msgspec.Struct, frozen=True):
    """``realized`` is None when the execution opened or added to a position (unset on the wire)."""

    exec_id: str
    client_id: int
    amount: Decimal
    currency: str
    realized: Decimal | None


class PositionReported(msgspec.Struct, frozen=True):
    position: PositionRecord


class ErrorReported(msgspec.Struct, frozen=True):
    """An error message for one client. ``request_id`` is the order id, or −1 for the connection."""

    client_id: int
    request_id: int
    code: int
    message: str


class QuoteReported(msgspec.Struct, frozen=True):
    """The market moved; ``event`` says what changed, ``con_id`` whose."""

    con_id: int
    event: MarketEvent


Report: TypeAlias = (
    OrderReported
    | StatusReported
    | ExecutionReported
    | CommissionReported
    | PositionReported
    | ErrorReported
    | QuoteReported
)
Listener = Callable[[Report], None]
