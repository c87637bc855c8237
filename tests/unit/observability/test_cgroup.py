"""The unit's resources, read from trees that look like v2, v1 and broken hosts."""

from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from observability.cgroup import CgroupCollector, controllers
from observability.families import new_registry
from observability.resources import ResourceMeter
from trader.clock import ManualClock

UNIT = "sys/fs/cgroup/system.slice/trader.service"


def scraped(root: Path) -> CollectorRegistry:
    registry = new_registry()
    registry.register(CgroupCollector(root))
    return registry


def values(root: Path) -> dict[str, float | None]:
    registry = scraped(root)
    names = (
        "trader_unit_memory_working_set_bytes",
        "trader_unit_memory_max_bytes",
        "trader_unit_cpu_usage_seconds_total",
        "trader_unit_cpu_limit_cores",
        "trader_unit_cpu_throttled_seconds_total",
        "trader_unit_tasks",
        "trader_unit_tasks_max",
    )
    return {name.removeprefix("trader_unit_"): registry.get_sample_value(name) for name in names}


def test_it_reads_a_unit_on_v2(cgroup_v2_root: Path) -> None:
    assert values(cgroup_v2_root) == {
        "memory_working_set_bytes": 150_000_000,
        "memory_max_bytes": 8_589_934_592,
        "cpu_usage_seconds_total": 2.5,
        "cpu_limit_cores": 4.0,
        "cpu_throttled_seconds_total": 0.75,
        "tasks": 9,
        "tasks_max": 4096,
    }


def test_it_reads_a_unit_on_v1_below_the_part_of_the_hierarchy_that_is_mounted(cgroup_v1_root: Path) -> None:
    assert values(cgroup_v1_root) == {
        "memory_working_set_bytes": 120_000_000,
        "memory_max_bytes": 8_589_934_592,
        "cpu_usage_seconds_total": 2.5,
        "cpu_limit_cores": 1.5,
        "cpu_throttled_seconds_total": 0.25,
        "tasks": 12,
        "tasks_max": None,
    }


def test_memory_events_are_counted_on_both(cgroup_v1_root: Path, cgroup_v2_root: Path) -> None:
    name = "trader_unit_memory_events_total"
    assert scraped(cgroup_v2_root).get_sample_value(name, {"event": "oom_kill"}) == 1
    assert scraped(cgroup_v2_root).get_sample_value(name, {"event": "low"}) == 0
    assert scraped(cgroup_v1_root).get_sample_value(name, {"event": "oom_kill"}) == 2
    assert scraped(cgroup_v1_root).get_sample_value(name, {"event": "low"}) is None


def test_a_limit_that_is_not_set_is_absent(cgroup_v2_root: Path, cgroup_v1_root: Path) -> None:
    (cgroup_v2_root / UNIT / "memory.max").write_text("max\n")
    (cgroup_v2_root / UNIT / "cpu.max").write_text("max 100000\n")
    assert values(cgroup_v2_root)["memory_max_bytes"] is None
    assert values(cgroup_v2_root)["cpu_limit_cores"] is None
    (cgroup_v1_root / "sys/fs/cgroup/memory/trader/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (cgroup_v1_root / "sys/fs/cgroup/cpu,cpuacct/trader/cpu.cfs_quota_us").write_text("-1\n")
    assert values(cgroup_v1_root)["memory_max_bytes"] is None
    assert values(cgroup_v1_root)["cpu_limit_cores"] is None


def test_a_file_that_cannot_be_read_costs_its_metric_only(cgroup_v2_root: Path) -> None:
    (cgroup_v2_root / UNIT / "cpu.stat").unlink()
    (cgroup_v2_root / UNIT / "pids.current").write_bytes(b"\xff\xfe nonsense")
    read = values(cgroup_v2_root)
    assert read["cpu_usage_seconds_total"] is None
    assert read["tasks"] is None
    assert read["memory_max_bytes"] == 8_589_934_592


def test_a_cgroup_outside_of_what_is_mounted_is_taken_at_the_mount_point(cgroup_v2_root: Path) -> None:
    (cgroup_v2_root / "proc/self/cgroup").write_text("0::/../other.slice\n")
    assert controllers(cgroup_v2_root) == {"": cgroup_v2_root / "sys/fs/cgroup"}


def test_a_host_without_cgroups_exports_nothing(tmp_path: Path) -> None:
    assert list(CgroupCollector(tmp_path).collect()) == []


def test_nonsense_in_proc_exports_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("::::\nnonsense\n\n")
    (tmp_path / "proc/self/mountinfo").write_text("31 - cgroup2\nx y\n - \n")
    assert list(CgroupCollector(tmp_path).collect()) == []


def test_it_reads_this_host_without_failing() -> None:
    list(CgroupCollector().collect())


def test_use_is_a_ratio_of_the_real_limit(cgroup_v2_root: Path, clock: ManualClock) -> None:
    meter = ResourceMeter(clock, cgroup_v2_root)
    assert meter.read().cpu_ratio is None
    clock.advance(timedelta(seconds=2))
    (cgroup_v2_root / UNIT / "cpu.stat").write_text("usage_usec 4500000\nthrottled_usec 750000\n")
    used = meter.read()
    assert used.memory_ratio == 150_000_000 / 8_589_934_592
    assert used.cpu_ratio == 0.25
    assert used.tasks_ratio == 9 / 4096


def test_a_resource_without_a_limit_has_no_ratio(cgroup_v1_root: Path, tmp_path: Path, clock: ManualClock) -> None:
    assert ResourceMeter(clock, cgroup_v1_root).read().tasks_ratio is None
    assert ResourceMeter(clock, tmp_path / "nothing").read().memory_ratio is None
