"""A backup is made: copied online, described, packed, verified, given its name; then older ones are thinned out.

Rules: the service goes on trading. Everything is prepared in the folder of the backups, so that the last step is a
rename in one file system; the checksum is there first, because a backup is one that has its archive and its checksum.
A failure leaves the folder as it was but for what begins with a dot, which the next run sweeps.
"""

import contextlib
import platform
from pathlib import Path
from typing import Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.contracts import TradingMode
from trader.maintenance.backup import disk, postgres, sqlite_file
from trader.maintenance.backup.archive import member_of, write_archive
from trader.maintenance.backup.contents import Gathered, gather
from trader.maintenance.backup.errors import BackupDamaged, BackupError, BackupRefused
from trader.maintenance.backup.folder import STAGING, Keep, ahead_of, prune, sweep
from trader.maintenance.backup.model import (
    FORMAT,
    POSTGRES_MEMBER,
    SQLITE_MEMBER,
    BackupName,
    Manifest,
    checksum_file,
)
from trader.maintenance.backup.verify import books_of, checksum_text, require_checksum, sha256_of, unpacked
from trader.settings import Settings
from trader.settings_file import config_hash
from trader.settings_file.paths import SQLITE

CHECK_FOLDER: Final = "check"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is backed up. ``files`` are those of the configuration; ``account`` may be empty."""

    journal_url: str
    mode: TradingMode
    account: str
    base_currency: str
    config_hash: str
    version: str
    files: tuple[Path, ...]

    @classmethod
    def of(cls, settings: Settings, config_file: Path, version: str) -> "Subject":
        """The state and the configuration of ``settings``, which were read from ``config_file``."""
        named = (settings.session.calendar_file, settings.session.broker_windows_file)
        return cls(
            journal_url=settings.journal.url,
            mode=settings.mode,
            account=settings.account,
            base_currency=settings.base_currency,
            config_hash=config_hash(settings),
            version=version,
            files=(config_file, *(file for file in named if file is not None)),
        )

    @property
    def journal_file(self) -> Path | None:
        """The journal's file; None when it is kept in PostgreSQL. Raises BackupRefused when it is in memory."""
        if not self.journal_url.startswith("sqlite"):
            return None
        location = self.journal_url.removeprefix(SQLITE).partition("?")[0]
        if location in ("", ":memory:", "sqlite://"):
            raise BackupRefused(
                "the journal is kept in memory (journal.url), so there is nothing to back up or restore"
            )
        return Path(location)


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made and verified. ``removed`` names those that were thinned out, ``not_removed`` says why one
    could not be. ``ahead`` names backups of these books that are dated later than this one: a clock was wrong.
    """

    path: Path
    size_bytes: int
    duration_s: float
    manifest: Manifest
    removed: tuple[str, ...] = ()
    not_removed: str = ""
    ahead: tuple[str, ...] = ()


def create(subject: Subject, folder: Path, keep: Keep, clock: Clock) -> Created:
    """Make a backup of ``subject`` in ``folder``, verified; raises BackupError, and BackupBusy beside another run."""
    begun_ns = clock.monotonic_ns()
    disk.make_folder(folder)
    with disk.FolderLock(folder):
        sweep(folder)
        staging = folder / STAGING
        try:
            disk.make_folder(staging)
            manifest = _stage(subject, staging, clock)
            path = folder / str(BackupName.of(manifest.made_at, manifest.mode, manifest.account))
            _pack(path, manifest, staging)
        finally:
            disk.remove_tree(staging)
        removed, not_removed = _thin_out(folder, keep, path)
    return Created(
        path=path,
        size_bytes=path.stat().st_size,
        duration_s=(clock.monotonic_ns() - begun_ns) / NANOSECONDS_PER_SECOND,
        manifest=manifest,
        removed=removed,
        not_removed=not_removed,
        ahead=tuple(entry.path.name for entry in ahead_of(folder, path)),
    )


def _stage(subject: Subject, staging: Path, clock: Clock) -> Manifest:
    """Put the members into ``staging``, and say what they are."""
    journal = _copy_journal(subject, staging)
    is_sqlite = journal.name == SQLITE_MEMBER
    books = books_of(journal, subject.base_currency, f"the journal {_shown(subject)}", is_sqlite)
    gathered: Gathered = gather(subject.files, staging)
    names = (journal.name, *gathered.names)
    return Manifest(
        format=FORMAT,
        made_at=clock.now(),
        host=platform.node(),
        version=subject.version,
        mode=books.mode or subject.mode,
        account=books.account or subject.account,
        config_hash=subject.config_hash,
        books=books,
        members=tuple(member_of(name, staging / name) for name in names),
        lacks=gathered.lacks,
        masked=gathered.masked,
    )


def _copy_journal(subject: Subject, staging: Path) -> Path:
    source = subject.journal_file
    if source is None:
        target = staging / POSTGRES_MEMBER
        postgres.dump(subject.journal_url, target)
    else:
        target = staging / SQLITE_MEMBER
        sqlite_file.copy(source, target)
    return target


def _shown(subject: Subject) -> str:
    file = subject.journal_file
    return str(file) if file is not None else postgres.connection(subject.journal_url)[0]


def _pack(path: Path, manifest: Manifest, staging: Path) -> None:
    """Write the archive and its checksum, verify, and only then give both their names."""
    if path.exists():
        raise BackupError(f"{path} is there already, made within the same second; try again")
    part, checksum_part = disk.part_of(path), disk.part_of(checksum_file(path))
    try:
        _write(part, path.name, checksum_part, manifest, staging)
        disk.put_in_place(checksum_part, checksum_file(path))
        disk.put_in_place(part, path)
    finally:
        if not path.exists():
            _clean_up(part, checksum_part, checksum_file(path))


def _clean_up(*files: Path) -> None:
    for file in files:
        with contextlib.suppress(BackupError):  # what it failed by is told, and the next run sweeps
            disk.remove(file)


def _write(part: Path, name: str, checksum_part: Path, manifest: Manifest, staging: Path) -> None:
    """Write the archive and its checksum, synced and verified, under other names than their own."""
    with disk.Writer(part) as writer:
        write_archive(writer, manifest, staging)
        writer.sync()
    for member in manifest.members:  # from here on, what counts is what can be read from the archive
        disk.remove(staging / member.name)
    _require_as_written(part, writer.sha256, staging)
    disk.write_file(checksum_part, checksum_text(writer.sha256, name).encode())


def _require_as_written(part: Path, sha256: str, staging: Path) -> None:
    if sha256_of(part) != sha256:
        raise BackupDamaged(f"{part} does not read back as it was written; check the disk")
    check = staging / CHECK_FOLDER
    disk.make_folder(check)
    unpacked(part, check)


def _thin_out(folder: Path, keep: Keep, made: Path) -> tuple[tuple[str, ...], str]:
    """What was removed, and why not all of it; a backup that was made does not fail for one that stays."""
    try:
        return prune(folder, keep, made, _holds), ""
    except BackupError as error:
        return (), str(error)


def _holds(backup: Path) -> bool:
    try:
        require_checksum(backup)
    except BackupError:
        return False
    return True
