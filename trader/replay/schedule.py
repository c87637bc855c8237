"""When a strategy's cron schedule comes due on virtual time.

Rules: wall time in the configured zone, as in the service. The scheduling library is imported only when a
strategy has a schedule.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from trader.replay.result import ReplayError


def fire_times(expression: str | None, time_zone: str, start: datetime) -> Iterator[datetime]:
    """The moments after ``start`` at which ``expression`` comes due; none without one."""
    if not expression:
        return
    from apscheduler.triggers.cron import CronTrigger

    try:
        trigger = CronTrigger.from_crontab(expression, timezone=time_zone)
    except (ValueError, KeyError) as error:
        raise ReplayError(
            f"strategy.schedule: {expression!r} in {time_zone} is not a cron schedule ({error})"
        ) from error
    moment = trigger.get_next_fire_time(None, start)
    while moment is not None:
        yield moment.astimezone(UTC)
        moment = trigger.get_next_fire_time(moment, moment + timedelta(microseconds=1))
