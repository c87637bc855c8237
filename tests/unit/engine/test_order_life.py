"""The life of one order: what the broker says of it, in every order, and what the engine makes of that."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import Side
from trader.events import CancelReason, ErrorClass, OrderOutcome, OrderSendFailed, OrderState, UpstreamLostReceived

S = OrderState


def test_it_makes_the_intent_durable_before_the_order_leaves(desk: Any) -> None:
    step = desk.want(100)
    (place,) = step.commands
    assert [type(fact).__name__ for fact in step.durable()] == ["SignalChanged", "OrderIntended"]
    terms = place.approved.intent.terms
    assert (terms.side, terms.quantity, terms.limit_price) == (Side.BUY, 100, Decimal("100.03"))
    assert desk.order().state is S.INTENDED


def test_it_follows_an_order_from_sent_to_filled(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    assert desk.order().state is S.SENT
    desk.clock.advance(timedelta(seconds=0.25))
    desk.status("Submitted")
    assert desk.order().state is S.WORKING
    assert [fact.duration_s for fact in desk.told("OrderAcknowledged")] == [0.25]
    desk.fill(40)
    assert (desk.order().state, desk.order().filled, desk.held) == (S.WORKING, 40, 40)
    desk.fill(60)
    assert (desk.order().state, desk.held) == (S.FILLED, 100)
    (final,) = desk.told("OrderFinalized")
    assert (final.outcome, final.eligible, final.filled) == (OrderOutcome.FILLED, True, 100)
    desk.quote()
    assert len(desk.placed) == 1


def test_it_tells_slippage_and_the_time_to_the_fill(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.clock.advance(timedelta(seconds=2))
    desk.fill(100, "100.11")
    (booked,) = desk.told("FillBooked")
    assert booked.slippage_ratio == pytest.approx(0.10 / 100.01)
    assert booked.fill_duration_s == 2.0


@pytest.mark.parametrize("text", ["PreSubmitted", "Submitted", "PendingCancel", "PendingSubmit", "ApiPending"])
def test_a_repeated_status_tells_nothing_new(desk: Any, text: str) -> None:
    order = desk.work(100)
    step = desk.status(text, order=order)
    assert [type(fact).__name__ for fact in step.facts] == ["OrderStatusReceived"]


def test_an_execution_is_booked_once(desk: Any) -> None:
    desk.work(100)
    line = desk.happen(desk.execution(100))
    for _ in range(3):
        desk.hear(line)
    desk.answer(open_orders=())
    assert desk.held == 100
    assert len(desk.told("FillBooked")) == 1


def test_a_fill_that_comes_before_any_word_acknowledges_the_order(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.fill(30)
    assert (desk.order().state, desk.order().acknowledged) == (S.WORKING, True)
    desk.status("Submitted", filled=30)
    desk.fill(70)
    desk.status("Filled", filled=100)
    assert (desk.order().state, desk.held) == (S.FILLED, 100)
    assert len(desk.told("OrderAcknowledged")) == 1
    assert len(desk.told("OrderFinalized")) == 1


def test_a_fill_may_even_overtake_the_word_that_the_order_was_sent(desk: Any) -> None:
    desk.want(100)
    desk.fill(100)
    desk.sent()
    desk.status("Submitted")
    assert (desk.order().state, desk.held) == (S.FILLED, 100)


# -- corrections

CORRECTIONS = {
    "price": ((("e.01", 100, "100.02"), ("e.02", 100, "100.05")), 100, "100.05"),
    "smaller": ((("e.01", 100, "100.02"), ("e.02", 60, "100.02")), 60, "100.02"),
    "busted": ((("e.01", 100, "100.02"), ("e.02", 0, "100.02")), 0, "0"),
    "out of order": ((("e.02", 60, "100.05"), ("e.01", 100, "100.02")), 60, "100.05"),
    "twice": ((("e.01", 50, "100.02"), ("e.02", 60, "100.03"), ("e.03", 70, "100.04")), 70, "100.04"),
    "skipped and late": ((("e.01", 50, "1"), ("e.03", 70, "100.04"), ("e.02", 60, "1")), 70, "100.04"),
    "tens": ((("e.09", 50, "1"), ("e.10", 70, "100.04"), ("e.09", 50, "1")), 70, "100.04"),
}


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_correction_replaces_what_it_corrects(desk: Any, name: str) -> None:
    lines, quantity, cost = CORRECTIONS[name]
    order = desk.work(100)
    for exec_id, filled, price in lines:
        desk.hear(desk.execution(filled, price, order, exec_id=exec_id))
    assert desk.held == quantity
    assert desk.order(order).filled == quantity
    (book,) = desk.core.ledger.books()
    assert book.current.average_cost == Decimal(cost)


def test_a_correction_of_the_session_before_is_not_another_fill(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(session={"flatten_before_close_s": 0}).ready()
    desk.hold(100)
    desk.elapse(5 * 3600)
    desk.elapse(18 * 3600)
    assert [fact.session for fact in desk.told("SessionOpened")] == ["2013-10-07", "2013-10-08"]
    desk.hear(desk.execution(100, "100.10", desk.placed[0], exec_id="h1.02"))
    assert desk.held == 100
    (book,) = desk.core.ledger.books()
    assert book.current.average_cost == Decimal("100.10")


# -- ends


def test_a_cancelled_order_is_tried_again_only_after_a_pause(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled")
    assert desk.order().state is S.CANCELLED
    desk.quote()
    assert len(desk.placed) == 1
    desk.wait(4)
    assert len(desk.placed) == 1
    desk.elapse(1)
    assert len(desk.placed) == 2


def test_the_pause_doubles_up_to_a_minute_and_a_new_signal_ends_it(desk: Any) -> None:
    pauses = []
    for _ in range(6):
        if len(desk.placed) == len(pauses):
            desk.want(100)
        desk.sent()
        desk.status("Inactive")
        before, placed = desk.clock.now(), len(desk.placed)
        while len(desk.placed) == placed:
            desk.elapse(1)
            desk.requote()
        pauses.append((desk.clock.now() - before).total_seconds())
    assert pauses == [5, 10, 20, 40, 60, 60]
    desk.sent()
    desk.status("Inactive")
    desk.want(50)
    assert desk.last.approved.intent.terms.quantity == 50


def test_a_cancelled_status_that_claims_fills_waits_for_their_executions(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled", filled=60)
    assert desk.order().state is S.WORKING
    desk.wait(8)
    desk.requote()
    assert len(desk.placed) == 1, "the next order is sized by what is held, and that is not known yet"
    desk.fill(60)
    assert (desk.order().state, desk.held) == (S.CANCELLED, 60)
    desk.elapse(6)
    assert desk.last.approved.intent.terms.quantity == 40


def test_a_repeated_older_status_does_not_make_it_forget_the_end(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled", filled=60)
    desk.status("Submitted", filled=30)
    desk.fill(60)
    assert desk.order().state is S.CANCELLED


def test_missing_executions_are_asked_for(desk: Any) -> None:
    order = desk.work(100)
    desk.status("Filled", filled=100)
    desk.happen(desk.execution(100))
    desk.clear()
    desk.wait(11)
    assert len(desk.sent_commands("RequestBrokerState")) == 1
    desk.answer(completed_orders=(desk.line(order, "Filled"),))
    assert desk.held == 100
    assert desk.told("FillBooked")[0].fill_duration_s is None, "how long it took is not known"


def test_a_late_fill_after_the_cancel_is_booked_and_counted(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled")
    desk.fill(30)
    assert (desk.order().state, desk.order().filled, desk.held) == (S.CANCELLED, 30, 30)
    desk.elapse(6)
    assert desk.last.approved.intent.terms.quantity == 70


def test_an_order_that_fills_completely_after_its_cancel_is_filled(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled")
    desk.fill(100)
    desk.wait(10)
    assert (desk.order(desk.placed[0]).state, desk.held, len(desk.placed)) == (S.FILLED, 100, 1)


def test_a_late_submitted_does_not_revive_a_cancelled_order(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled")
    desk.status("Submitted")
    assert desk.order().state is S.CANCELLED


# -- rejections and other errors


@pytest.mark.parametrize("messages", [("error", "Inactive"), ("error",), ("Inactive", "error"), ("error", "Cancelled")])
def test_a_rejected_order_is_final_and_counts_for_the_fill_rate(desk: Any, messages: tuple[str, ...]) -> None:
    desk.want(100)
    desk.sent()
    for message in messages:
        if message == "error":
            desk.error(201, ErrorClass.ORDER_REJECTED)
        else:
            desk.status(message)
    (final,) = desk.told("OrderFinalized")
    assert final.eligible
    assert final.outcome is (OrderOutcome.REJECTED if messages[0] == "error" else OrderOutcome.UNFILLED)
    desk.requote()
    assert len(desk.placed) == 1


def test_a_rejection_of_a_working_order_waits_for_the_status(desk: Any) -> None:
    desk.work(100)
    desk.error(201, ErrorClass.ORDER_REJECTED)
    assert desk.order().state is S.WORKING
    desk.status("Inactive")
    assert desk.order().state is S.REJECTED


def test_a_rejection_by_message_alone_is_verified(desk: Any) -> None:
    desk.want(100)
    order = desk.last
    desk.sent()
    desk.error(463, ErrorClass.ORDER_REJECTED)
    assert desk.order().state is S.REJECTED
    desk.clear()
    desk.elapse(1)
    assert desk.sent_commands("RequestBrokerState")
    desk.answer(open_orders=(desk.line(order),))
    assert desk.order(order).state is S.WORKING
    desk.wait(8)
    assert desk.placed == [], "it lives, so no second one is sent"


LIVE_ERRORS = [
    (10349, ErrorClass.ORDER_LIVE),
    (399, ErrorClass.ORDER_LIVE),
    (404, ErrorClass.ORDER_LIVE),
    (10147, ErrorClass.CANCEL_REFUSED),
    (161, ErrorClass.CANCEL_REFUSED),
    (202, ErrorClass.ORDER_CANCELLED),
    (100, ErrorClass.PACING),
    (12345, ErrorClass.UNKNOWN),
]


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize(("code", "error_class"), LIVE_ERRORS)
def test_an_error_that_is_only_a_hint_changes_nothing(
    desk: Any, code: int, error_class: ErrorClass, acknowledged: bool
) -> None:
    desk.want(100)
    desk.sent()
    if acknowledged:
        desk.status("Submitted")
    before = desk.order().state
    step = desk.error(code, error_class)
    assert desk.order().state is before
    assert [type(fact).__name__ for fact in step.facts] == ["BrokerErrorReceived"]


# -- silence


def test_an_order_without_a_word_becomes_unknown_and_is_asked_for_not_sent_again(desk: Any) -> None:
    desk.want(100)
    order = desk.last
    desk.sent()
    desk.clear()
    desk.wait(10)
    assert desk.order(order).state is S.SENT
    desk.elapse(1)
    assert desk.order(order).state is S.UNKNOWN
    assert len(desk.sent_commands("RequestBrokerState")) == 1
    desk.requote()
    assert desk.placed == []


FOUND = {
    "open": ({"open": "Submitted"}, S.WORKING),
    "still pending": ({"open": "PendingSubmit"}, S.WORKING),
    "cancelled": ({"completed": "Cancelled"}, S.CANCELLED),
    "ended, but listed as open": ({"open": "Inactive"}, S.CANCELLED),
    "nowhere": ({}, S.VANISHED),
    "filled without a trace": ({"completed": "Filled"}, S.VANISHED),
    "completed not answered": ({"completed": None}, S.UNKNOWN),
    "open not answered": ({"open": None}, S.UNKNOWN),
    "executions not answered": ({"executions": None}, S.UNKNOWN),
}


@pytest.mark.parametrize("name", FOUND)
def test_an_unknown_order_becomes_what_the_broker_says(desk: Any, name: str) -> None:
    answers, state = FOUND[name]
    desk.want(100)
    order = desk.last
    desk.sent()
    desk.wait(11)
    given: dict[str, Any] = {}
    for kind, field in (("open", "open_orders"), ("completed", "completed_orders")):
        if kind in answers:
            given[field] = None if answers[kind] is None else (desk.line(order, answers[kind]),)
    if "executions" in answers:
        given["executions"] = None
    desk.answer(**given)
    assert desk.order(order).state is state
    desk.requote()
    assert len(desk.placed) == 1


def test_an_unknown_order_that_was_filled_is_filled(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.wait(11)
    desk.happen(desk.execution(100))
    desk.answer(completed_orders=(desk.line(status="Filled", filled=Decimal(100)),))
    assert (desk.order().state, desk.held) == (S.FILLED, 100)


def test_an_order_that_ended_with_fills_waits_while_executions_are_not_answered(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.wait(11)
    desk.answer(completed_orders=(desk.line(status="Cancelled", filled=Decimal(50)),), executions=None)
    assert desk.order().state is S.UNKNOWN


def test_an_order_sent_just_before_the_question_has_not_vanished(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.clock.advance(timedelta(seconds=1.9))
    desk.answer()
    assert desk.order().state is S.SENT


def test_an_order_that_still_waits_to_be_sent_has_not_vanished(desk: Any) -> None:
    desk.want(100)
    desk.clock.advance(timedelta(seconds=9))
    desk.answer()
    assert desk.order().state is S.INTENDED
    desk.sent()
    assert desk.order().state is S.SENT


def test_a_vanished_order_that_comes_back_is_watched_again(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.wait(11)
    desk.answer()
    assert desk.order().state is S.VANISHED
    desk.status("Submitted")
    assert desk.order().state is S.WORKING
    assert desk.order() in desk.core.orders.open()
    desk.wait(8)
    assert len(desk.placed) == 1


def test_an_order_that_ended_after_the_question_is_not_revived_by_the_answer(desk: Any) -> None:
    desk.work(100)
    desk.elapse(3)
    asked = desk.state(open_orders=(desk.line(),))
    desk.clock.advance(timedelta(milliseconds=10))
    desk.status("Cancelled")
    desk.send(asked)
    assert desk.order().state is S.CANCELLED
    assert len(desk.told("OrderFinalized")) == 1


@pytest.mark.parametrize("link_lost_before", [False, True])
def test_an_order_that_certainly_did_not_leave_is_not_sent(desk: Any, link_lost_before: bool) -> None:
    desk.want(100)
    if link_lost_before:
        desk.disconnect()
    desk.send(OrderSendFailed(at=desk.clock.now(), order_ref=desk.last.order_ref, detail="not connected"))
    assert desk.order().state is S.NOT_SENT
    (final,) = desk.told("OrderFinalized")
    assert (final.outcome, final.eligible) == (OrderOutcome.ERROR, False)


def test_the_word_that_an_order_did_not_leave_is_not_believed_after_it_left(desk: Any) -> None:
    desk.work(100)
    desk.send(OrderSendFailed(at=desk.clock.now(), order_ref=desk.last.order_ref, detail="?"))
    assert desk.order().state is S.WORKING


# -- our own cancels


def test_an_order_that_works_too_long_is_cancelled_once_and_again_when_nobody_answers(desk: Any) -> None:
    desk.work(100)
    desk.clear()
    desk.wait(21)
    assert [c.order_id for c in desk.sent_commands("CancelOrder")] == [1]
    assert [fact.reason for fact in desk.told("CancelIntended")] == [CancelReason.TIMEOUT]
    desk.wait(9)
    assert len(desk.sent_commands("CancelOrder")) == 1
    desk.wait(2)
    assert len(desk.sent_commands("CancelOrder")) == 2
    assert len(desk.told("CancelIntended")) == 1


def test_it_cancels_nothing_while_the_link_is_degraded(desk: Any) -> None:
    desk.work(100)
    desk.send(UpstreamLostReceived(at=desk.clock.now(), code=1100))
    desk.clear()
    desk.wait(60)
    assert desk.sent_commands("CancelOrder") == []


@pytest.mark.parametrize("first_word", ["Submitted", None])
def test_an_unfilled_order_counts_for_the_fill_rate_whatever_its_first_word(desk: Any, first_word: str | None) -> None:
    desk.want(100)
    desk.sent()
    if first_word:
        desk.status(first_word)
    desk.status("Cancelled")
    (final,) = desk.told("OrderFinalized")
    assert (final.outcome, final.eligible) == (OrderOutcome.UNFILLED, True)
