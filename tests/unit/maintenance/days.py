"""A journal of two traded days, made by a replay of a synthetic recording, and the context of the second day's job.

Rules: the raw rows are read back by SQL, so that a test can compute a figure without any code of the product.
"""

import json
import math
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.unit.doctor.fake_host import FakeHost, healthy
from tests.unit.replay.conftest import PARAMETERS, spiky_rows
from trader.clock import ManualClock
from trader.doctor import Options, Place, site_of
from trader.events import AnyDurableFact, DurableFact
from trader.journal import Journal
from trader.maintenance.context import Context, Folders
from trader.maintenance.model import Figure, Kind, Section, Table, Value
from trader.maintenance.period import period_of
from trader.maintenance.sources import LogLine, Logs, LogsUnavailable, Metrics, NoMetrics, PrometheusUnavailable
from trader.replay import ReplayResult, run_replay
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.simulator.exchange import Exchange
from trader.simulator.recorded import COLUMNS
from trader.snapshot import Snapshot
from trader.stack import Sample, Series

DAY = datetime(2013, 10, 8, tzinfo=UTC)
SINCE = datetime(2013, 10, 7, 20, 5, tzinfo=UTC)
UNTIL = datetime(2013, 10, 8, 20, 5, tzinfo=UTC)
CLOSE = datetime(2013, 10, 8, 20, 0, tzinfo=UTC)
EVENING = datetime(2013, 10, 8, 21, 30, tzinfo=UTC)
# Day, hour, minute, seconds: some trading, then the close; the first day is shorter, so that the days differ.
STRETCHES = ((7, 14, 0, 260), (7, 19, 59, 90), (8, 14, 0, 420), (8, 19, 59, 90))


def settings_of(tmp_path: Path) -> Settings:
    """Trades the recording, and keeps its journal in ``tmp_path``."""
    return Settings.model_validate(
        {
            "instruments": ["IBM", "SPY"],
            "strategy": {"name": "mean_reversion", "capital": 50_000, "parameters": PARAMETERS},
            "journal": {"url": f"sqlite:///{tmp_path}/journal.db"},
            "control": {"socket": str(tmp_path / "control.sock")},
        }
    )


@cache
def replay(latency_ms: int = 300) -> ReplayResult:
    """The two days; a latency above five seconds leaves orders without a fill."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "days.csv"
        rows = [
            row
            for day, hour, minute, seconds in STRETCHES
            for row in spiky_rows(datetime(2013, 10, day, hour, minute, tzinfo=UTC), seconds)
        ]
        recording.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
        return run_replay([recording], settings_of(Path(folder)), latency=timedelta(milliseconds=latency_ms))


@cache
def at_the_broker() -> tuple[Snapshot, dict[tuple[str, str], Decimal]]:
    """The service's snapshot after the two days, and what the simulated broker's account then has, by tag, currency.

    A replay's gateway tells the account's values once, at its begin; so they are asked of the exchange itself.
    """
    exchanges: list[Exchange] = []

    def keep(*args: Any) -> Exchange:
        exchanges.append(Exchange(*args))
        return exchanges[-1]

    with patch("trader.replay.run.Exchange", keep):
        snapshot = replay.__wrapped__().snapshot
    number = re.compile(r"-?[0-9]+(\.[0-9]+)?")
    values = exchanges[0].account_values()
    return snapshot, {(tag, unit): Decimal(value) for tag, value, unit in values if number.fullmatch(value)}


@cache
def replayed(latency_ms: int = 300) -> tuple[AnyDurableFact, ...]:
    """The durable facts of the two days."""
    return tuple(fact for fact in replay(latency_ms).facts if isinstance(fact, DurableFact))


def write(tmp_path: Path, facts: Iterable[DurableFact]) -> Path:
    """A journal with ``facts``, in the order of their times."""
    path = tmp_path / "journal.db"
    with closing(Journal.open(f"sqlite:///{path}")) as journal:
        journal.append(sorted(facts, key=lambda fact: fact.at))
    return path


def raw(path: Path, kind: str, since: datetime = SINCE, until: datetime = UNTIL) -> list[dict[str, Any]]:
    """The bodies of one kind as they lie in the file, by SQL, with ``since`` but without ``until``."""
    bounds = [moment.isoformat(timespec="microseconds") for moment in (since, until)]
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT body FROM facts WHERE kind = ? AND at >= ? AND at < ? ORDER BY seq", (kind, *bounds)
        )
        return [json.loads(body) for (body,) in found]


@dataclass
class FakeLogs:
    """Gives its lines, or raises its reason after them."""

    kept: Sequence[LogLine] = ()
    reason: str = ""

    def lines(self, since: datetime, until: datetime, units: Sequence[str]) -> Iterator[LogLine]:
        yield from (line for line in self.kept if since <= line.at < until)
        if self.reason:
            raise LogsUnavailable(self.reason)


@dataclass
class FakeMetrics:
    """Answers by a part of the expression; what is not in its tables has no series. Keeps what it was asked."""

    instant: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, Sequence[tuple[datetime, float]]] = field(default_factory=dict)
    at: Mapping[tuple[str, datetime], float] = field(default_factory=dict)
    instances: tuple[str, ...] = ("localhost",)
    asked: list[str] = field(default_factory=list)

    def query(self, promql: str, at: datetime) -> list[Sample]:
        self.asked.append(promql)
        moments = [value for (part, moment), value in self.at.items() if part in promql and moment == at]
        values = moments or [value for part, value in self.instant.items() if part in promql][:1]
        return [Sample({"instance": name}, value) for value in values for name in self.instances]

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> list[Series]:
        self.asked.append(promql)
        assert math.ceil((until - since).total_seconds() / step_s) <= 10_000
        found = [points for part, points in self.ranges.items() if part in promql][:1]
        return [
            Series({"instance": name}, [(at.timestamp(), value) for at, value in points])
            for points in found
            for name in self.instances
        ]


class DeadMetrics:
    """A Prometheus that does not answer."""

    def query(self, promql: str, at: datetime) -> list[Sample]:
        raise PrometheusUnavailable("http://127.0.0.1:9090/api/v1/query: no answer: refused")

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> list[Series]:
        raise PrometheusUnavailable("http://127.0.0.1:9090/api/v1/query_range: no answer: refused")


def context(
    tmp_path: Path,
    *,
    now: datetime = EVENING,
    logs: Logs | None = None,
    metrics: Metrics | None = None,
    host: FakeHost | None = None,
) -> Context:
    """The daily job of the second day; the journal is what a test wrote into ``tmp_path``."""
    settings = settings_of(tmp_path)
    calendar = SessionCalendar.load("XNYS")
    machine = host or healthy()
    return Context(
        kind=Kind.DAILY,
        settings=settings,
        config_file=tmp_path / "config.yaml",
        clock=ManualClock(now),
        period=period_of(Kind.DAILY, now, calendar),
        folders=Folders(tmp_path / "reports", tmp_path / "backups", tmp_path / "scratch"),
        place=place_of(machine),
        logs=logs or FakeLogs(),
        metrics=metrics or NoMetrics(),
        calendar=calendar,
    )


def place_of(host: FakeHost) -> Place:
    """The fake host's installation."""
    return Place(host, site_of(host), Options(), load=_deployed)


def _deployed(config: Path) -> Settings:
    from tests.unit.doctor.fake_host import settings

    return settings(config)


def figure(section: Section, label: str) -> Figure:
    """The one figure with this label."""
    (found,) = [item for item in section.figures if item.label == label]
    return found


def table(section: Section, title: str) -> Table:
    """The one table with this title."""
    (found,) = [item for item in section.tables if item.title == title]
    return found


def rows(section: Section, title: str) -> dict[Value, dict[str, Value]]:
    """A table's rows by their first column, each by the columns' titles."""
    found = table(section, title)
    titles = [column.title for column in found.columns]
    return {row[0]: dict(zip(titles, row, strict=True)) for row in found.rows}
