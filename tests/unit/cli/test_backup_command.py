"""``trader backup``: what is printed, what comes next, and the exit codes."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from trader.cli import backup as command
from trader.contracts import TradingMode
from trader.events import ServiceStarted, StartReason
from trader.journal import Journal
from trader.journal.lock import FileLock
from trader.maintenance.backup import disk

Trader = Callable[..., Result]
STARTED = ServiceStarted(
    at=datetime(2026, 3, 2, 14, 30, tzinfo=UTC), run_id="r", reason=StartReason.MANUAL, previous_exit_clean=True,
    version="0.1.0", mode=TradingMode.PAPER, account="DU7", config_hash="abc",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("mode: paper\naccount: DU7\ninstruments: [SPY]\ncontrol: {socket: c.sock}\n")
    with Journal.open(f"sqlite:///{tmp_path}/state/journal.db") as journal:
        journal.append([STARTED, STARTED])
    return tmp_path


@pytest.fixture
def trader(folder: Path) -> Trader:
    app = typer.Typer()
    command.register(app)

    @app.callback()
    def callback() -> None: ...

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["backup", *arguments, "--config", str(folder / "config.yaml")])

    return run


def only_backup(folder: Path) -> Path:
    (found,) = (folder / "backups").glob("*.tar.gz")
    return found


def test_it_is_made_listed_verified_and_restored(trader: Trader, folder: Path) -> None:
    made = trader("create")
    assert made.exit_code == 0, made.output
    path = only_backup(folder)
    assert str(path) in made.stdout
    assert "2 facts, 0 fills; holds nothing" in made.stdout

    listed = trader("list")
    assert (listed.exit_code, path.name in listed.stdout) == (0, True)
    verified = trader("verify")
    assert (verified.exit_code, verified.stdout.startswith("✓ ")) == (0, True)

    shutil.rmtree(folder / "state")
    restored = trader("restore", "newest")
    assert restored.exit_code == 0, restored.output
    assert "next: start the service" in restored.stdout
    with Journal.open(f"sqlite:///{folder}/state/journal.db") as journal:
        assert journal.last_sequence == 2


def test_each_says_the_same_as_json(trader: Trader, folder: Path) -> None:
    made = json.loads(trader("create", "--json").stdout)
    assert (made["last_sequence"], made["facts"], made["removed"]) == (2, {"ServiceStarted": 2}, [])
    (row,) = json.loads(trader("list", "--json").stdout)
    assert (row["name"], row["last_sequence"], row["problem"]) == (Path(made["path"]).name, 2, "")
    (told,) = json.loads(trader("verify", "--all", "--json").stdout)
    assert (told["whole"], told["path"]) == (True, made["path"])
    restored = json.loads(trader("restore", "newest", "--replace", "--json").stdout)
    assert restored["journal"] == str(folder / "state" / "journal.db")
    assert len(restored["aside"]) == 1


def test_a_damaged_one_is_exit_code_1_and_a_sentence_each(trader: Trader, folder: Path) -> None:
    trader("create")
    path = only_backup(folder)
    path.write_bytes(path.read_bytes()[:-1])

    verified = trader("verify", "--all")
    assert (verified.exit_code, verified.stderr.count("\n")) == (1, 1)
    assert f"✗ {path} is damaged" in verified.stderr
    (told,) = json.loads(trader("verify", "--json").stdout)
    assert (told["whole"], "is damaged" in told["problem"]) == (False, True)

    path.write_bytes(b"")
    assert "is damaged" in trader("list").stdout.replace("\n", " ")
    restored = trader("restore", path.name, "--replace")
    assert restored.exit_code == 1


def test_live_state_is_not_overwritten_without_saying_so(trader: Trader, folder: Path) -> None:
    trader("create")
    refused = trader("restore", "newest")
    assert refused.exit_code == 2
    assert "say so with --replace" in refused.stderr

    done = trader("restore", "newest", "--replace")
    assert done.exit_code == 0
    assert "the old state is at " in done.stdout


def test_a_service_that_runs_keeps_its_state(trader: Trader, folder: Path) -> None:
    trader("create")
    lock = FileLock(folder / "state" / "journal.db")
    refused = trader("restore", "newest", "--replace")
    lock.release()
    assert refused.exit_code == 2
    assert "a service runs on this state" in refused.stderr


def test_another_run_is_exit_code_1(trader: Trader, folder: Path) -> None:
    disk.make_folder(folder / "backups")
    with disk.FolderLock(folder / "backups"):
        refused = trader("create")
    assert refused.exit_code == 1
    assert "makes a backup in" in refused.stderr


def test_without_backups_it_says_how_to_make_one(trader: Trader) -> None:
    assert "make one with: trader backup create" in trader("list").stdout
    for asked in (("verify",), ("restore", "newest")):
        answer = trader(*asked)
        assert answer.exit_code == 1
        assert "make one with: trader backup create" in answer.stderr


def test_without_a_configuration_a_backup_is_restored_into_a_folder_and_nothing_else_is_possible(
    trader: Trader, folder: Path
) -> None:
    trader("create")
    path = only_backup(folder)
    (folder / "config.yaml").unlink()

    out = trader("restore", str(path), "--to", str(folder / "out"))
    assert out.exit_code == 0, out.output
    assert (folder / "out" / "config" / "config.yaml").read_text().startswith("mode: paper")
    assert f"next: trader journal stats --url sqlite:///{folder}/out/journal.db" in out.stdout
    assert trader("list", "--folder", str(folder / "backups")).exit_code == 0
    assert trader("create").exit_code == 2


def test_a_journal_in_memory_or_none_is_one_sentence(trader: Trader, folder: Path) -> None:
    config = folder / "config.yaml"
    text = config.read_text()
    for url, code, said in (
        ("sqlite://", 2, "is kept in memory"),
        ("sqlite:///none.db", 1, "there is no journal at"),
        ("postgresql://nobody@127.0.0.1:9/none", 1, "pg_dump"),
    ):
        config.write_text(f"{text}journal: {{url: '{url}'}}\n")
        answer = trader("create")
        assert (answer.exit_code, said in answer.stderr) == (code, True), answer.output
        assert answer.stderr.count("\n") == 1
