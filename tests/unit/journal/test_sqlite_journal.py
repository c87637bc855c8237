"""A journal in a file: one writer by a lock beside it, the disk right behind, damage seen when it is opened."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tools.journals import Database, reserved
from trader.journal import JournalDamaged, JournalError, JournalFull, JournalLocked, JournalUnavailable, syncer
from trader.journal.syncer import CHECKPOINT_COMMITS


def test_a_second_service_is_refused_and_told_who_has_it(path: Path, file: Database) -> None:
    with file.open(), pytest.raises(JournalLocked, match=f"in use by process {os.getpid()}"):
        file.open()


def test_a_failed_open_leaves_no_lock(path: Path, file: Database) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, whatever its name says " * 40)
    for _ in range(2):
        with pytest.raises(JournalDamaged):
            file.open()


def test_it_refuses_a_file_that_is_not_a_database(path: Path, file: Database) -> None:
    path.parent.mkdir()
    content = b"not a database at all, whatever its name says " * 40
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match=r"damaged \(file is not a database\)"):
        file.open()
    assert path.read_bytes() == content


def test_it_refuses_a_journal_with_a_broken_page(path: Path, file: Database) -> None:
    with file.open() as journal:
        journal.append([reserved(number) for number in range(500)])
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 6] = b"\xa5" * 4096 * 2
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="trader journal verify"):
        file.open()


def test_a_full_disk_is_said_and_nothing_is_half_written(path: Path, file: Database) -> None:
    with file.open() as journal:
        journal.append([reserved(1)])
        edit_limit = journal._connection.exec_driver_sql  # type: ignore[attr-defined]
        pages = edit_limit("PRAGMA page_count").scalar_one()
        edit_limit(f"PRAGMA max_page_count={pages}")
        with pytest.raises(JournalFull, match="no room is left"):
            journal.append([reserved(number) for number in range(2_000)])
        assert journal.last_sequence == 1
        edit_limit("PRAGMA max_page_count=1000000")
        journal.append([reserved(2)])
        assert [number for number, _ in journal.read()] == [1, 2]


@pytest.fixture
def no_file_grows() -> Iterator[Callable[[], None]]:
    """From the call on, no file of this process may be written beyond its first bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_journal_on_a_disk_without_room_is_not_opened_and_stays_as_it_is(
    path: Path, file: Database, tmp_path: Path, no_file_grows: Callable[[], None]
) -> None:
    crashed = tmp_path / "crashed.db"
    with file.open() as journal:
        journal.append([reserved(1)])
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{crashed}{end}")
    no_file_grows()
    with pytest.raises(JournalError, match=r"crashed\.db"):
        Database(f"sqlite:///{crashed}").open()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(JournalUnavailable, match="cannot be made"):
        Database(f"sqlite:///{tmp_path}/state/deeper/journal.db").open()


def test_a_reader_says_when_there_is_no_journal(file: Database) -> None:
    with pytest.raises(JournalUnavailable, match="there is no journal at"):
        file.read()


def test_a_disk_that_failed_behind_the_writer_stops_the_next_append(path: Path, file: Database) -> None:
    with file.open() as journal:
        journal._backend._syncer.failure = "Input/output error"  # type: ignore[attr-defined]
        with pytest.raises(JournalUnavailable, match="Input/output error"):
            journal.append([reserved(1)])
        assert list(journal.read()) == []


def test_what_was_appended_is_synced_to_the_disk_right_behind(
    path: Path, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    monkeypatch.setattr(syncer.os, "fdatasync", lambda descriptor: synced.set())
    with file.open() as journal:
        synced.clear()
        journal.append([reserved(1)])
        assert synced.wait(10)


def test_a_sync_that_fails_is_told_by_the_next_append(
    path: Path, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with file.open() as journal:
        monkeypatch.setattr(syncer.os, "fdatasync", fail)
        journal.append([reserved(1)])
        journal._backend._syncer._thread.join(10)  # type: ignore[attr-defined]
        with pytest.raises(JournalUnavailable, match="disk under the journal"):
            journal.append([reserved(2)])


def test_the_log_is_copied_into_the_database_while_the_service_writes(
    path: Path, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = threading.Event()

    def checkpoint(database: Path) -> None:
        real(database)
        copied.set()

    real = syncer.checkpoint
    with file.open() as journal:
        monkeypatch.setattr(syncer, "checkpoint", checkpoint)
        small = path.stat().st_size
        for number in range(CHECKPOINT_COMMITS):
            journal.append([reserved(number)])
        assert copied.wait(10)
        assert path.stat().st_size > small * 2


def test_only_its_owner_can_read_it(path: Path, file: Database) -> None:
    with file.open() as journal:
        journal.append([reserved(1)])
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.glob(path.name + "*")}
    assert set(modes.values()) == {"0o600"}, modes
