"""The folder of backups: what is in it, which one is meant, what is kept.

Rules: only what has the name of a backup is looked at or deleted. The newest of each day, week and month is kept, as
many as ``Keep`` says, and the newest few whatever their day; the newest one whose checksum holds is never deleted.
Each mode and account is counted by itself.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from trader.contracts import TradingMode
from trader.maintenance.backup import disk
from trader.maintenance.backup.errors import BackupError, unreadable
from trader.maintenance.backup.model import CHECKSUM_SUFFIX, NO_ACCOUNT, BackupName, checksum_file

NEWEST: Final = "newest"
ENTRIES_MAX: Final = 10_000
STAGING: Final = ".staging.part"
UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How many backups are kept: of the ``newest``, and the newest of so many days, ISO weeks and months (UTC)."""

    newest: int = 3
    daily: int = 14
    weekly: int = 8
    monthly: int = 12


class Entry(msgspec.Struct, frozen=True):
    """One backup in the folder, by what its name and its size say."""

    path: Path
    name: BackupName
    size_bytes: int
    has_checksum: bool


def entries(folder: Path) -> list[Entry]:
    """The backups in ``folder``, the newest first; none when there is no such folder; raises BackupError."""
    try:
        names = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
    if len(names) > ENTRIES_MAX:
        raise BackupError(f"{folder} holds more than {ENTRIES_MAX} files; keep backups in a folder of their own")
    found = [entry for path in names if (entry := _entry(path)) is not None]
    return sorted(found, key=lambda entry: (entry.name.at, entry.path.name), reverse=True)


def _entry(path: Path) -> Entry | None:
    try:
        name = BackupName.parse(path.name)
    except BackupError:
        return None
    try:
        return Entry(path, name, path.stat().st_size, checksum_file(path).is_file())
    except OSError:
        return None  # it went away meanwhile


def of_books(there: Iterable[Entry], mode: TradingMode, account: str) -> list[Entry]:
    """Those of ``there`` that are of ``mode`` and, where it is known, of ``account``."""
    own = BackupName.of(UNKNOWN_TIME, mode, account).account
    known = {NO_ACCOUNT, own} if account else None
    return [entry for entry in there if entry.name.mode is mode and (known is None or entry.name.account in known)]


def find(folder: Path, text: str, mode: TradingMode | None = None, account: str = "") -> Path:
    """The backup that ``text`` means: a path, a name in ``folder``, or ``newest``; raises BackupError.

    ``newest`` is that of ``mode`` and ``account`` where they are given.
    """
    if text == NEWEST:
        there = entries(folder) if mode is None else of_books(entries(folder), mode, account)
        if not there:
            whose = "" if mode is None else " of these books"
            raise BackupError(f"there is no backup{whose} in {folder}; make one with: trader backup create")
        return there[0].path
    for path in (Path(text), folder / text):
        if path.is_file():
            return path.absolute()
    raise BackupError(f"there is no backup {text}, and none of that name in {folder}; see: trader backup list")


def kept(there: Iterable[Entry], keep: Keep) -> set[Path]:
    """Which of ``there``, the newest first, are kept."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in there:
        groups.setdefault((entry.name.mode, entry.name.account), []).append(entry)
    found: set[Path] = set()
    for group in groups.values():
        found |= {entry.path for entry in group[: keep.newest]}
        for number, period in _periods(keep):
            found |= _newest_of_each(group, number, period)
    return found


def _periods(keep: Keep) -> tuple[tuple[int, Callable[[datetime], Hashable]], ...]:
    return (
        (keep.daily, lambda at: at.date()),
        (keep.weekly, lambda at: at.isocalendar()[:2]),
        (keep.monthly, lambda at: (at.year, at.month)),
    )


def _newest_of_each(group: Sequence[Entry], number: int, period: Callable[[datetime], Hashable]) -> set[Path]:
    first: dict[Hashable, Path] = {}
    for entry in group:
        first.setdefault(period(entry.name.at), entry.path)
    return set(list(first.values())[:number])


def prune(folder: Path, keep: Keep, made: Path, is_sound: Callable[[Path], bool]) -> tuple[str, ...]:
    """Delete what is not kept of the mode and account of ``made``, which itself stays; the names of what is gone.

    ``is_sound`` says whether a backup's checksum holds. Raises BackupError when something cannot be deleted.
    """
    name = BackupName.parse(made.name)
    there = [e for e in entries(folder) if (e.name.mode, e.name.account) == (name.mode, name.account)]
    stay = kept(there, keep) | {made}
    surplus = [entry.path for entry in there if entry.path not in stay]
    if not surplus:
        return ()
    newest_sound = next((entry.path for entry in there if is_sound(entry.path)), None)
    gone = [path for path in surplus if path != newest_sound]
    for path in gone:
        disk.remove(path)
        disk.remove(checksum_file(path))
    return tuple(path.name for path in gone)


def ahead_of(folder: Path, made: Path) -> list[Entry]:
    """The backups of the same books that are dated later than ``made``, which was made just now."""
    name = BackupName.parse(made.name)
    return [e for e in of_books(entries(folder), name.mode, name.account) if e.name.at > name.at]


def sweep(folder: Path) -> None:
    """Delete what broken-off runs left in ``folder``; only for whoever holds its lock. Raises BackupError."""
    disk.remove_tree(folder / STAGING)
    try:
        names = list(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error
    for path in names:
        whole = path.name.removeprefix(".").removesuffix(disk.PART).removesuffix(CHECKSUM_SUFFIX)
        if whole == path.name or not _is_backup_name(whole):
            continue
        if path.name.endswith(disk.PART) or not (folder / whole).exists():
            disk.remove(path)


def _is_backup_name(text: str) -> bool:
    try:
        BackupName.parse(text)
    except BackupError:
        return False
    return True
