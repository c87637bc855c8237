"""``trader journal verify`` and ``repair``: exit codes, sentences, JSON."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.tools.journals import Database, halted, reserved
from trader.cli import journal

EXIT_FAILED = 1


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with Database(f"sqlite:///{path}").open() as opened:
        for number in range(200):
            opened.append([reserved(number), halted()])
    return path


def run(command: str, path: Path, *options: str) -> Result:
    app = typer.Typer()
    journal.register(app)
    return CliRunner().invoke(app, ["journal", command, "--url", f"sqlite:///{path}", *options])


def harm(path: Path) -> None:
    assert Database(f"sqlite:///{path}").edit("UPDATE facts SET body = replace(body, 'book', 'look') WHERE seq = 100")


def test_a_whole_journal_is_ok_in_words_and_in_json(written: Path) -> None:
    said = run("verify", written)
    assert (said.exit_code, said.stdout.startswith("ok: ")) == (0, True)
    assert "400 facts" in said.stdout
    told = json.loads(run("verify", written, "--json").stdout)
    assert (told["ok"], told["facts"], told["problems"]) == (True, 400, [])


def test_a_damaged_journal_is_said_with_what_to_do_and_an_exit_code(written: Path) -> None:
    harm(written)
    said = run("verify", written)
    assert said.exit_code == EXIT_FAILED
    assert "99 facts are whole" in said.stdout
    assert "fact 100 of" in said.stderr
    assert "trader journal repair" in said.stderr
    told = json.loads(run("verify", written, "--json").stdout)
    assert (told["ok"], told["facts"]) == (False, 99)


def test_a_repair_says_what_is_kept_saved_lost_and_rebuilt(written: Path) -> None:
    harm(written)
    said = run("repair", written)
    assert said.exit_code == 0
    assert f"a copy of the damaged journal is in {written}.damaged-" in said.stdout
    assert "saved: 99 facts" in said.stdout
    assert "asks the broker for it" in said.stdout
    assert "trader resume --accept-positions" in said.stdout
    assert run("verify", written).exit_code == 0


def test_a_repair_of_a_whole_journal_is_refused(written: Path) -> None:
    before = written.read_bytes()
    said = run("repair", written)
    assert said.exit_code == EXIT_FAILED
    assert "there is nothing to repair" in said.stderr
    assert written.read_bytes() == before


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_a_journal_that_is_not_there_is_one_sentence(tmp_path: Path, command: str) -> None:
    said = run(command, tmp_path / "none.db")
    assert said.exit_code == EXIT_FAILED
    assert "there is no journal at" in said.stderr
    assert not (tmp_path / "none.db").exists()
