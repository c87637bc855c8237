"""The files of an open SQLite journal, and whether their names still lead to them.

Rules: reads only. A file that is deleted, moved or replaced stays open and takes what is written to it, which nobody
finds again. A file whose content is overwritten in place is not told from itself.
"""

import os
from pathlib import Path

from trader.journal.errors import JournalReplaced, JournalUnavailable
from trader.journal.wal import log_of

Identity = tuple[int, int]


class OpenFiles:
    """Made right before the database at ``path`` is opened: what is put in its place after that is another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = log_of(path)
        self._file_identity = _identity(path)
        self._log_identity: Identity | None = None

    def note_log(self) -> None:
        """Called while a connection has the log open; the log is then one of the files."""
        self._log_identity = _identity(self._log)

    def require_database(self) -> None:
        """Raise JournalUnavailable when the database is gone, JournalReplaced when another is there; or OSError."""
        found = _identity(self._path)
        if found is None:
            raise JournalUnavailable(f"the journal {self._path} is gone although it is in use; move that file back")
        if found != self._file_identity:
            raise JournalReplaced(
                f"another file is in the place of the journal {self._path}, which was in use; "
                "see which of the two is the right one, then start again"
            )

    def require_all(self) -> None:
        """The same for the database and its log."""
        self.require_database()
        if self._log_identity is not None and _identity(self._log) != self._log_identity:
            self.require_database()  # both may have gone since it was looked for
            raise JournalUnavailable(f"the log {self._log} of the journal is gone although it is in use")


def _identity(path: Path) -> Identity | None:
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return state.st_dev, state.st_ino
