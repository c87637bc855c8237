"""Files below one folder: looked at and deleted through open folders, so that no link leads anywhere else.

Rules: links are neither followed nor deleted, other file systems and protected files and folders are passed over, and
only regular files are deleted. A file that was replaced since it was looked at stays. Everything has a bound.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

FILES_MAX: Final = 200_000
DEPTH_MAX: Final = 12
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]
"""Device and inode: what a file is, whatever its name."""


class Refused(Exception):
    """A folder is not one that may be cleaned up; the text says why. ``absent``: there is none."""

    def __init__(self, why: str, *, absent: bool = False) -> None:
        super().__init__(why)
        self.absent = absent


class Found(NamedTuple):
    """A regular file. ``parts`` lead to it from the folder that was looked through; times are Unix time."""

    parts: tuple[str, ...]
    size_bytes: int
    modified_s: float
    identity: Identity

    @property
    def name(self) -> str:
        return self.parts[-1]


class Deletion(StrEnum):
    """What became of a file that was to be deleted."""

    DELETED = "deleted"
    GONE = "already gone"
    REPLACED = "replaced meanwhile"


@dataclass
class Ground:
    """What is below a folder. ``problems`` are folders and files that could not be looked at, ``cut`` that the bound
    was reached."""

    root: Path
    files: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cut: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def identity_of(path: Path) -> Identity | None:
    """Of what ``path`` leads to; None when there is nothing, or it cannot be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def survey(root: Path, protected: frozenset[Identity]) -> Ground:
    """Every regular file below ``root``; raises Refused when that is no folder, or a link, or protected itself."""
    ground = Ground(root)
    device = _require_folder(root, protected)

    def problem(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            ground.problems.append(f"{error.filename}: {error.strerror}")

    try:
        for folder, folders, names, descriptor in os.fwalk(root, follow_symlinks=False, onerror=problem):
            parts = Path(folder).relative_to(root).parts
            folders[:] = [] if len(parts) >= DEPTH_MAX else _own(folders, descriptor, device, protected)
            for name in names:
                found = _regular(name, descriptor)
                if found is None or found.st_dev != device or (found.st_dev, found.st_ino) in protected:
                    continue
                if len(ground.files) >= FILES_MAX:
                    ground.cut = True
                    return ground
                identity = (found.st_dev, found.st_ino)
                ground.files.append(Found((*parts, name), found.st_size, found.st_mtime, identity))
    except OSError as error:
        problem(error)
    return ground


def _require_folder(root: Path, protected: frozenset[Identity]) -> int:
    """The device of ``root``."""
    try:
        found = root.lstat()
    except FileNotFoundError as error:
        raise Refused("it is not there", absent=True) from error
    except OSError as error:
        raise Refused(f"it cannot be looked at ({error.strerror})") from error
    if stat.S_ISLNK(found.st_mode):
        raise Refused("it is a link, and links are not followed")
    if not stat.S_ISDIR(found.st_mode):
        raise Refused("it is no folder")
    if (found.st_dev, found.st_ino) in protected:
        raise Refused("it holds what is never cleaned up")
    return found.st_dev


def _own(names: list[str], descriptor: int, device: int, protected: frozenset[Identity]) -> list[str]:
    """The folders that are gone into."""
    kept = []
    for name in names:
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_dev == device and (device, found.st_ino) not in protected:
            kept.append(name)
    return kept


def _regular(name: str, descriptor: int) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return None  # it went away meanwhile
    return found if stat.S_ISREG(found.st_mode) else None


def delete(root: Path, file: Found) -> Deletion:
    """Delete ``file`` below ``root`` if it still is what was looked at; raises OSError when that is not permitted."""
    try:
        with _folder_of(root, file.parts) as descriptor:
            now = os.stat(file.name, dir_fd=descriptor, follow_symlinks=False)
            if (now.st_dev, now.st_ino) != file.identity or now.st_mtime != file.modified_s:
                return Deletion.REPLACED
            os.unlink(file.name, dir_fd=descriptor)
    except FileNotFoundError:
        return Deletion.GONE
    except NotADirectoryError:
        return Deletion.REPLACED  # a folder on the way is a link or a file by now
    return Deletion.DELETED


@contextmanager
def _folder_of(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """The folder that the file at ``parts`` is in, opened step by step without following links."""
    descriptor = os.open(root, FOLDER_FLAGS)
    try:
        for part in parts[:-1]:
            below = os.open(part, FOLDER_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def remove_empty(root: Path, parts: tuple[str, ...]) -> None:
    """Remove the folders on the way to ``parts`` that are empty now, never ``root``; what is not empty stays."""
    for depth in range(len(parts) - 1, 0, -1):
        try:
            with _folder_of(root, parts[:depth]) as descriptor:
                os.rmdir(parts[depth - 1], dir_fd=descriptor)
        except OSError:
            return
