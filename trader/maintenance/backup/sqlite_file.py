"""A SQLite journal as a file: copied while it is written, checked, read without leaving anything beside it.

Rules: the copy is of one moment. It is read inside one read transaction, which in a write-ahead log keeps nobody from
writing, and in steps, so that a signal is heard in between. A copy is one file without a log.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader.journal.api import NumberedFact
from trader.journal.codec import from_row, timestamp
from trader.journal.errors import JournalDamaged
from trader.maintenance.backup.errors import BackupDamaged, BackupError

BUSY_TIMEOUT_S: Final = 5.0
STEP_PAGES: Final = 1_024
DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
FACTS: Final = "SELECT seq, at, kind, body FROM facts ORDER BY seq"


def copy(path: Path, target: Path) -> None:
    """Copy the journal at ``path`` as it is now into the new file ``target``; raises BackupError."""
    if not path.is_file():
        raise BackupError(f"there is no journal at {path}; check journal.url, or start the service once")
    try:
        with (
            contextlib.closing(_connect(path, "mode=ro")) as source,
            contextlib.closing(_connect(target, "")) as copied,
        ):
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copied, pages=STEP_PAGES, progress=_listen)
            copied.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise explained(error, path, target) from error


def _listen(_status: int, _remaining: int, _total: int) -> None:
    """Called between two steps, where the interpreter hears signals."""


def _connect(path: Path, options: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(address, timeout=BUSY_TIMEOUT_S, uri=True, isolation_level=None)


def explained(error: sqlite3.Error, path: Path, target: Path) -> BackupError:
    """The sentence for what SQLite says while ``path`` is read and ``target`` is written."""
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith(DAMAGE):
        return BackupDamaged(f"the journal {path} is damaged ({error}); restore it from a backup")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE")):
        return BackupError(f"{target} cannot be written: no room is left on its disk; free some")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BackupError(f"the journal {path} is locked by another program; close that program")
    return BackupError(f"the journal {path} cannot be copied to {target} ({error}); check both paths and their disks")


@contextlib.contextmanager
def _reading(path: Path, where: object) -> Iterator[sqlite3.Connection]:
    """A connection to a file that nobody writes; what SQLite finds wrong with it is BackupDamaged."""
    try:
        with contextlib.closing(_connect(path, "mode=ro&immutable=1")) as connection:
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise BackupDamaged(f"{where} is damaged: its journal cannot be read ({error})") from error


def require_sound(path: Path, where: object) -> None:
    """Raise BackupDamaged unless SQLite finds the whole file in order, and it is a journal of a known version."""
    from trader.journal.database import SCHEMA_VERSION

    with _reading(path, where) as connection:
        verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if verdict != "ok":
            raise BackupDamaged(f"{where} is damaged: its journal is not sound ({verdict.splitlines()[-1]})")
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None or not str(row[0]).isdigit():
        raise BackupDamaged(f"{where} is damaged: its journal does not say its version")
    if int(row[0]) > SCHEMA_VERSION:
        raise BackupError(
            f"the journal in {where} has version {row[0]} and this program knows {SCHEMA_VERSION}; "
            "use the later release"
        )


def facts(path: Path, where: object) -> Iterator[NumberedFact]:
    """The facts in a file that nobody writes, in order; raises BackupDamaged at the first that is not whole."""
    with _reading(path, where) as connection:
        for sequence, at, kind, body in connection.execute(FACTS):
            try:
                fact = from_row(sequence, body, str(where))
            except JournalDamaged as error:
                raise BackupDamaged(f"{where} is damaged: {error}") from error
            if (at, kind) != (timestamp(fact.at), type(fact).__name__):
                raise BackupDamaged(f"{where} is damaged: fact {sequence} is filed as another")
            yield sequence, fact
