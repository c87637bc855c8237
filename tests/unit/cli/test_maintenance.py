"""``trader maintenance``: exit codes, what it prints, and the files of a real run."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trader.cli import app
from trader.maintenance.tasks import TASKS

CONFIG = """\
instruments: [SPY]
session: {calendar: always}
journal: {url: "sqlite:///state/journal.db"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["maintenance", *(str(argument) for argument in arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def tasks_that_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame is under test here; each task has tests of its own."""
    from trader.maintenance import runner
    from trader.maintenance.model import Outcome, Section

    def fine(self: object, task: object, context: object, limit_s: float) -> Section:
        return Section(key="k", title="T", outcome=Outcome.OK, sentence="fine")

    monkeypatch.setattr(runner.Forked, "__call__", fine)


def test_a_dry_run_says_every_task_and_writes_nothing(config: Path) -> None:
    code, out, _ = run("daily", "--dry-run", "--config", config)
    assert code == 0
    assert out.count("fine") == len(TASKS["daily"])  # type: ignore[index]
    assert [path.name for path in config.parent.rglob("*")] == ["config.yaml"]


def test_json_is_the_report_and_nothing_else(config: Path) -> None:
    code, out, _ = run("monthly", "--dry-run", "--json", "--config", config)
    told = json.loads(out)
    assert (code, told["kind"], told["dry_run"]) == (0, "monthly", True)
    assert [one["task"] for one in told["runs"]] == [task.name for task in TASKS["monthly"]]  # type: ignore[index]


def test_a_look_back_writes_the_report_of_that_day(config: Path) -> None:
    code, out, _ = run("daily", "--at", "2026-11-20T22:00", "--config", config)
    assert code == 0
    assert "Daily maintenance of 2026-11-19: all 6 tasks ok" in " ".join(out.split())
    assert len(list((config.parent / "logs/reports/daily").glob("2026-11-19_20261120T2200*.html"))) == 1


def test_another_run_that_holds_the_lock_is_exit_code_3(config: Path) -> None:
    from trader.maintenance.lock import JobLock

    with JobLock(config.parent / "state/maintenance/daily.lock", "another"):
        code, _, err = run("daily", "--at", "2026-11-20", "--config", config)
    assert code == 3
    assert err.strip() == "daily maintenance does not run: another holds the lock"


@pytest.mark.parametrize(
    "mistake",
    ["maintenance: {daily_limit_s: -1}\n", "maintenance: {no_such_key: 1}\n", "no_such_section: 1\n", "mode: [\n"],
)
def test_a_configuration_that_cannot_be_used_is_exit_code_2(config: Path, mistake: str) -> None:
    config.write_text(CONFIG + mistake)
    code, _, err = run("daily", "--dry-run", "--config", config)
    assert code == 2
    assert str(config) in err


def test_no_configuration_is_exit_code_2(tmp_path: Path) -> None:
    code, _, err = run("daily", "--config", tmp_path / "nothing.yaml")
    assert code == 2
    assert "nothing.yaml" in err


def test_a_mistake_elsewhere_in_the_configuration_is_a_warning_of_the_report(config: Path) -> None:
    config.write_text(CONFIG + "risk: {max_open_orders: 0}\n")
    code, out, _ = run("daily", "--dry-run", "--config", config)
    assert code == 0
    assert "max_open_orders" in out


def test_an_unknown_kind_is_refused(config: Path) -> None:
    code, _, err = run("hourly", "--config", config)
    assert code == 2
    assert "hourly" in err


def test_an_instance_has_no_metrics_because_they_are_the_plain_services(tmp_path: Path) -> None:
    folder = tmp_path / "instances" / "second" / "config"
    folder.mkdir(parents=True)
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    config = folder / "config.yaml"
    # The folder for tests is too long for a socket.
    socket = "control: {socket: /run/trader/control.sock}\n"
    config.write_text(CONFIG + socket + f"maintenance: {{textfile_folder: {textfiles}}}\n")
    code, _, err = run("daily", "--dry-run", "--config", config)
    assert code == 0
    assert "not of the instance second" in err
    shutil.rmtree(folder)
