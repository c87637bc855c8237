"""When a job may run: with the market closed and the broker not in an announced reset, by calendar.

Rules: pure; by the same tables as the service, whose times are UTC, so that a change to daylight saving time needs no
care here. A job has to fit as a whole: its longest run must end a margin before the next opening or reset. A market
that never closes leaves only the resets; so does a calendar that does not cover the moment, because the service opens
no position then and a backup that is not made is worse.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from trader.maintenance.period import covers
from trader.session import AlwaysOpenCalendar, BrokerWindows, SessionCalendar

STEPS_MAX: Final = 100
FAR: Final = timedelta(days=7)


class Slot(NamedTuple):
    """A job may begin at ``starts_at`` and must have ended at ``ends_at``; ``why`` says what it waits for."""

    starts_at: datetime
    ends_at: datetime
    why: str


class Obstacle(NamedTuple):
    """Something that a job must not run in, from ``starts_at`` until ``ends_at``, without margins."""

    starts_at: datetime
    ends_at: datetime
    name: str


class Hours:
    """What jobs keep clear of. ``margin`` is kept before and after each obstacle."""

    def __init__(self, calendar: SessionCalendar | None, windows: BrokerWindows | None, margin: timedelta) -> None:
        self._calendar = None if isinstance(calendar, AlwaysOpenCalendar) else calendar
        self._windows = windows
        self._margin = margin

    def next_slot(self, now: datetime, need: timedelta) -> Slot:
        """The first slot from ``now`` on that is at least ``need`` long."""
        moment, why = now, ""
        for _ in range(STEPS_MAX):
            obstacle = self._in_the_way(moment, need)
            if obstacle is None:
                return Slot(moment, self._until(moment), why)
            moment = obstacle.ends_at + self._margin
            why = f"{obstacle.name} until {obstacle.ends_at:%Y-%m-%d %H:%M} UTC"
        return Slot(moment, moment + need, why)

    def _in_the_way(self, moment: datetime, need: timedelta) -> Obstacle | None:
        """The first obstacle that a job of ``need`` beginning at ``moment`` would come too near to."""
        ends = moment + need
        near = (item for item in self._around(moment) if item.starts_at - self._margin < ends)
        hit = [item for item in near if item.ends_at + self._margin > moment]
        return max(hit, key=lambda item: item.ends_at, default=None)

    def _until(self, moment: datetime) -> datetime:
        """When the slot that ``moment`` lies in ends: a margin before the next obstacle."""
        ahead = [item.starts_at for item in self._around(moment) if item.starts_at >= moment]
        return min(ahead, default=moment + FAR) - self._margin

    def _around(self, moment: datetime) -> list[Obstacle]:
        return [*self._sessions(moment), *self._resets(moment)]

    def _sessions(self, moment: datetime) -> list[Obstacle]:
        """The session that is just over, the one that is open, and the next."""
        found = []
        calendar = self._calendar
        if calendar is None:
            return []
        for at in (moment - self._margin, moment):
            if covers(calendar, at):
                session = calendar.current_or_next(at)
                found.append(Obstacle(session.opens_at, session.closes_at, f"the session {session.name} is open"))
        return found

    def _resets(self, moment: datetime) -> list[Obstacle]:
        if self._windows is None:
            return []
        windows = (
            self._windows.window_at(moment - self._margin), self._windows.window_at(moment),
            self._windows.next_reset(moment),
        )  # fmt: skip
        return [
            Obstacle(window.starts_at, window.ends_at, "the broker's announced reset lasts")
            for window in windows if window is not None
        ]  # fmt: skip
