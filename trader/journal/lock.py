"""One writer for one journal file: an exclusive ``flock`` on a file beside it, which names its holder.

Rules: the kernel drops the lock when its holder dies, so a lock is never stale; the file itself stays,
because removing it would let two processes lock two different files of the same name.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from trader.journal.errors import JournalLocked, JournalReadOnly, JournalUnavailable

MAX_PID_BYTES = 32


class FileLock:
    """An advisory lock on a file, held until ``release`` or the end of the process."""

    def __init__(self, journal: Path, name_holder: bool = True) -> None:
        """Take the lock of ``journal`` or raise JournalLocked at once, with the holder's pid where it is known."""
        self._descriptor = _open(journal.with_name(journal.name + ".lock"), journal)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, MAX_PID_BYTES, 0).decode(errors="replace").strip()
            self.release()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise JournalLocked(
                f"the journal {journal} is in use by {who}; stop that service or give this one a journal of its own"
            ) from error
        if not name_holder:
            return
        with contextlib.suppress(OSError):  # the name of the holder is a courtesy: a full disk may refuse it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open(path: Path, journal: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise JournalReadOnly(
            f"the journal {journal} cannot be written: no permission for {path}; "
            "give the service's user write access to the folder"
        ) from error
    except OSError as error:
        raise JournalUnavailable(f"the journal {journal} cannot be locked at {path} ({error.strerror})") from error
