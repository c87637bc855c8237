"""Markets recorded in files: CSV, CSV.gz and Parquet.

Rules: columns are ``COLUMNS``, times UTC in ISO 8601, sorted; a price comes with its size, and what did not
change is empty. Files are read as streams. A file that cannot be used raises ``MarketDataFileError``, which
names the file, the line and what is wrong; a row is never skipped or guessed.
"""

import csv
import gzip
import heapq
import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain, pairwise
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from trader.simulator.model import MarketEvent

COLUMNS: Final[tuple[str, ...]] = ("time", "symbol", "bid", "bid_size", "ask", "ask_size", "last", "last_size")
_CACHED_NUMBERS: Final = 200_000
_ROWS_PER_BATCH: Final = 8_192
_MAX_SYMBOLS: Final = 10_000
NumberedRow = tuple[int, Sequence[str]]


class MarketDataFileError(Exception):
    """A market data file that cannot be used: the message names file, line and problem."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


class FileSummary(NamedTuple):
    """What one file holds: market keys in order of appearance, first and last time, number of rows; all if kept."""

    path: Path
    symbols: tuple[str, ...]
    first: datetime
    last: datetime
    rows: int
    events: Sequence[MarketEvent] | None = None


class RecordedMarket:
    """Replays recorded files in time order.

    Files may follow one another (days) or overlap (one file for each contract); rows of equal time keep the
    order of the paths. Building it reads times and symbols of every file once; ``events`` checks the rest. Files
    with no more than ``keep_rows`` rows together (about 100 bytes each) are checked and kept at once instead.
    """

    def __init__(self, paths: Iterable[str | Path], keep_rows: int = 0) -> None:
        files: list[FileSummary] = []
        for path in paths:
            files.append(summarise(Path(path), keep_rows))
            keep_rows -= len(files[-1].events or ())
        if not files:
            raise ValueError("a recorded market needs at least one file")
        self.files = tuple(files)
        self.contracts = tuple(dict.fromkeys(chain.from_iterable(item.symbols for item in self.files)))
        self.start = min(item.first for item in self.files)
        self.end = max(item.last for item in self.files)
        self.rows = sum(item.rows for item in self.files)

    def events(self) -> Iterator[MarketEvent]:
        in_time = sorted(self.files, key=attrgetter("first"))
        follow = all(before.last <= after.first for before, after in pairwise(in_time))
        streams = [read_rows(item.path) if item.events is None else iter(item.events) for item in in_time]
        if follow:
            return chain.from_iterable(streams)
        return heapq.merge(*streams, key=attrgetter("at"))

    def validate(self) -> None:
        """Read everything; raises MarketDataFileError for the first bad row of any file."""
        for item in self.files:
            for _ in read_rows(item.path):
                pass


def read_rows(path: str | Path) -> Iterator[MarketEvent]:
    """The events of one file, as a stream. Raises MarketDataFileError at the row that is wrong."""
    file = Path(path)
    parse = _RowParser(file).parse
    for line, row in _numbered_rows(file):
        yield parse(line, row)


def summarise(path: Path, keep_rows: int = 0) -> FileSummary:
    """What a file holds, by its times and symbols only unless it is kept. Raises MarketDataFileError."""
    parser = _RowParser(path)
    events: list[MarketEvent] = []
    symbols: dict[str, None] = {}
    first = last = ""
    first_line = last_line = rows = 0
    for line, row in _numbered_rows(path):
        if len(row) != len(COLUMNS):
            raise MarketDataFileError(path, line, f"{len(row)} fields instead of {len(COLUMNS)}")
        last, last_line = row[0], line
        if not rows:
            first, first_line = last, last_line
        rows += 1
        symbols[row[1]] = None
        if rows <= keep_rows:
            events.append(parser.parse(line, row))
    if not rows:
        raise MarketDataFileError(path, None, "the file has no rows")
    if len(symbols) > _MAX_SYMBOLS:
        raise MarketDataFileError(path, None, f"more than {_MAX_SYMBOLS} symbols")
    starts_at, ends_at = parser.time(first_line, first), parser.time(last_line, last)
    return FileSummary(path, tuple(symbols), starts_at, ends_at, rows, events if rows <= keep_rows else None)


class _RowParser:
    """Turns rows of text into events; remembers the last time and the numbers it has seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._time_text = ""
        self._at = datetime.min.replace(tzinfo=UTC)
        self._prices: dict[str, Decimal | None] = {"": None}
        self._sizes: dict[str, Decimal | None] = {"": None}

    def parse(self, line: int, row: Sequence[str]) -> MarketEvent:
        try:
            time, symbol, bid, bid_size, ask, ask_size, last, last_size = row
        except ValueError:
            raise self._error(line, f"{len(row)} fields instead of {len(COLUMNS)}") from None
        if time != self._time_text:
            self._move_to(line, time)
        if not symbol:
            raise self._error(line, "symbol is empty")
        if (bid == "") != (bid_size == "") or (ask == "") != (ask_size == "") or (last == "") != (last_size == ""):
            raise self._error(line, _unpaired(row))
        prices, sizes = self._prices, self._sizes
        try:
            return MarketEvent(
                at=self._at,
                symbol=symbol,
                bid=prices[bid],
                bid_size=sizes[bid_size],
                ask=prices[ask],
                ask_size=sizes[ask_size],
                last=prices[last],
                last_size=sizes[last_size],
            )
        except KeyError:
            self._learn(line, row)
            return self.parse(line, row)

    def time(self, line: int, text: str) -> datetime:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise self._error(line, f"time {text!r} is not ISO 8601 (2013-10-07T13:30:00Z)") from None
        if at.tzinfo is None:
            raise self._error(line, f"time {text!r} has no time zone (write 2013-10-07T13:30:00Z)")
        return at.astimezone(UTC)

    def _move_to(self, line: int, text: str) -> None:
        at = self.time(line, text)
        if at < self._at:
            raise self._error(line, f"time {text} is before the row above; rows have to be sorted by time")
        self._time_text, self._at = text, at

    def _learn(self, line: int, row: Sequence[str]) -> None:
        """Convert the numbers of a row that were not seen before."""
        for numbers, index in ((self._prices, 2), (self._sizes, 3)):
            if len(numbers) > _CACHED_NUMBERS:
                numbers.clear()
                numbers[""] = None
            for column in range(index, len(COLUMNS), 2):
                if row[column] not in numbers:
                    numbers[row[column]] = self._number(line, COLUMNS[column], row[column])

    def _number(self, line: int, column: str, text: str) -> Decimal:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise self._error(line, f"{column} {text!r} is not a number") from None
        if not number.is_finite():
            raise self._error(line, f"{column} {text!r} is not a number")
        if column.endswith("_size"):
            if number < 0:
                raise self._error(line, f"{column} {text} is negative")
        elif number <= 0:
            raise self._error(line, f"{column} {text} is not positive")
        return number

    def _error(self, line: int, problem: str) -> MarketDataFileError:
        return MarketDataFileError(self._path, line, problem)


def _unpaired(row: Sequence[str]) -> str:
    for index in range(2, len(COLUMNS), 2):
        if bool(row[index]) != bool(row[index + 1]):
            present, absent = (index, index + 1) if row[index] else (index + 1, index)
            return f"{COLUMNS[present]} comes without {COLUMNS[absent]}"
    raise AssertionError("every price of the row has its size")


def _numbered_rows(path: Path) -> Iterator[NumberedRow]:
    """The data rows of a file in the order of ``COLUMNS``, each with its line number (row, for Parquet)."""
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    return _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[NumberedRow]:
    line = 0
    with _naming_the_line(path, lambda: line), _open_text(path) as text:
        reader = csv.reader(text, strict=True)
        header = next(reader, None)
        if header is None:
            raise MarketDataFileError(path, None, "the file is empty")
        pick = _columns_of(path, header)
        width = len(header)
        for row in reader:
            line = reader.line_num
            if len(row) != width:
                raise MarketDataFileError(path, line, f"{len(row)} fields instead of {width}")
            yield line, (row if pick is None else pick(row))


def _columns_of(path: Path, header: Sequence[str]) -> Callable[[Sequence[str]], Sequence[str]] | None:
    """What puts a row of a file with this header into our order; None when it is."""
    if tuple(header) == COLUMNS:
        return None
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise MarketDataFileError(path, 1, f"no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}")
    return itemgetter(*(header.index(column) for column in COLUMNS))


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


@contextmanager
def _naming_the_line(path: Path, line: Callable[[], int]) -> Iterator[None]:
    """Turn what reading a file may raise into a sentence about it."""
    try:
        yield
    except FileNotFoundError:
        raise MarketDataFileError(path, None, "there is no such file") from None
    except EOFError:
        raise MarketDataFileError(path, line() + 1, "the compressed file ends in the middle; it is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise MarketDataFileError(path, line() + 1, f"the compressed data is damaged ({error})") from None
    except UnicodeDecodeError as error:
        raise MarketDataFileError(path, line() + 1, f"this is not UTF-8 text ({error.reason})") from None
    except csv.Error as error:
        raise MarketDataFileError(path, line() + 1, f"this is not CSV ({error})") from None
    except OSError as error:
        raise MarketDataFileError(path, None, f"cannot be read: {error.strerror or error}") from None


def _parquet_rows(path: Path) -> Iterator[NumberedRow]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
        arrow: Any = importlib.import_module("pyarrow")
    except ImportError:
        problem = "reading Parquet needs pyarrow: pip install 'ibkr-trading[parquet]', or convert the file to CSV"
        raise MarketDataFileError(path, None, problem) from None
    if not path.exists():
        raise MarketDataFileError(path, None, "there is no such file")
    try:
        with parquet.ParquetFile(path) as file:
            _columns_of(path, file.schema_arrow.names)
            yield from _batched_rows(file)
    except (arrow.ArrowException, OSError) as error:
        raise MarketDataFileError(path, None, f"this is not readable as Parquet ({error})") from None


def _batched_rows(file: Any) -> Iterator[NumberedRow]:
    number = 0
    for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=list(COLUMNS)):
        columns = [batch.column(name).to_pylist() for name in COLUMNS]
        for row in zip(*columns, strict=True):
            number += 1
            yield number, tuple(_cell_text(cell) for cell in row)


def _cell_text(cell: object) -> str:
    """A Parquet cell as the text that a CSV file would have for it."""
    if cell is None or cell != cell:  # NaN is how data frames spell "empty"
        return ""
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)
