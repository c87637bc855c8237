"""The host itself: files, programs, accounts, HTTP on loopback.

Rules: read-only. Everything has a bound: sizes, seconds, and no program waits for anybody's input.
"""

import grp
import http.client
import importlib.metadata
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from trader.clock import Clock, SystemClock
from trader.doctor.host import PROGRAM_TIMEOUT_S, Account, Answered, Database, FileState, Package, Ran, Room
from trader.doctor.model import Absent, NotVisible

READ_MAX_BYTES: Final = 8_000_000
OUTPUT_MAX_CHARACTERS: Final = 32_000_000
HTTP_TIMEOUT_S: Final = 5.0
ERROR_MAX_CHARACTERS: Final = 200
SQLITE_HEADER_BYTES: Final = 100
WAL_VERSIONS: Final = b"\x02\x02"
PACKAGES_MAX: Final = 1_000
KINDS: Final = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
# The programs' words are compared, so they have to be in one language, on one line, and with times in UTC.
ENVIRONMENT: Final = {
    "LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat",
    "COLUMNS": "400", "TZ": "UTC",
}  # fmt: skip


class LinuxHost:
    """The machine that this runs on."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    def now(self) -> datetime:
        return self._clock.now()

    def read(self, path: Path) -> str:
        with _looking_at(path), _opened(path) as stream:
            return stream.read(READ_MAX_BYTES).decode(errors="replace")

    def names(self, folder: Path) -> tuple[str, ...]:
        with _looking_at(folder):
            return tuple(sorted(os.listdir(folder)))

    def state(self, path: Path) -> FileState:
        with _looking_at(path):
            found = path.lstat()
        return FileState(
            KINDS.get(stat.S_IFMT(found.st_mode), "other"), _user_name(found.st_uid), _group_name(found.st_gid),
            stat.S_IMODE(found.st_mode), found.st_size, datetime.fromtimestamp(found.st_mtime, UTC),
        )  # fmt: skip

    def resolve(self, path: Path) -> Path:
        with _looking_at(path):
            return path.resolve(strict=True)

    def room(self, path: Path) -> Room:
        with _looking_at(path):
            found = os.statvfs(path)
        block = found.f_frsize
        return Room(found.f_bavail * block, found.f_blocks * block, found.f_favail, found.f_files)

    def run(self, *command: str, limit_s: float = PROGRAM_TIMEOUT_S) -> Ran:
        return _run(command, limit_s=limit_s)

    def get(self, url: str) -> Answered | None:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=HTTP_TIMEOUT_S)
        try:
            connection.request("GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}")
            answer = connection.getresponse()
            return Answered(answer.status, answer.read(READ_MAX_BYTES).decode(errors="replace"))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def account(self, name: str) -> Account | None:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = os.getgrouplist(name, found.pw_gid)
        return Account(name, found.pw_uid, found.pw_shell, tuple(_group_name(group) for group in groups))

    def packages(self, folder: Path) -> tuple[Package, ...]:
        self.names(folder)  # says why when the folder cannot be seen
        found: list[Package] = []
        for item in importlib.metadata.distributions(path=[str(folder)]):
            name = item.metadata["Name"]
            if name and len(found) < PACKAGES_MAX:
                found.append(Package(name, item.version, tuple(item.requires or ())))
        return tuple(found)

    def database(self, path: Path) -> Database:
        with _looking_at(path), _opened(path) as stream:
            header = stream.read(SQLITE_HEADER_BYTES)
            owner = os.fstat(stream.fileno())
        # By the file's header: https://sqlite.org/fileformat.html
        mode = "wal" if header[18:20] == WAL_VERSIONS else "delete"
        ran = _run(
            (sys.executable, "-I", "-m", "trader.doctor.integrity", str(path)),
            (owner.st_uid, owner.st_gid) if self.is_root and owner.st_uid != 0 else None,
        )
        if ran.code != 0:
            raise NotVisible(f"{path} cannot be opened now ({ran.output or ran.error[-ERROR_MAX_CHARACTERS:]})")
        return Database(mode, ran.output)


def _run(command: tuple[str, ...], user: tuple[int, int] | None = None, limit_s: float = PROGRAM_TIMEOUT_S) -> Ran:
    """Run a program, as ``user`` (its uid and gid) or as we are; raises NotVisible when it cannot be run."""
    uid, gid = user or (None, None)
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s, check=False,
            env=ENVIRONMENT, user=uid, group=gid, extra_groups=None if user is None else [],
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotVisible(f"the program {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NotVisible(f"{command[0]} did not end within {limit_s:.0f} s") from error
    except OSError as error:
        raise NotVisible(f"{command[0]} cannot be run ({error.strerror})") from error
    return Ran(done.returncode, _text(done.stdout), _text(done.stderr))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file; another kind could keep a reader waiting for ever."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotVisible(f"{path} is not a regular file")
        yield stream


@contextmanager
def _looking_at(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Absent(path) from error
    except PermissionError as error:
        raise NotVisible(f"{path} may not be looked at", needs_root=os.geteuid() != 0) from error
    except OSError as error:
        raise NotVisible(f"{path}: {error.strerror}") from error


def _text(output: bytes) -> str:
    return output.decode(errors="replace")[-OUTPUT_MAX_CHARACTERS:]


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
