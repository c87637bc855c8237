"""The journal: what was appended is read back, whatever keeps it, and one clear sentence when it cannot be."""

import subprocess
import sys
from datetime import timedelta

import pytest

from tests.tools.journals import START, Database, halted, intended, reserved
from trader.events import AnyDurableFact, OrderIntended
from trader.journal import (
    Journal,
    JournalDamaged,
    JournalError,
    JournalLocked,
    JournalTooNew,
    JournalUnavailable,
    MemoryJournal,
    NullJournal,
)

IMPLEMENTATIONS = ["sqlite", "sqlite, power", "postgresql", "postgresql, power", "sqlite in memory", "list"]


@pytest.fixture(params=IMPLEMENTATIONS)
def journal(request: pytest.FixtureRequest) -> Journal:
    """A new journal of each kind."""
    kind, _, power = request.param.partition(", ")
    if kind == "list":
        return MemoryJournal()
    if kind == "sqlite in memory":
        return Database("sqlite://").open()
    url = request.getfixturevalue("url" if kind == "sqlite" else "postgres_url")
    return Database(url).open("power" if power else "process")


def test_it_reads_back_what_was_appended_in_order(journal: Journal) -> None:
    facts: list[AnyDurableFact] = [reserved(1), intended(), halted()]
    with journal:
        journal.append(facts[:1])
        journal.append(facts[1:])
        assert list(journal.read()) == [(1, facts[0]), (2, facts[1]), (3, facts[2])]
        assert journal.last_sequence == 3


def test_it_filters_by_sequence_kind_and_time(journal: Journal) -> None:
    later = START + timedelta(seconds=1)
    with journal:
        journal.append([reserved(1), halted(), reserved(2, later), reserved(3, later + timedelta(seconds=1))])
        assert [number for number, _ in journal.read(after=2)] == [3, 4]
        assert [number for number, _ in journal.read(kinds={"OrderIdsReserved"})] == [1, 3, 4]
        assert [number for number, _ in journal.read(since=later)] == [3, 4]
        assert [number for number, _ in journal.read(until=later)] == [1, 2]
        assert [number for number, _ in journal.read(1, {"OrderIdsReserved"}, later, later + timedelta(seconds=1))] == [
            3
        ]


def test_appending_nothing_changes_nothing(journal: Journal) -> None:
    with journal:
        journal.append([])
        assert journal.last_sequence == 0
        assert list(journal.read()) == []


def test_decimals_keep_their_digits_and_times_their_zone(database: Database) -> None:
    with database.open() as journal:
        journal.append([intended()])
        (_, fact) = next(journal.read())
    assert isinstance(fact, OrderIntended)
    assert str(fact.approved.intent.terms.limit_price) == "167.550"
    assert fact.at.tzinfo is not None


def test_it_goes_on_where_it_stopped_after_a_restart(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1), reserved(2)])
    with database.open() as journal:
        assert journal.last_sequence == 2
        journal.append([reserved(3)])
        assert [number for number, _ in journal.read()] == [1, 2, 3]


def test_it_reads_more_than_one_page(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(number) for number in range(2_500)])
        assert [number for number, _ in journal.read()] == list(range(1, 2_501))


def test_facts_survive_a_process_that_is_killed(database: Database) -> None:
    program = (
        "import os, sys\n"
        "from datetime import UTC, datetime\n"
        "from trader.events import OrderIdsReserved\n"
        "from trader.journal import Journal\n"
        f"journal = Journal.open({database.url!r})\n"
        "for number in range(50):\n"
        "    journal.append([OrderIdsReserved(at=datetime(2026, 3, 2, tzinfo=UTC), next_order_id=number)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], check=False)
    assert finished.returncode == -9
    with database.open() as journal:
        assert journal.last_sequence == 50


def test_a_reader_reads_while_the_service_writes(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1)])
        with database.read() as reader:
            assert reader.last_sequence == 1
            journal.append([reserved(2)])
            assert [number for number, _ in reader.read()] == [1, 2]


def test_a_reader_reads_when_no_service_runs(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1)])
    with database.read() as reader:
        assert reader.last_sequence == 1


def test_the_lock_is_free_again_after_closing(database: Database) -> None:
    for _ in range(2):
        database.open().close()


@pytest.mark.parametrize("body", ["{}", "not json", '{"type":"NeverHeardOf"}', '{"type":"OrderIdsReserved"}'])
def test_a_row_that_cannot_be_understood_is_named_by_its_sequence(database: Database, body: str) -> None:
    with database.open() as journal:
        journal.append([reserved(1), reserved(2), reserved(3)])
    database.edit(f"UPDATE facts SET body = '{body}' WHERE seq = 2")
    with database.read() as reader:
        facts = reader.read()
        next(facts)
        with pytest.raises(JournalDamaged, match="fact 2 of") as caught:
            next(facts)
    assert caught.value.sequence == 2


def test_a_newer_schema_is_refused_and_left_untouched(database: Database) -> None:
    database.open().close()
    database.edit("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
    before = database.rows()
    with pytest.raises(JournalTooNew, match="version 2"):
        database.open()
    with pytest.raises(JournalTooNew):
        database.read()
    assert database.rows() == before


def test_a_second_service_is_refused(database: Database) -> None:
    with database.open(), pytest.raises(JournalLocked, match="in use by"):
        database.open()


def test_a_failed_open_leaves_no_lock(database: Database) -> None:
    database.open().close()
    database.edit("DELETE FROM meta WHERE key = 'schema_version'")
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="does not say its version"):
            database.open()


def test_it_refuses_a_database_that_is_not_a_journal(database: Database) -> None:
    database.open().close()
    for statement in ("DROP TABLE facts", "DROP TABLE meta", "CREATE TABLE recipes (name TEXT)"):
        database.edit(statement)
    with pytest.raises(JournalDamaged, match="not a journal"):
        database.open()
    with pytest.raises(JournalDamaged, match="not a journal"):
        database.read()


def test_a_journal_that_has_to_be_there_is_not_made(database: Database) -> None:
    with pytest.raises(JournalUnavailable, match="start the service once"):
        database.open(may_create=False)
    database.open().close()
    database.open(may_create=False).close()


def test_a_step_is_written_as_a_whole_or_not_at_all(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1)])
        database.edit("INSERT INTO facts VALUES (4, 'x', 'OrderIdsReserved', 'in the way')")
        with pytest.raises(JournalError):
            journal.append([reserved(2), reserved(3), reserved(4)])
        database.edit("DELETE FROM facts WHERE seq = 4")
        journal.append([reserved(5)])
        assert list(journal.read()) == [(1, reserved(1)), (2, reserved(5))]


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


def test_a_null_journal_counts_only() -> None:
    journal = NullJournal()
    journal.append([reserved(1), reserved(2)])
    assert (journal.last_sequence, list(journal.read())) == (2, [])
