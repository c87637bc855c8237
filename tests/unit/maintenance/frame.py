"""A job's world in a folder of its own: a clock that moves when it is waited, tasks that answer what a test says.

Rules: nothing of the host is looked at, and nothing outside of the folder is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.doctor.fake_host import FakeHost
from trader.clock import ManualClock
from trader.doctor import Place, site_of
from trader.maintenance.context import Context
from trader.maintenance.job import Ended, World, run_job
from trader.maintenance.model import JobReport, Kind, Outcome, Section
from trader.maintenance.runner import Stop
from trader.maintenance.sources import LogLine, LogsUnavailable, NoMetrics
from trader.maintenance.surroundings import Surroundings, look_around
from trader.maintenance.tasks import Task
from trader.settings import MaintenanceSettings, Settings

if TYPE_CHECKING:
    from trader.stack.client import Sample, Series

# New York closes at 21:00 UTC in winter.
FRIDAY_EVENING = datetime(2026, 11, 20, 22, 15, tzinfo=UTC)
FRIDAY_NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 21, 15, 10, tzinfo=UTC)


class WaitingStop(Stop):
    """Waiting costs no time but the clock's."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.pauses = 0
        self.stop_at: datetime | None = None

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.clock.advance(timedelta(seconds=seconds))
        if self.stop_at is not None and self.clock.now() >= self.stop_at:
            self.request()


class NoLogs:
    """A journal that may not be read."""

    def lines(self, since: datetime, until: datetime, units: Sequence[str]) -> Iterator[LogLine]:
        raise LogsUnavailable("the journal may not be read")
        yield


def good(task: Task) -> Section:
    return Section(key=task.name, title=task.title, outcome=Outcome.OK, sentence=f"{task.name} is fine")


@dataclass
class Bench:
    """What a test changes before it runs a job. ``outcomes`` are by task; ``took_s`` is what each task takes."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(FRIDAY_EVENING))
    calendar: str = "XNYS"
    maintenance: dict[str, object] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    around: Surroundings | None = None
    untold: str = ""
    seen: list[tuple[str, Context, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    told: list[JobReport] = field(default_factory=list)
    at_task: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stop = WaitingStop(self.clock)
        self.textfiles.mkdir()

    @property
    def textfiles(self) -> Path:
        return self.folder / "textfiles"

    @property
    def reports(self) -> Path:
        return self.folder / "logs" / "reports"

    @property
    def work(self) -> Path:
        return self.folder / "state" / "maintenance"

    @property
    def settings(self) -> Settings:
        chosen = {
            "reports_folder": self.reports, "backups_folder": self.folder / "backups", "work_folder": self.work,
            "textfile_folder": self.textfiles, **self.maintenance,
        }  # fmt: skip
        return Settings.model_validate(
            {
                "instruments": ["SPY"],
                "session": {"calendar": self.calendar},
                "journal": {"url": f"sqlite:///{self.folder}/state/journal.db"},
                "control": {"socket": self.folder / "control.sock"},
                "maintenance": MaintenanceSettings.model_validate(chosen),
            }
        )

    def run_task(self, task: Task, context: Context, limit_s: float) -> Section:
        self.seen.append((task.name, context, limit_s))
        act = self.at_task.get(task.name)
        if callable(act):
            act()
        self.clock.advance(timedelta(seconds=self.took_s.get(task.name, 1.0)))
        section = self.sections.get(task.name) or good(task)
        outcome = self.outcomes.get(task.name, section.outcome)
        return Section(
            key=task.name, title=task.title, outcome=outcome, sentence=section.sentence, figures=section.figures,
            tables=section.tables, charts=section.charts, notes=section.notes, missing=section.missing,
            mend=section.mend, parts=section.parts,
        )  # fmt: skip

    def tell(self, settings: Settings, report: JobReport) -> str:
        self.told.append(report)
        return self.untold

    def world(self, kind: Kind = Kind.DAILY) -> World:
        host = FakeHost()
        settings = self.settings
        return World(
            kind=kind, settings=settings, config_file=self.folder / "config.yaml", clock=self.clock,
            place=Place(host, site_of(host)), logs=NoLogs(), metrics=NoMetrics(),
            around=self.around or look_around(settings.session), run_task=self.run_task, stop=self.stop,
            say=self.said.append, tell=self.tell,
        )  # fmt: skip

    def run(self, kind: Kind = Kind.DAILY, *, dry_run: bool = False, look_back: bool = False) -> Ended:
        return run_job(self.world(kind), dry_run=dry_run, look_back=look_back)

    def metrics(self, kind: Kind = Kind.DAILY) -> Mapping[str, float]:
        """What node_exporter would read: values by name with labels."""
        text = (self.textfiles / f"ibkr-maintenance-{kind}.prom").read_text()
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def files(self) -> dict[Path, bytes]:
        """Everything below the folder."""
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


class FixedMetrics:
    """A Prometheus that answers the same to everything."""

    def __init__(self, samples: "list[Sample]") -> None:
        self.samples = samples

    def query(self, promql: str, at: datetime) -> "list[Sample]":
        return self.samples

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> "list[Series]":
        return []
