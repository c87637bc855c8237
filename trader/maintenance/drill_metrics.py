"""What the emergency drills publish: how long each took, and may take.

Rules: one file, replaced as a whole, whether the weekly job drilled or a person did; names and texts are the
catalogue's. A drill that was held and did not end well has its bound only, and that pages. One that could not be tried
is left out: it proved nothing either way. A person's panic drill is recorded among the weekly job's tasks, under
the lock of the jobs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trader.clock import Clock
from trader.drills.emergency import EMERGENCIES, EmergencyResult
from trader.maintenance import metrics
from trader.maintenance.files import WriteError
from trader.maintenance.lock import Held, JobLock, LockError
from trader.maintenance.metrics import TaskRecord
from trader.maintenance.model import Kind, Outcome, Part
from trader.settings import MaintenanceSettings
from trader.textfile import Gauge, Sample, TextfileError, write

FILE: Final = "ibkr-drills.prom"
PANIC_PART: Final = "panic_drill"
PANICS: Final = sum(drill.panic for drill in EMERGENCIES)


class NotRecorded(Exception):
    """What was drilled could not be recorded; the text says why."""


def write_drills(folder: Path, results: Sequence[EmergencyResult]) -> None:
    """Publish ``results`` in the folder of node_exporter's textfile collector; raises TextfileError."""
    write(folder / FILE, gauges(results))


def gauges(results: Sequence[EmergencyResult]) -> tuple[Gauge, ...]:
    """The two gauges, a sample for each drill."""
    tried = [result for result in results if result.tried]
    ended = tuple(
        Sample(result.duration_s, {"drill": result.name}) for result in tried if result.duration_s is not None
    )
    return (
        Gauge(
            "trader_drill_duration_seconds",
            "How long the emergency drill took when it was last held; absent when it did not end well.",
            ended,
        ),
        Gauge(
            "trader_drill_bound_seconds",
            "How long the emergency drill may take, for each that was held.",
            tuple(Sample(result.bound_s, {"drill": result.name}) for result in tried),
        ),
    )


def panic_parts(held: Sequence[EmergencyResult]) -> tuple[Part, ...]:
    """The panic drill: good when panic works with the service up and down; no part when one was not tried."""
    panics = [result for result in held if result.panic]
    failed = any(result.tried and not result.met for result in panics)
    if not failed and not (len(panics) == PANICS and all(result.tried for result in panics)):
        return ()
    times = [result.duration_s for result in panics if result.duration_s is not None]
    duration_s = sum(times) if len(times) == len(panics) else None
    return (Part(task=PANIC_PART, outcome=Outcome.FAILED if failed else Outcome.OK, duration_s=duration_s),)


def record_drills(settings: MaintenanceSettings, results: Sequence[EmergencyResult], clock: Clock) -> list[str]:
    """Publish ``results``, and record the panic drill when it was held as a whole; sentences on what was done.

    Raises NotRecorded.
    """
    folder, work = settings.textfile_folder, settings.work_folder
    if folder is None:
        raise NotRecorded("no folder is configured for metrics (maintenance.textfile_folder)")
    try:
        if len(results) < len(EMERGENCIES):
            return ["not recorded: only all drills together are"]
        work.mkdir(parents=True, exist_ok=True)
        with JobLock(work / "running.lock", "trader drill emergency"):
            write_drills(folder, results)
            return [f"published in {folder / FILE}", *_panic_recorded(folder, work, results, clock)]
    except Held as error:
        raise NotRecorded(f"{error} runs") from error
    except (LockError, TextfileError, WriteError, OSError) as error:
        raise NotRecorded(str(error)) from error


def _panic_recorded(folder: Path, work: Path, results: Sequence[EmergencyResult], clock: Clock) -> list[str]:
    (part,) = panic_parts(results) or (None,)
    if part is None:
        return []
    now = clock.now()
    records, note = metrics.read_records(work, now)
    before = records.get(part.task)
    good = part.outcome is not Outcome.FAILED
    record = TaskRecord(
        last_run=now, last_success=now if good else before.last_success if before else None,
        duration_s=part.duration_s, exit_code=0 if good else 1,
    )  # fmt: skip
    after = {**records, part.task: record}
    metrics.write_records(work, after)
    metrics.write_metrics(folder, Kind.WEEKLY, after, None)
    return [*([note] if note else []), f"the panic drill is recorded as {'held' if good else 'failed'}"]
