"""The session and the broker's reset as gauges of absolute times, for rules that must not depend on the trader.

Rules: a rule that compares ``time()`` with these needs no calendar, no time zone and no list of holidays. Told is
the session that is open, or else the next one; session time is counted from 2020 on, so a table that is extracted
again counts the same.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from trader.session.calendar import SessionCalendar, TableCalendar
from trader.session.table import Session
from trader.session.windows import BrokerWindows
from trader.textfile import Gauge, Sample

COUNTED_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
# A reset that is over is told for a while longer, so that a rule that looks back finds it.
RESET_TOLD_FOR: Final = timedelta(minutes=10)


def session_gauges(calendar: SessionCalendar, windows: BrokerWindows | None, now: datetime) -> tuple[Gauge, ...]:
    """All gauges at ``now``; raises CalendarError when the calendar does not cover that moment."""
    session = calendar.current_or_next(now)
    return (*_session(calendar, session), *(_reset(windows, now) if windows is not None else ()))


def elapsed_before_s(calendar: SessionCalendar, session: Session) -> float:
    """Session time from 2020 to the opening of ``session``, in seconds."""
    if not isinstance(calendar, TableCalendar):
        return (session.opens_at - COUNTED_FROM).total_seconds()
    counted = (item for item in calendar.table.sessions if COUNTED_FROM <= item.opens_at < session.opens_at)
    return sum((item.closes_at - item.opens_at).total_seconds() for item in counted)


def _session(calendar: SessionCalendar, session: Session) -> Iterator[Gauge]:
    def gauge(name: str, text: str, value: float) -> Gauge:
        return Gauge(name, text, (Sample(value, {"calendar": calendar.name}),))

    yield gauge(
        "trader_session_open_timestamp_seconds",
        "When the session that is open, or else the next one, opens, Unix time.",
        session.opens_at.timestamp(),
    )
    yield gauge(
        "trader_session_close_timestamp_seconds",
        "When the session that is open, or else the next one, closes, Unix time.",
        session.closes_at.timestamp(),
    )
    yield gauge(
        "trader_session_elapsed_before_seconds",
        "Session time of all sessions before that one, from 2020 on.",
        elapsed_before_s(calendar, session),
    )
    if calendar.valid_until is not None:
        yield gauge(
            "trader_calendar_valid_until_timestamp_seconds",
            "Until when the calendar's sessions are known, Unix time; absent for one that never ends.",
            calendar.valid_until.timestamp(),
        )


def _reset(windows: BrokerWindows, now: datetime) -> Iterator[Gauge]:
    reset = windows.window_at(now) or windows.window_at(now - RESET_TOLD_FOR) or windows.next_reset(now)
    for edge, verb, moment in (("start", "begins", reset.starts_at), ("end", "ends", reset.ends_at)):
        yield Gauge(
            f"trader_broker_reset_{edge}_timestamp_seconds",
            f"When the broker's current, or else next, announced reset {verb}, Unix time.",
            (Sample(moment.timestamp()),),
        )
