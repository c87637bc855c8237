"""What facts are made of: an order's terms on their way out, and the lines that a broker reports."""

from datetime import datetime
from decimal import Decimal

import msgspec

from trader.contracts import Instrument, OrderType, Side, TimeInForce
from trader.events.vocabulary import BrokerOrderStatus, PolicyState


class OrderTerms(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an order says. Prices in the instrument's currency; None where the type has no such price."""

    symbol: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    outside_rth: bool = False


class Intent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order somebody wants. ``decided_ns`` is the monotonic time at which the cause arrived."""

    terms: OrderTerms
    strategy: str
    reason: str
    reference_price: float | None
    decided_ns: int


class Approved(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An intent that risk has let through. Only ``risk.py`` makes one (a tidy test checks it)."""

    intent: Intent
    reduces: bool


class PositionLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One position of the account. ``average_cost`` is a unit's cost in its currency, without multiplier."""

    instrument: Instrument
    quantity: Decimal
    average_cost: Decimal


class OrderLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One order as the broker describes it. ``perm_id`` is 0 until the broker has given one."""

    order_id: int
    perm_id: int
    client_id: int
    order_ref: str
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    status: BrokerOrderStatus
    limit_price: Decimal | None = None


class ExecutionLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One execution. A correction has the same ``exec_id`` up to its last dot and replaces the earlier."""

    exec_id: str
    order_id: int
    perm_id: int
    client_id: int
    order_ref: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal
    executed_at: datetime


class CommissionLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The cost of one execution, positive when paid. ``realized_pnl`` is the broker's own figure or None."""

    exec_id: str
    amount: Decimal
    currency: str
    realized_pnl: Decimal | None = None


class AccountValue(msgspec.Struct, frozen=True, gc=False):
    tag: str
    currency: str
    value: str


class AlertLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One policy alert as Alertmanager tells it. ``key`` is its fingerprint, ``slo`` the success metric it is about."""

    key: str
    name: str
    slo: str
    firing: bool


class PolicyAlert(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An alert that the budget policy goes by.

    ``held``: it was told as resolved while nothing was measured, so it counts until that is confirmed.
    """

    key: str
    name: str
    state: PolicyState
    held: bool = False
