"""The files of recorded market data: gzip'd CSV, one a UTC day, more when a day grows large.

Rules: what is written at once is a whole gzip member of whole lines, so a file can be read to its end
whenever the process dies; a write that fails is cut off again. A start, a clock that goes back and a file
that is full begin the next part (``…-002.csv.gz``); a part is never appended to by a later process, and
times never go back within one.
"""

import contextlib
import gzip
import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from trader.contracts import Quote

HEADER = "time,symbol,bid,bid_size,ask,ask_size,last,last_size\n"
NAME = re.compile(r"market-(\d{4}-\d{2}-\d{2})(?:-(\d{3,}))?\.csv\.gz")
# A member is written when this much recorded time or text has come together: what a crash may lose.
MEMBER_SPAN = timedelta(seconds=5)
MEMBER_CHARACTERS = 64 * 1024
MAX_PARTS = 999
COMPRESSION_LEVEL = 6

Row: TypeAlias = tuple[datetime, str, Quote | None, tuple[float, float] | None]


class RecordingFiles:
    """Writes rows in order of time. Every method but the constructor raises OSError when the disk fails."""

    def __init__(self, directory: Path, max_file_bytes: int, keep_days: int) -> None:
        self.directory = directory
        self._max_file_bytes = max_file_bytes
        self._keep_days = keep_days
        self._descriptor = -1
        self._written_bytes = 0
        self._day: date | None = None
        self._last_at: datetime | None = None
        self._lines: list[str] = []
        self._characters = 0
        self._member_since: datetime | None = None

    def write(self, rows: list[Row]) -> None:
        """Take the rows of one second; they reach the file with the next member."""
        if not rows:
            return
        at = rows[0][0].astimezone(UTC)
        if at.date() != self._day or self._written_bytes >= self._max_file_bytes or self._goes_back(at):
            self._begin_part(at.date())
        self._last_at = at
        self._member_since = self._member_since or at
        for row in rows:
            line = to_line(row)
            self._lines.append(line)
            self._characters += len(line)
        if at - self._member_since >= MEMBER_SPAN or self._characters >= MEMBER_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one gzip member."""
        if not self._lines:
            return
        member = gzip.compress("".join(self._lines).encode(), COMPRESSION_LEVEL, mtime=0)
        self._lines.clear()
        self._characters = 0
        self._member_since = None
        self._write_member(member)

    def close(self) -> None:
        self.flush()
        self.abandon()

    def abandon(self) -> None:
        """Close the file without what is pending. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _goes_back(self, at: datetime) -> bool:
        return self._last_at is not None and at <= self._last_at

    def _begin_part(self, day: date) -> None:
        self.close()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._prune(day)
        self._descriptor = self._create(day)
        self._day = day
        self._written_bytes = 0
        # At once, so that a file without rows is one with a header and not an empty one.
        self._lines.append(HEADER)
        self.flush()

    def _create(self, day: date) -> int:
        for part in range(1, MAX_PARTS + 1):
            suffix = "" if part == 1 else f"-{part:03d}"
            with contextlib.suppress(FileExistsError):
                path = self.directory / f"market-{day.isoformat()}{suffix}.csv.gz"
                return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        raise OSError(f"there are {MAX_PARTS} recordings of {day.isoformat()} already")

    def _write_member(self, member: bytes) -> None:
        try:
            written = os.write(self._descriptor, member)
            if written < len(member):
                os.write(self._descriptor, member[written:])
        except OSError:
            # Half a member would make the file unreadable from there on.
            os.ftruncate(self._descriptor, self._written_bytes)
            raise
        self._written_bytes += len(member)

    def _prune(self, today: date) -> None:
        """Remove recordings that are ``keep_days`` or more older than ``today``; nothing else in the folder."""
        for path in sorted(self.directory.iterdir()):
            found = NAME.fullmatch(path.name)
            if found is not None and today - date.fromisoformat(found.group(1)) >= timedelta(days=self._keep_days):
                path.unlink()


def to_line(row: Row) -> str:
    at, symbol, quote, trade = row
    bid_ask = ",,," if quote is None else ",".join(map(number, (quote.bid, quote.bid_size, quote.ask, quote.ask_size)))
    last = "," if trade is None else f"{number(trade[0])},{number(trade[1])}"
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ},{symbol},{bid_ask},{last}\n"


def number(value: float) -> str:
    """The shortest text of an observed price or size; a whole one has no point."""
    return str(int(value)) if float(value).is_integer() else repr(value)
