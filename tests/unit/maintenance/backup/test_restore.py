"""State that was destroyed comes back as it was; state that is there is refused, or moved aside as a whole."""

import os
import random
import shutil
import socket
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trader.contracts import TradingMode
from trader.journal import Journal
from trader.journal.lock import FileLock
from trader.maintenance.backup import BackupDamaged, BackupError, BackupRefused, restore_state, restore_to

STEPS_MAX = 500


def restore(place: Any, backup: Path, replace: bool = False) -> Any:
    return restore_state(backup, place.subject, place.socket, place.clock, replace=replace)


@pytest.fixture
def crashed(place: Any) -> Any:
    """A state whose last facts are in the write-ahead log alone, as a killed service leaves it."""
    with Journal.open(place.subject.journal_url, clock=place.clock) as journal:
        facts = [fact for _, fact in journal.read(kinds=["SessionOpened"])]
        for _ in range(3):
            journal.append(facts)
        saved = {path.name: path.read_bytes() for path in place.journal.parent.iterdir()}
    for name in ("journal.db", "journal.db-wal"):
        (place.journal.parent / name).write_bytes(saved[name])
    assert len(saved["journal.db-wal"]) > 0
    return place


def test_a_state_that_was_destroyed_comes_back_as_it_was(place: Any, by_sql: Any, by_books: Any) -> None:
    before = by_sql(place.journal)
    made = place.back_up()
    shutil.rmtree(place.journal.parent)

    done = restore(place, made.path)

    assert by_sql(place.journal) == before
    assert by_books(done.manifest.books) == before
    assert place.journal.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in place.journal.parent.iterdir()) == ["journal.db", "journal.db.lock"]
    with Journal.open(place.subject.journal_url) as journal:  # the service takes it up and goes on from there
        assert journal.last_sequence == before["last"]
    place.trade()
    assert by_sql(place.journal)["last"] > before["last"]


def test_a_journal_that_is_there_is_refused_and_left_alone(place: Any) -> None:
    made = place.back_up()
    place.trade()
    content = place.journal.read_bytes()
    with pytest.raises(BackupRefused, match=r"there is a journal at .*--replace"):
        restore(place, made.path)
    assert place.journal.read_bytes() == content


def test_told_to_replace_it_moves_the_old_state_aside_as_a_whole(place: Any, by_sql: Any) -> None:
    then, made = by_sql(place.journal), place.back_up()
    place.trade()
    now = by_sql(place.journal)

    done = restore(place, made.path, replace=True)

    assert by_sql(place.journal) == then
    assert [path.name for path in done.aside] == ["journal.db.replaced-20260302T220100Z"]
    assert by_sql(done.aside[0]) == now


def test_facts_in_the_log_of_a_killed_service_are_not_lost_and_do_not_get_into_the_restored_journal(
    crashed: Any, by_sql: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(crashed.journal.parent, copy)
    now = by_sql(copy / "journal.db")
    made = crashed.back_up()
    assert made.manifest.books.last_sequence == now["last"]

    first = restore(crashed, made.path, replace=True)
    second = restore(crashed, made.path, replace=True)

    assert by_sql(first.aside[0]) == by_sql(second.aside[0]) == by_sql(crashed.journal) == now
    assert first.aside[0].name != second.aside[0].name
    assert not crashed.journal.with_name("journal.db-wal").exists()


def test_a_log_without_its_journal_is_moved_aside_too(crashed: Any, by_sql: Any) -> None:
    made = crashed.back_up()
    log = crashed.journal.with_name("journal.db-wal")
    crashed.trade(3)
    crashed.journal.unlink()
    log.write_bytes(b"what is left of a log")
    with pytest.raises(BackupRefused, match="--replace"):
        restore(crashed, made.path)

    done = restore(crashed, made.path, replace=True)

    assert done.aside[0].read_bytes() == b"what is left of a log"
    assert by_sql(crashed.journal)["last"] == made.manifest.books.last_sequence


def test_a_journal_that_is_damaged_is_moved_aside_as_it_is(place: Any, by_sql: Any, seed: int) -> None:
    then, made = by_sql(place.journal), place.back_up()
    rubbish = random.Random(seed).randbytes(50_000)
    place.journal.write_bytes(rubbish)
    log = place.journal.with_name("journal.db-wal")
    log.write_bytes(rubbish[:1_000])

    done = restore(place, made.path, replace=True)

    assert [path.read_bytes() for path in done.aside] == [rubbish, rubbish[:1_000]]
    assert by_sql(place.journal) == then
    assert not log.exists()


def test_a_journal_that_is_a_link_to_another_disk_stays_one(place: Any, by_sql: Any, tmp_path: Path) -> None:
    then, made = by_sql(place.journal), place.back_up()
    real = tmp_path / "disk" / "books.db"
    real.parent.mkdir()
    place.journal.rename(real)
    place.journal.symlink_to(real)
    place.trade()
    now = by_sql(real)

    done = restore(place, made.path, replace=True)

    assert place.journal.is_symlink()
    assert by_sql(real) == then
    assert (done.aside[0].parent, by_sql(done.aside[0])) == (real.parent, now)


def test_it_is_refused_while_a_service_holds_the_journal(place: Any) -> None:
    made = place.back_up()
    held = FileLock(place.journal)
    with pytest.raises(BackupRefused, match=rf"a service runs on this state: .* process {os.getpid()}"):
        restore(place, made.path, replace=True)
    held.release()
    assert restore(place, made.path, replace=True).aside


def test_it_is_refused_while_a_service_listens(place: Any) -> None:
    made = place.back_up()
    shutil.rmtree(place.journal.parent)
    place.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket))
        listener.listen()
        with pytest.raises(BackupRefused, match=r"a service is running: it listens at .*; stop it"):
            restore(place, made.path, replace=True)
    assert not place.journal.exists()


def test_it_waits_for_nobody_who_reads_the_old_journal_and_changes_nothing(place: Any, by_sql: Any) -> None:
    made = place.back_up()
    place.trade()
    with Journal.open(place.subject.journal_url) as journal:
        journal.append([next(fact for _, fact in journal.read(kinds=["SessionOpened"]))])
        with closing(sqlite3.connect(place.journal)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM facts").fetchone()
            journal.append([next(fact for _, fact in journal.read(kinds=["SessionOpened"]))])
            journal._backend._lock.release()  # the service is gone, the reader is not
            now = by_sql(place.journal)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("trader.maintenance.backup.sqlite_file.BUSY_TIMEOUT_S", 0.05)
                with pytest.raises(BackupRefused, match="another program reads the journal"):
                    restore(place, made.path, replace=True)
    assert by_sql(place.journal) == now
    assert not [path for path in place.journal.parent.iterdir() if "replaced" in path.name]


def test_the_books_of_another_mode_or_account_are_refused(place: Any) -> None:
    made = place.back_up()
    shutil.rmtree(place.journal.parent)
    for changes, said in (
        ({"mode": TradingMode.PAPER}, "is of mode simulated and the configuration says paper"),
        ({"account": "DU8"}, "is of account DU7 and the configuration says DU8"),
    ):
        place.subject = msgspec.structs.replace(place.subject, mode=TradingMode.SIMULATED, account="DU7")
        place.subject = msgspec.structs.replace(place.subject, **changes)
        with pytest.raises(BackupRefused, match=said):
            restore(place, made.path)
    assert not place.journal.exists()


def test_a_damaged_backup_touches_nothing(place: Any, by_sql: Any) -> None:
    made = place.back_up()
    place.trade()
    now = by_sql(place.journal)
    content = bytearray(made.path.read_bytes())
    content[len(content) // 2] ^= 1
    made.path.write_bytes(content)
    with pytest.raises(BackupDamaged):
        restore(place, made.path, replace=True)
    assert by_sql(place.journal) == now
    assert not [path for path in place.journal.parent.iterdir() if "replaced" in path.name]


def test_a_process_that_dies_at_any_step_leaves_the_old_or_the_new_state_whole(
    crashed: Any, dying: Any, by_sql: Any, tmp_path: Path
) -> None:
    new = crashed.back_up()
    then = by_sql_of_copy(by_sql, crashed.journal, tmp_path / "then")
    crashed.trade()
    now = by_sql_of_copy(by_sql, crashed.journal, tmp_path / "now")
    assert now != then
    saved = tmp_path / "saved"
    shutil.copytree(crashed.journal.parent, saved)
    seen = set()
    for step in count(1):
        assert step < STEPS_MAX
        shutil.rmtree(crashed.journal.parent)
        shutil.copytree(saved, crashed.journal.parent)
        with dying(step) as died:
            restore(crashed, new.path, replace=True)
        found = by_sql_of_copy(by_sql, crashed.journal, tmp_path / f"step-{step}")
        assert found in (now, then), step
        seen.add(found["last"])
        old = [path for path in crashed.journal.parent.iterdir() if "replaced" in path.name]
        if found == then:
            assert by_sql(old[0]) == now
        if not died:
            break
        restore(crashed, new.path, replace=True)  # and what was broken off can be done again
        assert by_sql(crashed.journal) == then
        assert not list(crashed.journal.parent.glob(".*.part"))
    assert seen == {then["last"], now["last"]}
    assert step > 10


def by_sql_of_copy(by_sql: Any, journal: Path, folder: Path) -> Any:
    """What a service would find there, looked at in a copy: looking changes the files of a log."""
    shutil.copytree(journal.parent, folder)
    return by_sql(folder / journal.name)


def test_a_disk_that_is_full_at_any_write_leaves_the_old_state(place: Any, full_disk: Any, by_sql: Any) -> None:
    made = place.back_up()
    place.trade()
    now = by_sql(place.journal)
    for step in count(1):
        assert step < STEPS_MAX
        said = ""
        try:
            with full_disk(step):
                restore(place, made.path, replace=True)
        except BackupError as error:
            said = str(error)
        if not said:
            break
        assert "no room is left" in said
        assert by_sql(place.journal) == now
        assert [path.name for path in place.journal.parent.iterdir() if path.suffix == ".part"] == []
    assert step > 1


def test_a_file_system_without_second_names_gets_a_copy_with_its_log(
    crashed: Any, by_sql: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(95, "Operation not supported")

    now = by_sql_of_copy(by_sql, crashed.journal, tmp_path / "copy")
    made = crashed.back_up()
    monkeypatch.setattr("trader.maintenance.backup.disk.link", refuse)

    done = restore(crashed, made.path, replace=True)

    assert [path.name.rpartition("Z")[2] for path in done.aside] == ["", "-wal"]
    assert by_sql(done.aside[0]) == now


def test_everything_is_restored_into_a_new_folder_and_no_state_changes(place: Any, by_sql: Any, tmp_path: Path) -> None:
    then, made = by_sql(place.journal), place.back_up()
    place.trade()
    now = by_sql(place.journal)

    done = restore_to(made.path, tmp_path / "deep" / "out")

    assert by_sql(done.journal) == then
    assert by_sql(place.journal) == now
    assert (tmp_path / "deep" / "out" / "config" / "config.yaml").read_bytes() == place.config.read_bytes()
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["out"]


def test_a_folder_with_something_in_it_is_refused(place: Any, tmp_path: Path) -> None:
    made = place.back_up()
    (tmp_path / "out").mkdir()
    restore_to(made.path, tmp_path / "out")
    for folder in (tmp_path / "out", place.config):
        with pytest.raises(BackupRefused, match="is not empty; name a new folder"):
            restore_to(made.path, folder)


def test_a_configuration_that_changed_since_is_said(place: Any) -> None:
    made = place.back_up()
    shutil.rmtree(place.journal.parent)
    assert restore(place, made.path).differs == ()
    place.config.write_text("mode: paper\n")
    assert restore(place, made.path, replace=True).differs == ("config/config.yaml",)
