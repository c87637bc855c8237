"""What commands share."""

import os

import pytest
import typer

from trader.cli.plumbing import fail


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")


def test_a_failure_is_a_sentence_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    with pytest.raises(typer.Exit) as ended:
        fail("no gateway\nat port 4002", 2)
    assert ended.value.exit_code == 2
    assert capfd.readouterr().err == "no gateway\nat port 4002\n"


@pytest.mark.usefixtures("journal")
def test_in_the_journal_each_line_of_a_failure_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        fail("no gateway\nat port 4002")
    assert capfd.readouterr().err == "<3>ERROR no gateway\n<3>ERROR at port 4002\n"


def test_another_stream_than_the_journals_gets_no_prefix(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with pytest.raises(typer.Exit):
        fail("no gateway")
    assert capfd.readouterr().err == "no gateway\n"
