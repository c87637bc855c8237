"""The table of an exchange's sessions, as a small CSV file.

Format: ``# key: value`` lines (``calendar``, ``source``, ``extracted`` are required), then the line
``session,opens,closes,half_day`` and one line a session, in order. ``session`` is the trading day,
``opens`` and ``closes`` are HH:MM in UTC. An opening that is not before the close lies on the day before
(futures open in the evening). ``half_day`` is 1 for an early close, else 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import msgspec

COLUMNS = "session,opens,closes,half_day"
REQUIRED_HEADERS = ("calendar", "source", "extracted")
TABLE_MAX_BYTES = 5_000_000


class CalendarError(Exception):
    """A calendar cannot be used: unknown, unreadable, corrupt, or it does not cover a moment."""


class CalendarExpired(CalendarError):
    """The calendar does not reach the moment that was asked for; it must be extracted again."""


class Session(msgspec.Struct, frozen=True, gc=False):
    """One trading session, open at ``opens_at`` and no longer at ``closes_at``; both in UTC."""

    name: str
    opens_at: datetime
    closes_at: datetime
    half_day: bool = False

    def contains(self, moment: datetime) -> bool:
        return self.opens_at <= moment < self.closes_at


@dataclass(frozen=True)
class CalendarTable:
    """Sessions in order, none overlapping, with where they come from."""

    calendar: str
    source: str
    extracted: date
    sessions: tuple[Session, ...]


def read_table(path: Path) -> CalendarTable:
    """Read a table; raises CalendarError that names the file and the line."""
    try:
        if path.stat().st_size > TABLE_MAX_BYTES:
            raise CalendarError(f"{path}: is larger than {TABLE_MAX_BYTES} bytes, so it is not a calendar")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CalendarError(f"{path}: cannot be read: {error}") from error
    return parse_table(text, str(path))


def parse_table(text: str, where: str) -> CalendarTable:
    """Parse a table; ``where`` names it in errors."""
    headers: dict[str, str] = {}
    sessions: list[Session] = []
    columns_seen = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            key, separator, value = line.removeprefix("#").partition(":")
            if separator:
                headers[key.strip()] = value.strip()
        elif not columns_seen:
            if line != COLUMNS:
                raise CalendarError(f"{where}:{number}: expected the line {COLUMNS!r}, not {line[:80]!r}")
            columns_seen = True
        else:
            sessions.append(_following(sessions, _parse_session(line, f"{where}:{number}"), f"{where}:{number}"))
    return _complete(headers, sessions, where)


def _complete(headers: dict[str, str], sessions: list[Session], where: str) -> CalendarTable:
    missing = [key for key in REQUIRED_HEADERS if not headers.get(key)]
    if missing:
        raise CalendarError(f"{where}: has no line '# {missing[0]}: …'; extract it again (trader calendar extract)")
    if not sessions:
        raise CalendarError(f"{where}: lists no session; extract it again (trader calendar extract)")
    try:
        extracted = date.fromisoformat(headers["extracted"])
    except ValueError as error:
        raise CalendarError(f"{where}: 'extracted' must be a date such as 2026-01-31: {error}") from error
    return CalendarTable(headers["calendar"], headers["source"], extracted, tuple(sessions))


def _parse_session(line: str, where: str) -> Session:
    try:
        name, opens, closes, half_day = line.split(",")
        day = date.fromisoformat(name)
        opens_at = _moment(day, opens)
        closes_at = _moment(day, closes)
        if half_day not in ("0", "1"):
            raise ValueError(f"half_day must be 0 or 1, not {half_day!r}")
    except ValueError as error:
        raise CalendarError(f"{where}: {line[:80]!r} is not a session ({COLUMNS}): {error}") from error
    if opens_at >= closes_at:
        opens_at -= timedelta(days=1)
    return Session(name, opens_at, closes_at, half_day == "1")


def _moment(day: date, clock_time: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock_time), tzinfo=UTC)


def _following(sessions: list[Session], session: Session, where: str) -> Session:
    if sessions and session.opens_at < sessions[-1].closes_at:
        raise CalendarError(f"{where}: session {session.name} opens before {sessions[-1].name} has closed")
    return session


def format_table(headers: dict[str, str], sessions: Iterable[Session]) -> str:
    """The text of a table, in the format that ``parse_table`` reads."""
    lines = [f"# {key}: {value}" for key, value in headers.items()]
    lines.append(COLUMNS)
    lines += [f"{s.name},{s.opens_at:%H:%M},{s.closes_at:%H:%M},{int(s.half_day)}" for s in sessions]
    return "\n".join(lines) + "\n"
