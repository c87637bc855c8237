"""From any position to any target under any limits: never past it, never through zero at once, never over a limit."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from tests.properties.desk import START
from tests.properties.effort import effort
from trader.contracts import Instrument, OrderType, Quote, Side, TradingState
from trader.events import Approved, CancelReason, Intent, OrderState
from trader.execution import Cancel, Wanted, plan
from trader.orders import Order
from trader.risk import Refusal, RiskContext, check
from trader.settings import ExecutionSettings, RiskSettings

AAPL = Instrument(symbol="AAPL")
D = Decimal

units = st.integers(-500, 500)
prices = st.integers(1, 50_000).map(lambda cents: cents / 100)
quotes = st.builds(
    lambda bid, wide: Quote("AAPL", bid, 100.0, bid + wide / 100, 100.0, START), prices, st.integers(0, 50)
)
amounts = st.integers(1, 200_000).map(D)
executions = st.builds(
    ExecutionSettings,
    order_type=st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
    cross_ticks=st.integers(-100, 100),
)
limits = st.builds(
    RiskSettings,
    max_order_quantity=st.integers(1, 600).map(D),
    max_order_notional=amounts,
    max_position_notional=amounts,
    max_gross_exposure=amounts,
    max_orders_per_minute=st.integers(1, 60),
    max_open_orders=st.integers(1, 30),
    daily_loss_limit=amounts,
    price_collar_ratio=st.floats(0.0001, 0.5),
)
orders = st.builds(
    lambda side, quantity, filled, state, symbol: Order(
        "w", 1, symbol, side, D(quantity), START, None, state, D(min(filled, quantity))
    ),
    st.sampled_from(Side),
    st.integers(1, 300),
    st.integers(0, 300),
    st.sampled_from([OrderState.INTENDED, OrderState.SENT, OrderState.WORKING, OrderState.UNKNOWN]),
    st.sampled_from(["AAPL", "AAPL", "MSFT"]),
)


def wanted(target: int) -> Wanted:
    return Wanted(instrument=AAPL, target=D(target), strategy="s", reason="", decided_ns=0)


def next_step(target: int, position: int, quote: Quote | None, settings: ExecutionSettings, largest: int) -> Any:
    return plan(wanted(target), D(position), (), quote, settings, D(largest))


@effort(100)
@given(units, units, st.integers(1, 600), quotes, executions, st.data())
def test_planned_orders_lead_to_the_target_and_never_past_it(
    position: int, target: int, largest: int, quote: Quote, settings: ExecutionSettings, data: st.DataObject
) -> None:
    # Slices of an exit, one order to zero at most, one to the target; and partial fills make more of them.
    partial = 6
    allowed = abs(position) // largest + 3 + partial
    for _ in range(allowed):
        intent = next_step(target, position, quote, settings, largest)
        if intent is None:
            break
        assert isinstance(intent, Intent)
        signed = int(intent.terms.quantity) * intent.terms.side.sign
        after = position + signed
        assert signed != 0
        assert position * after >= 0, "an order reduces a position or opens one, never both"
        assert min(position, target) <= after <= max(position, target), "no order goes past the target"
        if abs(after) < abs(position):
            assert abs(signed) <= largest
        if partial and data.draw(st.booleans()):
            partial -= 1
            signed = data.draw(st.integers(0, abs(signed))) * intent.terms.side.sign
        position += signed
    assert position == target


@effort(100)
@given(units, units, st.lists(orders.filter(lambda order: order.symbol == "AAPL"), min_size=1, max_size=3), quotes)
def test_while_an_order_works_nothing_is_sent_beside_it(
    position: int, target: int, working: list[Order], quote: Quote
) -> None:
    step = plan(wanted(target), D(position), working, quote, ExecutionSettings(), D(100))
    leads_to = position + sum(order.signed_remaining for order in working)
    assert step is None or isinstance(step, Cancel)
    past = (leads_to - target) * (target - position) > 0
    away = abs(leads_to - target) > abs(position - target)
    if past or away:
        assert isinstance(step, Cancel)
        assert step.reason is CancelReason.SUPERSEDED
    if leads_to == target:
        assert step is None
    cancelled = [replace(order, cancel_reason=CancelReason.SUPERSEDED) for order in working]
    assert plan(wanted(target), D(position), cancelled, quote, ExecutionSettings(), D(100)) is None


contexts = st.builds(
    RiskContext,
    now=st.just(START),
    limits=limits,
    state=st.sampled_from([TradingState.ACTIVE, TradingState.ACTIVE, *TradingState]),
    problems=st.sampled_from([(), (), (), (), ("not connected",)]),
    session_open=st.sampled_from([True, True, True, False]),
    entries_allowed=st.sampled_from([True, True, True, False]),
    instrument=st.sampled_from([AAPL, AAPL, AAPL, None]),
    position=units.map(D),
    open_orders=st.lists(orders, max_size=2),
    orders_last_minute=st.integers(0, 70),
    quote=st.one_of(quotes, quotes, quotes, st.none()),
    quote_stale=st.sampled_from([False, False, False, True]),
    rate=st.sampled_from([D(1), D(1), D("1.3571"), None]),
    gross_exposure=st.one_of(amounts, amounts, st.none()),
    session_net_pnl=st.one_of(st.integers(-200_000, 1_000).map(D), st.none()),
)


def check_hard_limits(intent: Intent, c: RiskContext) -> None:
    """What holds for every order that is let through, reckoned anew."""
    terms = intent.terms
    assert c.state in (TradingState.ACTIVE, TradingState.REDUCE_ONLY)
    assert not c.problems
    assert c.session_open
    assert c.instrument is not None
    assert c.quote is not None
    assert not c.quote_stale
    assert 0 < terms.quantity <= c.limits.max_order_quantity
    mine = [order for order in c.open_orders if order.symbol == terms.symbol]
    assert all(order.state is not OrderState.UNKNOWN and order.side is not terms.side for order in mine)
    if terms.limit_price is not None:
        touch = c.quote.ask if terms.side is Side.BUY else c.quote.bid
        through = (float(terms.limit_price) - touch) * terms.side.sign
        assert through <= touch * c.limits.price_collar_ratio * 1.000001


def check_entry_limits(intent: Intent, c: RiskContext) -> None:
    """What holds besides for every order that opens or enlarges a position."""
    assert c.state is TradingState.ACTIVE
    assert c.entries_allowed
    assert c.quote is not None
    assert c.rate is not None
    assert c.gross_exposure is not None
    assert c.session_net_pnl is not None
    terms = intent.terms
    price = terms.limit_price or D(str(c.quote.ask if terms.side is Side.BUY else c.quote.bid))
    value = price * c.rate
    working = sum(order.signed_remaining for order in c.open_orders if order.symbol == "AAPL")
    after = abs(c.position + working + terms.quantity * terms.side.sign)
    assert terms.quantity * value <= c.limits.max_order_notional
    assert after * value <= c.limits.max_position_notional
    assert c.gross_exposure + terms.quantity * value <= c.limits.max_gross_exposure
    assert c.orders_last_minute < c.limits.max_orders_per_minute
    assert len(c.open_orders) < c.limits.max_open_orders
    assert c.session_net_pnl > -c.limits.daily_loss_limit


@effort(350)
@given(contexts, units, executions)
def test_no_order_is_let_through_over_a_limit_and_none_opens_when_only_exits_are_allowed(
    c: RiskContext, target: int, settings: ExecutionSettings
) -> None:
    intent = next_step(target, int(c.position), c.quote, settings, int(c.limits.max_order_quantity))
    if not isinstance(intent, Intent):
        return
    answer = check(intent, c)
    after = c.position + intent.terms.quantity * intent.terms.side.sign
    nearer = abs(after) < abs(c.position) and after * c.position >= 0
    if isinstance(answer, Refusal):
        assert answer.detail
        return
    assert isinstance(answer, Approved)
    assert answer.reduces == nearer
    check_hard_limits(intent, c)
    if not nearer:
        check_entry_limits(intent, c)


@effort(100)
@given(contexts, quotes)
def test_a_way_out_is_never_refused_for_its_size_or_for_losses(c: RiskContext, quote: Quote) -> None:
    calm = msgspec.structs.replace(
        c, problems=(), session_open=True, instrument=AAPL, open_orders=(), quote=quote, quote_stale=False,
        state=TradingState.REDUCE_ONLY,
    )  # fmt: skip
    settings = ExecutionSettings(order_type=OrderType.MARKET)
    intent = next_step(0, int(c.position), quote, settings, int(c.limits.max_order_quantity))
    if intent is not None:
        assert isinstance(check(intent, calm), Approved)
