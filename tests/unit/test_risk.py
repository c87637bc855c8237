"""Every rule at its boundary: the last thing it lets through, and the first that it refuses."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trader.contracts import Instrument, OrderType, Quote, Side, TradingState
from trader.events import Approved, Intent, OrderState, OrderTerms, RiskRule
from trader.orders import Order
from trader.risk import RULES, Refusal, RiskContext, approve_flatten, check, reduces
from trader.settings import RiskSettings

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
D = Decimal
LIMITS = RiskSettings(
    max_order_quantity=D(500),
    max_order_notional=D(10_000),
    max_position_notional=D(15_000),
    max_gross_exposure=D(30_000),
    max_orders_per_minute=10,
    max_open_orders=5,
    daily_loss_limit=D(1_000),
    price_collar_ratio=0.02,
)
QUOTE = Quote("AAPL", 99.99, 100.0, 100.00, 100.0, NOW)


def context(**changes: Any) -> RiskContext:
    calm = RiskContext(
        now=NOW,
        limits=LIMITS,
        state=TradingState.ACTIVE,
        problems=(),
        session_open=True,
        entries_allowed=True,
        instrument=Instrument(symbol="AAPL"),
        position=D(0),
        open_orders=(),
        orders_last_minute=0,
        quote=QUOTE,
        quote_stale=False,
        rate=D(1),
        gross_exposure=D(0),
        session_net_pnl=D(0),
    )
    return msgspec.structs.replace(calm, **changes)


def intent(side: Side = Side.BUY, quantity: str = "50", limit: str | None = None, **terms: Any) -> Intent:
    return Intent(
        terms=OrderTerms(
            symbol="AAPL",
            side=side,
            quantity=D(quantity),
            order_type=OrderType.LIMIT if limit else OrderType.MARKET,
            limit_price=D(limit) if limit else None,
            **terms,
        ),
        strategy="s",
        reason="",
        reference_price=None,
        decided_ns=0,
    )


def working(side: Side = Side.BUY, quantity: int = 50, symbol: str = "AAPL", state: Any = OrderState.WORKING) -> Order:
    return Order("w", 1, symbol, side, D(quantity), NOW, None, state)


def rule(wanted: Intent, **changes: Any) -> RiskRule | None:
    verdict = check(wanted, context(**changes))
    if isinstance(verdict, Refusal):
        assert verdict.detail
        return verdict.rule
    return None


# what is let through, what is refused, by which rule; each a pair of (order, circumstances)
BOUNDARIES: dict[str, tuple[tuple[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Any]], RiskRule]] = {
    "halted": (({}, {}), ({}, {"state": TradingState.HALTED}), RiskRule.TRADING_STATE),
    "panic": (({}, {}), ({}, {"state": TradingState.PANIC}), RiskRule.TRADING_STATE),
    "not ready": (({}, {}), ({}, {"problems": ("not connected",)}), RiskRule.NOT_READY),
    "not configured": (({}, {}), ({}, {"instrument": None}), RiskRule.UNKNOWN_INSTRUMENT),
    "session closed": (
        ({"outside_rth": True}, {"session_open": False}),
        ({}, {"session_open": False}),
        RiskRule.SESSION,
    ),
    "zero": (({"quantity": "1"}, {}), ({"quantity": "0"}, {}), RiskRule.BAD_QUANTITY),
    "negative": (({"quantity": "1"}, {}), ({"quantity": "-1"}, {}), RiskRule.BAD_QUANTITY),
    "fraction": (({"quantity": "1.0"}, {}), ({"quantity": "1.5"}, {}), RiskRule.BAD_QUANTITY),
    "not a number": (({}, {}), ({"quantity": "NaN"}, {}), RiskRule.BAD_QUANTITY),
    "reduce only": (({}, {}), ({}, {"state": TradingState.REDUCE_ONLY}), RiskRule.REDUCE_ONLY),
    "near the close": (({}, {}), ({}, {"entries_allowed": False}), RiskRule.SESSION),
    "order quantity": (
        ({"quantity": "500"}, {"quote": Quote("AAPL", 9.99, 1.0, 10.0, 1.0, NOW)}),
        ({"quantity": "501"}, {"quote": Quote("AAPL", 9.99, 1.0, 10.0, 1.0, NOW)}),
        RiskRule.ORDER_QUANTITY,
    ),
    "order notional": (({"quantity": "100"}, {}), ({"quantity": "101"}, {}), RiskRule.ORDER_NOTIONAL),
    "order notional at its limit price": (
        ({"quantity": "99", "limit": "101.00"}, {}),
        ({"quantity": "100", "limit": "100.01"}, {}),
        RiskRule.ORDER_NOTIONAL,
    ),
    "order notional in another currency": (
        ({"quantity": "80"}, {"rate": D("1.25")}),
        ({"quantity": "80"}, {"rate": D("1.26")}),
        RiskRule.ORDER_NOTIONAL,
    ),
    "rate not known": (({}, {}), ({}, {"rate": None}), RiskRule.ORDER_NOTIONAL),
    "order notional of a future": (
        ({"quantity": "2"}, {"instrument": Instrument(symbol="AAPL", multiplier=D(50))}),
        ({"quantity": "3"}, {"instrument": Instrument(symbol="AAPL", multiplier=D(50))}),
        RiskRule.ORDER_NOTIONAL,
    ),
    "position": (
        ({"quantity": "50"}, {"position": D(100)}),
        ({"quantity": "51"}, {"position": D(100)}),
        RiskRule.POSITION,
    ),
    "short position": (
        (
            {"side": Side.SELL, "quantity": "50"},
            {"position": D(-100), "quote": Quote("AAPL", 100.0, 1, 100.01, 1, NOW)},
        ),
        (
            {"side": Side.SELL, "quantity": "51"},
            {"position": D(-100), "quote": Quote("AAPL", 100.0, 1, 100.01, 1, NOW)},
        ),
        RiskRule.POSITION,
    ),
    "gross exposure": (
        ({"quantity": "50"}, {"gross_exposure": D(25_000)}),
        ({"quantity": "50"}, {"gross_exposure": D("25000.01")}),
        RiskRule.GROSS_EXPOSURE,
    ),
    "gross exposure not known": (({}, {}), ({}, {"gross_exposure": None}), RiskRule.GROSS_EXPOSURE),
    "unknown order": (
        ({}, {"open_orders": (working(symbol="MSFT", state=OrderState.UNKNOWN),)}),
        ({}, {"open_orders": (working(Side.SELL, state=OrderState.UNKNOWN),)}),
        RiskRule.UNKNOWN_ORDER,
    ),
    "duplicate": (
        ({}, {"open_orders": (working(symbol="MSFT"),)}),
        ({}, {"open_orders": (working(),)}),
        RiskRule.DUPLICATE,
    ),
    "no quote": (({}, {}), ({}, {"quote": None}), RiskRule.NO_QUOTE),
    "stale quote": (({}, {}), ({}, {"quote_stale": True}), RiskRule.STALE_QUOTE),
    "buy far through": (({"limit": "102.00"}, {}), ({"limit": "102.01"}, {}), RiskRule.PRICE_COLLAR),
    "sell far through": (
        ({"side": Side.SELL, "limit": "98.00"}, {"quote": Quote("AAPL", 100.0, 1, 100.01, 1, NOW)}),
        ({"side": Side.SELL, "limit": "97.99"}, {"quote": Quote("AAPL", 100.0, 1, 100.01, 1, NOW)}),
        RiskRule.PRICE_COLLAR,
    ),
    "order rate": (({}, {"orders_last_minute": 9}), ({}, {"orders_last_minute": 10}), RiskRule.ORDER_RATE),
    "open orders": (
        ({}, {"open_orders": tuple(working(symbol="MSFT") for _ in range(4))}),
        ({}, {"open_orders": tuple(working(symbol="MSFT") for _ in range(5))}),
        RiskRule.OPEN_ORDERS,
    ),
    "daily loss": (({}, {"session_net_pnl": D("-999.99")}), ({}, {"session_net_pnl": D(-1_000)}), RiskRule.DAILY_LOSS),
    "profit not known": (({}, {}), ({}, {"session_net_pnl": None}), RiskRule.DAILY_LOSS),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_rule_at_its_boundary(name: str) -> None:
    (order, around), (refused_order, refused_around), expected = BOUNDARIES[name]
    assert rule(intent(**order), **around) is None
    assert rule(intent(**refused_order), **refused_around) is expected


EXEMPT = {
    "reduce only": {"state": TradingState.REDUCE_ONLY},
    "near the close": {"entries_allowed": False},
    "value": {"rate": None},
    "gross exposure": {"gross_exposure": D(10**9)},
    "order rate": {"orders_last_minute": 10**6},
    "open orders": {"open_orders": tuple(working(symbol="MSFT") for _ in range(50))},
    "daily loss": {"session_net_pnl": D(-(10**9))},
    "profit not known": {"session_net_pnl": None},
}
NOT_EXEMPT = {
    "halted": ({"state": TradingState.HALTED}, RiskRule.TRADING_STATE),
    "panic": ({"state": TradingState.PANIC}, RiskRule.TRADING_STATE),
    "not ready": ({"problems": ("?",)}, RiskRule.NOT_READY),
    "session": ({"session_open": False}, RiskRule.SESSION),
    "stale": ({"quote_stale": True}, RiskRule.STALE_QUOTE),
    "no quote": ({"quote": None}, RiskRule.NO_QUOTE),
    "duplicate": ({"open_orders": (working(Side.SELL),)}, RiskRule.DUPLICATE),
    "unknown": ({"open_orders": (working(state=OrderState.UNKNOWN),)}, RiskRule.UNKNOWN_ORDER),
}


@pytest.mark.parametrize("name", EXEMPT)
def test_an_exit_is_exempt_from_limits_on_size_and_loss(name: str) -> None:
    assert rule(intent(Side.SELL, "100"), position=D(100), **EXEMPT[name]) is None


@pytest.mark.parametrize("name", NOT_EXEMPT)
def test_an_exit_is_not_exempt_from_state_session_and_price(name: str) -> None:
    around, expected = NOT_EXEMPT[name]
    assert rule(intent(Side.SELL, "100"), position=D(100), **around) is expected


def test_an_exit_may_be_no_larger_than_one_order() -> None:
    assert rule(intent(Side.SELL, "501"), position=D(1_000)) is RiskRule.ORDER_QUANTITY
    assert rule(intent(Side.SELL, "500"), position=D(1_000)) is None


@pytest.mark.parametrize(
    ("side", "quantity", "position", "expected"),
    [
        (Side.SELL, 100, 100, True),
        (Side.SELL, 101, 100, False),
        (Side.BUY, 1, 100, False),
        (Side.BUY, 100, -100, True),
        (Side.BUY, 101, -100, False),
        (Side.SELL, 1, -100, False),
        (Side.SELL, 1, 0, False),
    ],
)
def test_reducing_brings_a_position_nearer_to_zero_and_not_past_it(
    side: Side, quantity: int, position: int, expected: bool
) -> None:
    assert reduces(side, D(quantity), D(position)) is expected


def test_an_order_through_zero_is_judged_as_an_entry() -> None:
    assert rule(intent(Side.SELL, "150"), position=D(100), state=TradingState.REDUCE_ONLY) is RiskRule.REDUCE_ONLY


def test_what_works_counts_for_the_position() -> None:
    busy = (working(Side.SELL, 120),)
    assert rule(intent(Side.BUY, "100"), open_orders=busy, position=D(100)) is None
    assert rule(intent(Side.BUY, "100"), position=D(100)) is RiskRule.POSITION


def test_a_price_short_of_the_touch_is_no_danger() -> None:
    assert rule(intent(limit="50.00")) is None


def test_an_approval_says_whether_it_reduces() -> None:
    entry, leaving = check(intent(), context()), check(intent(Side.SELL), context(position=D(50)))
    assert isinstance(entry, Approved)
    assert isinstance(leaving, Approved)
    assert (entry.reduces, leaving.reduces) == (False, True)


def test_the_first_rule_that_objects_decides() -> None:
    assert rule(intent(quantity="0"), state=TradingState.HALTED, quote=None) is RiskRule.TRADING_STATE


def test_every_refusal_that_the_vocabulary_knows_has_a_rule() -> None:
    assert {rule for rule, _, _ in RULES} == set(RiskRule)


def test_a_flattening_order_consults_nothing_but_its_quantity() -> None:
    approved = approve_flatten("AAPL", Side.SELL, D(10**6), reason="panic", decided_ns=1)
    assert (approved.intent.terms.order_type, approved.reduces) == (OrderType.MARKET, True)
    with pytest.raises(ValueError, match="cannot flatten a quantity of 0"):
        approve_flatten("AAPL", Side.SELL, D(0), reason="panic", decided_ns=1)
