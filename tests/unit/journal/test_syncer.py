"""The write-ahead log behind a writer: copied while it writes, and never longer than it may be."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from trader.journal.syncer import checkpoint


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """A database whose log nobody copies, with a writer that is still there."""
    path = tmp_path / "journal.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("PRAGMA wal_autocheckpoint=0")
    writer.execute("CREATE TABLE facts (body TEXT)")
    for _ in range(20):
        writer.execute("INSERT INTO facts VALUES (?)", ("x" * 5_000,))
    yield path
    writer.close()


def log_bytes(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def test_a_log_that_is_too_long_is_emptied(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trader.journal.syncer.LOG_FRAMES_MAX", 10)
    assert log_bytes(written) > 100_000
    checkpoint(written)
    assert log_bytes(written) == 0
    with sqlite3.connect(written) as reader:
        assert reader.execute("SELECT count(*) FROM facts").fetchone() == (20,)


def test_a_log_of_ordinary_length_is_only_copied(written: Path) -> None:
    checkpoint(written)
    assert log_bytes(written) > 100_000


def test_a_reader_in_the_way_of_emptying_a_log_is_no_failure(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trader.journal.syncer.LOG_FRAMES_MAX", 10)
    monkeypatch.setattr("trader.journal.syncer.EMPTYING_TIMEOUT_S", 0.01)
    reader = sqlite3.connect(written, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM facts").fetchone()
    checkpoint(written)
    reader.close()
    checkpoint(written)
    assert log_bytes(written) == 0
