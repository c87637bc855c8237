"""The state machine of an order as a table, and the book of orders."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import OrderType, Side
from trader.events import (
    Approved,
    BrokerOrderStatus,
    CancelIntended,
    CancelReason,
    Intent,
    OrderAdopted,
    OrderIdsReserved,
    OrderIntended,
    OrderLine,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
)
from trader.orders import FINAL_STATES, TRANSITIONS, IllegalTransition, Orders, live_lines, next_state

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
S, T = OrderState, OrderTrigger
# What a broker says may come in any order, twice, and late: none of it may ever be illegal.
BROKERS_WORDS = (T.ACKNOWLEDGED, T.FOUND_OPEN, T.PARTLY_FILLED, T.FULLY_FILLED, T.CANCELLED, T.REJECTED)
# What happens to every open order at once, or by a clock.
DOUBTS = (T.LINK_LOST, T.TIMED_OUT, T.NOT_FOUND)


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("word", BROKERS_WORDS)
def test_whatever_the_broker_says_is_legal_in_every_state(state: OrderState, word: OrderTrigger) -> None:
    assert next_state(state, word) in OrderState


@pytest.mark.parametrize("state", sorted(set(OrderState) - FINAL_STATES))
@pytest.mark.parametrize("doubt", DOUBTS)
def test_every_open_order_can_come_into_doubt(state: OrderState, doubt: OrderTrigger) -> None:
    assert next_state(state, doubt) is (S.VANISHED if doubt is T.NOT_FOUND else S.UNKNOWN)


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
@pytest.mark.parametrize("trigger", [*DOUBTS, T.SENT, T.SEND_FAILED])
def test_what_cannot_happen_to_a_final_order_raises(state: OrderState, trigger: OrderTrigger) -> None:
    with pytest.raises(IllegalTransition, match=f"an order that is {state} cannot become {trigger}"):
        next_state(state, trigger)


@pytest.mark.parametrize("word", BROKERS_WORDS)
def test_a_full_fill_is_final_whatever_comes_after_it(word: OrderTrigger) -> None:
    assert next_state(S.FILLED, word) is S.FILLED


@pytest.mark.parametrize("state", OrderState)
def test_a_full_fill_fills_an_order_in_every_state(state: OrderState) -> None:
    assert next_state(state, T.FULLY_FILLED) is S.FILLED


@pytest.mark.parametrize("state", [S.REJECTED, S.VANISHED, S.NOT_SENT])
@pytest.mark.parametrize("word", [T.ACKNOWLEDGED, T.FOUND_OPEN, T.PARTLY_FILLED])
def test_an_order_that_was_given_up_comes_back_when_the_broker_speaks_of_it(
    state: OrderState, word: OrderTrigger
) -> None:
    assert next_state(state, word) is S.WORKING


def test_the_table_names_every_state() -> None:
    assert set(TRANSITIONS) == set(OrderState)


# -- the book


def intended(ref: str = "a", order_id: int = 1, quantity: int = 100) -> OrderIntended:
    terms = OrderTerms(symbol="AAPL", side=Side.BUY, quantity=Decimal(quantity), order_type=OrderType.MARKET)
    intent = Intent(terms=terms, strategy="s", reason="", reference_price=None, decided_ns=0)
    return OrderIntended(at=NOW, order_ref=ref, order_id=order_id, approved=Approved(intent=intent, reduces=False))


def changed(ref: str, new: OrderState, trigger: OrderTrigger = T.ACKNOWLEDGED, perm_id: int = 0) -> OrderStateChanged:
    return OrderStateChanged(at=NOW, order_ref=ref, old=S.INTENDED, new=new, trigger=trigger, perm_id=perm_id)


def line(**changes: Any) -> OrderLine:
    fields: dict[str, Any] = {
        "order_id": 5,
        "perm_id": 77,
        "client_id": 1,
        "order_ref": "",
        "symbol": "AAPL",
        "side": Side.BUY,
        "quantity": Decimal(100),
        "filled": Decimal(20),
        "status": BrokerOrderStatus.SUBMITTED,
    }
    return OrderLine(**{**fields, **changes})


def book(*facts: Any) -> Orders:
    orders = Orders()
    for fact in facts:
        orders.apply(fact)
    return orders


def test_an_order_is_found_by_reference_then_perm_id_then_order_id() -> None:
    orders = book(intended("a", 1), intended("b", 2), changed("a", S.WORKING, perm_id=77))
    assert orders.find(order_ref="b", perm_id=77).order_ref == "b"  # type: ignore[union-attr]
    assert orders.find(perm_id=77, order_id=2).order_ref == "a"  # type: ignore[union-attr]
    assert orders.find(perm_id=88, order_id=2).order_ref == "b"  # type: ignore[union-attr]
    assert orders.find(order_ref="c", perm_id=77) is None
    assert orders.find() is None


def test_an_order_id_that_was_issued_twice_is_somebody_elses_order() -> None:
    orders = book(intended("a", 1), changed("a", S.WORKING, perm_id=77))
    assert orders.find(perm_id=78, order_id=1) is None


def test_a_reference_is_used_once() -> None:
    with pytest.raises(IllegalTransition, match="used twice"):
        book(intended("a", 1), intended("a", 2))


def test_open_orders_are_those_that_are_not_final() -> None:
    orders = book(intended("a", 1), intended("b", 2), changed("a", S.CANCELLED, T.CANCELLED))
    assert [order.order_ref for order in orders.open()] == ["b"]
    orders.apply(changed("a", S.WORKING, T.FOUND_OPEN))
    assert {order.order_ref for order in orders.open_for("AAPL")} == {"a", "b"}
    assert orders.open_for("MSFT") == ()


def test_order_ids_only_go_up() -> None:
    orders = book(OrderIdsReserved(at=NOW, next_order_id=50), OrderIdsReserved(at=NOW, next_order_id=7))
    assert orders.next_order_id == 50
    orders.apply(intended("a", 60))
    assert orders.next_order_id == 61


def test_an_adopted_order_works_and_has_no_terms_of_ours() -> None:
    (order,) = book(OrderAdopted(at=NOW, line=line())).open()
    assert (order.order_ref, order.state, order.remaining, order.terms) == ("foreign-77", S.WORKING, 80, None)


def test_a_cancel_that_is_intended_is_remembered() -> None:
    orders = book(intended("a", 1), CancelIntended(at=NOW, order_ref="a", reason=CancelReason.HALT))
    assert orders.get("a").cancel_reason is CancelReason.HALT  # type: ignore[union-attr]


def test_final_orders_of_earlier_sessions_are_forgotten_with_their_ids() -> None:
    orders = book(intended("a", 1), changed("a", S.CANCELLED, T.CANCELLED, perm_id=77), intended("b", 2))
    orders.forget_final(before=NOW)
    assert len(list(orders)) == 2
    orders.forget_final(before=NOW + timedelta(seconds=1))
    assert [order.order_ref for order in orders] == ["b"]
    assert orders.find(perm_id=77, order_id=1) is None


def test_a_brokers_list_holds_each_live_order_once_and_no_ended_one() -> None:
    lines = [
        line(),
        line(status=BrokerOrderStatus.PRE_SUBMITTED),
        line(perm_id=78, status=BrokerOrderStatus.FILLED),
        line(perm_id=79, status=BrokerOrderStatus.INACTIVE),
        line(perm_id=0, order_id=8),
        line(perm_id=0, order_id=8, client_id=2),
    ]
    assert [(found.perm_id, found.client_id) for found in live_lines(lines)] == [(77, 1), (0, 1), (0, 2)]
