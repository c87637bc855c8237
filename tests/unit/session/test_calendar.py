"""Session calendars: lookups, half days, and where they end."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.session import CalendarError, CalendarExpired, Session, SessionCalendar, available_calendars

SMALL = """\
# calendar: XTST
# source: written by hand
# extracted: 2026-01-02
session,opens,closes,half_day
2026-01-05,14:30,21:00,0
2026-01-06,14:30,18:00,1
"""

CALENDARS = {name: SessionCalendar.load(name) for name in ("XNYS", "CMES", "always")}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def new_york() -> SessionCalendar:
    return SessionCalendar.load("XNYS")


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("2013-10-07T13:29:59.999999", None),
        ("2013-10-07T13:30:00", "2013-10-07"),
        ("2013-10-07T19:59:59.999999", "2013-10-07"),
        ("2013-10-07T20:00:00", None),
        ("2013-10-12T15:00:00", None),
        ("2024-12-25T15:00:00", None),
        ("2024-03-08T14:00:00", None),
        ("2024-03-11T14:00:00", "2024-03-11"),
    ],
    ids=["before open", "open", "last moment", "close", "saturday", "christmas", "winter time", "summer time"],
)
def test_it_knows_the_session_of_a_moment(new_york: SessionCalendar, moment: str, name: str | None) -> None:
    session = new_york.session_at(at(moment))
    assert (session and session.name) == name


def test_it_closes_early_on_a_half_day(new_york: SessionCalendar) -> None:
    session = new_york.session_at(at("2024-11-29T15:00"))
    assert session == Session("2024-11-29", at("2024-11-29T14:30"), at("2024-11-29T18:00"), half_day=True)


def test_it_finds_the_next_session_over_a_weekend(new_york: SessionCalendar) -> None:
    assert new_york.next_session(at("2013-10-11T15:00")).name == "2013-10-14"
    assert new_york.current_or_next(at("2013-10-11T15:00")).name == "2013-10-11"
    assert new_york.current_or_next(at("2013-10-12T15:00")).name == "2013-10-14"


def test_it_reads_a_moment_of_any_time_zone(new_york: SessionCalendar) -> None:
    tokyo = timezone(timedelta(hours=9))
    session = new_york.session_at(datetime(2013, 10, 8, 0, 0, tzinfo=tokyo))
    assert session is not None
    assert session.name == "2013-10-07"


def test_it_refuses_a_moment_without_a_time_zone(new_york: SessionCalendar) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        new_york.session_at(datetime(2013, 10, 7, 15))  # noqa: DTZ001


@pytest.mark.parametrize("moment", ["2009-12-31T15:00", "2050-01-03T15:00"])
def test_it_says_expired_and_never_closed_outside_the_table(new_york: SessionCalendar, moment: str) -> None:
    with pytest.raises(CalendarExpired, match="trader calendar extract"):
        new_york.session_at(at(moment))


def test_it_says_expired_when_no_next_session_is_listed(new_york: SessionCalendar) -> None:
    assert new_york.valid_until is not None
    last_minute = new_york.valid_until - timedelta(minutes=1)
    assert new_york.session_at(last_minute) is not None
    with pytest.raises(CalendarExpired):
        new_york.next_session(last_minute)


def test_it_gives_a_future_its_evening_open_and_the_daily_halt() -> None:
    chicago = SessionCalendar.load("CMES")
    session = chicago.session_at(at("2013-10-07T00:00"))
    assert session == Session("2013-10-07", at("2013-10-06T22:00"), at("2013-10-07T21:00"))
    assert chicago.session_at(at("2013-10-07T21:30")) is None


def test_it_knows_an_exchange_by_its_alias() -> None:
    nasdaq = SessionCalendar.load("XNAS")
    assert nasdaq.name == "XNAS"
    assert nasdaq.session_at(at("2013-10-07T15:00")) is not None


def test_it_never_closes_when_the_calendar_is_always() -> None:
    always = SessionCalendar.load("always")
    session = always.session_at(at("2013-10-12T23:59:59"))
    assert session == Session("2013-10-12", at("2013-10-12"), at("2013-10-13"))
    following = always.next_session(at("2013-10-12T23:59:59"))
    assert following.opens_at == session.closes_at
    assert always.valid_until is None


def test_it_lists_no_overlapping_session_in_any_calendar_that_comes_along() -> None:
    assert {"XNYS", "CMES"} <= set(available_calendars())
    for name in available_calendars():
        assert SessionCalendar.load(name).valid_until is not None


def test_it_refuses_an_unknown_calendar_by_naming_the_known_ones() -> None:
    with pytest.raises(CalendarError, match="CMES, XNYS, always"):
        SessionCalendar.load("NYSE")


def test_it_reads_a_table_of_the_operator(tmp_path: Path) -> None:
    file = tmp_path / "XTST.csv"
    file.write_text(SMALL)
    calendar = SessionCalendar.load("XTST", file)
    assert calendar.valid_until == at("2026-01-06T18:00")


def test_it_refuses_the_table_of_another_exchange(tmp_path: Path) -> None:
    file = tmp_path / "XTST.csv"
    file.write_text(SMALL)
    with pytest.raises(CalendarError, match="is the calendar of XTST, not of XNYS"):
        SessionCalendar.load("XNYS", file)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("2026-01-05,14:30", "2026-01-99,14:30", r"XTST\.csv:5: .*not a session"),
        ("14:30,18:00,1", "14:30,18:00,maybe", r"XTST\.csv:6: .*half_day must be 0 or 1"),
        ("14:30,18:00,1", "14:30", r"XTST\.csv:6: .*not a session"),
        ("2026-01-06", "2026-01-04", r"XTST\.csv:6: session 2026-01-04 opens before 2026-01-05 has closed"),
        ("# source: written by hand\n", "", r"no line '# source"),
        ("extracted: 2026-01-02", "extracted: lately", r"'extracted' must be a date"),
        ("session,opens,closes,half_day", "day;open;close", r"XTST\.csv:4: expected the line"),
        ("2026-01-05,14:30,21:00,0\n2026-01-06,14:30,18:00,1\n", "", "lists no session"),
    ],
)
def test_it_refuses_a_corrupt_table_by_its_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    file = tmp_path / "XTST.csv"
    file.write_text(SMALL.replace(before, after))
    with pytest.raises(CalendarError, match=message):
        SessionCalendar.load("XTST", file)


def test_it_refuses_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CalendarError, match="cannot be read"):
        SessionCalendar.load("XTST", tmp_path / "missing.csv")


@given(
    moment=st.datetimes(datetime(2010, 1, 5), datetime(2027, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    name=st.sampled_from(["XNYS", "CMES", "always"]),
)
def test_any_moment_is_in_a_session_or_before_the_next_one(moment: datetime, name: str) -> None:
    calendar = CALENDARS[name]
    session, following = calendar.session_at(moment), calendar.next_session(moment)
    assert moment < following.opens_at
    if session is not None:
        assert session.contains(moment)
        assert session.closes_at <= following.opens_at
    assert calendar.session_at(following.opens_at) == following
