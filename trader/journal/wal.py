"""What lies in an SQLite write-ahead log, read without SQLite, which passes over what is damaged in it.

Rules: reads only. SQLite takes the frames up to the first that is not whole and forgets the rest without a word. A step
that was being written when its process ended is such a rest, and so are frames of before the log was last begun anew;
a whole transaction after a frame that is not whole is damage. Format: https://www.sqlite.org/fileformat2.html, 4.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

HEADER: Final = struct.Struct(">8I")
FRAME: Final = struct.Struct(">6I")
MAGIC: Final = 0x377F0682
WORD: Final = 0xFFFFFFFF
# Summing costs about 50 ms a megabyte, and a log is begun anew long before this.
EXAMINED_MAX_BYTES: Final = 64_000_000


class LogState(NamedTuple):
    """``damage`` says what is lost for certain, ``tail`` what is at the end and may be a step of a crash."""

    damage: str = ""
    tail: str = ""


class _Frame(NamedTuple):
    """One page of a step. ``ours``: not left from before the log was begun anew; ``commits``: ends a transaction."""

    whole: bool
    ours: bool
    commits: bool


def log_of(database: Path) -> Path:
    """The log of ``database``; of a link SQLite keeps it beside the file that is meant."""
    file = database.resolve()
    return file.with_name(file.name + "-wal")


def examine(database: Path) -> LogState:
    """The state of the log beside ``database``; raises OSError. A log that is not there is in order."""
    log = log_of(database)
    try:
        content = log.read_bytes() if log.stat().st_size <= EXAMINED_MAX_BYTES else b""
    except FileNotFoundError:
        return LogState()
    if not any(content):
        return LogState()
    if not database.stat().st_size:
        return LogState(damage="it is cut off to nothing, and only its log is left")
    if not _has_header(content):
        return LogState(damage="the header of its log is not what was written, and SQLite would ignore the log")
    return _judged(list(_frames(content)))


def _judged(frames: list[_Frame]) -> LogState:
    whole = next((number for number, frame in enumerate(frames) if not frame.whole), len(frames))
    if any(frame.ours and frame.commits for frame in frames[whole + 1 :]):
        return LogState(damage=f"frame {whole + 1} of its log is not whole, and steps were written after it")
    written = max((number for number, frame in enumerate(frames[:whole], start=1) if frame.commits), default=0)
    rest = whole - written + sum(frame.ours for frame in frames[whole:])
    return LogState(tail=f"the last {rest} frames of its log belong to no whole step" if rest else "")


def _has_header(content: bytes) -> bool:
    if len(content) < HEADER.size:
        return False
    magic, _, page_bytes, *_, first, second = HEADER.unpack_from(content)
    is_size = 512 <= page_bytes <= 65536 and not page_bytes & (page_bytes - 1)
    return bool(magic & ~1 == MAGIC and is_size and _sum(content[:24], (0, 0), magic) == (first, second))


def _frames(content: bytes) -> Iterator[_Frame]:
    """The frames in order. One is whole when its salts are the header's and the sum of all up to it is what it says."""
    magic, _, page_bytes, _, *salts, first, second = HEADER.unpack_from(content)
    running = first, second
    for start in range(HEADER.size, len(content), FRAME.size + page_bytes):
        frame = content[start : start + FRAME.size + page_bytes]
        if len(frame) < FRAME.size:
            yield _Frame(whole=False, ours=True, commits=False)
            return
        _, pages, *said, first, second = FRAME.unpack_from(frame)
        running = _sum(frame[:8] + frame[FRAME.size :], running, magic)
        whole = len(frame) == FRAME.size + page_bytes and said == salts and running == (first, second)
        # One salt alone is a frame of ours in which the other was changed: those from before differ in both.
        ours = any(one == other for one, other in zip(said, salts, strict=True))
        yield _Frame(whole=whole, ours=ours, commits=pages != 0)


def _sum(content: bytes, start: tuple[int, int], magic: int) -> tuple[int, int]:
    """SQLite's running sum of 32-bit words in pairs, big-endian when the log's magic number is odd."""
    first, second = start
    for one, other in struct.iter_unpack(">II" if magic & 1 else "<II", content[: len(content) // 8 * 8]):
        first = (first + one + second) & WORD
        second = (second + other + first) & WORD
    return first, second
