"""What a check may look at. ``linux.py`` is the real one; tests have one of their own.

Rules: a look changes nothing and ends within a bound. A missing file raises Absent; what may not be looked at, or
cannot, raises NotVisible with the reason.
"""

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

PROGRAM_TIMEOUT_S: Final = 20.0


class FileState(NamedTuple):
    """What the file system says of a path. ``mode`` is the permission bits; ``kind`` is file, folder, link, other."""

    kind: str
    owner: str
    group: str
    mode: int
    size_bytes: int
    modified_at: datetime


class Room(NamedTuple):
    """What is left on a file system; no inodes at all when it does not count them."""

    free_bytes: int
    total_bytes: int
    free_inodes: int
    total_inodes: int


class Ran(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    output: str
    error: str


class Answered(NamedTuple):
    """What a server answered over HTTP."""

    status: int
    body: str


class Account(NamedTuple):
    """A user, with all groups."""

    name: str
    uid: int
    shell: str
    groups: tuple[str, ...]


class Package(NamedTuple):
    """An installed Python distribution; ``requires`` as its metadata says it."""

    name: str
    version: str
    requires: tuple[str, ...]


class Database(NamedTuple):
    """What SQLite says of a file: its journal mode, and ``ok`` or what is damaged."""

    journal_mode: str
    verdict: str


class Host(Protocol):
    """The machine that is looked at."""

    @property
    def is_root(self) -> bool: ...

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def read(self, path: Path) -> str:
        """The text of a file, its first megabytes."""
        ...

    def names(self, folder: Path) -> tuple[str, ...]:
        """What is in a folder, sorted."""
        ...

    def state(self, path: Path) -> FileState:
        """Of the path itself: links are not followed."""
        ...

    def resolve(self, path: Path) -> Path:
        """Where a path leads, links followed."""
        ...

    def room(self, path: Path) -> Room: ...

    def run(self, *command: str, limit_s: float = PROGRAM_TIMEOUT_S) -> Ran:
        """What a program says; raises NotVisible when it cannot be run or takes longer than ``limit_s``."""
        ...

    def get(self, url: str) -> Answered | None:
        """The answer, whatever its status; None when nobody answers there."""
        ...

    def account(self, name: str) -> Account | None: ...

    def packages(self, folder: Path) -> tuple[Package, ...]:
        """The Python distributions below a folder of packages."""
        ...

    def database(self, path: Path) -> Database: ...
