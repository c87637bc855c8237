"""What differs between databases: connecting, the one-writer lock, durability, and the words of their errors.

Rules: everything that is only true of SQLite or of PostgreSQL is here; ``database`` is the same for both.
A backend touches nothing of an existing journal in ``connect``; ``prepare`` is called once it is known to
be one that this version understands.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from trader.journal.api import Durability
from trader.journal.errors import (
    JournalAddressError,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReadOnly,
    JournalUnavailable,
)
from trader.journal.lock import FileLock
from trader.journal.syncer import LogSyncer, checkpoint

# A whole check reads the file once, about 1 s for 250 MB; above that a start would be slow, and folding
# the facts reads nearly all of it anyway.
INTEGRITY_CHECK_MAX_BYTES = 250_000_000
BUSY_TIMEOUT_S = 2.0
POSTGRES_LOCK_KEY = 0x69626B72  # "ibkr"


class Backend(Protocol):
    """One kind of database."""

    where: str

    def connect(self, write: bool) -> Connection: ...

    def prepare(self, connection: Connection, durability: Durability) -> None:
        """Set a writer's connection up; called after the schema was found to be ours."""
        ...

    def require_disk(self) -> None:
        """Raise JournalUnavailable when the disk failed behind the writer."""
        ...

    def wrote(self) -> None:
        """A transaction was committed."""
        ...

    def explain(self, error: DBAPIError) -> JournalError: ...

    def close(self) -> None: ...


def backend_for(url: str) -> Backend:
    """The backend for a journal's URL; raises JournalUnavailable when there is none."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise JournalAddressError(
            f"{url!r} is not a journal's address; write sqlite:///path/to/journal.db or postgresql+psycopg://…"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return SqliteBackend(parsed)
    if parsed.get_backend_name() == "postgresql":
        return PostgresBackend(parsed)
    raise JournalAddressError(f"a journal cannot be kept in {parsed.get_backend_name()}; use sqlite or postgresql")


class SqliteBackend:
    """SQLite with a write-ahead log; ``sqlite://`` is a database in memory."""

    def __init__(self, url: URL) -> None:
        in_memory = url.database in (None, "", ":memory:")
        self._path = None if in_memory else Path(str(url.database))
        self.where = "in memory" if self._path is None else str(self._path)
        self._lock: FileLock | None = None
        self._syncer: LogSyncer | None = None

    def connect(self, write: bool) -> Connection:
        if self._path is not None:
            self._make_room(self._path) if write else self._require_file(self._path)
        engine = create_engine("sqlite://", creator=lambda: self._open(write), poolclass=NullPool)
        connection = _connect(engine, self)
        self._check_integrity(connection)
        return connection

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
        if verdict != "ok":
            raise self._damaged(str(verdict).splitlines()[0])

    def prepare(self, connection: Connection, durability: Durability) -> None:
        if self._path is None:
            return
        mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
        if mode != "wal":
            raise JournalUnavailable(f"the journal {self.where} is on a file system without a write-ahead log ({mode})")
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        connection.commit()
        try:
            checkpoint(self._path)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self._syncer = LogSyncer(self._path, sync=durability == "process")

    def require_disk(self) -> None:
        if self._syncer is not None and self._syncer.failure is not None:
            raise JournalUnavailable(
                f"the disk under the journal {self.where} failed ({self._syncer.failure}); check the disk, then restart"
            )

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
            f"the journal {self.where} is damaged ({detail}); it was left as it is, restore it from a backup"
        )

    def close(self) -> None:
        if self._syncer is not None:
            self._syncer.stop()
        if self._lock is not None:
            self._lock.release()


class PostgresBackend:
    """PostgreSQL through psycopg; one advisory lock is the one-writer rule, its commit is durable by itself."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self.where = url.render_as_string(hide_password=True)

    def connect(self, write: bool) -> Connection:
        try:
            engine = create_engine(self._url, poolclass=NullPool)
        except (ImportError, NoSuchModuleError) as error:
            raise JournalUnavailable(
                f"the journal {self.where} needs a driver that is not installed ({error}); type: pip install psycopg"
            ) from error
        connection = _connect(engine, self)
        if write:
            self._take_lock(connection)
        else:
            connection.execution_options(postgresql_readonly=True)
        return connection

    def _take_lock(self, connection: Connection) -> None:
        taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": POSTGRES_LOCK_KEY}).scalar_one()
        connection.commit()
        if not taken:
            connection.close()
            raise JournalLocked(
                f"the journal {self.where} is in use by another service; stop it or give this one its own database"
            )

    def prepare(self, connection: Connection, durability: Durability) -> None:
        # "local" is on the server's disk but not yet on its standbys', which is what "process" asks at most.
        level = "on" if durability == "power" else "local"
        connection.execute(text(f"SET synchronous_commit = {level}"))
        connection.commit()

    def require_disk(self) -> None:
        """The server looks after its disk and fails the commit."""

    def wrote(self) -> None:
        """The server keeps its own log."""

    def explain(self, error: DBAPIError) -> JournalError:
        state: Any = getattr(error.orig, "sqlstate", None)
        detail = str(error.orig).splitlines()[0] if error.orig else str(error)
        if state == "53100":
            return JournalFull(f"no room is left on the disk of the journal {self.where}; free some, then restart")
        if state in ("25006", "42501"):
            return JournalReadOnly(f"the journal {self.where} may not be written ({detail}); grant it to this user")
        if state in ("XX001", "XX002"):
            return JournalDamaged(f"the journal {self.where} is damaged ({detail}); restore it from a backup")
        return JournalUnavailable(f"the journal {self.where} cannot be used ({detail}); check the server and the URL")

    def close(self) -> None:
        """The lock ends with its connection."""


def _connect(engine: Engine, backend: Backend) -> Connection:
    try:
        return engine.connect()
    except DBAPIError as error:
        raise backend.explain(error) from error
