"""When a strategy's cron schedule comes due.

Rules: the cron expression is of wall time in the configured zone, the moments are UTC; whoever asks brings
the clock, so that a schedule runs the same on virtual time. The scheduling library is imported only when a
strategy has a schedule.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

JUST_AFTER = timedelta(microseconds=1)


class ScheduleError(Exception):
    """The schedule is not a cron expression, or its zone is not known; one sentence."""


def fire_times(expression: str | None, time_zone: str, start: datetime) -> Iterator[datetime]:
    """The moments after ``start`` at which ``expression`` comes due; none without one. Raises ScheduleError."""
    if not expression:
        return iter(())
    from apscheduler.triggers.cron import CronTrigger

    try:
        trigger = CronTrigger.from_crontab(expression, timezone=time_zone)
    except (ValueError, KeyError) as error:
        raise ScheduleError(
            f"{expression!r} in {time_zone} is not a cron schedule ({error}); "
            "strategy.schedule needs five fields, e.g. '35 9 * * mon-fri'"
        ) from error
    return _moments(trigger, start)


def _moments(trigger: "object", start: datetime) -> Iterator[datetime]:
    next_after = trigger.get_next_fire_time  # type: ignore[attr-defined] # the library has no type information
    moment = next_after(None, start + JUST_AFTER)
    while moment is not None:
        yield moment.astimezone(UTC)
        moment = next_after(moment, moment + JUST_AFTER)


class Schedule:
    """A schedule that is asked again and again whether it is due; missed moments count once."""

    def __init__(self, expression: str | None, time_zone: str, start: datetime) -> None:
        self._moments = fire_times(expression, time_zone, start)
        self._next = next(self._moments, None)

    def due(self, now: datetime) -> bool:
        fired = False
        while self._next is not None and self._next <= now:
            self._next = next(self._moments, None)
            fired = True
        return fired
