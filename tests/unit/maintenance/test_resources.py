"""Resources: peaks and percentiles of what Prometheus kept, the moment's readings without it."""

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.unit.doctor.fake_host import healthy
from tests.unit.maintenance.days import (
    EVENING,
    SINCE,
    DeadMetrics,
    FakeMetrics,
    context,
    figure,
    rows,
)
from trader.doctor.host import Answered
from trader.maintenance import resources
from trader.maintenance.model import Outcome
from trader.success_metrics import RESOURCE_LIMIT

ROOT = Path(__file__).resolve().parents[3]
GIB = 1024**3
LIMITS = {
    "trader_unit_memory_max_bytes": 8.0 * GIB,
    "trader_unit_cpu_limit_cores": 4.0,
    "process_max_fds": 65_536.0,
    "trader_unit_tasks_max": 512.0,
}
Points = Sequence[tuple[datetime, float]]


def every_minute(values: Sequence[float]) -> Points:
    return [(SINCE + timedelta(minutes=number), value) for number, value in enumerate(values)]


def kept(**used: Sequence[float]) -> FakeMetrics:
    """A Prometheus with these readings, by metric, and the limits."""
    ranges = {metric: every_minute(values) for metric, values in used.items()}
    # A limit's name must not be found in a reading's question, so limits are asked for first.
    return FakeMetrics(ranges={**{name: every_minute([value]) for name, value in LIMITS.items()}, **ranges})


def a_day(seed: int) -> dict[str, list[float]]:
    chance = random.Random(seed)
    return {
        "trader_unit_memory_working_set_bytes": [chance.uniform(0.1, 0.6) * 8 * GIB for _ in range(1_440)],
        "trader_unit_cpu_usage_seconds_total": [chance.uniform(0.0, 2.0) for _ in range(1_440)],
        "process_open_fds": [float(chance.randrange(40, 90)) for _ in range(1_440)],
        "trader_unit_tasks{": [float(chance.randrange(5, 30)) for _ in range(1_440)],
    }


def test_peaks_and_percentiles_are_those_of_the_readings(tmp_path: Path, seed: int) -> None:
    day = a_day(seed)
    section = resources.run(context(tmp_path, metrics=kept(**day)))
    limits = list(LIMITS.values())
    for (values, limit), name in zip(
        zip(day.values(), limits, strict=True), ("memory", "CPU", "files", "tasks"), strict=True
    ):
        ordered = sorted(values)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
        assert figure(section, f"{name}, peak").value == max(values) / limit
        assert figure(section, f"{name}, 95 %").value == p95 / limit
        row = rows(section, "Use and limits")[name]
        assert row["Peak at"] == SINCE + timedelta(minutes=values.index(max(values)))
        assert row["Peak of limit"] == max(values) / limit
        assert row["95 % of limit"] == p95 / limit
    assert section.missing == ()
    assert section.outcome is Outcome.OK
    (chart,) = section.charts
    assert chart.bound == RESOURCE_LIMIT
    assert [line.name for line in chart.lines] == ["memory", "CPU", "files", "tasks"]
    assert max(value for _, value in chart.lines[0].points if value is not None) == max(ordered_memory(day)) / limits[0]


def ordered_memory(day: dict[str, list[float]]) -> list[float]:
    return sorted(day["trader_unit_memory_working_set_bytes"])


def test_a_peak_at_the_bound_is_a_warning_with_its_runbook(tmp_path: Path) -> None:
    section = resources.run(context(tmp_path, metrics=kept(**{**a_day(1), "process_open_fds": [60.0, 52_428.8, 60.0]})))
    assert section.outcome is Outcome.WARNING
    assert section.sentence == "files is the highest: 80.0 % of its limit at its peak"
    assert figure(section, "files, peak").outcome is Outcome.WARNING
    assert figure(section, "files, 95 %").outcome is Outcome.WARNING  # of three readings it is the highest
    assert section.mend.endswith("runbooks/FDsHigh.md")


@pytest.mark.parametrize("resource", resources.RESOURCES, ids=lambda item: item.name)
def test_what_is_short_has_a_runbook(resource: resources.Resource) -> None:
    assert (ROOT / "alerts" / "runbooks" / f"{resource.runbook}.md").is_file()


def test_the_metrics_are_those_of_the_success_metric() -> None:
    spec = yaml.safe_load((ROOT / "alerts" / "slo.yaml").read_text())["slos"]["resources"]
    ours = [(item.used, item.limit) for item in resources.RESOURCES]
    assert ours == [(item["used"], item["limit"]) for item in spec["resources"].values()]
    assert spec["below_ratio"] == RESOURCE_LIMIT
    assert spec["resources"]["cpu"]["rate_window"] == resources.RATE_WINDOW


def test_what_has_no_readings_or_no_limit_is_named(tmp_path: Path) -> None:
    metrics = kept(**a_day(2))
    ranges = {name: points for name, points in metrics.ranges.items() if "tasks" not in name and "max_fds" not in name}
    section = resources.run(context(tmp_path, metrics=FakeMetrics(ranges=ranges)))
    assert section.missing == (
        "files against its limit: none is set",
        "tasks: Prometheus has nothing of it in this time",
    )
    assert section.outcome is Outcome.OK


@pytest.mark.parametrize("days", [1, 3, 4, 7, 31])
def test_a_longer_period_has_longer_steps(days: int) -> None:
    step_s = resources.step_of(days * 86_400.0)
    assert step_s % 60 == 0
    assert days * 86_400 / step_s <= resources.POINTS_MAX


def test_without_prometheus_there_is_the_moment_and_peaks_are_missing(tmp_path: Path) -> None:
    for metrics, reason in ((None, "no Prometheus is configured"), (DeadMetrics(), "no answer")):
        host = healthy()
        started = context(tmp_path).place.host.now().timestamp() - 1_000
        body = (
            f"# HELP x y\ntrader_unit_memory_working_set_bytes 2147483648\ntrader_unit_memory_max_bytes 8589934592\n"
            f"process_start_time_seconds {started}\ntrader_unit_cpu_usage_seconds_total 500\n"
            "trader_unit_cpu_limit_cores 4\nprocess_open_fds 64\nprocess_max_fds 65536\n"
            "trader_unit_tasks 8\ntrader_unit_tasks_max 512\n"
        )
        host.urls["http://127.0.0.1:9464/metrics"] = Answered(200, body)
        section = resources.run(context(tmp_path, metrics=metrics, host=host))
        assert section.outcome is Outcome.UNKNOWN
        assert section.missing[0].startswith("peaks and 95th percentiles over the period: ")
        assert reason in section.missing[0]
        assert len(section.missing) == 1
        assert {item.label: item.value for item in section.figures} == {
            "memory, now": 0.25, "files, now": 64 / 65_536, "tasks, now": 8 / 512, "CPU, now": 0.5 / 4,
        }  # fmt: skip
        assert section.charts == ()


def test_a_moment_above_the_bound_is_a_warning_also_without_prometheus(tmp_path: Path) -> None:
    host = healthy()
    host.urls["http://127.0.0.1:9464/metrics"] = Answered(200, "process_open_fds 60000\nprocess_max_fds 65536\n")
    section = resources.run(context(tmp_path, host=host))
    assert section.outcome is Outcome.WARNING


def test_a_service_that_is_down_has_no_readings_and_none_are_made_up(tmp_path: Path) -> None:
    host = healthy()
    host.urls.clear()
    host.units["ibkr-trading.service"]["MainPID"] = "0"
    section = resources.run(context(tmp_path, host=host))
    assert section.outcome is Outcome.UNKNOWN
    assert section.figures == ()
    assert [text.partition(":")[0] for text in section.missing[1:]] == [
        "memory now", "CPU now", "files now", "tasks now",
    ]  # fmt: skip
    assert all(row["Now"] == "—" for row in rows(section, "Use at the moment of this report").values())


def test_systemd_has_some_readings_when_the_service_does_not_answer(tmp_path: Path) -> None:
    host = healthy()
    host.urls.clear()
    host.units["ibkr-trading.service"] |= {
        "MemoryCurrent": str(4 * GIB), "TasksCurrent": "16", "MemoryMax": str(8 * GIB), "TasksMax": "512",
    }  # fmt: skip
    section = resources.run(context(tmp_path, host=host))
    assert {item.label: item.value for item in section.figures} == {"memory, now": 0.5, "tasks, now": 16 / 512}
    assert section.missing[1].startswith("CPU now: the service does not answer for its metrics")


def test_readings_of_several_traders_are_nobodys(tmp_path: Path) -> None:
    metrics = FakeMetrics(ranges=kept(**a_day(3)).ranges, instances=("a", "b"))
    section = resources.run(context(tmp_path, metrics=metrics))
    assert "several traders" in section.missing[0]


def test_the_evening_is_after_the_period(tmp_path: Path) -> None:
    assert context(tmp_path).clock.now() == EVENING > context(tmp_path).until
