"""Durability right behind the writer: a thread that syncs the write-ahead log and checkpoints it.

Rules: the writer only says that it has written; the thread syncs once for all that came meanwhile, and
copies the log into the database with passive checkpoints, which never make the writer wait. A log that is written all
the time is never copied to its end by those and would grow for ever: one that is too long is emptied, for which the
writer waits a few milliseconds. Each second, and before each sync, the thread looks whether the files are still those
that are open. The first failure, of the disk or of that, is kept in ``failure``, and the writer refuses to go on.
"""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

from trader.journal.errors import JournalError
from trader.journal.place import OpenFiles
from trader.journal.wal import log_of

CHECKPOINT_COMMITS = 1_000
# Of 4 KiB each, so 64 MiB.
LOG_FRAMES_MAX = 16_384
LOOK_INTERVAL_S = 1.0
EMPTYING_TIMEOUT_S = 1.0
STOP_TIMEOUT_S = 10.0


class LogSyncer:
    """Syncs the log of ``path`` behind its writer. ``wake`` is for the writer's thread and costs under 1 µs."""

    def __init__(self, path: Path, files: OpenFiles, sync: bool) -> None:
        self._path = path
        self._files = files
        self._log = log_of(path)
        self._sync = sync
        self._written = threading.Event()
        self._stopping = False
        self._commits = 0
        self._checkpointed = 0
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._commits += 1
        if self._sync or self._commits - self._checkpointed >= CHECKPOINT_COMMITS:
            self._written.set()

    def stop(self) -> None:
        """Sync what is left and end the thread; waits at most STOP_TIMEOUT_S for a slow disk."""
        self._stopping = True
        self._written.set()
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while not self._stopping:
                written = self._written.wait(LOOK_INTERVAL_S)
                self._files.require_all()
                if written:
                    self._written.clear()  # only what was seen: a write in this instant is the next turn's
                    self._sync_log()
                if self._commits - self._checkpointed >= CHECKPOINT_COMMITS:
                    self._checkpointed = self._commits
                    checkpoint(self._path)
            self._sync_log()
        except JournalError as error:
            self.failure = str(error)
        except (OSError, sqlite3.Error) as error:
            self.failure = f"the disk under the journal {self._path} failed ({error}); check the disk, then restart"

    def _sync_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # no log yet: nothing was written since it was made
            descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)


def checkpoint(path: Path) -> None:
    """Copy as much of the log into the database as no reader is in the way of; empty it when it is too long."""
    # Never made anew: SQLite deletes the log beside a database that is empty.
    address = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, timeout=0.0, isolation_level=None, uri=True)
    try:
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames > LOG_FRAMES_MAX:
            connection.execute(f"PRAGMA busy_timeout={int(EMPTYING_TIMEOUT_S * 1_000)}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
    finally:
        connection.close()
