"""The link, and agreeing with the broker: starts, reconnects, doubts and differences."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.events import (
    CommissionLine,
    FarmChangedReceived,
    HeartbeatReceived,
    MismatchKind,
    OrderState,
    PositionReceived,
    ResumeRequested,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)

S = OrderState


def lose_upstream(desk: Any) -> None:
    desk.send(UpstreamLostReceived(at=desk.clock.now(), code=1100))


def restore_upstream(desk: Any, code: int) -> Any:
    return desk.send(UpstreamRestoredReceived(at=desk.clock.now(), code=code, data_lost=code == 1101))


def asked(desk: Any) -> int:
    return len(desk.sent_commands("RequestBrokerState"))


def accept(desk: Any) -> None:
    desk.send(ResumeRequested(at=desk.clock.now(), source="operator", accept_positions=True))


# -- starting


def test_it_is_ready_only_when_connected_and_reconciled(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    assert not desk.engine.snapshot().ready
    desk.elapse(1)
    desk.connect()
    assert desk.core.problems == ("not reconciled yet",)
    assert asked(desk) == 1
    desk.answer()
    assert desk.core.problems == ()
    changes = [(fact.ready, fact.problems) for fact in desk.told("ReadinessChanged")]
    assert changes == [
        (False, ("not connected to the gateway",)),
        (False, ("not reconciled yet",)),
        (True, ()),
    ]


def test_a_first_start_adopts_positions_and_ignores_their_executions(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.connect()
    desk.truth["AAPL"] = Decimal(70)
    line = desk.execution(70, order=foreign_order(desk), exec_id="old.01")
    paid = CommissionLine(exec_id="old.01", amount=Decimal(1), currency="USD")
    for _ in range(2):
        desk.answer(executions=(line,), commissions=(paid,))
        desk.clock.advance(timedelta(seconds=5))
    desk.hear(line)
    desk.commission("old.01")
    assert desk.held == 70
    assert len(desk.told("PositionAdopted")) == 1
    assert len(desk.told("ExecutionIgnored")) == 1
    assert desk.told("FillBooked", "CommissionBooked") == []
    assert desk.core.problems == ()


def foreign_order(desk: Any) -> Any:
    """An order that somebody else placed, in the shape of one of ours."""
    from trader import risk
    from trader.contracts import Side
    from trader.events import PlaceOrder

    approved = risk.approve_flatten("AAPL", Side.BUY, Decimal(70), reason="x", decided_ns=0)
    return PlaceOrder(approved=approved, instrument=desk.instrument("AAPL"), order_ref="", order_id=0)


def test_a_correction_of_an_execution_that_was_adopted_is_ignored(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.connect()
    desk.truth["AAPL"] = Decimal(70)
    order = foreign_order(desk)
    desk.answer(executions=(desk.execution(70, order=order, exec_id="old.01"),))
    desk.hear(desk.execution(70, "99", order, exec_id="old.02"))
    assert desk.held == 70


def test_a_first_start_adopts_nothing_from_an_incomplete_answer(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.connect()
    desk.truth["AAPL"] = Decimal(70)
    desk.answer(executions=None)
    assert desk.told("PositionAdopted") == []
    assert desk.core.problems == ("not reconciled: no answer about executions",)


def test_an_adopted_position_is_left_alone(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.truth["AAPL"] = Decimal(70)
    desk.ready()
    desk.elapse(4.9 * 3600)
    desk.requote()
    desk.elapse(1)
    assert desk.placed == []


@pytest.mark.parametrize("missing", ["positions", "open_orders", "completed_orders", "executions"])
def test_an_answer_that_did_not_come_is_asked_for_again_with_growing_pauses(
    make_desk: Callable[..., Any], missing: str
) -> None:
    desk = make_desk()
    desk.connect()
    pauses = []
    for _ in range(7):
        desk.answer(**{missing: None})
        before, count = desk.clock.now(), asked(desk)
        while asked(desk) == count:
            desk.elapse(1)
        pauses.append((desk.clock.now() - before).total_seconds())
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert not desk.engine.snapshot().ready


def test_a_question_without_any_answer_is_asked_again_after_a_minute(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.connect()
    restore_upstream(desk, 1102)
    desk.wait(59)
    assert asked(desk) == 1
    desk.wait(2)
    assert asked(desk) == 2


def test_it_compares_itself_with_the_broker_every_five_minutes(desk: Any) -> None:
    for expected in (0, 1, 2):
        assert asked(desk) == expected
        desk.wait(301)
        desk.answer()


# -- losing the link


def test_a_disconnect_puts_every_open_order_in_doubt_and_ends_readiness(desk: Any) -> None:
    desk.work(100)
    desk.disconnect()
    assert desk.order().state is S.UNKNOWN
    assert desk.core.problems == ("not connected to the gateway",)
    desk.want(-50, "MSFT")
    assert len(desk.placed) == 1


def test_after_a_reconnect_it_asks_and_trades_only_when_answered(desk: Any) -> None:
    order = desk.work(100)
    desk.disconnect()
    desk.elapse(5)
    desk.clear()
    desk.connect()
    assert asked(desk) == 1
    desk.want(-50, "MSFT")
    assert desk.placed == []
    desk.answer(open_orders=(desk.line(order),))
    assert desk.order(order).state is S.WORKING
    assert [placed.approved.intent.terms.symbol for placed in desk.placed] == ["MSFT"]


def test_a_fill_during_the_disconnect_is_found_by_asking(desk: Any) -> None:
    order = desk.work(100)
    desk.disconnect()
    desk.happen(desk.execution(100, order=order))
    desk.elapse(5)
    desk.connect()
    desk.answer()
    assert (desk.order(order).state, desk.held) == (S.FILLED, 100)
    assert desk.core.problems == ()


def test_an_execution_is_booked_even_while_disconnected(desk: Any) -> None:
    order = desk.work(100)
    desk.disconnect()
    desk.fill(100, order=order)
    assert desk.held == 100


def test_an_answer_from_before_the_disconnect_restores_nothing(desk: Any) -> None:
    old = desk.state()
    desk.clock.advance(timedelta(seconds=1))
    desk.disconnect()
    desk.send(old)
    assert not desk.core.link.reconciled
    desk.clock.advance(timedelta(seconds=1))
    desk.connect()
    desk.send(old)
    assert not desk.core.link.reconciled
    desk.answer()
    assert desk.core.link.reconciled


def test_an_answer_from_before_the_link_was_lost_upstream_restores_nothing(desk: Any) -> None:
    desk.wait(301)
    old = desk.state()
    lose_upstream(desk)
    desk.elapse(1)
    restore_upstream(desk, 1102)
    desk.send(old)
    assert not desk.core.link.reconciled
    desk.clear()
    desk.wait(2)
    assert asked(desk) == 1
    desk.answer()
    assert desk.core.link.reconciled


def test_losing_the_upstream_ends_readiness_but_doubts_no_order(desk: Any) -> None:
    desk.work(100)
    lose_upstream(desk)
    assert desk.order().state is S.WORKING
    assert "the gateway is not connected to IB" in desk.core.problems
    desk.want(50, "MSFT")
    assert len(desk.placed) == 1


@pytest.mark.parametrize(("code", "resubscribes"), [(1101, True), (1102, False)])
def test_after_the_upstream_is_back_it_reconciles_and_resubscribes_if_data_was_lost(
    desk: Any, code: int, resubscribes: bool
) -> None:
    lose_upstream(desk)
    desk.clear()
    restore_upstream(desk, code)
    assert asked(desk) == 1
    assert bool(desk.sent_commands("Resubscribe")) is resubscribes
    assert not desk.engine.snapshot().ready
    desk.answer()
    assert desk.engine.snapshot().ready


def test_a_cancel_that_was_lost_with_the_link_is_sent_again(desk: Any) -> None:
    order = desk.work(100)
    desk.wait(21)
    desk.disconnect()
    desk.elapse(1)
    desk.connect()
    desk.clear()
    desk.answer(open_orders=(desk.line(order),))
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [order.order_id]


def test_farms_and_heartbeats_are_noted_and_change_no_order(desk: Any) -> None:
    desk.work(100)
    desk.send(FarmChangedReceived(at=desk.clock.now(), farm="usfarm", connected=False))
    desk.send(HeartbeatReceived(at=desk.clock.now(), duration_s=0.01, clock_offset_s=0.2))
    connection = desk.engine.snapshot().connection
    assert (connection.farms, connection.clock_offset_s) == ({"usfarm": False}, 0.2)
    assert desk.engine.snapshot().ready
    assert desk.order().state is S.WORKING


# -- differences


def test_a_difference_in_positions_is_believed_only_when_it_is_seen_twice(desk: Any) -> None:
    desk.hold(100)
    desk.answer(positions=())
    assert desk.told("MismatchFound") == []
    assert not desk.core.link.reconciled
    desk.elapse(1)
    desk.answer()
    assert desk.core.link.reconciled
    assert desk.told("MismatchFound") == []


def test_a_lasting_difference_blocks_trading_and_is_told_once(desk: Any) -> None:
    desk.hold(100)
    desk.truth["AAPL"] = Decimal(40)
    for _ in range(5):
        desk.answer()
        desk.wait(40)
    (mismatch,) = desk.told("MismatchFound")
    assert (mismatch.kind, mismatch.subject, mismatch.ours, mismatch.theirs) == (
        MismatchKind.POSITION,
        "AAPL",
        "100",
        "40",
    )
    assert "accept-positions" in desk.core.problems[0]
    desk.want(0)
    assert len(desk.placed) == 1
    assert desk.engine.snapshot().mismatches == {MismatchKind.POSITION: 1}


def test_the_operator_can_accept_the_brokers_positions(desk: Any) -> None:
    desk.hold(100)
    desk.truth["AAPL"], desk.truth["GOOG"] = Decimal(0), Decimal(3)
    desk.answer()
    desk.elapse(1)
    desk.answer()
    accept(desk)
    desk.answer()
    assert desk.core.ledger.positions() == {"GOOG": Decimal(3)}
    assert desk.engine.snapshot().ready
    desk.wait(30)
    desk.requote()
    assert len(desk.placed) == 1, "what was accepted is what is wanted now"


def test_accepting_counts_for_the_next_answer_only(desk: Any) -> None:
    desk.hold(100)
    accept(desk)
    desk.answer()
    desk.truth["AAPL"] = Decimal(40)
    for _ in range(3):
        desk.elapse(5)
        desk.answer()
    assert desk.held == 100
    assert desk.told("MismatchFound")


def test_an_unknown_answer_about_positions_is_no_difference(desk: Any) -> None:
    desk.hold(100)
    desk.answer(positions=None)
    accept(desk)
    desk.answer(positions=None)
    assert desk.held == 100
    assert desk.told("MismatchFound", "PositionAdopted") == []


def test_a_position_that_changes_behind_our_back_is_asked_about(desk: Any) -> None:
    desk.hold(100)
    desk.clear()
    desk.send(PositionReceived(at=desk.clock.now(), line=desk.position("AAPL", 100)))
    desk.elapse(2)
    assert asked(desk) == 0
    desk.send(PositionReceived(at=desk.clock.now(), line=desk.position("AAPL", 90)))
    desk.elapse(2)
    assert asked(desk) == 1


def test_an_execution_of_somebody_elses_order_is_booked(desk: Any) -> None:
    order = foreign_order(desk)
    desk.happen(desk.execution(70, order=order, client_id=0, perm_id=5))
    desk.answer()
    assert desk.held == 70
    assert [fact.order_ref for fact in desk.told("FillBooked")] == [""]
    assert desk.engine.snapshot().ready


# -- orders that are not where they should be


def test_a_foreign_order_is_reported_and_not_touched(desk: Any) -> None:
    line = desk_line(desk, order_ref="by hand", perm_id=77, client_id=0)
    for _ in range(3):
        desk.elapse(5)
        desk.answer(open_orders=(line,))
    (mismatch,) = desk.told("MismatchFound")
    assert (mismatch.kind, mismatch.theirs) == (MismatchKind.ORDER, "Submitted")
    assert desk.engine.snapshot().ready
    assert desk.sent_commands("CancelOrder") == []


def desk_line(desk: Any, **changes: Any) -> Any:
    return desk.line(foreign_order(desk), **changes)


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


def desk_status(desk: Any, order_id: int, perm_id: int) -> Any:
    from trader.events import BrokerOrderStatus, OrderStatusReceived

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


def test_a_status_of_another_client_with_our_order_id_is_not_ours(desk: Any) -> None:
    order = desk.work(100)
    desk.status("Cancelled", order=order, client_id=0, perm_id=5)
    assert desk.order(order).state is S.WORKING


def test_an_order_id_that_was_issued_twice_does_not_move_the_older_order(desk: Any) -> None:
    order = desk.work(100)
    desk.status("Cancelled", order=order, perm_id=5)
    assert desk.order(order).state is S.WORKING


# -- restarts


def test_a_crash_between_the_intent_and_the_sending_leads_to_a_question_not_to_a_second_order(desk: Any) -> None:
    desk.want(100)
    later = desk.restart()
    order = later.core.orders.open()[0]
    assert order.state is S.UNKNOWN
    later.ready()
    assert order.state is S.UNKNOWN, "it may have been sent a moment ago"
    later.clear()
    later.elapse(2)
    assert asked(later) == 1, "what is in doubt is asked about soon"
    later.answer()
    assert order.state is S.VANISHED
    later.requote()
    assert later.placed == [], "a pause first"
    later.wait(5)
    later.requote()
    assert len(later.placed) == 1
    assert later.last.order_ref != order.order_ref
    assert later.last.order_id > order.order_id


def test_a_restart_finds_its_working_order_and_its_fills(desk: Any) -> None:
    order = desk.work(100)
    desk.fill(30, order=order)
    later = desk.restart()
    later.happen(later.execution(20, order=order, exec_id="while-away.01"))
    later.connect()
    later.answer(open_orders=(desk.line(order, filled=Decimal(50)),))
    found = later.core.orders.get(order.order_ref)
    assert (found.state, found.filled, later.held) == (S.WORKING, 50, 50)
    later.requote()
    assert later.placed == []
