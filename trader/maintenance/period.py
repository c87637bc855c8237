"""Which time a job looks at.

Rules: pure; by the same calendar as the service. Periods of one kind neither overlap nor leave a gap, whenever the
jobs run. In UTC, so that daylight saving time changes nothing.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from trader.maintenance.context import Period
from trader.maintenance.model import Kind
from trader.session import CalendarError, CalendarExpired, Session, SessionCalendar

SETTLE: Final = timedelta(minutes=5)
"""What a close causes (its fact, late executions, commissions) comes within this and belongs to the day."""
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
# The longest closure of an exchange in the tables that come along is a week.
LOOK_BACK: Final = timedelta(days=15)
SESSIONS_MAX: Final = 100


def period_of(kind: Kind, now: datetime, calendar: SessionCalendar | None) -> Period:
    """The last whole period of ``kind`` before ``now``."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match kind:
        case Kind.DAILY:
            return _daily(now, midnight, calendar)
        case Kind.WEEKLY:
            since, label = midnight - WEEK, f"{midnight - DAY:%Y-%m-%d}"
            return Period(since, midnight, label, sessions_closed(calendar, since, midnight))
        case Kind.MONTHLY:
            until = midnight.replace(day=1)
            since = (until - DAY).replace(day=1)
            return Period(since, until, f"{since:%Y-%m}", sessions_closed(calendar, since, until))


def _daily(now: datetime, midnight: datetime, calendar: SessionCalendar | None) -> Period:
    closed = sessions_closed(calendar, now - SETTLE - LOOK_BACK, now - SETTLE)
    if not closed or not covers(calendar, now):
        return Period(midnight - DAY, midnight, f"{midnight - DAY:%Y-%m-%d}")
    last = closed[-1]
    since = closed[-2].closes_at if len(closed) > 1 else last.opens_at
    return Period(since + SETTLE, last.closes_at + SETTLE, last.name, (last,))


def sessions_closed(calendar: SessionCalendar | None, after: datetime, until: datetime) -> tuple[Session, ...]:
    """The sessions that closed after ``after`` and not after ``until``, oldest first; none where it knows none."""
    if calendar is None:
        return ()
    found = _sessions_between(calendar, after, until)
    return tuple(session for session in found if after < session.closes_at <= until)


def _sessions_between(calendar: SessionCalendar, first: datetime, last: datetime) -> Iterator[Session]:
    """The session at ``first`` or the next, and those after it, as far as the calendar goes; bounded.

    A table that begins later is followed from its begin.
    """
    moment = first
    while not covers(calendar, moment) and moment < last:
        moment += HOUR
    try:
        session = calendar.current_or_next(moment)
        for _ in range(SESSIONS_MAX):
            yield session
            session = calendar.next_session(session.opens_at)
    except CalendarExpired:
        return


def covers(calendar: SessionCalendar | None, moment: datetime) -> bool:
    """Whether it is known if the market is open at ``moment``, and when it opens next."""
    if calendar is None:
        return False
    try:
        calendar.current_or_next(moment)
    except CalendarError:
        return False
    return True
