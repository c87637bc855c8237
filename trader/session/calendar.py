"""Which session a moment belongs to.

Rules: a lookup is a bisection of a sorted list, no dates are computed; a moment before the first or after
the last listed session raises ``CalendarExpired``, because "not listed" is not "closed".
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from trader.clock import require_aware
from trader.session.table import CalendarError, CalendarExpired, CalendarTable, Session, read_table

DATA_FOLDER: Final = Path(__file__).resolve().parent.parent / "data"
ALWAYS: Final = "always"
# Calendars that are the same sessions under another exchange's name.
ALIASES: Final = {"XNAS": "XNYS", "ARCX": "XNYS", "BATS": "XNYS", "XCME": "CMES"}
ONE_DAY: Final = timedelta(days=1)


class SessionCalendar(ABC):
    """The sessions of one market. All moments are aware; all results are in UTC."""

    name: str

    @staticmethod
    def load(name: str, file: Path | None = None) -> "SessionCalendar":
        """The calendar called ``name``: ``always``, one that comes with the product, or ``file``.

        Raises CalendarError when it does not exist, is corrupt, or ``file`` is of another calendar.
        """
        if name == ALWAYS:
            return AlwaysOpenCalendar()
        wanted = ALIASES.get(name, name)
        if file is None:
            file = DATA_FOLDER / f"{wanted}.csv"
            if wanted not in available_calendars():
                raise CalendarError(
                    f"there is no calendar {name!r}; known are {', '.join(available_calendars())}, {ALWAYS}, and any "
                    "file made by: trader calendar extract"
                )
        table = read_table(file)
        if ALIASES.get(table.calendar, table.calendar) != wanted:
            raise CalendarError(f"{file}: is the calendar of {table.calendar}, not of {name}")
        return TableCalendar(name, table)

    @property
    @abstractmethod
    def valid_until(self) -> datetime | None:
        """The moment from which on nothing is known; None when the calendar never ends."""

    @abstractmethod
    def session_at(self, moment: datetime) -> Session | None:
        """The session that is open at ``moment``; None when the market is closed."""

    @abstractmethod
    def next_session(self, moment: datetime) -> Session:
        """The first session that opens after ``moment``."""

    def current_or_next(self, moment: datetime) -> Session:
        """The session that is open at ``moment``, else the next one."""
        return self.session_at(moment) or self.next_session(moment)


class TableCalendar(SessionCalendar):
    """The sessions listed in a table."""

    def __init__(self, name: str, table: CalendarTable) -> None:
        self.name = name
        self.table = table
        self._sessions = table.sessions
        self._opens = [session.opens_at for session in table.sessions]
        self._valid_from = self._opens[0]
        self._valid_until = table.sessions[-1].closes_at

    @property
    def valid_until(self) -> datetime:
        return self._valid_until

    def session_at(self, moment: datetime) -> Session | None:
        session = self._sessions[self._position(moment) - 1]
        return session if moment < session.closes_at else None

    def next_session(self, moment: datetime) -> Session:
        position = self._position(moment)
        if position == len(self._sessions):
            raise self._expired(moment)
        return self._sessions[position]

    def _position(self, moment: datetime) -> int:
        """How many sessions have opened by ``moment``; at least 1."""
        if moment.tzinfo is None:
            require_aware(moment)
        position = bisect_right(self._opens, moment)
        if position == 0 or moment >= self._valid_until:
            raise self._expired(moment)
        return position

    def _expired(self, moment: datetime) -> CalendarExpired:
        return CalendarExpired(
            f"the calendar {self.name} covers {self._valid_from:%Y-%m-%d} to {self._valid_until:%Y-%m-%d %H:%M} UTC, "
            f"not {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC; extract it again with: "
            f"trader calendar extract --calendar {self.table.calendar} --out FILE, "
            "and name FILE in session.calendar_file"
        )


class AlwaysOpenCalendar(SessionCalendar):
    """A market that never closes: one session a UTC day, back to back."""

    name = ALWAYS

    @property
    def valid_until(self) -> None:
        return None

    def session_at(self, moment: datetime) -> Session:
        require_aware(moment)
        opens_at = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Session(f"{opens_at:%Y-%m-%d}", opens_at, opens_at + ONE_DAY)

    def next_session(self, moment: datetime) -> Session:
        return self.session_at(moment + ONE_DAY)


def available_calendars() -> tuple[str, ...]:
    """The names of the calendars that come with the product, without ``always``."""
    return tuple(sorted(path.stem for path in DATA_FOLDER.glob("*.csv")))
