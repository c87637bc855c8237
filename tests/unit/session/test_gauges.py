"""The session as metrics: absolute times that need no calendar to be compared with."""

from datetime import UTC, datetime, timedelta

import pytest

from observability.catalogue.textfile import SESSION
from trader.session import BrokerWindows, CalendarExpired, SessionCalendar
from trader.session.gauges import COUNTED_FROM, elapsed_before_s, session_gauges

NEW_YORK = SessionCalendar.load("XNYS")
WINDOWS = BrokerWindows.load()
HOUR_S = 3_600.0


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def values(
    moment: str, calendar: SessionCalendar = NEW_YORK, windows: BrokerWindows | None = WINDOWS
) -> dict[str, float]:
    found = {gauge.name: gauge.samples for gauge in session_gauges(calendar, windows, at(moment))}
    assert all(len(samples) == 1 for samples in found.values())
    return {name.removeprefix("trader_").removesuffix("_seconds"): samples[0].value for name, samples in found.items()}


@pytest.mark.parametrize(
    ("moment", "opens", "closes"),
    [
        ("2026-11-20T15:00", "2026-11-20T14:30", "2026-11-20T21:00"),  # inside a session
        ("2026-11-20T21:00", "2026-11-23T14:30", "2026-11-23T21:00"),  # from the close on, the one after the weekend
        ("2026-11-27T12:00", "2026-11-27T14:30", "2026-11-27T18:00"),  # a half day
        ("2026-07-06T12:00", "2026-07-06T13:30", "2026-07-06T20:00"),  # daylight saving time
    ],
)
def test_it_tells_the_session_that_is_open_or_comes_next(moment: str, opens: str, closes: str) -> None:
    told = values(moment)
    assert told["session_open_timestamp"] == at(opens).timestamp()
    assert told["session_close_timestamp"] == at(closes).timestamp()


def test_session_time_stands_still_between_two_sessions() -> None:
    """At a close, what was before plus the session is what is before the next one."""
    before, after = values("2026-11-20T15:00"), values("2026-11-20T21:00")
    length_s = before["session_close_timestamp"] - before["session_open_timestamp"]
    assert length_s == 6.5 * HOUR_S
    assert after["session_elapsed_before"] == before["session_elapsed_before"] + length_s


def test_a_half_day_counts_for_what_it_is() -> None:
    grown = values("2026-11-28T12:00")["session_elapsed_before"] - values("2026-11-27T12:00")["session_elapsed_before"]
    assert grown == 3.5 * HOUR_S


def test_session_time_of_a_market_that_never_closes_is_time() -> None:
    always = SessionCalendar.load("always")
    session = always.current_or_next(at("2026-11-20T15:00"))
    assert elapsed_before_s(always, session) == (session.opens_at - COUNTED_FROM).total_seconds()


def test_a_calendar_that_never_ends_has_no_end() -> None:
    assert "calendar_valid_until_timestamp" not in values("2026-11-20T15:00", SessionCalendar.load("always"))
    assert values("2026-11-20T15:00")["calendar_valid_until_timestamp"] == NEW_YORK.valid_until.timestamp()


def test_a_reset_is_told_before_it_begins_while_it_lasts_and_a_little_longer() -> None:
    reset = WINDOWS.next_reset(at("2026-11-20T15:00"))
    for moment in (reset.starts_at - timedelta(hours=1), reset.starts_at, reset.ends_at + timedelta(minutes=1)):
        told = values(moment.replace(tzinfo=None).isoformat())
        assert told["broker_reset_start_timestamp"] == reset.starts_at.timestamp()
        assert told["broker_reset_end_timestamp"] == reset.ends_at.timestamp()


def test_a_moment_that_the_calendar_does_not_cover_is_an_error() -> None:
    with pytest.raises(CalendarExpired):
        session_gauges(NEW_YORK, None, at("2050-01-01T00:00"))


def test_everything_told_is_in_the_list_of_metrics() -> None:
    listed = {metric.name: metric.help for metric in SESSION.metrics}
    told = {gauge.name: gauge.help for gauge in session_gauges(NEW_YORK, WINDOWS, at("2026-11-20T15:00"))}
    assert told == listed
