"""The limits of the trader's unit: as shipped on its process, and in force where something goes up to them.

Rules: what goes up to a limit runs as the unit's main process, with all else as shipped; limits that would take long to
reach are made small by a drop-in. Memory is in test_restarts.py, because what follows is a restart.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.lab.lab import Lab
from tests.systemd.inside import probed
from tests.systemd.trader_unit import UNIT, TraderUnit

Measured = Callable[[str, float, str], None]

SHIPPED: Final = {
    "MemoryMax": str(8 * 2**30),
    "MemorySwapMax": "0",
    "CPUQuotaPerSecUSec": "4s",
    "TasksMax": "4096",
    "LimitNOFILE": "65536",
    "LimitNOFILESoft": "65536",
    "LimitCORE": "0",
    "Nice": "-10",
    "IOSchedulingClass": "2",  # best-effort
    "IOSchedulingPriority": "0",
    "OOMScoreAdjust": "-500",
    "CPUAffinity": "0-3",
}
FILES: Final = 65536
OOM_SCORE_ADJUST: Final = -500
AFFINITY: Final = range(4)
WITHIN: Final = 0.10
QUOTAS: Final = (0.1, 0.3)
TASKS: Final = 24
FEW_FILES: Final = 128


@pytest.fixture(scope="module")
def trader(installed: Lab) -> TraderUnit:
    trader = TraderUnit(installed)
    trader.await_ready()
    return trader


def test_systemd_has_the_limits_of_the_plan(trader: TraderUnit) -> None:
    assert trader.show(*SHIPPED) == SHIPPED


def test_the_control_groups_of_the_trader_have_them(trader: TraderUnit, measured: Measured) -> None:
    found = {name: trader.metrics(f"trader_unit_{name}")[""] for name in ("memory_max_bytes", "cpu_limit_cores")}
    found["tasks_max"] = trader.metrics("trader_unit_tasks_max")[""]
    for name, value in found.items():
        measured(name, value, "")
    assert found == {"memory_max_bytes": 8 * 2**30, "cpu_limit_cores": 4, "tasks_max": 4096}


def test_the_trader_has_the_priority_of_its_unit(trader: TraderUnit, measured: Measured) -> None:
    pid = str(trader.run().pid)
    nice = int(trader.lab.run(["ps", "-o", "ni=", "-p", pid]).stdout)
    measured("nice", nice, "")
    assert nice == int(SHIPPED["Nice"])
    assert trader.lab.run(["ionice", "-p", pid]).stdout == "best-effort: prio 0\n"
    assert trader.lab.run(["ps", "-o", "cls=", "-p", pid]).stdout.strip() == "TS"


def test_the_trader_keeps_to_its_processors(trader: TraderUnit, measured: Measured) -> None:
    processors = processors_of(trader, str(trader.run().pid))
    measured("processors it may use", len(processors), "")
    assert processors == processors_of(trader, "1") & set(AFFINITY)


def processors_of(trader: TraderUnit, pid: str) -> set[int]:
    ask = "import os, sys; print(*os.sched_getaffinity(int(sys.argv[1])))"
    return {int(number) for number in trader.lab.run(["/usr/bin/python3", "-c", ask, pid]).stdout.split()}


def test_others_are_killed_for_memory_before_the_trader(trader: TraderUnit, measured: Measured) -> None:
    """A container without CAP_SYS_RESOURCE cannot go below what it was started with."""
    adjusted = oom_score_adjust(trader, str(trader.run().pid))
    measured(f"oom_score_adj of {OOM_SCORE_ADJUST} that were asked for", adjusted, "")
    lowest = OOM_SCORE_ADJUST if may_raise_limits(trader) else oom_score_adjust(trader, "1")
    assert adjusted == max(OOM_SCORE_ADJUST, lowest)


def oom_score_adjust(trader: TraderUnit, pid: str) -> int:
    return int(trader.lab.read(f"/proc/{pid}/oom_score_adj"))


def may_raise_limits(trader: TraderUnit) -> bool:
    """Whether the machine's systemd has CAP_SYS_RESOURCE."""
    found = re.search(r"^CapEff:\s*(\w+)$", trader.lab.read("/proc/1/status"), re.MULTILINE)
    assert found
    return bool(int(found[1], 16) & 1 << 24)


def test_it_may_open_as_many_files_as_the_host_lets_it_up_to_65536(trader: TraderUnit, measured: Measured) -> None:
    found = limits_probe(trader, "files")
    host = re.search(r"^Max open files\s+\d+\s+(\d+)", trader.lab.read("/proc/1/limits"), re.MULTILINE)
    assert host
    expected = FILES if may_raise_limits(trader) else min(FILES, int(host[1]))
    measured("files that could be opened (more is not the host's to give)", found["open"], "")
    assert found == {"refused": "EMFILE", "open": expected, "limit": [expected, expected]}


def limits_probe(trader: TraderUnit, *arguments: str, more: str = "") -> dict[str, Any]:
    with probed(trader.lab, UNIT, "probe_limits", *arguments, more=more) as found:
        return found


def test_the_file_beyond_the_limit_is_refused(trader: TraderUnit, measured: Measured) -> None:
    found = limits_probe(trader, "files", more=f"LimitNOFILE={FEW_FILES}\n")
    measured(f"files that could be opened with LimitNOFILE={FEW_FILES}", found["open"], "")
    assert found == {"refused": "EMFILE", "open": FEW_FILES, "limit": [FEW_FILES, FEW_FILES]}


def test_the_task_beyond_the_limit_is_refused(trader: TraderUnit, measured: Measured) -> None:
    found = limits_probe(trader, "tasks", more=f"TasksMax={TASKS}\n")
    measured(f"tasks that there could be with TasksMax={TASKS}", found["tasks"], "")
    assert found == {"refused": "EAGAIN", "tasks": TASKS}


@pytest.mark.parametrize("quota", QUOTAS)
def test_it_gets_no_more_of_the_processors_than_its_quota(trader: TraderUnit, quota: float, measured: Measured) -> None:
    """A host that is busy gives less than the quota, so what shows the quota at work is what the kernel held back."""
    with probed(trader.lab, UNIT, "probe_limits", "processor", more=f"CPUQuota={quota:.0%}\n") as found:
        held_back = throttled_periods(trader)
    windows = found["processors"]
    measured(f"processors used with CPUQuota={quota:.0%} by two processes that want one each", max(windows), "")
    measured(f"periods held back with CPUQuota={quota:.0%}", held_back, "")
    assert max(windows) < quota * (1 + WITHIN)
    assert held_back > 0


def throttled_periods(trader: TraderUnit) -> int:
    """Of the unit's control group, on a host with either hierarchy."""
    group = trader.show("ControlGroup")["ControlGroup"]
    files = [f"/sys/fs/cgroup{hierarchy}{group}/cpu.stat" for hierarchy in ("", "/cpu")]
    found = trader.lab.run(["cat", *files], check=False)  # one of them is not there
    periods = re.search(r"^nr_throttled (\d+)$", found.stdout, re.MULTILINE)
    assert periods, f"no cpu.stat of the control group {group}"
    return int(periods[1])
