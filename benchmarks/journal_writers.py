"""Who writes intents down: the service's own journal, and what others do in its place.

Rules: each writes the same facts, one a commit, to a new database of its own. The others encode a fact as the service
does, so that what differs is how it is kept. All are context managers that end what they began.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import BigInteger, Engine, String, Text, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.journal_facts import FIRST_OPEN
from trader.clock import ManualClock
from trader.events import DurableFact
from trader.journal import Journal, PatientJournal
from trader.journal.api import Durability
from trader.journal.codec import timestamp

Write: TypeAlias = Callable[[DurableFact], object]
Writer: TypeAlias = Callable[[], AbstractContextManager[Write]]

CREATE: Final = "CREATE TABLE facts (seq BIGINT PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL)"
INSERT: Final = "INSERT INTO facts (seq, at, kind, body) VALUES ({0}, {0}, {0}, {0})"

_encode = msgspec.json.Encoder().encode


class _Base(DeclarativeBase):
    """The mapping of the peer with an object-relational mapper."""


class _Row(_Base):
    __tablename__ = "facts_of_orm"
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)


@contextmanager
def service_journal(url: str, durability: Durability) -> Iterator[Write]:
    """The journal as the service opens it and the loop writes to it."""

    def opened(may_create: bool) -> Journal:
        return Journal.open(url, durability, ManualClock(FIRST_OPEN), may_create)

    with PatientJournal(opened(True), lambda: opened(False)) as journal:
        yield lambda fact: journal.append((fact,))


@contextmanager
def plain_sqlite(path: Path, synchronous: str) -> Iterator[Write]:
    """``sqlite3`` in line: an INSERT and a COMMIT, a write-ahead log, SQLite's own checkpoints."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute(CREATE)
        yield _in_line(connection, "?")
    finally:
        connection.close()


@contextmanager
def plain_postgres(url: str) -> Iterator[Write]:
    """``psycopg`` in line: an INSERT and a COMMIT."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("DROP TABLE IF EXISTS facts")
        connection.execute(CREATE)
        connection.commit()
        yield _in_line(connection, "%s")


def _in_line(connection: Any, place: str) -> Write:
    statement, sequence = INSERT.format(place), 0

    def write(fact: DurableFact) -> None:
        nonlocal sequence
        sequence += 1
        row = (sequence, timestamp(fact.at), type(fact).__name__, _encode(fact).decode())
        connection.execute(statement, row)
        connection.commit()

    return write


@contextmanager
def orm(url: str) -> Iterator[Write]:
    """SQLAlchemy's object-relational mapper: a mapped object and a COMMIT, on a session that stays."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _write_ahead)
    sequence = 0
    try:
        _renew(engine)
        with Session(engine) as session:

            def write(fact: DurableFact) -> None:
                nonlocal sequence
                sequence += 1
                body = _encode(fact).decode()
                session.add(_Row(seq=sequence, at=timestamp(fact.at), kind=type(fact).__name__, body=body))
                session.commit()

            yield write
    finally:
        engine.dispose()


def _renew(engine: Engine) -> None:
    _Base.metadata.drop_all(engine)
    _Base.metadata.create_all(engine)


def _write_ahead(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
