"""A journal in a file: one writer by a lock beside it, the disk right behind, damage seen when it is opened."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tools.journals import Database, reserved, until
from trader.journal import (
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReplaced,
    JournalUnavailable,
    PatientJournal,
    patient,
    syncer,
)
from trader.journal.api import Durability
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
        assert synced.wait(60)


def test_a_sync_that_fails_is_told_by_the_next_append(
    path: Path, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with file.open() as journal:
        monkeypatch.setattr(syncer.os, "fdatasync", fail)
        journal.append([reserved(1)])
        journal._backend._syncer._thread.join(60)  # type: ignore[attr-defined]
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
        assert copied.wait(60)
        assert path.stat().st_size > small * 2


def test_only_its_owner_can_read_it(path: Path, file: Database) -> None:
    with file.open() as journal:
        journal.append([reserved(1)])
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.glob(path.name + "*")}
    assert set(modes.values()) == {"0o600"}, modes


# -- the file is taken away while it is open


@pytest.fixture
def watched(file: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[PatientJournal]:
    """A journal of one fact that is looked after without pauses."""
    monkeypatch.setattr(syncer, "LOOK_INTERVAL_S", 0.001)
    monkeypatch.setattr(patient, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(patient, "RETRY_MAX_S", 0.001)
    with PatientJournal(file.open(), lambda: file.open(may_create=False)) as journal:
        journal.append([reserved(1)])
        yield journal


def noticed(journal: PatientJournal) -> None:
    """Wait until whatever was done to the file was seen, with nothing written meanwhile."""
    journal._journal._backend._syncer._thread.join(60)  # type: ignore[attr-defined]
    journal.append([])


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def move_its_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def remove_its_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize(
    ("take_away", "words"),
    [
        (remove, "journal.db is gone although it is in use"),
        (replace, "another file is in the place of the journal .*journal.db"),
        (move_its_folder, "journal.db is gone although it is in use"),
        (remove_its_log, "journal.db-wal .* is gone although it is in use"),
    ],
)
@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_file_that_is_taken_away_while_it_is_open_is_told_by_the_next_append(
    path: Path,
    file: Database,
    monkeypatch: pytest.MonkeyPatch,
    durability: Durability,
    take_away: Callable[[Path], None],
    words: str,
) -> None:
    monkeypatch.setattr(syncer, "LOOK_INTERVAL_S", 0.001)
    with file.open(durability) as journal:
        journal.append([reserved(1)])
        take_away(path)
        journal._backend._syncer._thread.join(60)  # type: ignore[attr-defined]
        for facts in ([reserved(2)], []):
            with pytest.raises(JournalUnavailable, match=words):
                journal.append(facts)
        assert journal.last_sequence == 1


def test_a_journal_that_is_moved_away_and_back_is_written_on(path: Path, watched: PatientJournal) -> None:
    away = path.with_name("away.db")
    path.rename(away)
    noticed(watched)
    assert "is gone although it is in use" in watched.problem
    watched.append([reserved(2)])
    assert watched.waiting == 1
    away.rename(path)
    until(watched, lambda: not watched.problem)
    watched.append([reserved(3)])
    assert [number for number, _ in watched.read()] == [1, 2, 3]


def test_a_journal_that_is_gone_is_not_given_up_until_its_process_ends(path: Path, watched: PatientJournal) -> None:
    path.unlink()
    noticed(watched)
    search = watched._search
    assert search is not None
    search._thread.join(0.05)
    descriptors = Path("/proc/self/fd")
    assert any(os.readlink(link) == f"{path} (deleted)" for link in descriptors.iterdir() if link.is_symlink())


def test_a_journal_whose_log_is_taken_away_loses_nothing(path: Path, file: Database, watched: PatientJournal) -> None:
    remove_its_log(path)
    noticed(watched)
    until(watched, lambda: not watched.problem)
    watched.append([reserved(2)])
    watched.close()
    with file.read() as reader:
        assert [number for number, _ in reader.read()] == [1, 2]


def test_another_file_in_its_place_ends_the_waiting_and_is_not_touched(path: Path, watched: PatientJournal) -> None:
    replace(path)
    content = path.read_bytes()
    noticed(watched)
    search = watched._search
    assert search is not None
    search._thread.join(60)
    with pytest.raises(JournalReplaced, match=r"another file is in the place .* the last 1 facts are lost"):
        watched.append([reserved(2)])
    watched.close()
    assert path.read_bytes() == content


class WrittenAsTheWaitEnds(threading.Event):
    """Set in the instant after the first wait for it timed out; ends its syncer after the second."""

    def __init__(self, journal_syncer: syncer.LogSyncer) -> None:
        super().__init__()
        self._syncer = journal_syncer
        self.seen: list[bool] = []

    def wait(self, timeout: float | None = None) -> bool:
        written = self.is_set()
        self.seen.append(written)
        self._syncer._stopping = len(self.seen) > 1
        self.set()
        return written


def test_a_write_in_the_instant_in_which_a_look_ends_is_synced_in_the_next_turn(path: Path, file: Database) -> None:
    with file.open() as journal:
        journal_syncer = journal._backend._syncer  # type: ignore[attr-defined]
        journal_syncer.stop()
        written = WrittenAsTheWaitEnds(journal_syncer)
        journal_syncer._written, journal_syncer._stopping = written, False
        journal_syncer._run()
    assert written.seen == [False, True]


def test_a_journal_behind_a_link_is_looked_after_where_it_is(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncer, "LOOK_INTERVAL_S", 0.001)
    synced = threading.Event()
    monkeypatch.setattr("trader.journal.syncer.os.fdatasync", lambda descriptor: synced.set())
    path.parent.mkdir()
    (tmp_path / "link.db").symlink_to(path)
    with Database(f"sqlite:///{tmp_path}/link.db").open() as journal:
        synced.clear()
        journal.append([reserved(1)])
        assert synced.wait(60)
        journal.append([reserved(2)])
