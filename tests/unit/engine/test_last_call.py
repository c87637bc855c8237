"""The end of the broker's day: executions are asked for before it, and a day without an answer is told."""

from datetime import UTC, datetime
from typing import Any

import pytest

from trader.events import MismatchFound, MismatchKind, RequestBrokerState
from trader.session import BrokerWindows

# A quarter to midnight in New York, on a market that never closes.
LATE = datetime(2013, 10, 8, 3, 35, tzinfo=UTC)
ALWAYS = {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0}


@pytest.fixture
def late(make_desk: Any) -> Any:
    desk = make_desk(start=LATE, session=ALWAYS, gateway={"reconcile_interval_s": 86_400})
    desk.core.windows = BrokerWindows.load()
    return desk.ready()


def questions(desk: Any) -> int:
    return sum(isinstance(command, RequestBrokerState) for command in desk.commands)


def test_it_asks_twenty_minutes_before_midnight_until_there_is_an_answer(late: Any) -> None:
    before = questions(late)
    late.wait(240)
    assert questions(late) == before
    late.wait(62)
    assert questions(late) == before + 1
    late.answer(executions=None)
    late.wait(16)
    assert questions(late) > before + 1
    late.answer()
    late.wait(2)  # a question that was planned meanwhile
    late.answer()
    asked = questions(late)
    late.wait(60)
    assert questions(late) == asked


def test_a_day_that_ended_without_an_answer_about_an_open_order_is_a_mismatch(late: Any) -> None:
    late.work(100)
    late.disconnect()
    late.elapse(26 * 60)
    told = [fact for fact in late.facts if isinstance(fact, MismatchFound)]
    assert [fact.kind for fact in told] == [MismatchKind.EXECUTION]
    assert "2013-10-08 04:00 UTC" in told[0].subject


def test_a_day_that_ended_with_nothing_open_is_told_by_nobody(late: Any) -> None:
    late.disconnect()
    late.elapse(26 * 60)
    assert not [fact for fact in late.facts if isinstance(fact, MismatchFound)]
