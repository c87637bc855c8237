"""Maintenance in a healthy week: the jobs that the shipped timers start, and what node_exporter tells of them.

Rules: when a job is due stands in its timer, whether it may begin is asked of the product, and what it publishes is
made by the product from the tasks of its table. Every task ends well in a twentieth of its limit, and every emergency
drill within its bound; each week another one takes exactly that long.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from trader.drills.emergency import EMERGENCIES, EmergencyResult
from trader.maintenance import metrics
from trader.maintenance.drill_metrics import gauges as gauges_of_drills
from trader.maintenance.model import Kind, Outcome, Part, Section, TaskRun
from trader.maintenance.slot import Hours
from trader.maintenance.surroundings import limit_s_of
from trader.maintenance.tasks import Task, tasks_of
from trader.session import BrokerWindows, SessionCalendar
from trader.settings import Settings
from trader.textfile import Gauge

SYSTEMD: Final = Path(__file__).resolve().parents[2] / "systemd"
STATES: Final = ("active", "activating", "failed", "inactive")
# Longer than the longest time between two jobs of a kind, so that each has run before the week begins.
BEFORE: Final = timedelta(days=40)
ONE_DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
SHARE: Final = 0.05
SATURDAY: Final = 5
CALENDAR_EVERY_S: Final = 300

Reading = tuple[str, dict[str, str], float]


class Job(NamedTuple):
    """One run of a job: its timer fires, it begins when it may, is declared for its limit, and ends before that."""

    kind: Kind
    fires_at: datetime
    begins_at: datetime
    declared_until: datetime
    ends_at: datetime


class Maintenance:
    """The jobs of the week from ``start``, and of the weeks before; time only goes forward."""

    def __init__(self, start: datetime, settings: Settings, calendar: SessionCalendar, windows: BrokerWindows) -> None:
        self._start = start
        margin = timedelta(seconds=settings.maintenance.close_margin_s)
        hours = Hours(calendar, windows, margin)
        self.jobs = sorted(
            (
                _job(kind, at, hours, timedelta(seconds=limit_s_of(settings, kind)))
                for kind in Kind
                for at in _fires(kind, start)
            ),
            key=lambda job: job.fires_at,
        )
        self._ahead = [
            (moment, job) for job in self.jobs for moment in sorted({job.fires_at, job.begins_at, job.ends_at})
        ]
        self._ahead.sort(key=lambda item: item[0])
        self._records: metrics.Records = metrics.NO_RECORDS
        self._declared: dict[Kind, tuple[datetime, datetime]] = {}
        self._drills: tuple[EmergencyResult, ...] = ()
        self._gauges: tuple[Gauge, ...] = ()

    def begun_by(self, end: datetime) -> list[Job]:
        """The jobs that begin in the week, up to ``end``."""
        return [job for job in self.jobs if self._start <= job.begins_at < end]

    def gauges(self, now: datetime) -> tuple[Gauge, ...]:
        """What the jobs have published by ``now``, in Unix time."""
        changed = not self._gauges
        while self._ahead and self._ahead[0][0] <= now:
            self._take(*self._ahead.pop(0))
            changed = True
        if changed:
            of_jobs = (metrics.gauges(kind, self._records, self._declared.get(kind)) for kind in Kind)
            self._gauges = (*(gauge for found in of_jobs for gauge in found), *gauges_of_drills(self._drills))
        return self._gauges

    def units(self, now: datetime) -> Iterator[Reading]:
        """What node_exporter tells of the timers and their services; times count from the week's start."""
        since_start_s = (now - self._start).total_seconds()
        yield from _unit("ibkr-calendar.timer", "active", "")
        yield from _fired("ibkr-calendar.timer", since_start_s // CALENDAR_EVERY_S * CALENDAR_EVERY_S)
        for kind in Kind:
            last = [job for job in self.jobs if job.kind is kind and job.fires_at <= now][-1]
            yield from _unit(f"ibkr-maintenance-{kind}.timer", "active", "")
            yield from _fired(f"ibkr-maintenance-{kind}.timer", (last.fires_at - self._start).total_seconds())
            state = "activating" if now < last.ends_at else "inactive"
            yield from _unit(f"ibkr-maintenance-{kind}.service", state, "oneshot")

    def _take(self, moment: datetime, job: Job) -> None:
        if moment < job.ends_at:
            self._declared[job.kind] = (job.begins_at, job.declared_until)
            return
        self._declared[job.kind] = (job.begins_at, job.ends_at)
        self._records = metrics.updated(self._records, _runs(job))
        if job.kind is Kind.WEEKLY:
            self._drills = _drills(job)


def _fires(kind: Kind, start: datetime) -> Iterator[datetime]:
    """When the shipped timer fires, with half of its random delay, from ``BEFORE`` the week until its end."""
    lines = (SYSTEMD / f"ibkr-maintenance-{kind}.timer").read_text().splitlines()
    timer = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    day, clock, zone = timer["OnCalendar"].rsplit(" ", 2)
    hour, minute = (int(part) for part in clock.split(":"))
    delay = timedelta(minutes=int(timer["RandomizedDelaySec"].removesuffix("min"))) / 2
    is_due = {
        "*-*-*": lambda at: True,
        "Sat *-*-*": lambda at: at.weekday() == SATURDAY,
        "Sat *-*-01..07": lambda at: at.weekday() == SATURDAY and at.day <= 7,
    }[day]
    first = (start - BEFORE).astimezone(ZoneInfo(zone)).replace(hour=hour, minute=minute)
    for number in range((BEFORE + WEEK) // ONE_DAY + 1):
        at = first + number * ONE_DAY  # by the wall clock
        if is_due(at):
            yield at.astimezone(UTC) + delay


def _job(kind: Kind, fires_at: datetime, hours: Hours, limit: timedelta) -> Job:
    slot = hours.next_slot(fires_at, limit)
    took = sum((_took(task) for task in tasks_of(kind)), timedelta())
    begins = slot.starts_at
    return Job(kind, fires_at, begins, min(begins + limit, slot.ends_at), begins + took)


def _took(task: Task) -> timedelta:
    return timedelta(seconds=round(SHARE * task.time_limit_s))


def _runs(job: Job) -> Iterator[TaskRun]:
    begins = job.begins_at
    for task in tasks_of(job.kind):
        parts = tuple(Part(task=part, outcome=Outcome.OK) for part in task.parts)
        section = Section(key=task.name, title=task.title, outcome=Outcome.OK, sentence="well", parts=parts)
        yield TaskRun(task=task.name, section=section, started_at=begins, duration_s=_took(task).total_seconds())
        begins += _took(task)


def _drills(job: Job) -> tuple[EmergencyResult, ...]:
    count, week = len(EMERGENCIES), job.begins_at.toordinal() // 7
    return tuple(
        EmergencyResult(
            name=drill.name, title=drill.title, bound_s=drill.bound_s, panic=drill.panic,
            duration_s=drill.bound_s * ((index + week) % count + 1) / count,
        )
        for index, drill in enumerate(EMERGENCIES)
    )  # fmt: skip


def _unit(name: str, state: str, kind: str) -> Iterator[Reading]:
    for other in STATES:
        yield "node_systemd_unit_state", {"name": name, "state": other, "type": kind}, float(other == state)


def _fired(name: str, at_s: float) -> Iterator[Reading]:
    yield "node_systemd_timer_last_trigger_seconds", {"name": name}, at_s
