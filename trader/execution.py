"""From the wanted position to the next order.

Rules: pure. One order an instrument at a time; an order either reduces a position or opens one, never both,
so that "reduce only" has a meaning. An exit larger than the maximum order quantity goes in slices. A working
order that no longer leads to the wanted position is cancelled first; the next order waits for the answer.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from trader.contracts import ZERO, Instrument, OrderType, Quote, Side
from trader.events import CancelReason, Intent, OrderTerms
from trader.orders import Order
from trader.settings import ExecutionSettings


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Cancel this order before anything else is sent for its instrument."""

    order_ref: str
    reason: CancelReason


class Wanted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The position wanted in one instrument, by whom and why."""

    instrument: Instrument
    target: Decimal
    strategy: str
    reason: str
    decided_ns: int


def plan(
    wanted: Wanted,
    position: Decimal,
    working: Sequence[Order],
    quote: Quote | None,
    settings: ExecutionSettings,
    max_order_quantity: Decimal,
) -> Intent | Cancel | None:
    """The next step towards the wanted position; None when there is nothing to do or an answer to wait for."""
    if working:
        return _supersede(wanted.target, position, working)
    signed = _next_quantity(wanted.target, position, max_order_quantity)
    if signed == 0:
        return None
    side = Side.BUY if signed > 0 else Side.SELL
    return Intent(
        terms=_terms(wanted.instrument, side, abs(signed), quote, settings),
        strategy=wanted.strategy,
        reason=wanted.reason,
        reference_price=quote.mid if quote else None,
        decided_ns=wanted.decided_ns,
    )


def _supersede(target: Decimal, position: Decimal, working: Sequence[Order]) -> Cancel | None:
    leads_to = position + sum((order.signed_remaining for order in working), ZERO)
    if leads_to == target or _on_the_way(position, leads_to, target):
        return None
    for order in working:
        if order.cancel_reason is None:
            return Cancel(order.order_ref, CancelReason.SUPERSEDED)
    return None


def _on_the_way(position: Decimal, leads_to: Decimal, target: Decimal) -> bool:
    """Whether the working orders stop short of the target on the straight way to it (a slice, an exit first)."""
    return position < leads_to < target or target < leads_to < position


def _next_quantity(target: Decimal, position: Decimal, max_order_quantity: Decimal) -> Decimal:
    crosses_zero = position * target < 0
    signed = (ZERO if crosses_zero else target) - position
    shrinks = position * signed < 0
    if shrinks and abs(signed) > max_order_quantity:
        signed = max_order_quantity.copy_sign(signed)
    return signed


def _terms(
    instrument: Instrument, side: Side, quantity: Decimal, quote: Quote | None, settings: ExecutionSettings
) -> OrderTerms:
    limit_price = None
    if settings.order_type is OrderType.LIMIT and quote is not None:
        through = settings.cross_ticks * instrument.tick_size * side.sign
        limit_price = instrument.round_price(quote.touch(side)) + through
    return OrderTerms(
        symbol=instrument.symbol,
        side=side,
        quantity=quantity,
        order_type=settings.order_type,
        limit_price=limit_price,
        time_in_force=settings.time_in_force,
    )
