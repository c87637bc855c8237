"""The real host: what it reads, what it cannot, and that it leaves nothing behind."""

import http.server
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trader.doctor import LinuxHost, integrity
from trader.doctor.model import Absent, NotVisible

HOST = LinuxHost()


def test_files_and_folders_are_told_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    file.chmod(0o640)
    (tmp_path / "link").symlink_to(file)
    assert HOST.read(file) == "text"
    assert HOST.names(tmp_path) == ("file", "link")
    assert HOST.state(file)[0] == "file"
    assert HOST.state(file).mode == 0o640
    assert HOST.state(tmp_path / "link").kind == "link"
    assert HOST.resolve(tmp_path / "link") == file.resolve()
    assert HOST.room(tmp_path).total_bytes > 0


def test_what_is_not_there_is_absent(tmp_path: Path) -> None:
    for look in (HOST.read, HOST.names, HOST.state, HOST.resolve, HOST.room, HOST.database, HOST.packages):
        with pytest.raises(Absent):
            look(tmp_path / "nothing")


def test_what_is_no_file_is_not_visible_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(NotVisible):
            HOST.read(path)
        with pytest.raises(NotVisible):
            HOST.database(path)


def test_what_a_database_says_when_it_cannot_be_opened_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert integrity.main(tmp_path / "none.db") == integrity.EXIT_NOT_NOW
    assert "unable to open" in capsys.readouterr().out


@pytest.mark.parametrize(("user", "needs_root"), [(0, False), (1_000, True)])
def test_what_is_closed_needs_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, needs_root: bool
) -> None:
    def closed(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", closed)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(NotVisible) as seen:
        HOST.names(tmp_path)
    assert seen.value.needs_root is needs_root


def test_a_program_that_is_missing_is_not_visible() -> None:
    with pytest.raises(NotVisible, match="is not installed"):
        HOST.run("no-such-program-here")


def test_a_program_tells_its_code_and_its_words() -> None:
    ran = HOST.run("/bin/sh", "-c", "echo said; echo complained >&2; exit 3")
    assert (ran.code, ran.output, ran.error) == (3, "said\n", "complained\n")


def test_accounts_are_told_with_their_groups() -> None:
    root = HOST.account("root")
    assert root is not None
    assert root.uid == 0
    assert "root" in root.groups
    assert HOST.account("nobody-by-this-name") is None


def test_packages_are_those_of_the_folder(tmp_path: Path) -> None:
    info = tmp_path / "thing-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.2\nRequires-Dist: other>=1\n")
    assert HOST.packages(tmp_path) == (("thing", "1.2", ("other>=1",)),)


def test_a_database_is_judged_and_not_written(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    writer = sqlite3.connect(file)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE facts (number)")
    writer.commit()
    before = file.read_bytes()
    assert HOST.database(file) == ("wal", "ok")
    assert file.read_bytes() == before
    writer.close()
    assert HOST.names(tmp_path) == ("journal.db",)
    assert HOST.database(file) == ("wal", "ok")
    assert HOST.names(tmp_path) == ("journal.db",)


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.write_text("this was a database once, and is none now. " * 20)
    found = HOST.database(file)
    assert found.journal_mode == "delete"
    assert "not a database" in found.verdict


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b"not ready")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing to log."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answering) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_an_answer_is_told_whatever_its_status_and_silence_is_none(server: str) -> None:
    assert HOST.get(f"{server}/readyz") == (503, "not ready")
    assert HOST.get("http://127.0.0.1:1/") is None
