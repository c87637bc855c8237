"""Locks against overlap, as files that the kernel forgets with the process: a killed job leaves none behind.

Rules: one job of a kind at a time, waiting or running; one job of any kind runs. A lock that cannot be had says who
holds it. The folder is made when it is not there.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HOLDER_MAX_BYTES: Final = 200


class LockError(Exception):
    """The lock cannot be taken for another reason than that somebody holds it; the text is one sentence."""


class Held(Exception):
    """Somebody else holds the lock; the text says who, as far as it is known."""


class JobLock:
    """The lock in ``path``, from ``acquire`` until ``release``; ``holder`` is what others are told."""

    def __init__(self, path: Path, holder: str) -> None:
        self._path = path
        self._holder = holder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it at once; raises Held or LockError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LockError(
                f"the lock {self._path} cannot be made ({error.strerror}); see maintenance.work_folder"
            ) from (error)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            told = _holder(descriptor)
            os.close(descriptor)
            raise Held(told or "another run") from error
        self._descriptor = descriptor
        # Who holds it is only told; a full disk must not keep a job from running.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._holder.encode()[:HOLDER_MAX_BYTES], 0)

    def release(self) -> None:
        """Give it up. Idempotent; the file stays, because removing it would let two hold one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(descriptor: int) -> str:
    with suppress(OSError):
        return os.pread(descriptor, HOLDER_MAX_BYTES, 0).decode(errors="replace").strip()
    return ""
