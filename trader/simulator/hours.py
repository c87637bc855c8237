"""When stocks trade at the simulated exchange.

Rules: hours are wall-clock times of one time zone on weekdays that are no holidays; regular hours lie inside
extended ones. The day of executions and of profit and loss begins at midnight of that zone. Futures and
currencies know no hours here; their DAY orders end at 17:00. ``ALWAYS_OPEN`` never closes.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from trader.contracts import SecurityType

_NON_STOCK_DAY_END: Final = time(17, 0)
_DAYS_LOOKED_AHEAD: Final = 15


class TradingHours(msgspec.Struct, frozen=True, kw_only=True):
    """``opens``..``closes`` are regular hours; ``closes_early`` overrides the close on single days."""

    always_open: bool = False
    time_zone: str = "America/New_York"
    opens: time = time(9, 30)
    closes: time = time(16, 0)
    extended_opens: time = time(4, 0)
    extended_closes: time = time(20, 0)
    holidays: frozenset[date] = frozenset()
    closes_early: dict[date, time] = {}

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.time_zone))

    def trading_date(self, moment: datetime) -> date:
        """The day that executions at ``moment`` belong to."""
        return self.local(moment).date()

    def is_session(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self.holidays

    def is_regular(self, moment: datetime) -> bool:
        """Whether regular hours are on: from the open on, up to and without the close."""
        return self.always_open or self._within(moment, self.opens, self._close_of)

    def is_extended(self, moment: datetime) -> bool:
        """Whether extended hours are on (regular ones are part of them)."""
        return self.always_open or self._within(moment, self.extended_opens, lambda day: self.extended_closes)

    def next_open(self, moment: datetime) -> datetime:
        """The first regular open after ``moment``, in the local zone."""
        return next(at for at in self._moments(moment, lambda day: (self.opens,)) if at > moment)

    def next_extended_open(self, moment: datetime) -> datetime:
        """The first extended open after ``moment``, in the local zone."""
        return next(at for at in self._moments(moment, lambda day: (self.extended_opens,)) if at > moment)

    def next_change(self, moment: datetime) -> datetime:
        """The next moment after ``moment`` at which anything about the hours changes; midnight at the latest."""
        following = self._midnight_after(moment)
        if self.always_open:
            return following
        times = self._moments(moment, self._changes_of)
        return min(following, next((at for at in times if at > moment), following)).astimezone(UTC)

    def day_order_expiry(self, moment: datetime, security_type: SecurityType, outside_rth: bool) -> datetime:
        """When a DAY order placed at ``moment`` ends."""
        if self.always_open:
            return self._midnight_after(moment)
        if security_type is not SecurityType.STOCK:
            times = self._moments(moment, lambda day: (_NON_STOCK_DAY_END,))
        elif outside_rth:
            times = self._moments(moment, lambda day: (self.extended_closes,))
        else:
            times = self._moments(moment, lambda day: (self._close_of(day),))
        return next(at for at in times if at > moment).astimezone(UTC)

    def _close_of(self, day: date) -> time:
        return self.closes_early.get(day, self.closes)

    def _changes_of(self, day: date) -> tuple[time, ...]:
        close = self._close_of(day)
        return tuple(sorted((self.extended_opens, self.opens, close, _NON_STOCK_DAY_END, self.extended_closes)))

    def _within(self, moment: datetime, opens: time, close_of: Callable[[date], time]) -> bool:
        local = self.local(moment)
        day = local.date()
        return self.is_session(day) and opens <= local.time() < close_of(day)

    def _midnight_after(self, moment: datetime) -> datetime:
        following = self.local(moment).date() + timedelta(days=1)
        return datetime.combine(following, time(0), ZoneInfo(self.time_zone)).astimezone(UTC)

    def _moments(self, moment: datetime, times_of: Callable[[date], tuple[time, ...]]) -> Iterator[datetime]:
        zone = ZoneInfo(self.time_zone)
        today = self.local(moment).date()
        for offset in range(_DAYS_LOOKED_AHEAD):
            day = today + timedelta(days=offset)
            if self.is_session(day):
                for at in times_of(day):
                    yield datetime.combine(day, at, zone)
        raise ValueError(f"no session within {_DAYS_LOOKED_AHEAD} days of {today}: the calendar has too many holidays")


ALWAYS_OPEN: Final = TradingHours(always_open=True)
US_STOCK_HOURS: Final = TradingHours()
