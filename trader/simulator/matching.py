"""When an order triggers, and what it trades against: pure functions of an order and its market line.

Rules: an order that meets a quote takes it at the quoted price, up to the displayed size that is left. An
order that waits for its price has it at that price, when a quote crosses it or a trade prints through it
(a trade *at* its price is not enough: its place in the queue is not known). Trails only ever tighten.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

from trader.contracts import ONE, ZERO, OrderType, Side
from trader.simulator.line import MarketLine
from trader.simulator.model import OrderRequest
from trader.simulator.orders import WorkingOrder

ADDS_LIQUIDITY: Final = 1
REMOVES_LIQUIDITY: Final = 2
_HUNDRED: Final = Decimal(100)


class Match(NamedTuple):
    """What an order may trade now."""

    price: Decimal
    quantity: Decimal
    liquidity: int


def is_marketable(order: WorkingOrder, line: MarketLine) -> bool:
    """Whether the opposite quote exists and is within the order's limit, whatever its size."""
    quote = line.ask if order.request.side is Side.BUY else line.bid
    if quote is None or quote <= 0:
        return False
    limit = order.limit
    if limit is None:
        return True
    return quote <= limit if order.request.side is Side.BUY else quote >= limit


def match_quote(order: WorkingOrder, line: MarketLine) -> Match | None:
    """The trade with the opposite quote, or None. Reads what is left of the displayed size."""
    buying = order.request.side is Side.BUY
    left = line.ask_left if buying else line.bid_left
    if left <= 0 or not is_marketable(order, line):
        return None
    quote = line.ask if buying else line.bid
    limit = order.limit
    if order.resting and limit is not None:
        return Match(limit, min(left, order.remaining), ADDS_LIQUIDITY)
    assert quote is not None
    return Match(quote, min(left, order.remaining), REMOVES_LIQUIDITY)


def match_print(order: WorkingOrder, trade: Decimal, left: Decimal) -> Match | None:
    """The trade of a resting order with a print through its price, out of ``left`` units printed."""
    limit = order.limit
    if limit is None or not order.resting or left <= 0:
        return None
    through = trade < limit if order.request.side is Side.BUY else trade > limit
    return Match(limit, min(left, order.remaining), ADDS_LIQUIDITY) if through else None


def use_displayed(line: MarketLine, side: Side, quantity: Decimal) -> None:
    """Take ``quantity`` out of the size displayed on the side that an order of ``side`` meets."""
    if side is Side.BUY:
        line.ask_left = max(ZERO, line.ask_left - quantity)
    else:
        line.bid_left = max(ZERO, line.bid_left - quantity)


def trigger_reference(line: MarketLine, side: Side) -> Decimal | None:
    """The price that stops of ``side`` watch: the last trade, or without trades the quote they would meet."""
    if not line.triggers_on_quotes:
        return line.last
    quote = line.ask if side is Side.BUY else line.bid
    return quote if quote is not None and quote > 0 else None


def is_triggered(order: WorkingOrder, reference: Decimal) -> bool:
    if order.stop is None:
        return False
    return reference >= order.stop if order.request.side is Side.BUY else reference <= order.stop


def trailed_stop(request: OrderRequest, stop: Decimal | None, reference: Decimal, tick: Decimal) -> Decimal:
    """Where a trail's stop is when the market is at ``reference``; never further away than ``stop``."""
    selling = request.side is Side.SELL
    if request.trailing_percent is not None:
        distance = reference * request.trailing_percent / _HUNDRED
    else:
        distance = request.aux_price or ZERO
    exact = reference - distance if selling else reference + distance
    candidate = (exact / tick).quantize(ONE, rounding=ROUND_FLOOR if selling else ROUND_CEILING) * tick
    if stop is None:
        return candidate
    return max(stop, candidate) if selling else min(stop, candidate)


def follow_market(order: WorkingOrder, reference: Decimal) -> None:
    """Move a waiting trail's stop behind the market."""
    if order.request.order_type is OrderType.TRAIL and not order.triggered:
        order.stop = trailed_stop(order.request, order.stop, reference, order.contract.tick_size)


def waits_for_price(order: WorkingOrder, line: MarketLine) -> bool:
    """Whether there is a quote to meet, and it is beyond the order's limit."""
    quote = line.ask if order.request.side is Side.BUY else line.bid
    return quote is not None and quote > 0 and not is_marketable(order, line)
