"""Risk: an intent becomes ``Approved``, or a refusal that names its rule.

Rules: every intent passes every rule of the table, in order; the first that objects decides. What reduces a
position is exempt from the limits on size and loss, never from the state, the session and the price checks.
Only this module makes an ``Approved``. Nothing here changes state or reads a clock.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from trader.contracts import ZERO, Instrument, OrderType, Quote, Side, TradingState
from trader.events import Approved, Intent, OrderState, OrderTerms, RiskRule
from trader.orders import PANIC, Order
from trader.settings import RiskSettings


class RiskContext(msgspec.Struct, kw_only=True):
    """Everything that the rules look at, at one moment. Amounts in the base currency."""

    now: datetime
    limits: RiskSettings
    state: TradingState
    problems: Sequence[str]
    session_open: bool
    entries_allowed: bool
    instrument: Instrument | None
    position: Decimal
    open_orders: Sequence[Order]
    orders_last_minute: int
    quote: Quote | None
    quote_stale: bool
    rate: Decimal | None
    gross_exposure: Decimal | None
    session_net_pnl: Decimal | None


class Refusal(msgspec.Struct, frozen=True, gc=False):
    rule: RiskRule
    detail: str


def reduces(side: Side, quantity: Decimal, position: Decimal) -> bool:
    """Whether an order brings the position nearer to zero without passing it."""
    return position * side.sign < 0 and quantity <= abs(position)


def check(intent: Intent, context: RiskContext) -> Approved | Refusal:
    """Approve ``intent`` or refuse it with the first rule that objects."""
    terms = intent.terms
    reducing = reduces(terms.side, terms.quantity, context.position)
    for rule, applies_to_exits, objection in RULES:
        if reducing and not applies_to_exits:
            continue
        detail = objection(terms, context)
        if detail is not None:
            return Refusal(rule, detail)
    return Approved(intent=intent, reduces=reducing)


def approve_flatten(symbol: str, side: Side, quantity: Decimal, *, reason: str, decided_ns: int) -> Approved:
    """Approve the market order that closes a position in a panic.

    Deliberately consults no limit, price, session or P&L: the panic path must work when all of those are
    broken. Raises ValueError for a quantity that is not positive.
    """
    if quantity <= 0:
        raise ValueError(f"cannot flatten a quantity of {quantity}")
    terms = OrderTerms(symbol=symbol, side=side, quantity=quantity, order_type=OrderType.MARKET)
    intent = Intent(terms=terms, strategy=PANIC, reason=reason, reference_price=None, decided_ns=decided_ns)
    return Approved(intent=intent, reduces=True)


# -- the rules: what is wrong, or None


def _trading_state(terms: OrderTerms, c: RiskContext) -> str | None:
    return f"trading is {c.state}" if c.state in (TradingState.HALTED, TradingState.PANIC) else None


def _not_ready(terms: OrderTerms, c: RiskContext) -> str | None:
    return "; ".join(c.problems) or None


def _unknown_instrument(terms: OrderTerms, c: RiskContext) -> str | None:
    return f"{terms.symbol} is not configured" if c.instrument is None else None


def _session(terms: OrderTerms, c: RiskContext) -> str | None:
    return None if c.session_open or terms.outside_rth else "the session is closed"


def _reduce_only(terms: OrderTerms, c: RiskContext) -> str | None:
    return "only exits are allowed" if c.state is TradingState.REDUCE_ONLY else None


def _entries(terms: OrderTerms, c: RiskContext) -> str | None:
    return None if c.entries_allowed else "no entries so near to the close"


def _bad_quantity(terms: OrderTerms, c: RiskContext) -> str | None:
    quantity = terms.quantity
    if not quantity.is_finite() or quantity <= 0:
        return f"a quantity must be positive, not {quantity}"
    if quantity != quantity.to_integral_value():
        return f"a quantity must be whole, not {quantity}"
    return None


def _order_quantity(terms: OrderTerms, c: RiskContext) -> str | None:
    limit = c.limits.max_order_quantity
    return f"{terms.quantity} is more than {limit} an order" if terms.quantity > limit else None


def _unknown_order(terms: OrderTerms, c: RiskContext) -> str | None:
    unknown = [o.order_ref for o in c.open_orders if o.symbol == terms.symbol and o.state is OrderState.UNKNOWN]
    return f"the fate of {unknown[0]} is not known yet" if unknown else None


def _duplicate(terms: OrderTerms, c: RiskContext) -> str | None:
    live = [o.order_ref for o in c.open_orders if o.symbol == terms.symbol and o.side is terms.side]
    return f"{live[0]} is already working on that side" if live else None


def _no_quote(terms: OrderTerms, c: RiskContext) -> str | None:
    return f"there is no quote for {terms.symbol}" if c.quote is None else None


def _stale_quote(terms: OrderTerms, c: RiskContext) -> str | None:
    return f"the last quote is of {c.quote.at:%H:%M:%S}" if c.quote and c.quote_stale else None


def _price_collar(terms: OrderTerms, c: RiskContext) -> str | None:
    if c.quote is None or terms.limit_price is None:
        return None
    touch = Decimal(repr(c.quote.touch(terms.side)))
    beyond = (terms.limit_price - touch) * terms.side.sign
    if beyond > touch * Decimal(repr(c.limits.price_collar_ratio)):
        return f"{terms.limit_price} is {beyond / touch:.1%} through the touch of {touch}"
    return None


def _notional(terms: OrderTerms, c: RiskContext, quantity: Decimal) -> Decimal | None:
    if c.instrument is None or c.quote is None or c.rate is None:
        return None
    price = terms.limit_price or Decimal(repr(c.quote.touch(terms.side)))
    return abs(quantity) * price * c.instrument.multiplier * c.rate


def _order_notional(terms: OrderTerms, c: RiskContext) -> str | None:
    return _over(_notional(terms, c, terms.quantity), c.limits.max_order_notional, "an order")


def _position_limit(terms: OrderTerms, c: RiskContext) -> str | None:
    working = sum((o.signed_remaining for o in c.open_orders if o.symbol == terms.symbol), ZERO)
    after = c.position + working + terms.quantity * terms.side.sign
    return _over(_notional(terms, c, after), c.limits.max_position_notional, "a position")


def _gross_exposure(terms: OrderTerms, c: RiskContext) -> str | None:
    if c.gross_exposure is None:
        return "the gross exposure is not known"
    order = _notional(terms, c, terms.quantity)
    after = None if order is None else c.gross_exposure + order
    return _over(after, c.limits.max_gross_exposure, "gross exposure")


def _over(amount: Decimal | None, limit: Decimal, what: str) -> str | None:
    if amount is None:
        return f"the value of {what} is not known"
    return f"{amount:.2f} is more than {limit} for {what}" if amount > limit else None


def _order_rate(terms: OrderTerms, c: RiskContext) -> str | None:
    limit = c.limits.max_orders_per_minute
    return f"{c.orders_last_minute} orders in the last minute" if c.orders_last_minute >= limit else None


def _open_orders(terms: OrderTerms, c: RiskContext) -> str | None:
    count = len(c.open_orders)
    return f"{count} orders are open" if count >= c.limits.max_open_orders else None


def _daily_loss(terms: OrderTerms, c: RiskContext) -> str | None:
    if c.session_net_pnl is None:
        return "the session's P&L is not known"
    if c.session_net_pnl <= -c.limits.daily_loss_limit:
        return f"the session's net P&L is {c.session_net_pnl:.2f}"
    return None


Objection = Callable[[OrderTerms, RiskContext], str | None]
# rule, whether it also applies to what reduces a position, the rule itself
RULES: Final[tuple[tuple[RiskRule, bool, Objection], ...]] = (
    (RiskRule.TRADING_STATE, True, _trading_state),
    (RiskRule.NOT_READY, True, _not_ready),
    (RiskRule.UNKNOWN_INSTRUMENT, True, _unknown_instrument),
    (RiskRule.SESSION, True, _session),
    (RiskRule.BAD_QUANTITY, True, _bad_quantity),
    (RiskRule.REDUCE_ONLY, False, _reduce_only),
    (RiskRule.SESSION, False, _entries),
    (RiskRule.ORDER_QUANTITY, True, _order_quantity),
    (RiskRule.UNKNOWN_ORDER, True, _unknown_order),
    (RiskRule.DUPLICATE, True, _duplicate),
    (RiskRule.NO_QUOTE, True, _no_quote),
    (RiskRule.STALE_QUOTE, True, _stale_quote),
    (RiskRule.PRICE_COLLAR, True, _price_collar),
    (RiskRule.ORDER_NOTIONAL, False, _order_notional),
    (RiskRule.POSITION, False, _position_limit),
    (RiskRule.GROSS_EXPOSURE, False, _gross_exposure),
    (RiskRule.ORDER_RATE, False, _order_rate),
    (RiskRule.OPEN_ORDERS, False, _open_orders),
    (RiskRule.DAILY_LOSS, False, _daily_loss),
)
