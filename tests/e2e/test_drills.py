"""Drills on a real Prometheus and Alertmanager: a fault pages within its bound, its repair resolves within its own."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trader.cli.drill import line_of, markdown_of
from trader.drills.model import DrillResult, On
from trader.drills.run import DrillOptions, play_all
from trader.drills.standin import StandIn
from trader.drills.table import DRILLS
from trader.slo_report import OBJECTIVE
from trader.stack import Programs, Stack, StackOptions

pytestmark = pytest.mark.e2e

# The service, a stand-in for the host, metrics files, and the heartbeat.
CHOSEN = (
    "BrokerDisconnected/page",
    "OrderRejectsBurst/page",
    "DiskLow/page",
    "TaskFailed/ticket",
    "DrillBoundUnmet/page",
    "Watchdog/none",
)
ATTEMPTS = 300
PAUSE_S = 0.2


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trader", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a Unix socket, which may have 107 bytes in all."""
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        yield Path(folder)


@pytest.mark.usefixtures("programs")
async def test_every_fault_pages_and_every_repair_resolves(short_folder: Path) -> None:
    drills = [drill for drill in DRILLS if drill.name in CHOSEN]
    assert len(drills) == len(CHOSEN)

    results = await play_all(DrillOptions(folder=short_folder), drills, lambda result: print(line_of(result)))

    assert [result.problem for result in results] == [""] * len(CHOSEN)
    assert {result.on for result in results} == {On.SERVICE, On.NODE_STANDIN, On.STACK}
    assert all(result.summary for result in results)


async def success_metrics_of(folder: Path, programs: Programs, memory: float) -> subprocess.CompletedProcess[str]:
    """What ``trader slo`` says of a trader that uses this much of its memory."""
    trader = StandIn()
    trader.set({"trader_unit_memory_working_set_bytes": memory, "trader_unit_memory_max_bytes": 100.0})
    await trader.start()
    options = StackOptions(
        folder=folder, traders=(trader.address,), scrape_interval_s=0.5, evaluation_interval_s=0.5, programs=programs
    )
    try:
        async with Stack(options) as stack:
            for _ in range(ATTEMPTS):
                if await stack.query('slo:met{slo="resources"}') and await stack.query(OBJECTIVE):
                    break
                await asyncio.sleep(PAUSE_S)
            return await asyncio.to_thread(command, "slo", "--prometheus", stack.prometheus_url, "--json")
    finally:
        await trader.stop()


async def test_the_success_metrics_are_told_from_prometheus(tmp_path: Path, programs: Programs) -> None:
    said = await success_metrics_of(tmp_path, programs, memory=50.0)

    assert said.returncode == 0, said.stderr
    (report,) = json.loads(said.stdout)
    verdicts = {row["slo"]: row["verdict"] for row in report["rows"]}
    assert len(verdicts) == 8
    assert verdicts["resources"] == "met"
    assert verdicts["fill_rate"] == "unmeasured"


async def test_a_broken_success_metric_is_an_exit_code(tmp_path: Path, programs: Programs) -> None:
    said = await success_metrics_of(tmp_path, programs, memory=95.0)

    assert said.returncode == 1
    assert "95.0 % of memory" in said.stdout


def test_without_prometheus_the_success_metrics_cannot_be_told() -> None:
    said = command("slo", "--prometheus", "http://127.0.0.1:1")

    assert said.returncode == 2
    assert "http://127.0.0.1:1" in said.stderr
    assert "Traceback" not in said.stderr


def test_an_alert_without_a_drill_says_why() -> None:
    said = command("drill", "page", "--alert", "SLOUnmeasured")
    assert (said.returncode, "SLOUnmeasured has no drill" in said.stderr) == (2, True)
    said = command("drill", "page", "--alert", "NoSuchAlert")
    assert (said.returncode, "there is no alert NoSuchAlert" in said.stderr) == (2, True)


def test_the_drills_can_be_listed_without_playing_them() -> None:
    said = command("drill", "page", "--list", "--json")

    assert said.returncode == 0
    listed = json.loads(said.stdout)
    assert len(listed["drills"]) == len(DRILLS)
    assert "NetPnLNegative" in listed["not_drilled"]


def test_the_table_for_the_documentation_shows_times_and_problems() -> None:
    good = DrillResult(
        alert="B",
        severity="page",
        fault="f",
        on="service",
        page_s=1.0,
        page_bound_s=9,
        resolve_s=2.0,
        resolve_bound_s=8,
    )
    bad = DrillResult(alert="A", severity="ticket", fault="g", on="stack", page_bound_s=9, problem="no page within 9 s")

    text = markdown_of([good, bad], 60)

    assert "| B | page | f | service | 1.0 s | 9.0 s | 2.0 s | 8.0 s | ok |" in text
    assert text.index("| A |") < text.index("| B |")
    assert "no page within 9 s |" in text
    assert "- `NetPnLNegative`: " in text
