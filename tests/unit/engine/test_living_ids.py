"""What a restoration leads to whose loss nobody heard, and by which id the living part of an order is cancelled."""

from typing import Any

from trader.events import UpstreamRestoredReceived


def test_what_lives_of_an_order_is_cancelled_by_its_own_order_id(desk: Any) -> None:
    order = desk.work(100)
    desk.elapse(1)
    desk.answer(open_orders=(desk.line(order, order_id=99, perm_id=123),))
    desk.want(0)
    desk.wait(1)
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [99]


def test_a_restoration_whose_loss_was_not_heard_takes_readiness_until_the_broker_was_asked(desk: Any) -> None:
    desk.clear()
    desk.send(UpstreamRestoredReceived(at=desk.clock.now(), code=1102, data_lost=False))
    desk.want(100)
    assert desk.placed == []
    desk.answer()
    desk.wait(6)
    desk.requote()
    assert len(desk.placed) == 1
