"""One run of a maintenance job, from the wait for its time to the report.

Rules: control flow is here and nowhere else. A task that fails ends alone. Nothing is said to be done that is not: a
report, a record and a metric each appear as a whole or not at all, and what cannot be written makes the run fail. A
dry run takes no lock, waits for nothing and writes nothing. A look back, whose clock tells a moment of the past, waits
for nothing and writes its report only.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, NamedTuple

from msgspec.structs import replace

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.doctor import Place
from trader.maintenance import history, metrics
from trader.maintenance.context import Context, Folders
from trader.maintenance.files import WriteError
from trader.maintenance.lock import Held, JobLock, LockError
from trader.maintenance.model import JobReport, Kind, Outcome, TaskRun, worst
from trader.maintenance.period import covers, period_of
from trader.maintenance.runner import RunTask, Stop, failed_section
from trader.maintenance.slot import Hours, Slot
from trader.maintenance.sources import Logs, Metrics
from trader.maintenance.surroundings import TASK, Surroundings, limit_s_of, surroundings_section
from trader.maintenance.tasks import Task, tasks_of
from trader.maintenance.tell import tell_service
from trader.settings import Settings
from trader.textfile import TextfileError

LOOK_AGAIN_S: Final = 30.0
LOOK_SOON_S: Final = 1.0
LOCK_AGAIN_S: Final = 5.0
SCRATCH_PREFIX: Final = "scratch-"
RUNNING: Final = "running.lock"
"""Held by the one job that runs, of whatever kind."""


class Exit(IntEnum):
    """How a run ends, as an exit code."""

    OK = 0
    FAILED = 1
    UNUSABLE = 2
    HELD = 3
    PUT_OFF = 4


class Ended(NamedTuple):
    """``report`` is None when nothing ran; ``page`` when none was written. ``problems`` are one sentence each."""

    exit: Exit
    report: JobReport | None = None
    page: Path | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """What a job works with. ``say`` tells a person (or the journal) what is going on."""

    kind: Kind
    settings: Settings
    config_file: Path
    clock: Clock
    place: Place
    logs: Logs
    metrics: Metrics
    around: Surroundings
    run_task: RunTask
    stop: Stop
    say: Callable[[str], None]
    tell: Callable[[Settings, JobReport], str] = tell_service


class _NotNow(Exception):
    """The job does not run; with its exit code and a sentence."""

    def __init__(self, code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def run_job(world: World, *, dry_run: bool = False, look_back: bool = False) -> Ended:
    """Wait for the job's time, run its tasks, report."""
    job = _Job(world)
    if dry_run:
        return job.look()
    work = world.settings.maintenance.work_folder
    try:
        with JobLock(work / f"{world.kind}.lock", job.name):
            if look_back:
                with JobLock(work / RUNNING, job.name):
                    return job.look_back()
            with job.in_time(work) as slot:
                return job.run(slot)
    except Held as error:
        return _ended(Exit.HELD, f"{world.kind} maintenance does not run: {error} holds the lock")
    except LockError as error:
        return _ended(Exit.FAILED, str(error))
    except _NotNow as error:
        job.withdraw()
        return Ended(error.code, problems=(str(error), *job.problems))


def _ended(code: Exit, sentence: str) -> Ended:
    return Ended(code, problems=(sentence,))


class _Job:
    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = world.settings.maintenance
        self.limit_s = limit_s_of(world.settings, world.kind)
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.name = f"{world.kind} maintenance since {world.clock.now():%Y-%m-%d %H:%M} UTC"

    # -- when

    @contextmanager
    def in_time(self, work: Path) -> Iterator[Slot]:
        """Hold the lock of all jobs, outside of the session and the resets; raises _NotNow when that takes too long."""
        world, lock = self.world, JobLock(work / RUNNING, self.name)
        margin = timedelta(seconds=self.settings.close_margin_s)
        hours, need = Hours(world.around.calendar, world.around.windows, margin), timedelta(seconds=self.limit_s)
        began_ns, told = world.clock.monotonic_ns(), ""
        while True:
            now = world.clock.now()
            slot = hours.next_slot(now, need)
            ahead_s = (slot.starts_at - now).total_seconds()
            why, again_s = slot.why, min(LOOK_AGAIN_S, max(ahead_s, LOOK_SOON_S))
            if slot.starts_at <= now:
                try:
                    lock.acquire()
                    break
                except Held as error:
                    why, again_s = f"{error} runs", LOCK_AGAIN_S
            self._require_patience(began_ns, slot, why)
            if why != told:
                told = why
                self._wait_for(slot, why)
            world.stop.pause(again_s)
        try:
            if told:
                waited_s = (world.clock.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND
                self.notes.append(f"Waited {waited_s / 60:.0f} min: {told}.")
            yield slot
        finally:
            lock.release()

    def _require_patience(self, began_ns: int, slot: Slot, why: str) -> None:
        world = self.world
        if world.stop.requested:
            raise _NotNow(Exit.FAILED, f"{world.kind} maintenance was asked to end while it waited: nothing was done")
        waited_s = (world.clock.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND
        ahead_s = (slot.starts_at - world.clock.now()).total_seconds()
        if waited_s + ahead_s <= self.settings.wait_max_s:
            return
        if ahead_s > 0:
            raise _NotNow(
                Exit.PUT_OFF,
                f"{world.kind} maintenance is put off: {why}; the next {self.limit_s / 60:.0f} min that are free begin "
                f"at {slot.starts_at:%Y-%m-%d %H:%M} UTC, later than it may wait (maintenance.wait_max_s)",
            )
        raise _NotNow(Exit.HELD, f"{world.kind} maintenance does not run: {why} for longer than it may wait")

    def _wait_for(self, slot: Slot, why: str) -> None:
        begins = max(slot.starts_at, self.world.clock.now())
        self.world.say(f"{self.world.kind} maintenance waits until {begins:%Y-%m-%d %H:%M} UTC at least: {why}")
        records, _ = metrics.read_records(self.settings.work_folder, self.world.clock.now())
        self._publish(records, (begins, begins + timedelta(seconds=self.limit_s)))

    def withdraw(self) -> None:
        """Nothing ran: no time is declared any longer, and what is due is published, so that it gets overdue."""
        records, _ = metrics.read_records(self.settings.work_folder, self.world.clock.now())
        self._publish(records, None)

    # -- what

    def look(self) -> Ended:
        """A dry run: every task is asked, nothing is kept."""
        now = self.world.clock.now()
        scratch = Path(mkdtemp(prefix="trader-maintenance-"))
        try:
            context = self._context(now, scratch, dry_run=True)
            report = self._report(context, now, self._runs(context, now + timedelta(seconds=self.limit_s)))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return Ended(_code(report), report)

    def look_back(self) -> Ended:
        """A report of an earlier period; the tasks change nothing, because what is there now is not what was there."""
        now = self.world.clock.now()
        history.sweep(self.settings.reports_folder)
        with self._scratch() as scratch:
            context = self._context(now, scratch, dry_run=True)
            runs = self._tasks(context, now + timedelta(seconds=self.limit_s))
            report = self._report(context, now, runs)
        page = self._keep(report)
        return Ended(Exit.FAILED if self.problems else _code(report), report, page, tuple(self.problems))

    def run(self, slot: Slot) -> Ended:
        """Run the tasks and keep what came of it."""
        world, started = self.world, self.world.clock.now()
        ends = min(started + timedelta(seconds=self.limit_s), slot.ends_at)
        records, note = metrics.read_records(self.settings.work_folder, started)
        self.notes += [note] if note else []
        self._publish(records, (started, ends))
        history.sweep(self.settings.reports_folder)
        with self._scratch() as scratch:
            context = self._context(started, scratch, dry_run=False)
            report = self._report(context, started, self._runs(context, ends))
        untold = world.tell(world.settings, report)
        if untold:
            report = replace(report, notes=(*report.notes, f"Not in the journal: {untold}."))
        page = self._keep(report)
        records = metrics.updated(records, [run for run in report.runs if run.task != TASK])
        self._record(records)
        self._publish(records, (started, report.finished_at))
        return Ended(Exit.FAILED if self.problems else _code(report), report, page, tuple(self.problems))

    def _context(self, now: datetime, scratch: Path, *, dry_run: bool) -> Context:
        world, settings = self.world, self.settings
        calendar = world.around.calendar if covers(world.around.calendar, now) else None
        return Context(
            kind=world.kind, settings=world.settings, config_file=world.config_file, clock=world.clock,
            period=period_of(world.kind, now, calendar), place=world.place, logs=world.logs, metrics=world.metrics,
            folders=Folders(settings.reports_folder, settings.backups_folder, scratch, settings.textfile_folder),
            calendar=calendar, dry_run=dry_run,
        )  # fmt: skip

    def _runs(self, context: Context, ends: datetime) -> list[TaskRun]:
        """Every task, one after the other; what may be wrong with the calendar or the clock comes first."""
        runs = []
        section = surroundings_section(self.world.around, context, history.entries(context.folders.reports))
        if section is not None:
            runs.append(TaskRun(task=section.key, section=section, started_at=self.world.clock.now(), duration_s=0.0))
        return [*runs, *self._tasks(context, ends)]

    def _tasks(self, context: Context, ends: datetime) -> list[TaskRun]:
        return [self._run(task, context, ends) for task in tasks_of(context.kind)]

    def _run(self, task: Task, context: Context, ends: datetime) -> TaskRun:
        world = self.world
        started, started_ns = world.clock.now(), world.clock.monotonic_ns()
        left_s = (ends - started).total_seconds()
        if world.stop.requested:
            section = failed_section(task, context, "not begun: the job was asked to end")
        elif left_s <= 0:
            section = failed_section(task, context, "not begun: the job's time was used up")
        else:
            section = world.run_task(task, context, min(task.time_limit_s, left_s))
        duration_s = (world.clock.monotonic_ns() - started_ns) / NANOSECONDS_PER_SECOND
        world.say(f"{task.name}: {section.outcome}: {section.sentence}")
        return TaskRun(task=task.name, section=section, started_at=started, duration_s=duration_s)

    def _report(self, context: Context, started: datetime, runs: list[TaskRun]) -> JobReport:
        around, settings = self.world.around, context.settings
        return JobReport(
            kind=context.kind, started_at=started, finished_at=self.world.clock.now(), since=context.since,
            until=context.until, label=context.period.label, mode=settings.mode, account=settings.account,
            host=around.host, version=around.version, dry_run=context.dry_run,
            outcome=worst(run.section.outcome for run in runs), runs=tuple(runs), notes=tuple(self.notes),
        )  # fmt: skip

    # -- keeping

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A private folder for the tasks; what a killed run left goes first. The lock of all jobs is held."""
        work = self.settings.work_folder
        for left in work.glob(f"{SCRATCH_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            scratch = Path(mkdtemp(prefix=SCRATCH_PREFIX, dir=work))
        except OSError as error:
            raise _NotNow(Exit.FAILED, f"there is no room for work in {work} ({error.strerror})") from error
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _keep(self, report: JobReport) -> Path | None:
        folder, settings = self.settings.reports_folder, self.settings
        keep = {
            Kind.DAILY: settings.daily_reports, Kind.WEEKLY: settings.weekly_reports,
            Kind.MONTHLY: settings.monthly_reports,
        }  # fmt: skip
        try:
            page = history.write_report(folder, report)
            history.prune(folder, keep, page)
            history.write_index(folder)
        except WriteError as error:
            self._problem(f"the report was not kept: {error}")
            return None
        return page

    def _record(self, records: metrics.Records) -> None:
        try:
            metrics.write_records(self.settings.work_folder, records)
        except WriteError as error:
            self._problem(f"what the tasks achieved was not kept: {error}")

    def _publish(self, records: metrics.Records, declared: tuple[datetime, datetime] | None) -> None:
        folder = self.settings.textfile_folder
        if folder is None:
            return
        try:
            metrics.write_metrics(folder, self.world.kind, records, declared)
        except TextfileError as error:
            self._problem(f"no metrics: {error}")

    def _problem(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)
            self.world.say(sentence)


def _code(report: JobReport) -> Exit:
    return Exit.FAILED if report.outcome is Outcome.FAILED else Exit.OK
