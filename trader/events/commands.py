"""Commands: what the engine asks of the gateway. Imperative."""

from typing import TypeAlias

import msgspec

from trader.contracts import Instrument
from trader.events.lines import Approved
from trader.events.vocabulary import CancelReason


class PlaceOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Send an order. Takes nothing that risk has not approved."""

    approved: Approved
    instrument: Instrument
    order_ref: str
    order_id: int


class CancelOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    order_ref: str
    order_id: int


class CancelAllOrders(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Cancel every order of the account, whoever placed it (IB's global cancel)."""

    reason: CancelReason


class RequestBrokerState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Ask positions, open and completed orders and executions; answered by one BrokerStateReceived."""

    reason: str


class Resubscribe(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Subscribe to market data again; all instruments when ``symbols`` is empty."""

    symbols: tuple[str, ...] = ()


Command: TypeAlias = PlaceOrder | CancelOrder | CancelAllOrders | RequestBrokerState | Resubscribe
