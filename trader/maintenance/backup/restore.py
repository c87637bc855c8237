"""A backup is restored: into a folder, or as the live state, whose old books are moved aside and never deleted.

Rules: the backup is verified before anything is touched, and the restored journal again when it has its name. The
journal's own lock is held throughout, so no service runs on it and none can start. Live state is replaced only when
that was said explicitly. What replaces it is one rename: at any moment either the old or the new state is whole.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from trader.clock import Clock
from trader.control import is_listening
from trader.journal.errors import JournalError, JournalLocked
from trader.journal.lock import FileLock
from trader.maintenance.backup import archive, disk, sqlite_file
from trader.maintenance.backup.create import Subject
from trader.maintenance.backup.errors import BackupError, BackupRefused, unreadable
from trader.maintenance.backup.model import MANIFEST, BackupName, Manifest
from trader.maintenance.backup.verify import require_books, require_checksum, require_name, scratch_folder, unpacked

INDEX_SUFFIX: Final = "-shm"
LOG_SUFFIXES: Final = ("-wal", INDEX_SUFFIX, "-journal")
DATABASE_BEGIN: Final = b"SQLite format 3\0"
ASIDE_TIME: Final = "%Y%m%dT%H%M%SZ"
ASIDE_NAMES_MAX: Final = 100
REPLACE_OPTION: Final = "--replace"
UNPACKED: Final = "restored"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored to ``journal``. ``aside`` are the files of the old state, ``differs`` those of the
    configuration that are not what is in force now.
    """

    manifest: Manifest
    journal: Path
    aside: tuple[Path, ...] = ()
    differs: tuple[str, ...] = ()


def restore_to(backup: Path, folder: Path) -> Restored:
    """Write everything that is in ``backup`` into the new or empty ``folder``; raises BackupError."""
    name = BackupName.parse(backup.name)
    require_checksum(backup)
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or _has_content(folder)):
        raise BackupRefused(f"{folder} is there already and is not empty; name a new folder")
    disk.make_folder(folder.parent)
    with scratch_folder(folder.parent) as scratch:
        disk.make_folder(scratch / UNPACKED)
        manifest = unpacked(backup, scratch / UNPACKED)
        require_name(backup, name, manifest)
        disk.write_file(scratch / UNPACKED / MANIFEST, archive.manifest_text(manifest))
        disk.put_in_place(scratch / UNPACKED, folder)
    return Restored(manifest=manifest, journal=folder / manifest.journal.name)


def _has_content(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError as error:
        raise unreadable(folder, error) from error


def restore_state(backup: Path, subject: Subject, control_socket: Path, clock: Clock, *, replace: bool) -> Restored:
    """Make the journal in ``backup`` that of ``subject``; raises BackupError, with everything as it was.

    ``replace`` moves a journal that is there aside; without it, that is refused.
    """
    journal = subject.journal_file
    name = BackupName.parse(backup.name)
    require_checksum(backup)
    manifest = archive.read_manifest(backup)
    require_name(backup, name, manifest)
    _require_fitting(backup, manifest, subject)
    if journal is None or not manifest.is_sqlite:
        raise BackupRefused(_by_psql(backup))
    # The service locks the name that it is configured with; SQLite keeps the log beside what that leads to.
    real = Path(os.path.realpath(journal))
    disk.make_folder(journal.parent)
    disk.make_folder(real.parent)
    with _state_of_nobody(journal, control_socket):
        if not replace and any(path.exists() for path in _files_of(real)):
            raise BackupRefused(
                f"there is a journal at {journal}; to move it aside and restore, say so with {REPLACE_OPTION}, "
                "or restore beside it with --to FOLDER"
            )
        return _replace_state(backup, real, subject, clock)


def _require_fitting(backup: Path, manifest: Manifest, subject: Subject) -> None:
    """Raise BackupRefused for a backup of another mode or account: the service would not take its journal."""
    for word, its, ours in (
        ("mode", str(manifest.mode), str(subject.mode)),
        ("account", manifest.account, subject.account),
    ):
        if its and ours and its != ours:
            raise BackupRefused(
                f"{backup} is of {word} {its} and the configuration says {ours}; look at it with --to FOLDER"
            )


def _by_psql(backup: Path) -> str:
    return (
        "a journal in PostgreSQL is restored by its own program, into a database without one; type: "
        f"trader backup restore {backup.name} --to FOLDER, then: "
        "psql --single-transaction --file=FOLDER/journal.sql URL"
    )


@contextlib.contextmanager
def _state_of_nobody(journal: Path, control_socket: Path) -> Iterator[None]:
    """Hold the journal's lock; raises BackupRefused while a service runs on this state."""
    if is_listening(control_socket):
        raise BackupRefused(f"a service is running: it listens at {control_socket}; stop it, then restore")
    try:
        lock = FileLock(journal)
    except JournalLocked as error:
        raise BackupRefused(f"a service runs on this state: {error}") from error
    except JournalError as error:
        raise BackupError(str(error)) from error
    try:
        disk.give_to_owner_of_folder(journal.with_name(f"{journal.name}.lock"))
        yield
    finally:
        lock.release()


def _files_of(journal: Path) -> tuple[Path, ...]:
    return (journal, *(journal.with_name(journal.name + suffix) for suffix in LOG_SUFFIXES))


def _replace_state(backup: Path, journal: Path, subject: Subject, clock: Clock) -> Restored:
    folder = disk.part_of(journal)
    disk.remove_tree(folder)  # of a restore that was broken off; this one holds the lock
    try:
        disk.make_folder(folder)
        manifest = unpacked(backup, folder)
        differs = tuple(_differing(folder, manifest, subject))
        aside = _move_aside(journal, clock.now())
        disk.put_in_place(folder / manifest.journal.name, journal)
    finally:
        disk.remove_tree(folder)
    require_books(journal, manifest, journal)
    return Restored(manifest=manifest, journal=journal, aside=aside, differs=differs)


def _differing(folder: Path, manifest: Manifest, subject: Subject) -> Iterator[str]:
    """The configuration files in the backup that are not those in force."""
    current = {file.name: file for file in subject.files}
    for member in manifest.members:
        if member is manifest.journal or member.name in manifest.masked:
            continue
        file = current.get(Path(member.name).name)
        try:
            same = file is not None and file.read_bytes() == (folder / member.name).read_bytes()
        except OSError:
            same = False
        if not same:
            yield member.name


def _move_aside(journal: Path, now: datetime) -> tuple[Path, ...]:
    """Give the old journal a second name, and leave no log beside its first one, which the new one would take up.

    The second name comes first, because SQLite deletes a log that does not fit. The log of a journal that is sound is
    then written back into it, so that it is whole under either name.
    """
    aside = _second_names(journal, now)
    try:
        written_back = _write_back_log(journal)
    except BackupError:
        for other in aside.values():
            disk.remove(other.path)
        raise
    if written_back and aside[journal].is_same_file:
        for path in [path for path in aside if path != journal]:
            disk.remove(aside.pop(path).path)
    for path in _files_of(journal)[1:]:
        disk.remove(path)
    disk.sync_folder(journal.parent)
    return tuple(other.path for other in aside.values())


class _Aside(msgspec.Struct, frozen=True):
    """Another name of a file; not the same file where the file system knows no second names."""

    path: Path
    is_same_file: bool


def _second_names(journal: Path, now: datetime) -> dict[Path, _Aside]:
    """The files of the state, each with the other name that it has got; not the index of a log, which is made anew."""
    there = [path for path in _files_of(journal) if path.exists() and not path.name.endswith(INDEX_SUFFIX)]
    names = _free_names(journal, there, now)
    aside = {path: _Aside(other, disk.second_name(path, other)) for path, other in zip(there, names, strict=True)}
    disk.sync_folder(journal.parent)
    return aside


def _free_names(journal: Path, there: list[Path], now: datetime) -> list[Path]:
    stem = f"{journal.name}.replaced-{now.strftime(ASIDE_TIME)}"
    for number in range(1, ASIDE_NAMES_MAX):
        base = stem if number == 1 else f"{stem}-{number}"
        names = [journal.with_name(base + path.name.removeprefix(journal.name)) for path in there]
        if not any(name.exists() for name in names):
            return names
    raise BackupError(f"{journal.parent} holds too many files named {stem}; move some away")


def _write_back_log(journal: Path) -> bool:
    """Write the log back into the journal; False for one that is damaged or not there, which is left as it is."""
    try:
        if not _begins_as_database(journal):
            return False
        with contextlib.closing(sqlite3.connect(journal, timeout=sqlite_file.BUSY_TIMEOUT_S)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(sqlite_file.DAMAGE):
            return False
        raise sqlite_file.explained(error, journal, journal) from error
    except OSError as error:
        raise unreadable(journal, error) from error
    if busy:
        raise BackupRefused(f"another program reads the journal {journal}; close it, then restore")
    return True


def _begins_as_database(journal: Path) -> bool:
    if not journal.is_file():
        return False
    with journal.open("rb") as source:
        return source.read(len(DATABASE_BEGIN)) == DATABASE_BEGIN
