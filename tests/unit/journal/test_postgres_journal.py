"""A journal on a real PostgreSQL server that is killed, hangs, forgets the lock or refuses: nothing lost or doubled."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import make_url

from tests.tools.journals import Database, reserved, until
from tests.tools.postgres import PostgresServer
from trader.clock import NANOSECONDS_PER_SECOND, SystemClock
from trader.journal import (
    JournalLocked,
    JournalReadOnly,
    JournalReplaced,
    JournalUnavailable,
    PatientJournal,
    patient,
    postgres,
)

LOST = [reserved(2), reserved(3)]
APPENDS = 300


@pytest.fixture
def database(postgres_url: str) -> Database:
    return Database(postgres_url)


@pytest.fixture
def journal(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[PatientJournal]:
    """A journal with one fact, which is looked for without pauses once it is lost."""
    for name in ("RETRY_FIRST_S", "RETRY_MAX_S"):
        monkeypatch.setattr(patient, name, 0.01)
    monkeypatch.setattr(postgres, "LOOK_S", 0.02)
    monkeypatch.setattr(postgres, "LIMIT_S", 0.2)
    monkeypatch.setattr(postgres, "CONNECT_TIMEOUT_S", 2)
    with PatientJournal(database.open(), lambda: database.open(may_create=False)) as journal:
        journal.append([reserved(1)])
        yield journal


def numbers(database: Database) -> list[int]:
    with database.read() as reader:
        assert [sequence for sequence, _ in reader.read()] == list(range(1, reader.last_sequence + 1))
        return [fact.next_order_id for _, fact in reader.read()]  # type: ignore[union-attr]


def end_connections(database: Database) -> None:
    """What the server's administrator does, and what ends the lock."""
    database.edit("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ibkr-trading'")


def test_a_lock_that_was_lost_with_its_connection_is_taken_again(database: Database, journal: PatientJournal) -> None:
    end_connections(database)
    journal.append(LOST)
    assert "cannot be used" in journal.problem
    until(journal, lambda: not journal.problem)
    journal.append([reserved(4)])
    assert numbers(database) == [1, 2, 3, 4]
    with pytest.raises(JournalLocked):
        database.open()


def test_a_server_that_is_killed_and_comes_back_misses_nothing(
    postgres_server: PostgresServer, database: Database, journal: PatientJournal
) -> None:
    postgres_server.stop()
    try:
        journal.append(LOST)
        journal.append([reserved(4)])
        assert journal.waiting == 3
        with pytest.raises(JournalUnavailable, match="check the server and the URL"):
            database.open()
    finally:
        postgres_server.start()
    until(journal, lambda: not journal.problem)
    assert numbers(database) == [1, 2, 3, 4]


def test_a_server_that_says_nothing_is_not_waited_for(
    postgres_server: PostgresServer, database: Database, journal: PatientJournal
) -> None:
    postgres_server.pause()
    try:
        journal.append(LOST)
        assert journal.waiting == 2
    finally:
        postgres_server.resume()
    until(journal, lambda: not journal.problem)
    journal.append([reserved(4)])
    assert numbers(database) == [1, 2, 3, 4]


def test_another_service_that_has_it_meanwhile_is_said_and_what_it_wrote_is_not_mixed(
    database: Database, journal: PatientJournal
) -> None:
    end_connections(database)
    with database.open() as other:
        journal.append(LOST)
        until(journal, lambda: "in use by another service" in journal.problem)
        other.append([reserved(9)])
    with pytest.raises(JournalReplaced):
        until(journal, lambda: False)
    assert numbers(database) == [1, 9]


def test_a_connection_that_was_lost_never_writes_without_the_lock(database: Database) -> None:
    with database.open() as journal:
        end_connections(database)
        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                journal.append([reserved(1)])
    assert numbers(database) == []


def test_a_server_without_the_database_is_one_sentence_without_the_password(database: Database) -> None:
    url = make_url(database.url).set(password="hunter2", database="nosuch")
    with pytest.raises(JournalUnavailable, match='database "nosuch" does not exist') as refused:
        Database(url.render_as_string(hide_password=False)).open()
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_address_without_a_driver_means_psycopg(database: Database) -> None:
    database.open().close()
    Database(database.url.replace("+psycopg", "")).open().close()


def test_a_user_who_may_not_write_is_told(postgres_server: PostgresServer, database: Database) -> None:
    database.open().close()
    name = str(make_url(database.url).database)
    postgres_server.psql(
        name, f"CREATE ROLE reader_{name} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{name};"
    )
    reader = Database(database.url.replace("//postgres:", f"//reader_{name}:"))
    with reader.open() as journal, pytest.raises(JournalReadOnly, match="may not be written"):
        journal.append([reserved(1)])
    assert numbers(reader) == []


def test_what_an_append_takes_is_measured(database: Database, measured: Callable[[str, float, str], None]) -> None:
    clock = SystemClock()
    with database.open() as journal:
        taken = []
        for number in range(APPENDS):
            started_ns = clock.monotonic_ns()
            journal.append([reserved(number)])
            taken.append(clock.monotonic_ns() - started_ns)
    median_ns = sorted(taken)[APPENDS // 2]
    measured("an append to PostgreSQL, median", median_ns / NANOSECONDS_PER_SECOND * 1_000_000, "µs")
    assert len(numbers(database)) == APPENDS
