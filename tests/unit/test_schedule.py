"""Cron schedules on an injected clock."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from trader.schedule import Schedule, ScheduleError, fire_times

NEW_YORK = "America/New_York"


def test_no_expression_never_comes_due() -> None:
    assert list(fire_times(None, NEW_YORK, datetime(2026, 1, 5, tzinfo=UTC))) == []


def test_it_follows_wall_time_across_daylight_saving() -> None:
    # 2026-03-08 is the day on which New York's clocks go forward.
    moments = islice(fire_times("35 9 * * *", NEW_YORK, datetime(2026, 3, 7, tzinfo=UTC)), 2)
    assert list(moments) == [datetime(2026, 3, 7, 14, 35, tzinfo=UTC), datetime(2026, 3, 8, 13, 35, tzinfo=UTC)]


def test_missed_moments_count_once() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    schedule = Schedule("0 * * * *", "UTC", start)

    assert not schedule.due(start + timedelta(minutes=59))
    assert schedule.due(start + timedelta(hours=5))
    assert not schedule.due(start + timedelta(hours=5, minutes=1))
    assert schedule.due(start + timedelta(hours=6))


@pytest.mark.parametrize(("expression", "zone"), [("every morning", NEW_YORK), ("0 9 * * *", "Mars/Olympus")])
def test_a_bad_schedule_is_one_sentence(expression: str, zone: str) -> None:
    with pytest.raises(ScheduleError, match=r"strategy\.schedule"):
        fire_times(expression, zone, datetime(2026, 1, 5, tzinfo=UTC))
