"""The monitoring stack as processes: a fault becomes a page, and nothing outlives its parent."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trader.stack import Programs, Stack, StackOptions

pytestmark = pytest.mark.e2e

# A session that is always open, a scrape and an evaluation each second; a minute of `for` is a second here.
QUICK: dict[str, Any] = {
    "calendar": "always",
    "scrape_interval_s": 1.0,
    "evaluation_interval_s": 1.0,
    "hold_ratio": 1 / 60,
    "timing_s": {"group_wait": 0.0, "group_interval": 1.0, "repeat_interval": 3600.0},
    "resend_s": 1.0,
}
PATIENCE_S = 90.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/-/ready", timeout=60) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def watching(rig: Any, programs: Programs) -> StackOptions:
    """Options of a stack that watches the rig's service, once that is ready."""
    rig.simulator("--begin", "now")
    rig.service()
    rig.wait(lambda snapshot: snapshot.ready, "ready")
    return StackOptions(
        folder=rig.folder / "stack", programs=programs, traders=(f"127.0.0.1:{rig.metrics_port}",), **QUICK
    )


async def test_a_fault_is_paged_and_resolved_when_it_is_repaired(rig: Any, programs: Programs) -> None:
    async with Stack(watching(rig, programs)) as stack:
        await stack.wait_until_scraped()
        assert (await stack.query('up{job="trader"}'))[0].labels["instance"] == "localhost"

        (rig.folder / "panic.flag").touch()
        page = await stack.inbox.wait_for("PanicFlagPresent", PATIENCE_S, receiver="page")
        assert page.labels["severity"] == "page"
        assert page.annotations["runbook_url"].endswith("/PanicFlagPresent.md")
        assert page.annotations["first_command"]

        (rig.folder / "panic.flag").unlink()
        resolved = await stack.inbox.wait_for("PanicFlagPresent", PATIENCE_S, status="resolved", receiver="page")
        assert resolved.labels == page.labels
        assert stack.inbox.refused == 0


async def test_a_trader_that_dies_in_session_is_paged(rig: Any, programs: Programs) -> None:
    async with Stack(watching(rig, programs)) as stack:
        await stack.wait_until_scraped()

        async def in_session() -> bool:
            return [sample.value for sample in await stack.query("max(trader:session_open)")] == [1]

        await stack.wait_for(in_session, "the session to be open", PATIENCE_S)
        rig.processes[-1].send_signal(signal.SIGKILL)
        page = await stack.inbox.wait_for("TargetDown", PATIENCE_S, receiver="page")
        assert page.labels["job"] == "trader"


async def test_the_demonstration_scrapes_whole_and_nothing_pages(programs: Programs) -> None:
    output = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "trader", "demo", "--stack", "--duration", "20", "--metrics-port", "0"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert output.returncode == 0, output.stdout + output.stderr
    assert "the books balance" in output.stdout
    assert "firing   none   Watchdog" in output.stdout
    assert not re.search(r"^firing +page", output.stdout, flags=re.MULTILINE), output.stdout
    assert "sent     page" not in output.stdout


@pytest.fixture
def started(programs: Programs, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[str]]]]:
    """Starts `trader stack` and reads where its programs listen."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "trader", "stack", "--trader", "127.0.0.1:9", *arguments],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        found: list[str] = []
        for line in process.stdout:
            found += ADDRESS.findall(line)
            if line.startswith("files"):
                return process, found[:3]
        pytest.fail(f"trader stack ended: {process.wait()}")

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_stack_and_all_its_programs(started: Any, number: signal.Signals) -> None:
    process, urls = started()
    assert [answers(url) for url in urls[:2]] == [True, True]
    process.send_signal(number)
    assert process.wait(60) == 0
    assert not any(answers(url) for url in urls)


def test_the_duration_ends_the_stack(started: Any) -> None:
    process, urls = started("--duration", "1")
    assert process.wait(60) == 0
    assert not any(answers(url) for url in urls)


def test_the_programs_do_not_outlive_a_stack_that_is_killed(started: Any) -> None:
    from tests.e2e.conftest import eventually

    process, urls = started()
    process.kill()
    process.wait()
    eventually(lambda: not any(answers(url) for url in urls[:2]), "the end of the programs")


def test_a_stack_whose_programs_cannot_be_had_says_so_in_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    code = f"import trader.stack.programs as p; from pathlib import Path; p.ROOT = Path({str(tmp_path / 'gone')!r});"
    code += "from trader.cli import app; app(['stack', '--duration', '1'])"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert "there is no apt-get on this machine" in said.stderr
    assert "Traceback" not in said.stderr
