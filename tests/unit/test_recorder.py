"""The recorder: one row a second and symbol, files that can always be read, and a disk that may fail."""

import errno
import gzip
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trader.clock import ManualClock
from trader.contracts import Quote
from trader.events import QuoteReceived, TimerElapsed, TradeReceived
from trader.recorder import Recorder
from trader.recorder import files as recorder_files
from trader.recorder.files import HEADER, RecordingFiles, number
from trader.recorder.recording import QUEUE_MAX_SECONDS

START = datetime(2013, 10, 7, 13, 0, tzinfo=UTC)
Open = Callable[..., Recorder]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def quote(seconds: float, symbol: str, bid: float, ask: float, moment: datetime | None = None) -> QuoteReceived:
    when = moment or at(seconds)
    return QuoteReceived(
        at=when, received_ns=0, quote=Quote(symbol=symbol, bid=bid, bid_size=300, ask=ask, ask_size=1200, at=when)
    )


def trade(seconds: float, symbol: str, price: float, size: float) -> TradeReceived:
    return TradeReceived(at=at(seconds), symbol=symbol, price=price, size=size, received_ns=0)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Open]:
    opened: list[Recorder] = []

    def start(max_file_bytes: int = 1_000_000, keep_days: int = 30) -> Recorder:
        opened.append(Recorder(tmp_path, ManualClock(START), max_file_bytes, keep_days))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def read(path: Path) -> list[str]:
    with gzip.open(path, "rt") as lines:
        assert lines.readline() == HEADER
        return [line.rstrip("\n") for line in lines]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_recording_names_what_it_holds_as_a_recorded_market_does(tmp_path: Path) -> None:
    recording = Recorder(tmp_path, ManualClock(START), 1_000_000, 30, {"ES": "ESH6"})
    recording.observe(quote(0.1, "ES", 6000.25, 6000.5))
    recording.observe(quote(0.2, "SPY", 167.56, 167.58))
    recording.close()
    assert [row.split(",")[1] for row in read(tmp_path / "market-2013-10-07.csv.gz")] == ["ESH6", "SPY"]


def test_a_second_becomes_one_row_a_symbol(tmp_path: Path, recorder: Open) -> None:
    recording = recorder()
    for fact in (
        quote(0.1, "SPY", 167.56, 167.58),
        quote(0.4, "BAC", 13.86, 13.87),
        quote(0.9, "SPY", 167.57, 167.58),
        trade(0.5, "SPY", 167.58, 100),
        trade(0.7, "SPY", 167.57, 250),
        trade(1.0, "IBM", 182.01, 50),
    ):
        recording.observe(fact)
    recording.close()
    assert read(tmp_path / "market-2013-10-07.csv.gz") == [
        "2013-10-07T13:00:00Z,BAC,13.86,300,13.87,1200,,",
        "2013-10-07T13:00:00Z,SPY,167.57,300,167.58,1200,167.57,350",
        "2013-10-07T13:00:01Z,IBM,,,,,182.01,50",
    ]


def test_a_second_is_written_as_soon_as_any_fact_says_that_it_has_passed(tmp_path: Path, recorder: Open) -> None:
    recording = recorder()
    recording.observe(quote(0.1, "SPY", 167.56, 167.58))
    recording.flush()
    assert names(tmp_path) == []
    recording.observe(TimerElapsed(at=at(1.0), monotonic_ns=0))
    recording.flush()
    assert len(read(tmp_path / "market-2013-10-07.csv.gz")) == 1


def test_a_file_can_be_read_while_it_is_written(tmp_path: Path, recorder: Open) -> None:
    recording = recorder()
    for second in range(4):
        recording.observe(quote(second, "SPY", 167.0 + second, 168.0 + second))
        recording.flush()
    assert len(read(tmp_path / "market-2013-10-07.csv.gz")) == 3


def test_a_crash_loses_a_few_seconds_at_most(tmp_path: Path) -> None:
    files = RecordingFiles(tmp_path, 1_000_000, 30)
    for second in range(31):
        files.write([(at(second), "SPY", quote(second, "SPY", 167.0, 168.0).quote, None)])
    assert 26 <= len(read(tmp_path / "market-2013-10-07.csv.gz")) <= 31
    files.abandon()


def test_a_crash_right_after_the_start_leaves_a_file_with_its_header(tmp_path: Path) -> None:
    files = RecordingFiles(tmp_path, 1_000_000, 30)
    files.write([(START, "SPY", None, (167.5, 100.0))])
    assert read(tmp_path / "market-2013-10-07.csv.gz") == []
    files.abandon()


def test_a_new_utc_day_begins_a_new_file(tmp_path: Path, recorder: Open) -> None:
    recording = recorder()
    recording.observe(quote(0, "SPY", 167.0, 168.0))
    recording.observe(quote(86_400, "SPY", 167.0, 168.0))
    recording.close()
    assert names(tmp_path) == ["market-2013-10-07.csv.gz", "market-2013-10-08.csv.gz"]


def test_a_full_file_is_followed_by_another_part(tmp_path: Path, recorder: Open) -> None:
    recording = recorder(max_file_bytes=100)
    for second in range(13):
        recording.observe(quote(second, "SPY", 167.0, 168.0))
        recording.flush()
    recording.close()
    parts = names(tmp_path)
    assert parts[:2] == ["market-2013-10-07-002.csv.gz", "market-2013-10-07-003.csv.gz"]
    assert sum(len(read(tmp_path / part)) for part in parts) == 13


def test_a_restart_begins_a_new_part_and_leaves_the_old_one(tmp_path: Path, recorder: Open) -> None:
    for second in range(2):
        recording = recorder()
        recording.observe(quote(second, "SPY", 167.0, 168.0))
        recording.close()
    assert names(tmp_path) == ["market-2013-10-07-002.csv.gz", "market-2013-10-07.csv.gz"]


def test_a_clock_that_goes_back_begins_a_new_part(tmp_path: Path, recorder: Open) -> None:
    recording = recorder()
    for second in (100, 101, 3, 4):
        recording.observe(quote(second, "SPY", 167.0, 168.0))
    recording.close()
    assert [len(read(tmp_path / name)) for name in names(tmp_path)] == [2, 2]


def test_a_fact_that_is_a_moment_late_counts_for_the_running_second(tmp_path: Path, recorder: Open) -> None:
    recording = recorder()
    recording.observe(quote(5.1, "SPY", 167.0, 168.0))
    recording.observe(quote(4.9, "BAC", 13.0, 13.1))
    recording.close()
    rows = read(tmp_path / "market-2013-10-07.csv.gz")
    assert [row.split(",")[:2] for row in rows] == [["2013-10-07T13:00:05Z", "BAC"], ["2013-10-07T13:00:05Z", "SPY"]]


def test_old_recordings_are_removed_and_nothing_else(tmp_path: Path, recorder: Open) -> None:
    kept = ["market-2013-10-06.csv.gz", "market-notes.csv.gz", "us-equities-2001-01-01.csv.gz"]
    for name in [*kept, "market-2013-10-05.csv.gz", "market-2013-10-05-002.csv.gz"]:
        (tmp_path / name).touch()
    recording = recorder(keep_days=2)
    recording.observe(quote(0, "SPY", 167.0, 168.0))
    recording.close()
    assert names(tmp_path) == sorted([*kept, "market-2013-10-07.csv.gz"])


def test_a_full_disk_stops_recording_once_and_keeps_the_file_readable(
    tmp_path: Path, recorder: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recording = recorder()
    recording.observe(quote(0, "SPY", 167.0, 168.0))
    recording.observe(quote(1, "SPY", 167.0, 168.0))
    recording.flush()
    real_write = os.write

    def half_a_write(descriptor: int, data: bytes) -> int:
        real_write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with caplog.at_level(logging.ERROR, logger="trader.recorder"):
        monkeypatch.setattr(recorder_files.os, "write", half_a_write)
        for second in range(2, 20):
            recording.observe(quote(second, "SPY", 167.0, 168.0))
            recording.flush()
        monkeypatch.undo()
        recording.close()
    assert recording.stopped_reason == "No space left on device"
    assert len([record for record in caplog.records if "recording of market data stopped" in record.message]) == 1
    assert len(read(tmp_path / "market-2013-10-07.csv.gz")) == 1


def test_a_folder_that_cannot_be_made_stops_recording_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recording = Recorder(tmp_path / "file" / "market", ManualClock(START), 1_000_000, 30)
    recording.observe(quote(0, "SPY", 167.0, 168.0))
    recording.close()
    assert recording.stopped_reason is not None


def test_a_writer_that_cannot_follow_costs_seconds_and_no_memory(
    tmp_path: Path, recorder: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = recorder()
    monkeypatch.setattr(recording, "_guard", lambda item: None)
    recording.close()
    for second in range(QUEUE_MAX_SECONDS + 11):
        recording.observe(quote(second, "SPY", 167.0, 168.0))
    assert recording.dropped_seconds == 10


@pytest.mark.parametrize(
    ("value", "text"),
    [(167.56, "167.56"), (12_500.0, "12500"), (1.08245, "1.08245"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_numbers_are_written_as_they_were_seen(value: float, text: str) -> None:
    assert number(value) == text
    assert float(text) == value
