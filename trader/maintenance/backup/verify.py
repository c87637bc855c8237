"""Is a backup what it was made as, and do its facts come to the books that it says?

Rules: everything is looked at, from the outside in: the checksum of the file, the archive, the checksum of each member,
the journal by SQLite's own check, and the books by folding every fact. The first thing that is wrong is a BackupDamaged
of one sentence. Nothing is written but into a scratch folder, which is deleted.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from trader.maintenance.backup import archive, postgres, sqlite_file
from trader.maintenance.backup.books import difference, fold
from trader.maintenance.backup.errors import BackupDamaged, unreadable, unwritable
from trader.maintenance.backup.model import BackupName, Books, Manifest, checksum_file

CHECKSUM_LINE: Final = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^\n/]+)\n")
CHECKSUM_MAX_BYTES: Final = 1_000


class Verified(msgspec.Struct, frozen=True):
    """A backup that is whole."""

    path: Path
    size_bytes: int
    sha256: str
    manifest: Manifest


def checksum_text(sha256: str, name: str) -> str:
    """What the file beside a backup holds; ``sha256sum --check`` reads it too."""
    return f"{sha256}  {name}\n"


def sha256_of(file: Path) -> str:
    """The checksum of ``file``; raises BackupError."""
    return archive.member_of(file.name, file).sha256


def require_checksum(backup: Path) -> str:
    """The checksum of ``backup``, which is that of the file beside it; raises BackupError."""
    said = _said_checksum(backup)
    found = sha256_of(backup)
    if found != said:
        raise BackupDamaged(f"{backup} is damaged: it does not have the checksum in {checksum_file(backup).name}")
    return found


def _said_checksum(backup: Path) -> str:
    file = checksum_file(backup)
    try:
        with file.open("rb") as source:
            content = source.read(CHECKSUM_MAX_BYTES)
    except FileNotFoundError:
        raise BackupDamaged(f"{backup} has no checksum beside it: {file.name} is missing; copy both files") from None
    except OSError as error:
        raise unreadable(file, error) from error
    match = CHECKSUM_LINE.fullmatch(content.decode("utf-8", "replace"))
    if match is None or match["name"] != backup.name:
        raise BackupDamaged(f"{file} is damaged: it is not the checksum of {backup.name}")
    return match["sha256"]


def verify(backup: Path, scratch: Path | None = None) -> Verified:
    """Look at every byte of ``backup`` and fold its facts; raises BackupDamaged, or BackupError when it cannot be told.

    ``scratch`` is a folder with room for the journal; None takes the system's own for temporary files.
    """
    name = BackupName.parse(backup.name)
    checksum = require_checksum(backup)
    with scratch_folder(scratch) as folder:
        manifest = unpacked(backup, folder)
    require_name(backup, name, manifest)
    return Verified(backup, backup.stat().st_size, checksum, manifest)


def require_name(backup: Path, name: BackupName, manifest: Manifest) -> None:
    """Raise BackupDamaged unless the manifest belongs to the name."""
    if BackupName.of(manifest.made_at, manifest.mode, manifest.account) != name:
        raise BackupDamaged(f"{backup} is damaged: its manifest is that of another backup")


def unpacked(file: Path, folder: Path) -> Manifest:
    """Write the members of the archive ``file`` into ``folder``, each checked; raises BackupError."""
    manifest = archive.extract(file, folder)
    require_books(folder / manifest.journal.name, manifest, file)
    return manifest


def require_books(journal: Path, manifest: Manifest, where: object) -> None:
    """Raise BackupDamaged unless the file ``journal`` is sound and its facts come to the manifest's books."""
    wrong = difference(manifest.books, books_of(journal, manifest.books.base_currency, where, manifest.is_sqlite))
    if wrong:
        raise BackupDamaged(f"{where} is damaged: its facts come to other books than its manifest says ({wrong})")


def books_of(journal: Path, base_currency: str, where: object, is_sqlite: bool = True) -> Books:
    """The books of the journal in a file that nobody writes; raises BackupDamaged."""
    if not is_sqlite:
        return fold(postgres.facts(journal, where), base_currency, where)
    sqlite_file.require_sound(journal, where)
    return fold(sqlite_file.facts(journal, where), base_currency, where)


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder of the owner's alone, deleted at the end; raises BackupError when there can be none."""
    try:
        holder = tempfile.TemporaryDirectory(prefix=".backup-", suffix=".part", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise unwritable(parent or Path(tempfile.gettempdir()), error) from error
    with holder as folder:
        yield Path(folder)
