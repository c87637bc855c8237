"""The host's clock is stepped back or forward while the service trades: what follows it, and what does not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trader.clock import ManualClock
from trader.events import OrderState
from trader.session import SessionCalendar

HOUR_S = 3600.0


class SteppedClock(ManualClock):
    """``now`` can be stepped either way, as by a person or a time server; ``monotonic_ns`` goes on."""

    def step(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.fixture
def stepped(make_desk: Callable[..., Any]) -> Callable[..., Any]:
    def make(**changes: Any) -> Any:
        return make_desk(clock=SteppedClock, **changes).ready()

    return make


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_no_quote_from_before_a_step_is_traded_on(stepped: Any, step_s: float) -> None:
    desk = stepped()
    desk.clock.step(step_s)
    desk.elapse()
    assert desk.core.market_data.is_stale("AAPL", desk.clock.now())
    desk.requote()
    desk.want(100)
    assert len(desk.placed) == 1


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_an_orders_answer_is_awaited_as_long_as_ever_across_a_step(stepped: Any, step_s: float) -> None:
    desk = stepped(execution={"cancel_after_s": 86_400})
    desk.want(100)
    desk.sent()
    desk.clock.step(step_s)
    desk.elapse(5)
    assert desk.order().state is OrderState.SENT
    desk.elapse(6)
    assert desk.order().state is OrderState.UNKNOWN


def test_an_order_whose_age_a_step_back_has_hidden_is_cancelled_and_does_not_live_an_hour_longer(stepped: Any) -> None:
    desk = stepped()
    desk.work(100)
    desk.clock.step(-HOUR_S)
    desk.elapse(1)
    assert len(desk.sent_commands("CancelOrder")) == 1


def test_an_exit_does_not_wait_for_the_hour_that_a_step_back_took(stepped: Any) -> None:
    desk = stepped()
    desk.hold(100)
    desk.want(0)
    desk.sent()
    desk.status("Cancelled")
    placed = len(desk.placed)
    desk.clock.step(-HOUR_S)
    desk.skip(1)
    desk.requote()
    desk.elapse(6)
    assert len(desk.placed) == placed + 1


@pytest.mark.parametrize("step_s", [120.0, -120.0])
def test_the_limit_of_orders_a_minute_is_not_escaped_by_a_step(stepped: Any, step_s: float) -> None:
    desk = stepped(risk={"max_orders_per_minute": 2})
    for target in (10, 0):
        desk.want(target)
        desk.fill(10)
    desk.clock.step(step_s)
    desk.requote()
    desk.want(10)
    assert len(desk.placed) == 2
    assert [fact.rule.value for fact in desk.told("IntentRefused")] == ["order_rate"]


def test_a_step_back_before_the_sessions_open_opens_no_session_twice(stepped: Any) -> None:
    desk = stepped(start=datetime(2013, 10, 7, 13, 40, tzinfo=UTC))
    desk.clock.step(-HOUR_S)
    desk.elapse()
    desk.elapse(HOUR_S)
    assert len(desk.told("SessionOpened")) == 1
    assert desk.told("SessionClosed") == []


@pytest.mark.parametrize("flaps", [1, 3])
def test_no_execution_is_booked_twice_because_the_clock_stepped_over_midnight_and_back(
    stepped: Any, flaps: int
) -> None:
    """The books know the executions of two sessions; a step back must not make old sessions new ones."""
    calendar = SessionCalendar.load("always")
    never = {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0}
    desk = stepped(start=datetime(2013, 10, 7, 23, 59, 50, tzinfo=UTC), calendar=calendar, session=never)
    desk.hold(100)
    for _ in range(flaps):
        desk.skip(20)
        desk.clock.step(-20)
        desk.skip(0)
    desk.skip(20)
    desk.answer()
    desk.answer()
    assert desk.held == 100
    assert desk.core.link.reconciled
    assert len(desk.told("FillBooked")) == 1


def test_a_step_forward_over_the_close_closes_and_opens_once_when_the_time_has_come(stepped: Any) -> None:
    desk = stepped()
    desk.clock.step(6 * HOUR_S)
    desk.elapse()
    desk.clock.step(-6 * HOUR_S)
    desk.elapse()
    assert len(desk.told("SessionOpened")) == 1
    assert len(desk.told("SessionClosed")) == 1
