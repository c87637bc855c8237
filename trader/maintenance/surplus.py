"""Which files of a folder are too many: by age, then by the size of all of them.

Rules: pure. The newest few always stay, and so does what was written in the last hour, because somebody may be
writing it still. What is dated in the future is new.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from trader.maintenance.ground import Found

NEWEST_KEPT: Final = 3
SETTLED: Final = timedelta(hours=1)


class Reason(StrEnum):
    """Why a file is deleted."""

    AGE = "older than is kept"
    SIZE = "the oldest above the size"


class Limits(NamedTuple):
    """How long files are kept, and how large all of them may be. None: no such limit."""

    keep: timedelta | None = None
    size_max_bytes: int | None = None


class Surplus(NamedTuple):
    """One file to delete."""

    file: Found
    reason: Reason


def choose(files: Sequence[Found], limits: Limits, now_s: float) -> list[Surplus]:
    """What of ``files`` is to be deleted at ``now_s`` (Unix time), oldest first."""
    by_age = sorted(files, key=lambda file: (file.modified_s, file.parts))
    settled_s = now_s - SETTLED.total_seconds()
    may_go = [file for file in by_age[:-NEWEST_KEPT] if file.modified_s <= settled_s]
    old = _older(may_go, limits.keep, now_s)
    left_bytes = sum(file.size_bytes for file in files) - sum(file.size_bytes for file in old)
    chosen = [Surplus(file, Reason.AGE) for file in old]
    for file in may_go[len(old) :]:
        if limits.size_max_bytes is None or left_bytes <= limits.size_max_bytes:
            break
        if file.size_bytes:
            chosen.append(Surplus(file, Reason.SIZE))
            left_bytes -= file.size_bytes
    return chosen


def _older(by_age: list[Found], keep: timedelta | None, now_s: float) -> list[Found]:
    if keep is None:
        return []
    return [file for file in by_age if file.modified_s < now_s - keep.total_seconds()]
