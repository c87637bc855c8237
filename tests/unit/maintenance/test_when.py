"""Which time a job looks at, and when it may run, by the calendars that come along."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from trader.maintenance.model import Kind
from trader.maintenance.period import SETTLE, covers, period_of, sessions_closed
from trader.maintenance.slot import Hours
from trader.session import BrokerWindows, SessionCalendar

XNYS = SessionCalendar.load("XNYS")
CMES = SessionCalendar.load("CMES")
ALWAYS = SessionCalendar.load("always")
MARGIN = timedelta(minutes=10)
NEED = timedelta(minutes=20)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "now", "since", "until", "label"),
    [
        (Kind.DAILY, "2026-11-20T22:00", "2026-11-19T21:05", "2026-11-20T21:05", "2026-11-20"),
        (Kind.DAILY, "2026-11-20T21:04", "2026-11-18T21:05", "2026-11-19T21:05", "2026-11-19"),
        (Kind.DAILY, "2026-11-22T12:00", "2026-11-19T21:05", "2026-11-20T21:05", "2026-11-20"),
        # Over Thanksgiving, to a half day that closes at 13:00 in New York.
        (Kind.DAILY, "2026-11-27T19:00", "2026-11-25T21:05", "2026-11-27T18:05", "2026-11-27"),
        (Kind.WEEKLY, "2026-11-21T15:00", "2026-11-14T00:00", "2026-11-21T00:00", "2026-11-20"),
        (Kind.MONTHLY, "2026-12-05T20:00", "2026-11-01T00:00", "2026-12-01T00:00", "2026-11"),
        (Kind.MONTHLY, "2026-01-01T00:00", "2025-12-01T00:00", "2026-01-01T00:00", "2025-12"),
    ],
)
def test_a_job_looks_at_the_last_whole_period(kind: Kind, now: str, since: str, until: str, label: str) -> None:
    period = period_of(kind, at(now), XNYS)
    assert (period.since, period.until, period.label) == (at(since), at(until), label)


def test_the_sessions_of_a_week_are_those_that_closed_in_it() -> None:
    period = period_of(Kind.WEEKLY, at("2026-11-28T15:00"), XNYS)
    assert [session.name for session in period.sessions] == ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27"]


@pytest.mark.parametrize("calendar", [XNYS, CMES, ALWAYS], ids=lambda calendar: calendar.name)
def test_daily_periods_leave_no_gap_and_do_not_overlap(calendar: SessionCalendar) -> None:
    periods = {}
    moment = at("2026-02-20T22:30")
    while moment < at("2026-12-31T00:00"):
        period = period_of(Kind.DAILY, moment, calendar)
        periods[period.since] = period
        moment += timedelta(hours=24)
    in_order = [periods[since] for since in sorted(periods)]
    assert all(earlier.until == later.since for earlier, later in pairwise(in_order))
    assert all(len(period.sessions) == 1 for period in in_order)


def test_a_week_of_a_job_that_runs_late_is_the_seven_days_before() -> None:
    assert period_of(Kind.WEEKLY, at("2026-11-23T22:00"), XNYS).until == at("2026-11-23T00:00")


@pytest.mark.parametrize("calendar", [None, XNYS])
def test_without_a_calendar_the_day_is_the_last_whole_one_in_utc(calendar: SessionCalendar | None) -> None:
    period = period_of(Kind.DAILY, at("2045-06-01T22:00"), calendar)
    assert (period.since, period.until, period.sessions) == (at("2045-05-31T00:00"), at("2045-06-01T00:00"), ())
    assert period.label == "2045-05-31"


def test_before_its_first_session_a_calendar_covers_nothing() -> None:
    assert not covers(XNYS, at("1990-01-01T00:00"))
    assert sessions_closed(XNYS, at("1990-01-01T00:00"), at("1990-02-01T00:00")) == ()


def test_a_calendar_that_has_just_begun_has_its_sessions(tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text(
        "# calendar: XNYS\n# source: a test\n# extracted: 2026-11-20\nsession,opens,closes,half_day\n"
        "2026-11-19,14:30,21:00,0\n2026-11-20,14:30,21:00,0\n2026-11-23,14:30,21:00,0\n"
    )
    period = period_of(Kind.DAILY, at("2026-11-20T22:00"), SessionCalendar.load("XNYS", table))
    assert (period.label, period.since) == ("2026-11-20", at("2026-11-19T21:05"))


def test_the_time_to_settle_is_not_longer_than_a_job_waits_after_the_close() -> None:
    assert MARGIN >= SETTLE


@pytest.mark.parametrize(
    ("now", "starts", "why"),
    [
        ("2026-11-20T22:00", "2026-11-20T22:00", ""),
        ("2026-11-20T17:00", "2026-11-20T21:10", "the session 2026-11-20 is open until 2026-11-20 21:00 UTC"),
        ("2026-11-20T21:05", "2026-11-20T21:10", "the session 2026-11-20 is open until 2026-11-20 21:00 UTC"),
        ("2026-11-20T14:10", "2026-11-20T21:10", "the session 2026-11-20 is open until 2026-11-20 21:00 UTC"),
        # An hour later in UTC once the clocks in New York went back, on 1 November.
        ("2026-10-30T17:00", "2026-10-30T20:10", "the session 2026-10-30 is open until 2026-10-30 20:00 UTC"),
        ("2026-11-02T17:00", "2026-11-02T21:10", "the session 2026-11-02 is open until 2026-11-02 21:00 UTC"),
        # The reset of 00:15 to 01:45 in New York, and the one of the weekend.
        ("2026-11-19T05:30", "2026-11-19T06:55", "the broker's announced reset lasts until 2026-11-19 06:45 UTC"),
        ("2026-11-19T05:00", "2026-11-19T06:55", "the broker's announced reset lasts until 2026-11-19 06:45 UTC"),
        ("2026-11-21T04:30", "2026-11-21T08:10", "the broker's announced reset lasts until 2026-11-21 08:00 UTC"),
    ],
)
def test_a_job_keeps_clear_of_the_session_and_of_resets(now: str, starts: str, why: str) -> None:
    slot = Hours(XNYS, BrokerWindows.load(), MARGIN).next_slot(at(now), NEED)
    assert (slot.starts_at, slot.why) == (at(starts), why)


def test_a_long_job_waits_for_the_weekend_where_futures_rest_an_hour_a_day() -> None:
    hours = Hours(CMES, BrokerWindows.load(), MARGIN)
    assert hours.next_slot(at("2026-11-17T12:00"), timedelta(minutes=30)).starts_at == at("2026-11-17T22:10")
    assert hours.next_slot(at("2026-11-17T12:00"), timedelta(hours=2)).starts_at == at("2026-11-20T22:10")


def test_a_market_that_never_closes_leaves_only_the_resets() -> None:
    hours = Hours(ALWAYS, BrokerWindows.load(), MARGIN)
    assert hours.next_slot(at("2026-11-18T15:00"), NEED).starts_at == at("2026-11-18T15:00")
    assert hours.next_slot(at("2026-11-19T05:30"), NEED).starts_at == at("2026-11-19T06:55")


@pytest.mark.parametrize("calendar", [None, XNYS])
def test_where_no_session_is_known_none_is_waited_for(calendar: SessionCalendar | None) -> None:
    hours = Hours(calendar, None, MARGIN)
    assert hours.next_slot(at("2045-01-03T16:00"), NEED).starts_at == at("2045-01-03T16:00")


@pytest.mark.parametrize("calendar", [XNYS, CMES], ids=lambda calendar: calendar.name)
def test_no_moment_of_a_slot_is_in_a_session_or_a_reset(calendar: SessionCalendar, seed: int) -> None:
    chance, windows = random.Random(seed), BrokerWindows.load()
    hours = Hours(calendar, windows, MARGIN)
    for _ in range(200):
        now = at("2024-01-01T00:00") + timedelta(minutes=chance.randrange(3 * 365 * 24 * 60))
        need = timedelta(minutes=chance.choice((10, 20, 30, 120)))
        slot = hours.next_slot(now, need)
        assert slot.starts_at >= now
        assert slot.ends_at >= slot.starts_at + need
        near = [slot.starts_at - MARGIN, slot.starts_at, slot.starts_at + need / 2, slot.ends_at + MARGIN - SECOND]
        for moment in near:
            assert calendar.session_at(moment) is None, (now, need, slot)
            assert windows.window_at(moment) is None, (now, need, slot)


SECOND = timedelta(seconds=1)
