"""Backups on disks that are really full or read-only, and by processes that are really killed."""

import contextlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader.contracts import TradingMode
from trader.events import ServiceStarted, StartReason
from trader.journal import Journal
from trader.maintenance.backup import entries, verify

pytestmark = pytest.mark.e2e

KILLS = 8
LONGEST_RUN_S = 1.2


@pytest.fixture
def state(rig: Any) -> Any:
    """A rig whose service has stopped, with a journal of some size."""
    from trader.clock import SystemClock

    started = ServiceStarted(
        at=SystemClock().now(), run_id="r", reason=StartReason.MANUAL, previous_exit_clean=True, version="0.1.0",
        mode=TradingMode.SIMULATED, account="", config_hash="abc",
    )  # fmt: skip
    with Journal.open(f"sqlite:///{rig.folder}/state/journal.db") as journal:
        journal.append([started] * 20_000)
    return rig


Mounted = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def on_mount(state: Any) -> Mounted:
    """Runs a command with a file system of its own in the place of ``folder``; skipped where that is not allowed."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("this user may not mount anything")

    def run(options: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        folder.mkdir(exist_ok=True)
        script = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
        command = [sys.executable, "-m", "trader", *arguments, "--config", str(state.config)]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", options, str(folder), *command],
            capture_output=True, text=True, timeout=90, env=state.environment, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 1.02])
def test_a_disk_without_room_is_one_sentence_and_exit_code_1(state: Any, on_mount: Mounted, share: float) -> None:
    room = int((state.folder / "state" / "journal.db").stat().st_size * share)
    failed = on_mount(f"size={room}", state.folder / "backups", "backup", "create")
    assert failed.returncode == 1, failed.stdout
    assert len(failed.stderr.splitlines()) == 1, failed.stderr
    assert "no room is left" in failed.stderr


def test_with_enough_room_it_succeeds_on_such_a_disk(state: Any, on_mount: Mounted) -> None:
    made = on_mount("size=100m", state.folder / "backups", "backup", "create")
    assert made.returncode == 0, made.stderr


def test_a_read_only_disk_is_one_sentence_and_exit_code_1(state: Any, on_mount: Mounted) -> None:
    failed = on_mount("ro", state.folder / "backups", "backup", "create")
    assert failed.returncode == 1
    assert "its file system is read-only; name another folder" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_state_on_a_full_disk_is_not_restored_and_says_so(state: Any, on_mount: Mounted) -> None:
    state.back_up()
    failed = on_mount("size=1m", state.folder / "state", "backup", "restore", "newest")
    assert failed.returncode == 1
    assert "no room is left" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def killed_after(rig: Any, seconds: float, *arguments: str) -> None:
    process = rig.start(*arguments, "--config", str(rig.config))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.wait()


def test_a_backup_that_is_killed_at_any_moment_leaves_whole_ones_only(state: Any, seed: int) -> None:
    rng, folder = random.Random(seed), state.folder / "backups"
    for _ in range(KILLS):
        killed_after(state, rng.uniform(0.2, LONGEST_RUN_S), "backup", "create")
        for entry in entries(folder):
            assert verify(entry.path).manifest.books.last_sequence == 20_000
    state.back_up()
    left = {path.name for path in folder.iterdir()} - {".lock"}
    assert left == {name for e in entries(folder) for name in (e.path.name, f"{e.path.name}.sha256")}


def test_a_restore_that_is_killed_at_any_moment_leaves_a_whole_journal(state: Any, seed: int) -> None:
    rng, journal = random.Random(seed), state.folder / "state" / "journal.db"
    state.back_up()
    with Journal.open(f"sqlite:///{journal}") as writer:
        writer.append([next(fact for _, fact in writer.read())])
    for _ in range(KILLS):
        killed_after(state, rng.uniform(0.2, LONGEST_RUN_S), "backup", "restore", "newest", "--replace")
        with Journal.open(f"sqlite:///{journal}") as found:
            assert found.last_sequence in (20_000, 20_001)
    assert state.command("backup", "restore", "newest", "--replace").returncode == 0
    assert not list(journal.parent.glob(".*.part"))
