"""The journal: what was appended is read back, one writer at a time, and one clear sentence when it cannot be."""

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trader.clock import ManualClock
from trader.contracts import OrderType, Side, TradingState
from trader.events import (
    AnyDurableFact,
    Approved,
    Intent,
    OrderIdsReserved,
    OrderIntended,
    OrderTerms,
    TradingStateChanged,
)
from trader.journal import (
    Journal,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReader,
    JournalTooNew,
    JournalUnavailable,
    MemoryJournal,
    NullJournal,
    syncer,
)
from trader.journal.syncer import CHECKPOINT_COMMITS

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def reserved(number: int, at: datetime = START) -> OrderIdsReserved:
    return OrderIdsReserved(at=at, next_order_id=number)


def halted(at: datetime = START) -> TradingStateChanged:
    return TradingStateChanged(
        at=at, old=TradingState.ACTIVE, new=TradingState.HALTED, source="operator", reason="a look at the book"
    )


def intended() -> OrderIntended:
    terms = OrderTerms(
        symbol="SPY",
        side=Side.BUY,
        quantity=Decimal(100),
        order_type=OrderType.LIMIT,
        limit_price=Decimal("167.550"),
    )
    intent = Intent(terms=terms, strategy="mean_reversion", reason="z", reference_price=167.54, decided_ns=12)
    return OrderIntended(at=START, order_ref="r-1", order_id=7, approved=Approved(intent=intent, reduces=False))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def open_on_file(path: Path) -> Journal:
    return Journal.open(f"sqlite:///{path}", "process", ManualClock(START))


IMPLEMENTATIONS: dict[str, Callable[[Path], Journal]] = {
    "file": open_on_file,
    "power": lambda path: Journal.open(f"sqlite:///{path}", "power", ManualClock(START)),
    "sqlite in memory": lambda path: Journal.open("sqlite://", "process", ManualClock(START)),
    "list": lambda path: MemoryJournal(),
}


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request: pytest.FixtureRequest) -> Callable[[Path], Journal]:
    return IMPLEMENTATIONS[request.param]


def test_it_reads_back_what_was_appended_in_order(make: Callable[[Path], Journal], path: Path) -> None:
    facts: list[AnyDurableFact] = [reserved(1), intended(), halted()]
    with make(path) as journal:
        journal.append(facts[:1])
        journal.append(facts[1:])
        assert list(journal.read()) == [(1, facts[0]), (2, facts[1]), (3, facts[2])]
        assert journal.last_sequence == 3


def test_it_filters_by_sequence_kind_and_time(make: Callable[[Path], Journal], path: Path) -> None:
    later = START + timedelta(seconds=1)
    with make(path) as journal:
        journal.append([reserved(1), halted(), reserved(2, later), reserved(3, later + timedelta(seconds=1))])
        assert [number for number, _ in journal.read(after=2)] == [3, 4]
        assert [number for number, _ in journal.read(kinds={"OrderIdsReserved"})] == [1, 3, 4]
        assert [number for number, _ in journal.read(since=later)] == [3, 4]
        assert [number for number, _ in journal.read(until=later)] == [1, 2]
        assert [number for number, _ in journal.read(1, {"OrderIdsReserved"}, later, later + timedelta(seconds=1))] == [
            3
        ]


def test_appending_nothing_changes_nothing(make: Callable[[Path], Journal], path: Path) -> None:
    with make(path) as journal:
        journal.append([])
        assert journal.last_sequence == 0
        assert list(journal.read()) == []


def test_decimals_keep_their_digits_and_times_their_zone(path: Path) -> None:
    with open_on_file(path) as journal:
        journal.append([intended()])
        (_, fact) = next(journal.read())
    assert isinstance(fact, OrderIntended)
    assert str(fact.approved.intent.terms.limit_price) == "167.550"
    assert fact.at.tzinfo is not None


def test_it_goes_on_where_it_stopped_after_a_restart(path: Path) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(1), reserved(2)])
    with open_on_file(path) as journal:
        assert journal.last_sequence == 2
        journal.append([reserved(3)])
        assert [number for number, _ in journal.read()] == [1, 2, 3]


def test_it_reads_more_than_one_page(path: Path) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(number) for number in range(2_500)])
        assert [number for number, _ in journal.read()] == list(range(1, 2_501))


def test_facts_survive_a_process_that_is_killed(path: Path, url: str) -> None:
    program = (
        "import os, sys\n"
        "from datetime import UTC, datetime\n"
        "from trader.events import OrderIdsReserved\n"
        "from trader.journal import Journal\n"
        f"journal = Journal.open({url!r})\n"
        "for number in range(50):\n"
        "    journal.append([OrderIdsReserved(at=datetime(2026, 3, 2, tzinfo=UTC), next_order_id=number)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], check=False)
    assert finished.returncode == -9
    with open_on_file(path) as journal:
        assert journal.last_sequence == 50


def test_a_reader_reads_while_the_service_writes(path: Path, url: str) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(1)])
        with JournalReader.open(url) as reader:
            assert reader.last_sequence == 1
            journal.append([reserved(2)])
            assert [number for number, _ in reader.read()] == [1, 2]


def test_a_reader_reads_when_no_service_runs(path: Path, url: str) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(1)])
    with JournalReader.open(url) as reader:
        assert reader.last_sequence == 1


def test_a_second_service_is_refused_and_told_who_has_it(path: Path) -> None:
    with open_on_file(path), pytest.raises(JournalLocked, match=f"in use by process {os.getpid()}"):
        open_on_file(path)


def test_the_lock_is_free_again_after_closing(path: Path) -> None:
    for _ in range(2):
        open_on_file(path).close()


def test_a_failed_open_leaves_no_lock(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, whatever its name says " * 40)
    for _ in range(2):
        with pytest.raises(JournalDamaged):
            open_on_file(path)


def test_it_refuses_a_file_that_is_not_a_database(path: Path) -> None:
    path.parent.mkdir()
    content = b"not a database at all, whatever its name says " * 40
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match=r"damaged \(file is not a database\)"):
        open_on_file(path)
    assert path.read_bytes() == content


def test_it_refuses_a_database_that_is_not_a_journal(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE recipes (name)")
    with pytest.raises(JournalDamaged, match="not a journal"):
        open_on_file(path)


def test_it_refuses_a_journal_with_a_broken_page(path: Path) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(number) for number in range(500)])
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 6] = b"\xa5" * 4096 * 2
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="restore it from a backup"):
        open_on_file(path)


def edit(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("body", ["{}", "not json", '{"type":"NeverHeardOf"}', '{"type":"OrderIdsReserved"}'])
def test_a_row_that_cannot_be_understood_is_named_by_its_sequence(path: Path, url: str, body: str) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(1), reserved(2), reserved(3)])
    edit(path, f"UPDATE facts SET body = '{body}' WHERE seq = 2")
    with JournalReader.open(url) as reader:
        facts = reader.read()
        next(facts)
        with pytest.raises(JournalDamaged, match="fact 2 of") as caught:
            next(facts)
    assert caught.value.sequence == 2


def test_a_newer_schema_is_refused_and_left_untouched(path: Path, url: str) -> None:
    open_on_file(path).close()
    edit(path, "UPDATE meta SET value = '2' WHERE key = 'schema_version'")
    before = path.read_bytes()
    with pytest.raises(JournalTooNew, match="version 2"):
        open_on_file(path)
    with pytest.raises(JournalTooNew):
        JournalReader.open(url)
    assert path.read_bytes() == before


def test_a_full_disk_is_said_and_nothing_is_half_written(path: Path) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(1)])
        edit_limit = journal._connection.exec_driver_sql  # type: ignore[attr-defined]
        pages = edit_limit("PRAGMA page_count").scalar_one()
        edit_limit(f"PRAGMA max_page_count={pages}")
        with pytest.raises(JournalFull, match="no room is left"):
            journal.append([reserved(number) for number in range(2_000)])
        assert journal.last_sequence == 1
        edit_limit("PRAGMA max_page_count=1000000")
        journal.append([reserved(2)])
        assert [number for number, _ in journal.read()] == [1, 2]


@pytest.fixture
def no_file_grows() -> Iterator[Callable[[], None]]:
    """From the call on, no file of this process may be written beyond its first bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_journal_on_a_disk_without_room_is_not_opened_and_stays_as_it_is(
    path: Path, tmp_path: Path, no_file_grows: Callable[[], None]
) -> None:
    crashed = tmp_path / "crashed.db"
    with open_on_file(path) as journal:
        journal.append([reserved(1)])
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{crashed}{end}")
    no_file_grows()
    with pytest.raises(JournalError, match=r"crashed\.db"):
        open_on_file(crashed)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(JournalUnavailable, match="cannot be made"):
        open_on_file(tmp_path / "state" / "deeper" / "journal.db")


def test_a_reader_says_when_there_is_no_journal(url: str) -> None:
    with pytest.raises(JournalUnavailable, match="there is no journal at"):
        JournalReader.open(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is not a journal's address"),
        ("mysql://localhost/trades", "cannot be kept in mysql"),
    ],
)
def test_an_address_that_makes_no_sense_is_said(url: str, words: str) -> None:
    with pytest.raises(JournalError, match=words):
        Journal.open(url)


def test_a_disk_that_failed_behind_the_writer_stops_the_next_append(path: Path) -> None:
    with open_on_file(path) as journal:
        journal._backend._syncer.failure = "Input/output error"  # type: ignore[attr-defined]
        with pytest.raises(JournalUnavailable, match="Input/output error"):
            journal.append([reserved(1)])
        assert list(journal.read()) == []


def test_what_was_appended_is_synced_to_the_disk_right_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()
    monkeypatch.setattr(syncer.os, "fdatasync", lambda descriptor: synced.set())
    with open_on_file(path) as journal:
        synced.clear()
        journal.append([reserved(1)])
        assert synced.wait(10)


def test_a_sync_that_fails_is_told_by_the_next_append(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with open_on_file(path) as journal:
        monkeypatch.setattr(syncer.os, "fdatasync", fail)
        journal.append([reserved(1)])
        journal._backend._syncer._thread.join(10)  # type: ignore[attr-defined]
        with pytest.raises(JournalUnavailable, match="disk under the journal"):
            journal.append([reserved(2)])


def test_the_log_is_copied_into_the_database_while_the_service_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = threading.Event()

    def checkpoint(database: Path) -> None:
        real(database)
        copied.set()

    real = syncer.checkpoint
    with open_on_file(path) as journal:
        monkeypatch.setattr(syncer, "checkpoint", checkpoint)
        small = path.stat().st_size
        for number in range(CHECKPOINT_COMMITS):
            journal.append([reserved(number)])
        assert copied.wait(10)
        assert path.stat().st_size > small * 2


def test_a_null_journal_counts_only() -> None:
    journal = NullJournal()
    journal.append([reserved(1), reserved(2)])
    assert (journal.last_sequence, list(journal.read())) == (2, [])


def test_only_its_owner_can_read_it(path: Path) -> None:
    with open_on_file(path) as journal:
        journal.append([reserved(1)])
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.glob(path.name + "*")}
    assert set(modes.values()) == {"0o600"}, modes
