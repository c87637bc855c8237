"""The shell helpers of the units, run as systemd runs them; what they would wait for and ask is put in their way."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.catalogue import textfile

LIBEXEC = Path(__file__).resolve().parents[3] / "systemd" / "libexec"
UNIT = "ibkr-trading.service"


def run(helper: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [LIBEXEC / helper, *arguments],
        capture_output=True, text=True, timeout=30, env=inherited | environment, check=False,
    )  # fmt: skip


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """Programs that stand in for systemctl and sleep: $RESTARTS is the answer of the first, the second only tells."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"systemctl": 'echo "$RESTARTS"', "sleep": 'echo "slept $1"'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


class Backoff:
    """Runs the helper with its state in a folder of the test's own."""

    def __init__(self, fakes: Path, folder: Path) -> None:
        self._fakes, self.folder = fakes, folder

    def wait_s(self, restarts: str) -> int:
        done = run(
            "backoff", UNIT, "10", "40", str(self.folder), RESTARTS=restarts, PATH=f"{self._fakes}:{os.environ['PATH']}"
        )
        assert (done.returncode, done.stderr) == (0, "")
        found = re.search(r"slept (\d+)", done.stdout)
        return int(found.group(1)) if found else 0


@pytest.fixture
def backoff(fakes: Path, tmp_path: Path) -> Backoff:
    return Backoff(fakes, tmp_path / "state")


def test_the_waits_are_10_20_and_then_40_seconds(backoff: Backoff) -> None:
    assert [backoff.wait_s(str(restarts)) for restarts in range(6)] == [0, 10, 20, 40, 40, 40]


def test_a_start_by_hand_does_not_wait_and_begins_a_new_row(backoff: Backoff) -> None:
    assert [backoff.wait_s(str(restarts)) for restarts in (0, 1, 2, 0, 1)] == [0, 10, 20, 0, 10]


def test_a_healthy_run_begins_a_new_row(backoff: Backoff) -> None:
    assert [backoff.wait_s(str(restarts)) for restarts in (1, 2)] == [10, 20]
    waited, started = (backoff.folder / UNIT).read_text(encoding="utf-8").split()
    (backoff.folder / UNIT).write_text(f"{waited} {int(started) - 700}\n", encoding="utf-8")
    assert backoff.wait_s("3") == 10


@pytest.mark.parametrize("broken", ["", "forty ago\n", "40\n", "-5 -5\n", "99999999 1\n", "$(reboot) 1\n"])
def test_a_state_that_cannot_be_read_counts_as_a_first_restart(backoff: Backoff, broken: str) -> None:
    backoff.folder.mkdir()
    (backoff.folder / UNIT).write_text(broken, encoding="utf-8")
    assert backoff.wait_s("7") in (10, 40)


def test_a_systemd_that_does_not_answer_counts_as_a_restart(backoff: Backoff, fakes: Path) -> None:
    (fakes / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    assert backoff.wait_s("") == 10


def recorded(file: Path, **environment: str) -> Any:
    done = run("record-exit", str(file), **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert [found.name for found in file.parent.iterdir()] == [file.name]
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_end_of_a_run_is_recorded_as_systemd_tells_it(tmp_path: Path) -> None:
    environment = {"SERVICE_RESULT": "watchdog", "EXIT_CODE": "killed", "EXIT_STATUS": "ABRT"}
    assert recorded(tmp_path / "last_exit.json", **environment) == {
        "result": "watchdog", "exit_code": "killed", "exit_status": "ABRT",
    }  # fmt: skip


def test_a_later_end_replaces_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "last_exit.json"
    recorded(file, SERVICE_RESULT="exit-code", EXIT_CODE="exited", EXIT_STATUS="1")
    assert recorded(file, SERVICE_RESULT="success", EXIT_CODE="exited", EXIT_STATUS="0")["result"] == "success"
    assert (file.stat().st_mode & 0o777) == 0o600


def test_an_end_that_nobody_told_is_not_called_good(tmp_path: Path) -> None:
    assert recorded(tmp_path / "last_exit.json") == {"result": "unknown", "exit_code": "", "exit_status": ""}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = run("record-exit", str(tmp_path / "missing" / "last_exit.json"), SERVICE_RESULT="success")
    assert done.returncode != 0
    assert "missing" in done.stderr


FAILURE = {"MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_CODE": "exited", "MONITOR_EXIT_STATUS": "78"}


def test_a_failure_is_one_record_at_err_and_one_metric(tmp_path: Path) -> None:
    done = run("alert", UNIT, str(tmp_path), **FAILURE)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"<3>ERROR: {UNIT} failed: result=exit-code exit_code=exited exit_status=78")
    (file,) = tmp_path.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"ibkr-alert-{UNIT}.prom", 0o644)
    (family,) = text_string_to_metric_families(file.read_text(encoding="utf-8"))
    metric = textfile.UNIT_FAILED
    assert (family.name, family.documentation, family.type) == (metric.name, metric.help, metric.kind.value)
    (sample,) = family.samples
    assert sample.labels == {"unit": UNIT, "result": "exit-code"}
    assert sample.value > 1_700_000_000


def test_every_result_of_systemd_is_a_value_of_the_label() -> None:
    # systemd.exec(5), $SERVICE_RESULT, but for success, which is no failure.
    told = {
        "protocol", "timeout", "exit-code", "signal", "core-dump", "watchdog", "exec-condition", "oom-kill",
        "start-limit-hit", "resources",
    }  # fmt: skip
    assert set(textfile.UNIT_RESULTS) == told | {"unknown"}


def test_an_instance_has_a_metric_of_its_own(tmp_path: Path) -> None:
    for unit in ("ibkr-trading@a.service", "ibkr-trading@b.service"):
        run("alert", unit, str(tmp_path), **FAILURE)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_facts_are_read_where_the_unit_tells_of_itself(tmp_path: Path) -> None:
    done = run("alert", UNIT, str(tmp_path), SERVICE_RESULT="signal", EXIT_CODE="killed", EXIT_STATUS="KILL")
    assert "result=signal exit_code=killed exit_status=KILL" in done.stdout


def test_a_clean_end_is_no_failure(tmp_path: Path) -> None:
    done = run("alert", UNIT, str(tmp_path), SERVICE_RESULT="success", EXIT_CODE="exited", EXIT_STATUS="0")
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (0, "", [])


def test_a_missing_folder_loses_the_metric_and_not_the_record(tmp_path: Path) -> None:
    done = run("alert", UNIT, str(tmp_path / "missing"), **FAILURE)
    assert done.returncode == 0
    assert [line[:9] for line in done.stdout.splitlines()] == ["<3>ERROR:", f"<4>{tmp_path}"[:9]]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_helpers_are_clean_shell() -> None:
    helpers = sorted(str(file) for file in LIBEXEC.iterdir())
    done = subprocess.run(
        ["shellcheck", "--shell=sh", *helpers], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == ""
