"""Orders that are not where they should be: foreign, lost, alive twice, or under an id that is not theirs."""

from decimal import Decimal
from typing import Any

from trader.events import BrokerOrderStatus, MismatchKind, OrderState, OrderStatusReceived

S = OrderState


def desk_line(desk: Any, **changes: Any) -> Any:
    return desk.line(desk.foreign_order(), **changes)


def desk_status(desk: Any, order_id: int, perm_id: int) -> Any:
    return OrderStatusReceived(
        at=desk.clock.now(),
        order_id=order_id,
        perm_id=perm_id,
        client_id=7,
        status=BrokerOrderStatus.CANCELLED,
        filled=Decimal(0),
        remaining=Decimal(70),
        why_held="",
        received_ns=desk.now_ns,
    )


def test_a_foreign_order_is_reported_and_not_touched(desk: Any) -> None:
    line = desk_line(desk, order_ref="by hand", perm_id=77, client_id=0)
    for _ in range(3):
        desk.elapse(5)
        desk.answer(open_orders=(line,))
    (mismatch,) = desk.told("MismatchFound")
    assert (mismatch.kind, mismatch.theirs) == (MismatchKind.ORDER, "Submitted")
    assert desk.engine.snapshot().ready
    assert desk.sent_commands("CancelOrder") == []


def test_an_order_of_ours_that_the_books_lost_is_adopted_and_blocks_its_instrument(desk: Any) -> None:
    line = desk_line(desk, order_ref="ibt-lost-1", order_id=55, perm_id=77)
    desk.answer(open_orders=(line,))
    (order,) = desk.core.orders.open()
    assert (order.order_ref, order.state) == ("ibt-lost-1", S.WORKING)
    desk.want(-10)
    assert desk.placed == []
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [55]
    desk.send(desk_status(desk, 55, 77))
    assert order.state is S.CANCELLED


def test_a_second_live_order_of_one_reference_is_cancelled_and_the_known_one_kept(desk: Any) -> None:
    order = desk.work(100)
    twin = desk.line(order, order_id=99, perm_id=123)
    for lines in ((desk.line(order), twin), (twin, desk.line(order))):
        desk.clear()
        desk.elapse(1)
        desk.answer(open_orders=lines)
        assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [99]
        assert desk.order(order).state is S.WORKING


def test_one_order_that_is_listed_twice_is_one_order(desk: Any) -> None:
    order = desk.work(100)
    desk.elapse(1)
    desk.answer(open_orders=(desk.line(order), desk.line(order, "PreSubmitted")))
    assert desk.sent_commands("CancelOrder") == []
    assert desk.told("MismatchFound") == []


def test_order_ids_never_fall_below_what_was_used_or_seen(desk: Any) -> None:
    desk.hold(10)
    desk.connect(next_valid_id=500)
    desk.answer()
    assert desk.core.orders.next_order_id == 500
    desk.connect(next_valid_id=3)
    assert desk.core.orders.next_order_id == 500
    desk.answer(completed_orders=(desk_line(desk, order_ref="x", order_id=700, perm_id=9, status="Filled"),))
    assert desk.core.orders.next_order_id == 701
    desk.answer(open_orders=(desk_line(desk, order_ref="x", order_id=9_000, perm_id=9, client_id=0),))
    assert desk.core.orders.next_order_id == 701, "ids are counted per client"
    later = desk.restart()
    later.connect(next_valid_id=1)
    assert later.core.orders.next_order_id == 701


def test_an_order_id_is_seen_in_a_message_too(desk: Any) -> None:
    desk.work(100)
    desk.open_order(order_ref="x", order_id=900, perm_id=9)
    assert desk.core.orders.next_order_id == 901
    desk.open_order(order_ref="x", order_id=9_000, perm_id=8, client_id=0)
    assert desk.core.orders.next_order_id == 901, "ids are counted per client"


def test_a_status_of_another_client_with_our_order_id_is_not_ours(desk: Any) -> None:
    order = desk.work(100)
    desk.status("Cancelled", order=order, client_id=0, perm_id=5)
    assert desk.order(order).state is S.WORKING


def test_an_order_id_that_was_issued_twice_does_not_move_the_older_order(desk: Any) -> None:
    order = desk.work(100)
    desk.status("Cancelled", order=order, perm_id=5)
    assert desk.order(order).state is S.WORKING
