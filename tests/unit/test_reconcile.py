"""The broker's truth against ours: what differs, what is unknown, and what leads to nothing."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import Instrument, OrderType, Side
from trader.events import (
    Approved,
    BrokerOrderStatus,
    BrokerStateReceived,
    Intent,
    MismatchKind,
    OrderIntended,
    OrderLine,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
    PositionLine,
)
from trader.orders import Orders
from trader.reconcile import order_findings, position_mismatches, unanswered

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
D = Decimal
T = OrderTrigger


def state(**answers: Any) -> BrokerStateReceived:
    everything: dict[str, Any] = {"positions": (), "open_orders": (), "completed_orders": (), "executions": ()}
    return BrokerStateReceived(at=NOW, requested_ns=0, **{**everything, **answers})


def line(ref: str = "a", perm_id: int = 77, status: str = "Submitted", filled: int = 0, **changes: Any) -> OrderLine:
    fields: dict[str, Any] = {"order_id": 1, "client_id": 1, "symbol": "AAPL", "side": Side.BUY, "quantity": D(100)}
    return OrderLine(
        perm_id=perm_id, order_ref=ref, status=BrokerOrderStatus(status), filled=D(filled), **{**fields, **changes}
    )


def book(state_: OrderState = OrderState.WORKING, perm_id: int = 77) -> Orders:
    orders = Orders()
    terms = OrderTerms(symbol="AAPL", side=Side.BUY, quantity=D(100), order_type=OrderType.MARKET)
    intent = Intent(terms=terms, strategy="s", reason="", reference_price=None, decided_ns=0)
    approved = Approved(intent=intent, reduces=False)
    orders.apply(OrderIntended(at=NOW, order_ref="a", order_id=1, approved=approved))
    change = OrderStateChanged(
        at=NOW, order_ref="a", old=OrderState.INTENDED, new=state_, trigger=T.ACKNOWLEDGED, perm_id=perm_id
    )
    orders.apply(change)
    return orders


SETTLED = frozenset({"a"})
BECOMES = {
    # the broker's answers, whether it was sent long ago: what happened to order "a"
    "open": ({"open_orders": (line(),)}, True, T.FOUND_OPEN),
    "open under its permId": ({"open_orders": (line(ref=""),)}, True, T.FOUND_OPEN),
    "completed as cancelled": ({"completed_orders": (line(status="Cancelled"),)}, False, T.CANCELLED),
    "completed as inactive": ({"completed_orders": (line(status="Inactive"),)}, False, T.CANCELLED),
    "listed as open but ended": ({"open_orders": (line(status="ApiCancelled"),)}, False, T.CANCELLED),
    "nowhere": ({}, True, T.NOT_FOUND),
    "nowhere, but just sent": ({}, False, None),
    "filled, and no execution of it": ({"completed_orders": (line(status="Filled", filled=100),)}, True, T.NOT_FOUND),
    "filled just now": ({"completed_orders": (line(status="Filled", filled=100),)}, False, None),
    "cancelled after fills that are not known": (
        {"completed_orders": (line(status="Cancelled", filled=50),), "executions": None},
        True,
        None,
    ),
    "cancelled without fills": (
        {"completed_orders": (line(status="Cancelled"),), "executions": None},
        True,
        T.CANCELLED,
    ),
    "open orders not known": ({"open_orders": None, "completed_orders": (line(status="Cancelled"),)}, True, None),
    "completed orders not known": ({"completed_orders": None}, True, None),
    "executions not known": ({"executions": None}, True, None),
}


@pytest.mark.parametrize("name", BECOMES)
def test_what_the_answers_say_of_one_order(name: str) -> None:
    answers, settled, expected = BECOMES[name]
    findings = order_findings(book(), state(**answers), SETTLED if settled else frozenset())
    assert [update.trigger for update in findings.updates] == ([expected] if expected else [])
    assert findings.foreign == findings.duplicates == ()


def test_an_order_id_alone_proves_nothing() -> None:
    findings = order_findings(book(), state(open_orders=(line(ref="", perm_id=5),)), SETTLED)
    assert [found.perm_id for found in findings.foreign] == [5]
    assert [update.trigger for update in findings.updates] == [T.NOT_FOUND]


def test_a_final_order_that_is_open_is_found() -> None:
    findings = order_findings(book(OrderState.CANCELLED), state(open_orders=(line(),)), SETTLED)
    assert [update.trigger for update in findings.updates] == [T.FOUND_OPEN]


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_live_orders_with_one_reference_the_unknown_one_is_the_duplicate(swapped: bool) -> None:
    lines = (line(perm_id=78), line()) if swapped else (line(), line(perm_id=78))
    findings = order_findings(book(), state(open_orders=lines), SETTLED)
    assert [found.perm_id for found in findings.duplicates] == [78]
    assert [update.perm_id for update in findings.updates] == [77]


def test_an_order_that_is_listed_twice_is_no_duplicate() -> None:
    findings = order_findings(book(), state(open_orders=(line(), line(status="PreSubmitted"))), SETTLED)
    assert findings.duplicates == ()


def test_it_names_what_was_not_answered() -> None:
    assert unanswered(state()) == ()
    assert unanswered(state(positions=None, executions=None)) == ("positions", "executions")


def position(symbol: str, quantity: int) -> PositionLine:
    return PositionLine(instrument=Instrument(symbol=symbol), quantity=D(quantity), average_cost=D(1))


POSITIONS: dict[str, tuple[dict[str, Decimal], Any, list[tuple[str, str, str]]]] = {
    "agree": ({"AAPL": D(5)}, (position("AAPL", 5),), []),
    "flat lines are nothing": ({}, (position("AAPL", 0),), []),
    "two lines of one instrument add up": ({"AAPL": D(5)}, (position("AAPL", 3), position("AAPL", 2)), []),
    "less": ({"AAPL": D(5)}, (position("AAPL", 3),), [("AAPL", "5", "3")]),
    "gone": ({"AAPL": D(5)}, (), [("AAPL", "5", "0")]),
    "new": ({}, (position("MSFT", -3),), [("MSFT", "0", "-3")]),
    "several": ({"B": D(1)}, (position("A", 1),), [("A", "0", "1"), ("B", "1", "0")]),
    "not known": ({"AAPL": D(5)}, None, []),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_positions_that_differ(name: str) -> None:
    ours, theirs, expected = POSITIONS[name]
    found = position_mismatches(ours, state(positions=theirs))
    assert [(m.subject, m.ours, m.theirs) for m in found] == expected
    assert all(m.kind is MismatchKind.POSITION for m in found)
