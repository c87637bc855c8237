"""From the wanted position to the next order."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import Instrument, OrderType, Quote, Side, TimeInForce
from trader.events import CancelReason, Intent, OrderState
from trader.execution import Cancel, Wanted, plan
from trader.orders import Order
from trader.settings import ExecutionSettings

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
D = Decimal
QUOTE = Quote("AAPL", 99.98, 1.0, 100.02, 1.0, NOW)


def working(signed: int, filled: int = 0, cancelled: bool = False, ref: str = "w") -> Order:
    side = Side.BUY if signed > 0 else Side.SELL
    reason = CancelReason.TIMEOUT if cancelled else None
    return Order(ref, 1, "AAPL", side, D(abs(signed)), NOW, None, OrderState.WORKING, D(filled), cancel_reason=reason)


def planned(
    target: int, position: int, *orders: Order, quote: Quote | None = QUOTE, most: int = 1_000, **how: Any
) -> Any:
    wanted = Wanted(instrument=Instrument(symbol="AAPL"), target=D(target), strategy="s", reason="r", decided_ns=5)
    return plan(wanted, D(position), orders, quote, ExecutionSettings(**how), D(most))


NEXT = {
    # target, position, the most of one order: what comes next
    "open long": (100, 0, 1_000, (Side.BUY, 100)),
    "open short": (-100, 0, 1_000, (Side.SELL, 100)),
    "add": (150, 100, 1_000, (Side.BUY, 50)),
    "reduce": (40, 100, 1_000, (Side.SELL, 60)),
    "close": (0, -100, 1_000, (Side.BUY, 100)),
    "reverse exits first": (-50, 100, 1_000, (Side.SELL, 100)),
    "reverse a short": (50, -100, 1_000, (Side.BUY, 100)),
    "a large exit is sliced": (0, 250, 100, (Side.SELL, 100)),
    "a large cover is sliced": (0, -250, 100, (Side.BUY, 100)),
    "a large reversal is sliced": (-10, 250, 100, (Side.SELL, 100)),
    "a large entry is for risk to refuse": (250, 0, 100, (Side.BUY, 250)),
    "nothing to do": (100, 100, 1_000, None),
    "flat and content": (0, 0, 1_000, None),
}


@pytest.mark.parametrize("name", NEXT)
def test_the_next_order(name: str) -> None:
    target, position, most, expected = NEXT[name]
    step = planned(target, position, most=most)
    assert (step and (step.terms.side, step.terms.quantity)) == expected


BUSY = {
    # target, position, working orders: whether it is cancelled
    "leads there": (100, 0, [working(100)], False),
    "leads there with what is filled": (100, 40, [working(100, filled=40)], False),
    "on the way, a slice": (0, 250, [working(-100)], False),
    "on the way through zero": (-50, 100, [working(-100)], False),
    "on the way up": (300, 0, [working(100)], False),
    "too far": (50, 0, [working(100)], True),
    "wrong way": (-50, 0, [working(100)], True),
    "not wanted any more": (0, 0, [working(100)], True),
    "already being cancelled": (0, 0, [working(100, cancelled=True)], False),
    "past the target after a late fill": (100, 50, [working(100)], True),
}


@pytest.mark.parametrize("name", BUSY)
def test_a_working_order_is_left_or_cancelled_and_never_joined(name: str) -> None:
    target, position, orders, cancelled = BUSY[name]
    step = planned(target, position, *orders)
    assert step == (Cancel("w", CancelReason.SUPERSEDED) if cancelled else None)


def test_of_several_working_orders_the_first_that_is_not_yet_cancelled_goes() -> None:
    step = planned(0, 0, working(100, cancelled=True), working(50, ref="x"))
    assert step == Cancel("x", CancelReason.SUPERSEDED)


@pytest.mark.parametrize(
    ("target", "cross", "price"),
    [(10, 1, "100.03"), (-10, 1, "99.97"), (10, 0, "100.02"), (10, -2, "100.00"), (-10, -2, "100.00")],
)
def test_a_limit_order_is_priced_from_the_far_touch(target: int, cross: int, price: str) -> None:
    terms = planned(target, 0, cross_ticks=cross).terms
    assert (terms.order_type, terms.limit_price) == (OrderType.LIMIT, D(price))


def test_a_market_order_needs_no_quote() -> None:
    step = planned(10, 0, quote=None, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC)
    assert isinstance(step, Intent)
    assert (step.terms.limit_price, step.terms.time_in_force, step.reference_price) == (None, TimeInForce.IOC, None)


def test_an_intent_says_who_why_when_and_at_which_price() -> None:
    step = planned(10, 0)
    assert (step.strategy, step.reason, step.decided_ns, step.reference_price) == ("s", "r", 5, 100.0)
