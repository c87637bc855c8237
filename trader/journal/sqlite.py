"""A journal in an SQLite file: opening it, the lock, durability, and the words of its errors."""

import contextlib
import os
import sqlite3
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from trader.journal.api import Durability
from trader.journal.backend import Require, connect
from trader.journal.errors import (
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReadOnly,
    JournalUnavailable,
)
from trader.journal.lock import FileLock
from trader.journal.place import OpenFiles
from trader.journal.syncer import LogSyncer, checkpoint
from trader.journal.wal import examine

# A whole check reads the file once, about 1 s for 250 MB; above that a start would be slow, and folding
# the facts reads nearly all of it anyway.
INTEGRITY_CHECK_MAX_BYTES = 250_000_000
BUSY_TIMEOUT_S = 2.0


class SqliteBackend:
    """SQLite with a write-ahead log; ``sqlite://`` is a database in memory."""

    def __init__(self, url: URL) -> None:
        in_memory = url.database in (None, "", ":memory:")
        self._path = None if in_memory else Path(str(url.database))
        self.where = "in memory" if self._path is None else str(self._path)
        self._lock: FileLock | None = None
        self._files: OpenFiles | None = None
        self._syncer: LogSyncer | None = None

    def connect(self, write: bool, may_create: bool = True, require: Require | None = None) -> Connection:
        if self._path is None:
            return self._connection(write)
        if not write or not may_create:
            self._require_file(self._path)
        if write:
            self._make_room(self._path)
            self._require_log(self._path)
            self._files = self._opened(self._path)
        if self._path.stat().st_size:
            # Closing a connection that may write copies the log into the file: so one that may not looks first.
            with closing(self._connection(write=False)) as connection:
                self._check_integrity(connection)
                if require is not None:
                    require(connection)
        return self._connection(write)

    def _connection(self, write: bool) -> Connection:
        return connect(create_engine("sqlite://", creator=lambda: self._open(write), poolclass=NullPool), self)

    def connect_unchecked(self) -> Connection:
        """A connection that reads whatever the file is; for whoever finds out what is wrong with it."""
        if self._path is not None:
            self._require_file(self._path)
        return self._connection(write=False)

    def _make_room(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalUnavailable(
                f"the folder {path.parent} for the journal cannot be made ({error.strerror}); "
                "correct journal.url or make it for the service's user"
            ) from error
        self._lock = FileLock(path)
        # The books are their owner's alone; SQLite gives its log the mode of the database. Where the file cannot
        # be made, opening it says why.
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    def _require_file(self, path: Path) -> None:
        if not path.is_file():
            raise JournalUnavailable(f"there is no journal at {path}; check journal.url, or start the service once")

    def _require_log(self, path: Path) -> None:
        """SQLite would forget what is damaged in the log without a word, and write over it."""
        try:
            state = examine(path)
        except OSError as error:
            raise JournalUnavailable(f"the log of the journal {path} cannot be read ({error.strerror})") from error
        if state.damage:
            raise self._damaged(state.damage)

    def _opened(self, path: Path) -> OpenFiles:
        try:
            return OpenFiles(path)
        except OSError as error:
            raise self._unreadable(error) from error

    def _open(self, write: bool) -> sqlite3.Connection:
        if self._path is None:
            return sqlite3.connect(":memory:", check_same_thread=False)
        address = f"{self._path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        return sqlite3.connect(address, timeout=BUSY_TIMEOUT_S, check_same_thread=False, uri=True)

    def _check_integrity(self, connection: Connection) -> None:
        # The first read: says "not a database" too, whatever the size.
        try:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
            if self._path is None or self._path.stat().st_size > INTEGRITY_CHECK_MAX_BYTES:
                return
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        except DBAPIError as error:
            raise self.explain(error) from error
        except UnicodeDecodeError as error:  # raised by sqlite3 in place of its own, which quotes what it cannot read
            raise self._damaged("its tables cannot be read") from error
        if verdict != "ok":
            raise self._damaged(str(verdict).splitlines()[0])

    def prepare(self, connection: Connection, durability: Durability) -> None:
        if self._path is None or self._files is None:
            return
        mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
        if mode != "wal":
            raise JournalUnavailable(f"the journal {self.where} is on a file system without a write-ahead log ({mode})")
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()  # opens the log, for good
        connection.commit()
        try:
            checkpoint(self._path)
            self._files.note_log()
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except OSError as error:
            raise self._unreadable(error) from error
        self._syncer = LogSyncer(self._path, self._files, sync=durability == "process")

    def bounded(self) -> AbstractContextManager[None]:
        """A file is written at once or fails; a disk that hangs hangs the process."""
        return nullcontext()

    def require_disk(self) -> None:
        if self._syncer is not None and self._syncer.failure is not None:
            raise JournalUnavailable(self._syncer.failure)

    def require_in_place(self) -> None:
        if self._files is None:
            return
        try:
            self._files.require_database()
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> JournalUnavailable:
        return JournalUnavailable(f"the journal {self.where} cannot be reached ({error.strerror}); check the disk")

    def wrote(self) -> None:
        if self._syncer is not None:
            self._syncer.wake()

    def explain(self, error: DBAPIError) -> JournalError:
        return self._explain(error.orig)

    def _explain(self, original: BaseException | None) -> JournalError:
        name: str = getattr(original, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            return JournalFull(f"no room is left on the disk for the journal {self.where}; free some, then restart")
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
            return JournalReadOnly(
                f"the journal {self.where} is read-only; give the service's user write access to it and its folder"
            )
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return self._damaged(str(original))
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return JournalLocked(f"the journal {self.where} is locked by another program; close that program")
        return JournalUnavailable(f"the journal {self.where} cannot be used ({original}); check the path and the disk")

    def _damaged(self, detail: str) -> JournalDamaged:
        return JournalDamaged(
            f"the journal {self.where} is damaged ({detail}); it was left as it is; type: trader journal verify"
        )

    def close(self) -> None:
        if self._syncer is not None:
            self._syncer.stop()
        if self._lock is not None:
            self._lock.release()
