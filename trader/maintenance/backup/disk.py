"""Files that appear as a whole or not at all, and one run at a time in a folder.

Rules: everything that changes a file system for a backup is here, through the names that are imported from ``os``. A
file is written under a name of its own, synced, renamed, and its folder synced; what a broken-off run leaves behind
begins with a dot, ends in ``.part``, and is swept by the next run that holds the lock.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from os import fsync, link, mkdir, replace, unlink, write
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from trader.maintenance.backup.errors import BackupBusy, unreadable, unwritable

OWNER_ONLY: Final = 0o600
FOLDER_MODE: Final = 0o700
CHUNK_BYTES: Final = 1 << 20
LOCK_FILE: Final = ".lock"
PID_MAX_BYTES: Final = 32
PART: Final = ".part"


def part_of(path: Path) -> Path:
    """The name under which ``path`` is written."""
    return path.with_name(f".{path.name}{PART}")


class Writer:
    """A new file of the owner's alone, with the SHA-256 of what was written; raises BackupError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, OWNER_ONLY)
            give_to_owner_of_folder(path)
        except OSError as error:
            raise unwritable(path, error) from error

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, content: bytes) -> int:
        left = memoryview(content)
        try:
            while left:
                left = left[write(self._descriptor, left) :]
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._hash.update(content)
        self.size_bytes += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing is held back here."""

    def sync(self) -> None:
        """Have the disk hold it, and the memory forget it, so that reading it again asks the disk."""
        try:
            fsync(self._descriptor)
        except OSError as error:
            raise unwritable(self.path, error) from error
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_file(path: Path, content: bytes) -> None:
    """A new file at ``path``, synced; raises BackupError."""
    with Writer(path) as writer:
        writer.write(content)
        writer.sync()


def put_in_place(part: Path, path: Path) -> None:
    """Give the synced file ``part`` its name; an existing ``path`` is replaced."""
    try:
        replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error
    sync_folder(path.parent)


def second_name(path: Path, other: Path) -> bool:
    """Let ``other`` be the same file as ``path``; False for a copy, where the file system knows no second names."""
    try:
        link(path, other, follow_symlinks=False)
    except FileExistsError as error:
        raise unwritable(other, error) from error
    except OSError:
        copy_file(path, other)
        return False
    return True


def copy_file(path: Path, other: Path) -> None:
    """A synced copy of ``path``; raises BackupError."""
    try:
        with path.open("rb") as source, Writer(other) as writer:
            while chunk := source.read(CHUNK_BYTES):
                writer.write(chunk)
            writer.sync()
    except OSError as error:
        raise unreadable(path, error) from error


def remove(path: Path) -> None:
    """Delete the file ``path`` if it is there; raises BackupError."""
    try:
        unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(path, error) from error


def remove_tree(folder: Path) -> None:
    """Delete ``folder`` and what is in it, as far as that is possible; a link is only unlinked."""
    if folder.is_symlink():
        remove(folder)
    elif folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, of the owner's alone, where it is not there; raises BackupError."""
    missing = [folder, *folder.parents]
    try:
        for each in reversed([path for path in missing if not path.exists()]):
            with contextlib.suppress(FileExistsError):
                mkdir(each, FOLDER_MODE)
                give_to_owner_of_folder(each)
        os.scandir(folder).close()
    except OSError as error:
        raise unwritable(folder, error) from error


def sync_folder(folder: Path) -> None:
    """Have the disk hold the names in ``folder``; raises BackupError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unwritable(folder, error) from error


def give_to_owner_of_folder(path: Path) -> None:
    """What root makes in another user's folder has to be that user's. Raises OSError."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


class FolderLock:
    """One run at a time in ``folder``; the kernel drops the lock when its holder dies. Raises BackupBusy."""

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, OWNER_ONLY)
            give_to_owner_of_folder(path)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, PID_MAX_BYTES, 0).decode(errors="replace").strip()
            self.release()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise BackupBusy(f"{who} makes a backup in {folder} right now; wait until it is done") from error
        with contextlib.suppress(OSError):  # the name of the holder is a courtesy: a full disk may refuse it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
