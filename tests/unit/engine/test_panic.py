"""The panic: no entries first, cancel everything, flatten, see that it is flat, and stay."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from trader.contracts import OrderType, Side, TradingState
from trader.events import (
    ErrorClass,
    HaltRequested,
    OrderState,
    PanicRequested,
    ReduceOnlyRequested,
    ResumeRequested,
    StopRequested,
)


def panic(desk: Any) -> Any:
    return desk.send(PanicRequested(at=desk.clock.now(), source="flag"))


def resume(desk: Any) -> Any:
    return desk.send(ResumeRequested(at=desk.clock.now(), source="operator"))


def kinds(items: Any) -> list[str]:
    return [type(item).__name__ for item in items]


def closing(desk: Any) -> list[tuple[str, Side, Decimal]]:
    terms = [placed.approved.intent.terms for placed in desk.placed]
    return [(t.symbol, t.side, t.quantity) for t in terms]


def test_it_latches_no_entries_then_cancels_then_asks_and_flattens_last(desk: Any) -> None:
    desk.hold(100)
    desk.work(50, "MSFT")
    desk.clear()
    step = panic(desk)
    assert kinds(step.facts)[:3] == ["PanicRequested", "TradingStateChanged", "CancelIntended"]
    assert kinds(step.commands) == ["CancelOrder", "CancelAllOrders", "RequestBrokerState"]
    assert desk.placed == []


def test_it_flattens_once_everything_is_cancelled_and_completes_when_all_is_flat(desk: Any) -> None:
    desk.hold(100)
    order = desk.work(50, "MSFT")
    panic(desk)
    desk.clear()
    desk.elapse(1)
    desk.answer(open_orders=(desk.line(order),))
    assert desk.placed == [], "the cancel is not confirmed yet"
    desk.status("Cancelled", order=order)
    desk.wait(3)
    desk.answer()
    assert closing(desk) == [("AAPL", Side.SELL, 100)]
    assert desk.last.approved.intent.terms.order_type is OrderType.MARKET
    desk.sent()
    desk.fill(100, "99.50")
    assert not desk.told("PanicCompleted")
    desk.wait(3)
    desk.answer()
    assert len(desk.told("PanicCompleted")) == 1
    assert (desk.core.trading_state, desk.core.panic_completed) == (TradingState.PANIC, True)
    assert len(desk.placed) == 1


def test_it_flattens_what_was_never_configured_too(desk: Any) -> None:
    desk.truth["GOOG"] = Decimal(-7)
    panic(desk)
    desk.elapse(1)
    desk.answer()
    assert closing(desk) == [("GOOG", Side.BUY, 7)]


def test_cancels_that_nobody_confirms_hold_up_the_flattening_for_five_seconds_only(desk: Any) -> None:
    desk.hold(100)
    order = desk.work(50, "MSFT")
    panic(desk)
    desk.clear()
    for second in range(1, 8):
        desk.elapse(1)
        desk.answer(open_orders=(desk.line(order),))
        assert bool(desk.placed) == (second >= 5)


def test_an_unknown_answer_about_positions_is_not_flat(desk: Any) -> None:
    panic(desk)
    for _ in range(5):
        desk.elapse(1)
        desk.answer(positions=None)
    for _ in range(5):
        desk.elapse(1)
        desk.answer(open_orders=None)
    assert not desk.told("PanicCompleted")
    assert len(desk.sent_commands("RequestBrokerState")) > 5
    desk.elapse(1)
    desk.answer()
    assert desk.told("PanicCompleted")


def test_it_never_closes_a_position_twice(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.elapse(1)
    desk.clear()
    desk.answer()
    (order,) = desk.placed
    desk.sent(order)
    for _ in range(4):
        desk.elapse(1)
        desk.answer(open_orders=(desk.line(order),))
    held = (desk.position("AAPL", 100),)
    desk.fill(100, "99.50", order)
    desk.answer(positions=held)
    desk.answer(positions=held)
    assert len(desk.placed) == 1, "an answer from before the fill, or in the same moment, is not believed"


def test_it_closes_what_is_left_of_a_closing_order_that_died(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.elapse(1)
    desk.clear()
    desk.answer()
    (order,) = desk.placed
    desk.sent(order)
    desk.fill(40, "99.50", order)
    desk.status("Cancelled", filled=40, order=order)
    desk.wait(3)
    desk.answer()
    assert closing(desk) == [("AAPL", Side.SELL, 100), ("AAPL", Side.SELL, 60)]


def test_closing_orders_that_are_rejected_are_tried_again_with_growing_pauses(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.clear()
    for _ in range(120):
        desk.elapse(1)
        placed = len(desk.placed)
        desk.answer()
        if len(desk.placed) > placed:
            desk.sent()
            desk.error(201, ErrorClass.ORDER_REJECTED)
    assert 5 <= len(desk.placed) <= 8


def test_a_closing_order_is_not_cancelled_for_working_long(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.elapse(1)
    desk.answer()
    desk.sent()
    desk.status("PreSubmitted")
    desk.clear()
    for _ in range(60):
        desk.elapse(1)
        desk.answer(open_orders=(desk.line(desk_order(desk)),))
    assert desk.sent_commands("CancelOrder") == []
    assert desk.sent_commands("CancelAllOrders") == []
    assert desk.placed == []


def desk_order(desk: Any) -> Any:
    from trader.events import PlaceOrder

    (order,) = desk.core.orders.open()
    return PlaceOrder(
        approved=order.approved,
        instrument=desk.instrument(order.symbol),
        order_ref=order.order_ref,
        order_id=order.order_id,
    )


def test_no_strategy_no_target_and_no_resume_moves_it_while_it_flattens(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.clear()
    desk.want(200)
    desk.want(-50, "MSFT")
    desk.elapse(30)
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="?"))
    desk.send(ReduceOnlyRequested(at=desk.clock.now(), source="operator", reason="?"))
    resume(desk)
    panic(desk)
    assert desk.placed == []
    assert desk.core.trading_state is TradingState.PANIC
    assert desk.engine.flattening


def test_it_stays_in_panic_until_an_operator_resumes(desk: Any) -> None:
    panic(desk)
    desk.elapse(1)
    desk.answer()
    desk.clear()
    desk.want(100)
    assert desk.placed == []
    assert not desk.engine.flattening
    resume(desk)
    assert desk.core.trading_state is TradingState.ACTIVE
    desk.requote()
    assert closing(desk) == [("AAPL", Side.BUY, 100)]


def test_a_second_panic_after_a_resume_is_a_new_one(desk: Any) -> None:
    for _ in range(2):
        panic(desk)
        desk.elapse(2)
        desk.answer()
        resume(desk)
    assert len(desk.told("PanicCompleted")) == 2


def test_a_panic_without_a_link_waits_for_it_and_begins_again(desk: Any) -> None:
    desk.hold(100)
    order = desk.work(50, "MSFT")
    desk.disconnect()
    panic(desk)
    desk.wait(60)
    assert desk.placed[-1] is order
    desk.clear()
    step = desk.connect()
    assert kinds(step.commands).count("CancelAllOrders") == 1
    for second in range(1, 5):
        desk.elapse(1)
        desk.answer(open_orders=(desk.line(order),))
        assert desk.placed == [], f"{second} s after the connection cancels are still waited for"


def test_a_disconnect_while_flattening_closes_nothing_twice(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.elapse(1)
    desk.clear()
    desk.answer()
    (order,) = desk.placed
    desk.sent(order)
    desk.disconnect()
    assert desk.order(order).state is OrderState.UNKNOWN
    asked_before = desk.state()
    desk.wait(3)
    desk.connect()
    desk.send(asked_before)
    assert len(desk.placed) == 1
    desk.elapse(1)
    desk.happen(desk.execution(100, "99.50", order))
    desk.answer()
    desk.wait(3)
    desk.answer()
    assert len(desk.placed) == 1
    assert desk.told("PanicCompleted")


def test_a_panic_goes_on_after_a_restart(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    later = desk.restart()
    assert later.engine.flattening
    later.connect()
    later.elapse(1)
    later.answer()
    assert closing(later) == [("AAPL", Side.SELL, 100)]


def test_a_completed_panic_stays_after_a_restart_and_does_nothing(desk: Any) -> None:
    panic(desk)
    desk.elapse(1)
    desk.answer()
    later = desk.restart().ready()
    later.want(100)
    assert (later.core.trading_state, later.placed) == (TradingState.PANIC, [])
    assert not later.engine.flattening
    resume(later)
    later.requote()
    assert len(later.placed) == 1


def test_a_panic_in_the_first_second_of_a_first_start_works(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.truth["AAPL"] = Decimal(10)
    panic(desk)
    desk.connect()
    desk.elapse(1)
    desk.answer(executions=None)
    assert closing(desk) == [("AAPL", Side.SELL, 10)]


def test_a_stop_does_not_cancel_what_flattens_and_waits_for_it(desk: Any) -> None:
    desk.hold(100)
    panic(desk)
    desk.elapse(1)
    desk.answer()
    desk.sent()
    desk.clear()
    desk.send(StopRequested(at=desk.clock.now(), reason="SIGTERM"))
    assert desk.sent_commands("CancelOrder") == []
    assert not desk.engine.stopped
    desk.fill(100, "99", desk_order(desk))
    desk.wait(3)
    desk.answer()
    assert desk.engine.stopped


def test_the_panic_needs_no_quote_no_price_and_no_rate(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(symbols=({"symbol": "SAP", "currency": "EUR"},)).ready()
    desk.truth["SAP"] = Decimal(5)
    desk.core.market_data.quotes.clear()
    panic(desk)
    desk.elapse(1)
    desk.answer()
    assert closing(desk) == [("SAP", Side.SELL, 5)]


def test_a_panic_voids_the_targets_so_that_resuming_buys_nothing_back(desk: Any) -> None:
    desk.work(100)
    assert desk.core.targets == {"AAPL": 100}
    panic(desk)
    assert desk.core.targets == {}
    desk.status("Cancelled", order=desk.last)
    desk.wait(3)
    desk.answer()
    assert desk.core.panic_completed
    desk.clear()
    resume(desk)
    assert desk.core.trading_state is TradingState.ACTIVE
    desk.wait(60)
    assert desk.placed == []
