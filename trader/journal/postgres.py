"""A journal in PostgreSQL, through psycopg: the lock, durability, how long it may take, and the words of its errors.

Rules: one advisory lock is the one-writer rule, and it ends with its connection; a commit is durable by itself. Nobody
waits for a server longer than ``LIMIT_S``: then the connection is cut, which is an error like any other.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
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

LOCK_KEY: Final = 0x69626B72  # "ibkr"
CONNECT_TIMEOUT_S: Final = 3
LIMIT_S: Final = 2.0
LOOK_S: Final = 0.25
# What the server gives up by itself, so that a transaction of a cut connection does not linger with its locks.
STATEMENT_TIMEOUT_MS: Final = 5_000


class PostgresBackend:
    """One database of a server. ``where`` has no password in it."""

    def __init__(self, url: URL) -> None:
        # Without a driver in the address SQLAlchemy would take another one.
        self._url = url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
        self.where = url.render_as_string(hide_password=True)
        self._cutter: Cutter | None = None

    def connect(self, write: bool, may_create: bool = True, require: Require | None = None) -> Connection:
        try:
            arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "ibkr-trading"}
            own = {name: value for name, value in arguments.items() if name not in self._url.query}
            engine = create_engine(self._url, poolclass=NullPool, connect_args=own)
        except (ImportError, NoSuchModuleError) as error:
            raise JournalUnavailable(
                f"the journal {self.where} needs a driver that is not installed ({error}); "
                "type: pip install 'ibkr-trading[postgres]'"
            ) from error
        connection = connect(engine, self)
        self._cutter = Cutter(connection.connection.driver_connection)
        if write:
            self._take_lock(connection, require)
        else:
            connection.execution_options(postgresql_readonly=True)
        return connection

    def _take_lock(self, connection: Connection, require: Require | None) -> None:
        try:
            with self.bounded():
                connection.execute(text(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}"))
                query = text("SELECT pg_try_advisory_lock(:key)")
                taken = connection.execute(query, {"key": LOCK_KEY}).scalar_one()
                connection.commit()
        except DBAPIError as error:
            connection.close()
            raise self.explain(error) from error
        if not taken:
            connection.close()
            raise JournalLocked(
                f"the journal {self.where} is in use by another service; stop it or give this one its own database"
            )
        try:
            if require is not None:
                require(connection)
        except BaseException:
            connection.close()
            raise

    def prepare(self, connection: Connection, durability: Durability) -> None:
        # "local" is on the server's disk but not yet on its standbys', which is what "process" asks at most.
        level = "on" if durability == "power" else "local"
        connection.execute(text(f"SET synchronous_commit = {level}"))
        connection.commit()

    @contextmanager
    def bounded(self) -> Iterator[None]:
        cutter = self._cutter
        assert cutter is not None
        cutter.begin()
        try:
            yield
        finally:
            cutter.end()

    def require_disk(self) -> None:
        """The server looks after its disk and fails the commit."""

    def require_in_place(self) -> None:
        """A database that came back is told by what is in it."""

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
        if self._cutter is not None:
            self._cutter.stop()


class Cutter:
    """Cuts a connection that is waited for too long, from a thread of its own; ``begin`` and ``end`` cost under 1 µs.

    A wait is counted, not timed: the same one that is there at every look for ``LIMIT_S`` has lasted too long.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._count = 0
        self._waiting = False
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="journal-limit", daemon=True).start()

    def begin(self) -> None:
        self._count += 1
        self._waiting = True

    def end(self) -> None:
        self._waiting = False

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        seen, looks = 0, 0
        while not self._stopping.wait(LOOK_S):
            looks = looks + 1 if self._waiting and self._count == seen else 0
            seen = self._count
            if looks > LIMIT_S / LOOK_S:
                self._cut()
                return

    def _cut(self) -> None:
        with suppress(Exception):  # it may end by itself just now
            connected = socket.socket(fileno=os.dup(self._connection.pgconn.socket))
            connected.shutdown(socket.SHUT_RDWR)
            connected.close()
