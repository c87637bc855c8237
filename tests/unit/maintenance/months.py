"""A month's context on the healthy fake host: files in a folder of its own, a Prometheus that answers from a table.

Rules: the host of the checks is dictionaries; what is cleaned up is real files in the test's folder.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.unit.doctor.fake_host import CURRENT, NOW, FakeHost, healthy, settings
from trader.clock import ManualClock
from trader.doctor import Options, Place, site_of
from trader.doctor.host import Ran
from trader.events import DurableFact
from trader.journal import Journal
from trader.maintenance.context import Context, Folders, Period
from trader.maintenance.model import Figure, Kind, Section, Table
from trader.maintenance.sources import LogLine, LogsUnavailable, NoMetrics, PrometheusUnavailable
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.stack import Sample, Series

SINCE = datetime(2026, 2, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
PYTHON = str(CURRENT / "bin" / "python")


class NoLogs:
    """A journal that may not be read."""

    def lines(self, since: datetime, until: datetime, units: Sequence[str]) -> Iterator[LogLine]:
        raise LogsUnavailable("the journal may not be read")
        yield


@dataclass
class Answers:
    """A Prometheus: the first text that a question contains gives its answer; to others it has nothing."""

    by_text: Mapping[str, Sequence[tuple[dict[str, str], float]]] = field(default_factory=dict)
    ranges: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    at: dict[tuple[str, datetime], float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def query(self, promql: str, at: datetime) -> list[Sample]:
        self.asked.append(promql)
        for (text, moment), value in self.at.items():
            if text in promql and moment == at:
                return [Sample({"instance": "here"}, value)]
        for text, samples in self.by_text.items():
            if text in promql:
                return [Sample(dict(labels), value) for labels, value in samples]
        return []

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> list[Series]:
        for text, values in self.ranges.items():
            if text in promql:
                return [Series({}, list(values))]
        return []


class Silent:
    """A Prometheus that is down."""

    def query(self, promql: str, at: datetime) -> list[Sample]:
        raise PrometheusUnavailable("nobody answers at http://127.0.0.1:9090")

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> list[Series]:
        raise PrometheusUnavailable("nobody answers at http://127.0.0.1:9090")


def installed(change: Callable[[FakeHost], object] | None = None) -> FakeHost:
    """The healthy host with its units, after ``change``; sudo is there and gives the service's user nothing."""
    host = healthy()
    host.put(Path("/etc/sudoers"), "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL) ALL\n", mode=0o440)
    host.folder(Path("/etc/sudoers.d"), "root", "root", 0o750)
    host.programs[("systemctl", "list-units")] = Ran(0, "", "")
    for name in host.names(site_of(host).share / "units"):
        if "@." not in name:
            host.units.setdefault(name, {"LoadState": "loaded", "ActiveState": "inactive"})
    if change is not None:
        change(host)
    return host


def context_of(
    tmp_path: Path, host: FakeHost | None = None, *, metrics: Any = None, facts: Sequence[DurableFact] = (),
    kind: Kind = Kind.MONTHLY, now: datetime = NOW, dry_run: bool = False, **configured: Any,
) -> Context:  # fmt: skip
    """The context of a job over February 2026."""
    host = host or installed()
    journal = tmp_path / "state" / "journal.db"
    journal.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "scratch").mkdir(exist_ok=True)
    if facts:
        with Journal.open(f"sqlite:///{journal}", "process", ManualClock(SINCE)) as opened:
            opened.append(list(facts))
    base = {
        "instruments": ["SPY"], "journal": {"url": f"sqlite:///{journal}"}, "metrics": {"port": 9464},
        "panic": {"flag": tmp_path / "panic.flag"}, "control": {"socket": tmp_path / "control.sock"},
        "maintenance": {"work_folder": tmp_path / "state" / "maintenance", **configured.pop("maintenance", {})},
    }  # fmt: skip
    return Context(
        kind=kind,
        settings=Settings.model_validate({**base, **configured}),
        config_file=tmp_path / "config" / "config.yaml",
        clock=ManualClock(now),
        period=Period(SINCE, UNTIL, "2026-02"),
        folders=Folders(tmp_path / "logs" / "reports", tmp_path / "backups", tmp_path / "scratch"),
        place=Place(host, site_of(host), Options(), load=settings),
        logs=NoLogs(),
        metrics=metrics or NoMetrics(),
        calendar=SessionCalendar.load("XNYS", None),
        dry_run=dry_run,
    )


def dry(context: Context) -> Context:
    return replace(context, dry_run=True)


def figure(section: Section, label: str) -> Figure:
    """The one figure whose label has ``label`` in it."""
    found = [item for item in section.figures if label in item.label]
    assert len(found) == 1, (label, [item.label for item in section.figures])
    return found[0]


def table(section: Section, title: str) -> Table:
    found = [item for item in section.tables if title in item.title]
    assert len(found) == 1, (title, [item.title for item in section.tables])
    return found[0]


def row(section: Section, title: str, first: str) -> tuple[Any, ...]:
    """The one row of a table that has ``first`` in one of its first two cells."""
    found = [item for item in table(section, title).rows if first in (item[0], item[1])]
    assert len(found) == 1, (first, table(section, title).rows)
    return found[0]
