"""What a restart finds: the fate of orders across a stepped clock, and by which ids they live."""

from datetime import timedelta
from typing import Any

from trader.events import OrderState


def test_what_lives_of_an_order_is_cancelled_by_its_own_order_id(desk: Any) -> None:
    order = desk.work(100)
    desk.elapse(1)
    desk.answer(open_orders=(desk.line(order, order_id=99, perm_id=123),))
    desk.want(0)
    desk.wait(1)
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [99]


def test_an_order_of_an_earlier_process_is_settled_although_the_clock_went_back_between(make_desk: Any) -> None:
    desk = make_desk().ready()
    desk.work(100)
    later = make_desk(history=desk.journal, start=desk.clock.now() - timedelta(hours=1), run_id="r2")
    order = later.core.orders.open()[0]
    later.ready()
    assert order.state is OrderState.UNKNOWN, "it may have been sent a moment ago"
    later.elapse(3)
    later.answer()
    assert order.state is OrderState.VANISHED
