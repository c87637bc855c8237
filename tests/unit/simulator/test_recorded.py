"""Markets out of files, and everything that can be wrong with one."""

import builtins
import csv
import gzip
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trader.simulator import recorded
from trader.simulator.recorded import COLUMNS, MarketDataFileError, RecordedMarket, read_rows

HEADER = ",".join(COLUMNS)
GOOD = (
    "2013-10-07T13:30:00Z,SPY,167.50,300,167.52,200,,",
    "2013-10-07T13:30:00Z,IBM,181.10,100,181.20,100,181.15,50",
    "2013-10-07T13:30:02Z,SPY,,,,,167.51,400",
)


@pytest.fixture
def write(tmp_path):
    """Write lines (under the header) to a CSV or CSV.gz file."""

    def write_file(*lines, name="day.csv", header=HEADER):
        path = tmp_path / name
        text = "\n".join((header, *lines)) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write_file


def problem_of(path):
    with pytest.raises(MarketDataFileError) as caught:
        list(RecordedMarket([path]).events())
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz"])
def test_rows_become_events(write, name):
    market = RecordedMarket([write(*GOOD, name=name)])
    assert market.contracts == ("SPY", "IBM")
    assert market.start == datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
    assert (market.end - market.start).total_seconds() == 2
    assert market.rows == 3
    first, _, third = market.events()
    assert (first.bid, first.bid_size, first.ask, first.last) == (Decimal("167.50"), 300, Decimal("167.52"), None)
    assert (third.bid, third.last, third.last_size) == (None, Decimal("167.51"), 400)
    assert third.at == datetime(2013, 10, 7, 13, 30, 2, tzinfo=UTC)


def test_a_market_can_be_read_again(write):
    market = RecordedMarket([write(*GOOD)])
    assert list(market.events()) == list(market.events())


@pytest.mark.parametrize(
    ("keep_rows", "kept"), [(0, []), (2, []), (3, ["a.csv"]), (5, ["a.csv"]), (6, ["a.csv", "b.csv"])]
)
def test_files_are_kept_as_long_as_there_is_room_and_make_the_same_market(write, keep_rows, kept):
    paths = [write(*GOOD, name="a.csv"), write(*GOOD, name="b.csv")]
    market = RecordedMarket(paths, keep_rows)
    assert [item.path.name for item in market.files if item.events is not None] == kept
    read = RecordedMarket(paths)
    assert (market.contracts, market.start, market.end, market.rows) == (
        read.contracts,
        read.start,
        read.end,
        read.rows,
    )
    assert list(market.events()) == list(market.events()) == list(read.events())


def test_a_file_that_is_kept_is_read_once_and_checked_at_once(write):
    path = write(*GOOD)
    market = RecordedMarket([path], keep_rows=3)
    path.unlink()
    assert len(list(market.events())) == 3
    with pytest.raises(MarketDataFileError, match="line 3"):
        RecordedMarket([write(GOOD[0], "2013-10-07T13:30:03Z,SPY,-1,1,2,1,,")], keep_rows=3)


def test_columns_may_come_in_any_order_and_others_are_ignored(write):
    path = write(
        "x,SPY,2013-10-07T13:30:00Z,1,2,3,4,5,6", header="note,symbol,time,last_size,last,ask,ask_size,bid,bid_size"
    )
    [event] = read_rows(path)
    assert (event.symbol, event.last, event.last_size, event.bid, event.ask_size) == ("SPY", 2, 1, 5, 4)


def test_times_of_any_zone_are_converted(write):
    [event] = read_rows(write("2013-10-07T09:30:00.250-04:00,SPY,1,1,2,1,,"))
    assert event.at == datetime(2013, 10, 7, 13, 30, 0, 250_000, tzinfo=UTC)


def test_files_that_follow_one_another_are_played_in_time_order(write):
    later = write("2013-10-08T13:30:00Z,AIG,1,1,2,1,,", name="a.csv")
    earlier = write(*GOOD, name="b.csv")
    market = RecordedMarket([later, earlier])
    assert [event.symbol for event in market.events()] == ["SPY", "IBM", "SPY", "AIG"]
    assert market.start == datetime(2013, 10, 7, 13, 30, tzinfo=UTC)


def test_files_that_overlap_are_merged_by_time(write):
    one = write("2013-10-07T13:30:00Z,SPY,1,1,2,1,,", "2013-10-07T13:30:05Z,SPY,1,1,2,1,,", name="spy.csv")
    other = write("2013-10-07T13:30:01Z,IBM,1,1,2,1,,", name="ibm.csv")
    assert [event.symbol for event in RecordedMarket([one, other]).events()] == ["SPY", "IBM", "SPY"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2013-10-07T13:30:03Z,SPY,abc,1,2,1,,", "bid 'abc' is not a number"),
        ("2013-10-07T13:30:03Z,SPY,1,1,2,x,,", "ask_size 'x' is not a number"),
        ("2013-10-07T13:30:03Z,SPY,NaN,1,2,1,,", "bid 'NaN' is not a number"),
        ("2013-10-07T13:30:03Z,SPY,1,1,Infinity,1,,", "ask 'Infinity' is not a number"),
        ("2013-10-07T13:30:03Z,SPY,-1,1,2,1,,", "bid -1 is not positive"),
        ("2013-10-07T13:30:03Z,SPY,,,,,0,1", "last 0 is not positive"),
        ("2013-10-07T13:30:03Z,SPY,1,-5,2,1,,", "bid_size -5 is negative"),
        ("2013-10-07T13:30:03Z,SPY,1,,2,1,,", "bid comes without bid_size"),
        ("2013-10-07T13:30:03Z,SPY,,,,,,7", "last_size comes without last"),
        ("2013-10-07T13:30:03Z,,1,1,2,1,,", "symbol is empty"),
        ("2013-10-07T13:30:01Z,SPY,1,1,2,1,,", "sorted by time"),
        ("yesterday,SPY,1,1,2,1,,", "time 'yesterday' is not ISO 8601"),
        ("2013-10-07T13:30:03,SPY,1,1,2,1,,", "has no time zone"),
        ("2013-10-07T13:30:03Z,SPY,1,1", "4 fields instead of 8"),
        ("2013-10-07T13:30:03Z,SPY,1,1,2,1,,,,", "10 fields instead of 8"),
        ("", "0 fields instead of 8"),
        ('"2013-10-07T13:30:03Z,SPY', "this is not CSV"),
    ],
)
@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz"])
def test_a_bad_row_is_named_with_its_line(write, line, words, name):
    error = problem_of(write(*GOOD, line, name=name))
    assert error.line == 5
    assert words in str(error)
    assert ", line 5: " in str(error)


def test_a_missing_column_is_named(write):
    error = problem_of(write("2013-10-07T13:30:03Z,SPY,1,2", header="time,symbol,bid,ask"))
    assert "no column bid_size, ask_size, last, last_size" in str(error)


def test_a_file_without_rows_is_refused(write, tmp_path):
    assert "no rows" in str(problem_of(write()))
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert "the file is empty" in str(problem_of(empty))


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "no such file" in str(problem_of(tmp_path / "nowhere.csv"))
    assert "no such file" in str(problem_of(tmp_path / "nowhere.parquet"))


def test_a_folder_is_not_a_file(tmp_path):
    assert "cannot be read" in str(problem_of(tmp_path))


def test_a_truncated_gzip_file_is_named_as_such(write):
    lines = [f"2013-10-07T13:30:{second:02d}Z,SPY,{second + 1},1,99,1,," for second in range(60)]
    path = write(*lines, name="day.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    assert "truncated" in str(problem_of(path))


def test_damaged_compressed_data_is_named_as_such(write, tmp_path):
    path = write(*GOOD, name="day.csv.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in str(problem_of(path))
    plain = tmp_path / "plain.csv.gz"
    plain.write_text(HEADER)
    assert "damaged" in str(problem_of(plain))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "day.csv"
    path.write_bytes(HEADER.encode() + b"\n\xff\xfe\n")
    assert "not UTF-8" in str(problem_of(path))


def test_everything_can_be_checked_before_a_run(write):
    market = RecordedMarket([write(*GOOD), write(*GOOD, "2013-10-07T13:30:03Z,SPY,-1,1,2,1,,", name="bad.csv")])
    with pytest.raises(MarketDataFileError, match=r"bad\.csv, line 5"):
        market.validate()


def test_a_market_needs_a_file():
    with pytest.raises(ValueError, match="at least one file"):
        RecordedMarket([])


def parquet_of(path, **replaced):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    at = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
    columns = {
        "time": [at, at],
        "symbol": ["SPY", "IBM"],
        "bid": [167.5, None],
        "bid_size": [300, None],
        "ask": [167.52, None],
        "ask_size": [200, None],
        "last": [None, 181.15],
        "last_size": [None, 50],
    }
    parquet.write_table(arrow.table({**columns, **replaced}), path)
    return path


def test_parquet_is_read_like_csv(tmp_path):
    market = RecordedMarket([parquet_of(tmp_path / "day.parquet")])
    first, second = market.events()
    assert market.contracts == ("SPY", "IBM")
    assert (first.bid, first.bid_size, first.last) == (Decimal("167.5"), 300, None)
    assert (second.bid, second.last, second.at) == (None, Decimal("181.15"), market.start)


def test_parquet_empty_cells_may_be_nan(tmp_path):
    path = parquet_of(tmp_path / "day.parquet", bid=[167.5, float("nan")], bid_size=[300.0, float("nan")])
    assert [event.bid for event in read_rows(path)] == [Decimal("167.5"), None]


def test_a_bad_parquet_row_is_named(tmp_path):
    error = problem_of(parquet_of(tmp_path / "day.parquet", bid=[167.5, -1.0], bid_size=[1, 1]))
    assert (error.line, error.problem) == (2, "bid -1.0 is not positive")


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "day.parquet"
    path.write_text("no")
    assert "not readable as Parquet" in str(problem_of(path))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "day.parquet"
    path.touch()

    def nothing(name):
        raise ImportError(name)

    monkeypatch.setattr(recorded.importlib, "import_module", nothing)
    assert "pip install 'ibkr-trading[parquet]'" in str(problem_of(path))


def test_what_a_csv_writer_writes_is_read_back(tmp_path):
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerow(["2013-10-07T13:30:00+00:00", "EUR.USD", "1.35005", "1000000", "1.35010", "500000", "", ""])
    path = tmp_path / "day.csv"
    path.write_text(text.getvalue(), newline="")
    [event] = read_rows(str(path))
    assert (event.symbol, event.bid) == ("EUR.USD", Decimal("1.35005"))


def test_a_file_that_may_not_be_read_is_named(write, monkeypatch):
    path = write(*GOOD)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(io, "open", refuse)
    assert "cannot be read: Permission denied" in str(problem_of(path))
