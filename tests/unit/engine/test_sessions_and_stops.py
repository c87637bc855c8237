"""Sessions as they open and close, what may not be done near the close, and stopping."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from trader.contracts import Side
from trader.events import (
    HaltRequested,
    MismatchKind,
    ResumeRequested,
    RiskRule,
    StopRequested,
)


def terms(placed: Any) -> tuple[Side, int]:
    found = placed.approved.intent.terms
    return found.side, int(found.quantity)


def refusals(desk: Any) -> list[RiskRule]:
    return [fact.rule for fact in desk.told("IntentRefused")]


def resume(desk: Any) -> None:
    desk.send(ResumeRequested(at=desk.clock.now(), source="operator"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2013-10-07T{text}").replace(tzinfo=UTC)


# -- sessions


def test_a_session_opens_and_closes_as_facts_with_its_result(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("13:29:50"), session={"flatten_before_close_s": 0}).ready()
    desk.wait(15)
    (opened,) = desk.told("SessionOpened")
    assert (opened.session, opened.opened_at, opened.at) == ("2013-10-07", at("13:30"), at("13:30"))
    desk.requote()
    desk.hold(100, price="100.00")
    desk.elapse(6.6 * 3600)
    (closed,) = desk.told("SessionClosed")
    assert (closed.realized, closed.commission, closed.fees) == (0, -1, 0)
    assert closed.unrealized == Decimal("1.00")
    desk.elapse(3600)
    assert len(desk.told("SessionClosed", "SessionOpened")) == 2


def test_a_session_opens_with_its_first_quote_when_that_is_sooner_than_the_timer(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("13:29:59.900")).ready()
    desk.clock.advance(timedelta(seconds=0.2))
    step = desk.quote()
    assert [type(fact).__name__ for fact in step.facts] == ["SessionOpened"]
    assert desk.strategy.asked == 1


def test_a_late_quote_of_a_session_that_is_over_does_not_open_it_again(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("19:59:58")).ready()
    desk.elapse(2)
    desk.quote(at=at("19:59:59.990"))
    desk.elapse(1)
    assert [type(fact).__name__ for fact in desk.told("SessionOpened", "SessionClosed")] == [
        "SessionOpened",
        "SessionClosed",
    ]


def test_a_quote_that_is_a_little_ahead_of_the_clock_opens_a_session_once(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("13:29:59")).ready()
    desk.quote(at=at("13:30:00"))
    desk.elapse(0.5)
    desk.elapse(1)
    assert len(desk.told("SessionOpened", "SessionClosed")) == 1


def test_out_of_session_it_asks_no_strategy_and_orders_nothing(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(session={"flatten_before_close_s": 0}, start=at("19:59:00")).ready()
    desk.truth["AAPL"] = Decimal(0)
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="x"))
    desk.want(100)
    desk.elapse(61)
    resume(desk)
    asked = desk.strategy.asked
    desk.clear()
    for _ in range(60):
        desk.requote()
        desk.elapse(60)
    assert desk.strategy.asked == asked
    assert desk.told("IntentRefused") == desk.placed == []


def test_it_opens_nothing_shortly_before_the_close(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("19:49:59")).ready()
    desk.hold(100)
    desk.elapse(1)
    desk.requote()
    desk.clear()
    desk.want(50, "MSFT")
    desk.want(150)
    assert refusals(desk) == [RiskRule.SESSION] * 2
    desk.want(40)
    assert terms(desk.last) == (Side.SELL, 60)


def test_it_flattens_shortly_before_the_close_whatever_the_strategy_wants(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("19:40:00")).ready()
    desk.hold(100)
    order = desk.work(50, "MSFT")
    desk.clear()
    desk.status("Cancelled", order=order)
    desk.skip(14 * 60 + 59)
    assert [terms(placed) for placed in desk.placed] == []
    desk.skip(1)
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 100)]
    desk.sent()
    desk.fill(100)
    desk.want(70)
    desk.skip(10)
    assert (len(desk.placed), desk.held) == (1, 0)


def test_what_was_wanted_yesterday_is_not_bought_this_morning(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("19:40:00")).ready()
    desk.hold(100)
    desk.skip(15 * 60)
    desk.sent()
    desk.fill(100, order=desk.last)
    assert desk.held == 0
    desk.clear()
    desk.elapse(3600)
    desk.disconnect()
    desk.elapse(10)
    desk.connect()
    desk.answer()
    desk.skip(16.6 * 3600)
    desk.skip(1)
    assert desk.engine.snapshot().session_open
    assert desk.placed == []
    assert desk.strategy.view.targets == {"AAPL": Decimal(0)}


def test_a_position_that_could_not_be_closed_yesterday_is_closed_this_morning(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(start=at("19:40:00")).ready()
    desk.hold(100)
    desk.elapse(18 * 3600)
    desk.skip(1)
    desk.skip(5)
    assert terms(desk.last) == (Side.SELL, 100)


def test_a_calendar_that_ends_is_a_problem_and_stops_trading(make_desk: Callable[..., Any]) -> None:
    from trader.session import SessionCalendar

    table = SessionCalendar.load("XNYS")
    desk = make_desk(start=table.valid_until - timedelta(minutes=1), calendar=table).ready()
    desk.elapse(61)
    assert any("extract it again" in problem for problem in desk.core.problems)
    assert not desk.engine.snapshot().session_open
    assert desk.engine.snapshot().session_next_opens_at is None


# -- stopping


def stop(desk: Any) -> None:
    desk.send(StopRequested(at=desk.clock.now(), reason="SIGTERM"))


def test_a_stop_cancels_what_works_and_opens_nothing_more(desk: Any) -> None:
    order = desk.work(100)
    desk.clear()
    stop(desk)
    stop(desk)
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [order.order_id]
    assert not desk.engine.stopped
    desk.want(50, "MSFT")
    desk.status("Cancelled", order=order)
    assert desk.engine.stopped
    assert desk.placed == []
    assert not desk.told("OrderFinalized")[0].eligible


def test_a_stop_can_keep_orders(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(stop={"cancel_orders": False}).ready()
    desk.work(100)
    stop(desk)
    assert desk.sent_commands("CancelOrder") == []
    assert desk.engine.stopped


def test_a_stop_can_flatten_without_waiting(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(stop={"flatten": True}).ready()
    desk.hold(100)
    order = desk.work(150)
    desk.clear()
    stop(desk)
    desk.status("Cancelled", order=order)
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 100)]
    assert not desk.engine.stopped
    desk.sent()
    desk.fill(100)
    assert desk.engine.stopped


def test_a_stop_of_a_halted_service_does_not_wait_for_positions(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(stop={"flatten": True}).ready()
    desk.hold(100)
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="x"))
    stop(desk)
    assert desk.engine.stopped


def test_the_last_step_says_whether_it_was_clean(desk: Any) -> None:
    desk.take(desk.engine.stop("SIGTERM", clean=True))
    assert desk.restart().told("ServiceStarted")[0].previous_exit_clean
    later = desk.restart().restart()
    assert not later.told("ServiceStarted")[0].previous_exit_clean
    assert later.engine.snapshot().starts == {"manual": 3}
    assert later.engine.snapshot().mismatches == dict[MismatchKind, int]()
