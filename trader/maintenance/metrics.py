"""What a machine can alert on: when each task last ran and succeeded, and when maintenance is declared.

Rules: one file a kind of job, replaced as a whole; names, texts and labels are the catalogue's. What earlier runs
achieved is kept in ``tasks.json`` in the work folder, because a task that fails must not lose its last success.
Success is any outcome but failed: what could not be looked at is in the report and wakes nobody.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from trader.maintenance.files import write_whole
from trader.maintenance.model import Kind, Outcome, TaskRun
from trader.maintenance.tasks import tasks_of
from trader.textfile import Gauge, Sample, write

RECORD: Final = "tasks.json"
RECORD_MAX_BYTES: Final = 1_000_000
CLOCK_TOLERANCE: Final = timedelta(minutes=5)


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one task, from its last run and its last success."""

    last_run: datetime
    last_success: datetime | None = None
    duration_s: float | None = None
    exit_code: int = 0


Records = Mapping[str, TaskRecord]
NO_RECORDS: Final[Records] = {}


def read_records(folder: Path, now: datetime) -> tuple[Records, str]:
    """What earlier runs achieved, and a note when that is not to be believed; moments ahead of ``now`` are dropped.

    A success in the future would hide every failure until then, so it is better forgotten and the task overdue.
    """
    path = folder / RECORD
    try:
        if path.stat().st_size > RECORD_MAX_BYTES:
            return {}, f"{path} is larger than it can be; what earlier runs achieved is not known"
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, TaskRecord])
    except FileNotFoundError:
        return {}, ""
    except (OSError, msgspec.DecodeError) as error:
        return {}, f"{path} cannot be read ({error}); what earlier runs achieved is not known"
    ahead = sorted(task for task, record in found.items() if _ahead(record, now))
    kept = {task: record for task, record in found.items() if task not in ahead}
    if not ahead:
        return kept, ""
    return kept, f"{', '.join(ahead)} ran in the future by this clock; one of the two was wrong, and they are forgotten"


def _ahead(record: TaskRecord, now: datetime) -> bool:
    return max(record.last_run, record.last_success or record.last_run) > now + CLOCK_TOLERANCE


def updated(records: Records, runs: Iterable[TaskRun]) -> Records:
    """``records`` after ``runs``: of each task, and of each part that was tried."""
    after = dict(records)
    for run in runs:
        ended = run.started_at + timedelta(seconds=run.duration_s)
        after[run.task] = _record(after.get(run.task), ended, run.section.outcome, run.duration_s)
        for part in run.section.parts:
            after[part.task] = _record(after.get(part.task), ended, part.outcome, part.duration_s)
    return after


def _record(before: TaskRecord | None, at: datetime, outcome: Outcome, duration_s: float | None) -> TaskRecord:
    succeeded = outcome is not Outcome.FAILED
    return TaskRecord(
        last_run=at,
        last_success=at if succeeded else before.last_success if before else None,
        duration_s=duration_s,
        exit_code=0 if succeeded else 1,
    )


def write_records(folder: Path, records: Records) -> None:
    """Keep ``records``; raises WriteError."""
    write_whole(folder / RECORD, msgspec.json.format(msgspec.json.encode(records)), mode=0o600)


def textfile_of(folder: Path, kind: Kind) -> Path:
    """The file that node_exporter reads for jobs of ``kind``."""
    return folder / f"ibkr-maintenance-{kind}.prom"


def write_metrics(folder: Path, kind: Kind, records: Records, declared: tuple[datetime, datetime] | None) -> None:
    """Publish the tasks of ``kind`` and, when ``declared``, its begin and end; raises TextfileError."""
    write(textfile_of(folder, kind), gauges(kind, records, declared))


def gauges(kind: Kind, records: Records, declared: tuple[datetime, datetime] | None) -> tuple[Gauge, ...]:
    """All gauges of one kind of job. A task that never ran has its allowed staleness only, and is overdue by it."""
    staleness = _staleness(kind)
    known = {task: records[task] for task in staleness if task in records}
    successes = {task: record.last_success for task, record in known.items()}
    return (
        _declared(0, "start", "begins", kind, declared),
        _declared(1, "end", "ends", kind, declared),
        _tasks(
            "last_success_timestamp_seconds", "When the task last succeeded, Unix time.",
            {task: at.timestamp() for task, at in successes.items() if at is not None},
        ),
        _tasks(
            "last_run_timestamp_seconds", "When the task last ran, Unix time.",
            {task: record.last_run.timestamp() for task, record in known.items()},
        ),
        _tasks(
            "last_duration_seconds", "How long the task took.",
            {task: record.duration_s for task, record in known.items() if record.duration_s is not None},
        ),
        _tasks(
            "last_exit_code", "Exit code of the task's last run; 0 is success.",
            {task: float(record.exit_code) for task, record in known.items()},
        ),
        _tasks("max_staleness_seconds", "The longest time that may pass between two successes of the task.", staleness),
    )  # fmt: skip


def _staleness(kind: Kind) -> dict[str, float]:
    found: dict[str, float] = {}
    for task in tasks_of(kind):
        found[task.name] = task.max_staleness_s
        found.update(task.parts)
    return found


def _tasks(name: str, text: str, values: Mapping[str, float]) -> Gauge:
    return Gauge(f"trader_task_{name}", text, tuple(Sample(value, {"task": task}) for task, value in values.items()))


def _declared(index: int, edge: str, verb: str, kind: Kind, declared: tuple[datetime, datetime] | None) -> Gauge:
    samples = () if declared is None else (Sample(declared[index].timestamp(), {"kind": kind}),)
    return Gauge(
        f"trader_maintenance_{edge}_timestamp_seconds", f"When declared maintenance {verb}, Unix time.", samples
    )
