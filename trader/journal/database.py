"""A journal in a database, through SQLAlchemy Core on one held connection.

Rules: one INSERT and one COMMIT an ``append``, by the driver alone, because an order waits for them; sequence numbers
are counted here, which the one-writer lock allows and the primary key guards; a schema that is newer than this
version's is refused and left untouched. Reading goes in pages with no transaction in between, so a reader never holds
the log's checkpoint up.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    Select,
    String,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError

from trader.clock import Clock, SystemClock
from trader.events import DurableFact
from trader.journal.api import Durability, Journal, JournalReader, NumberedFact
from trader.journal.backend import Backend, Require
from trader.journal.backends import backend_for
from trader.journal.codec import from_row, timestamp, to_row
from trader.journal.errors import JournalDamaged, JournalError, JournalTooNew, JournalUnavailable, NotAJournal

SCHEMA_VERSION = 1
PAGE_ROWS = 1_000

_metadata = MetaData()
META = Table("meta", _metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))
FACTS = Table(
    "facts",
    _metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("body", Text, nullable=False),
)


class DatabaseReader(JournalReader):
    """Reads a journal that another process may be writing."""

    def __init__(self, backend: Backend, connection: Connection) -> None:
        self._backend = backend
        self._connection = connection

    @property
    def last_sequence(self) -> int:
        return self._query_last_sequence()

    def _query_last_sequence(self) -> int:
        try:
            newest = self._connection.execute(select(func.max(FACTS.c.seq))).scalar_one()
            self._connection.rollback()
        except DBAPIError as error:
            raise self._backend.explain(error) from error
        return int(newest or 0)

    def read(
        self,
        after: int = 0,
        kinds: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[NumberedFact]:
        query = _query(kinds, since, until)
        whole = (kinds, since, until) == (None, None, None)
        while rows := self._page(query.where(FACTS.c.seq > after)):
            for sequence, body in rows:
                if whole and sequence != after + 1:
                    raise self._missing(after + 1)
                yield sequence, from_row(sequence, body, self._backend.where)
                after = sequence

    def _missing(self, sequence: int) -> JournalDamaged:
        return JournalDamaged(
            f"fact {sequence} of {self._backend.where} is missing; type: trader journal verify", sequence
        )

    def _page(self, query: Select[tuple[int, str]]) -> Sequence[Any]:
        """Rows of a number and a body each."""
        try:
            rows = self._connection.execute(query).all()
            self._connection.rollback()
        except DBAPIError as error:
            raise self._backend.explain(error) from error
        return rows

    def close(self) -> None:
        if not self._connection.closed:
            self._backend.close()
            self._connection.close()


class DatabaseJournal(DatabaseReader, Journal):
    """The one writer."""

    def __init__(self, backend: Backend, connection: Connection) -> None:
        super().__init__(backend, connection)
        dialect = connection.dialect
        self._insert, self._by_position = str(insert(FACTS).compile(dialect=dialect)), dialect.positional
        self._driver: Any = connection.connection.driver_connection
        self._error = dialect.loaded_dbapi.Error
        self._lost = False
        self._last_sequence = self._query_last_sequence()

    @property
    def last_sequence(self) -> int:
        return self._last_sequence

    def append(self, facts: Sequence[DurableFact]) -> None:
        if not facts:
            self._backend.require_disk()
            return
        first = self._last_sequence + 1
        rows: list[Any] = [to_row(sequence, fact) for sequence, fact in enumerate(facts, start=first)]
        if self._by_position:
            rows = [tuple(row.values()) for row in rows]
        self._backend.require_disk()
        try:
            with self._backend.bounded():
                self._write(rows)
        except self._error as error:
            raise self._backend.explain(DBAPIError(None, None, error)) from error
        self._last_sequence += len(rows)
        self._backend.wrote()

    def _write(self, rows: list[Any]) -> None:
        """A connection that is lost stays so: the driver does not make another one, which would be without the lock."""
        try:
            with closing(self._driver.cursor()) as cursor:
                if len(rows) == 1:  # psycopg asks the server twice for what may be many
                    cursor.execute(self._insert, rows[0])
                else:
                    cursor.executemany(self._insert, rows)
            self._driver.commit()
        except self._error:
            try:
                self._driver.rollback()
            except self._error:
                self._lost = True
            raise

    def close(self) -> None:
        if self._lost and not self._connection.closed:
            self._connection.invalidate()  # else SQLAlchemy would roll back what is not there, and log that it cannot
        super().close()

    def require_in_place(self) -> None:
        self._backend.require_in_place()


def open_journal(
    url: str, durability: Durability = "process", clock: Clock | None = None, may_create: bool = True
) -> DatabaseJournal:
    """Open or create the journal at ``url`` for writing; raises JournalError and leaves no lock behind."""
    backend = backend_for(url)
    try:
        connection = backend.connect(write=True, may_create=may_create, require=_requirement(backend, may_create))
        try:
            with backend.bounded():
                backend.prepare(connection, durability)
                _create(connection, clock or SystemClock())
                return DatabaseJournal(backend, connection)
        except DBAPIError as error:
            connection.close()
            raise backend.explain(error) from error
        except JournalError:
            connection.close()
            raise
    except JournalError:
        backend.close()
        raise


def _requirement(backend: Backend, may_be_new: bool) -> Require:
    def require(connection: Connection) -> None:
        try:
            with backend.bounded():
                require_schema(connection, backend, may_be_new)
        except DBAPIError as error:
            raise backend.explain(error) from error

    return require


def open_reader(url: str) -> DatabaseReader:
    """Open an existing journal for reading; raises JournalError."""
    backend = backend_for(url)
    return DatabaseReader(backend, require_journal(backend, backend.connect(write=False)))


def require_journal(backend: Backend, connection: Connection) -> Connection:
    """``connection``, when it leads to a journal of a known version; else it is closed and JournalError raised."""
    try:
        require_schema(connection, backend, may_be_new=False)
    except DBAPIError as error:
        connection.close()
        raise backend.explain(error) from error
    except JournalError:
        connection.close()
        raise
    return connection


def require_schema(connection: Connection, backend: Backend, may_be_new: bool) -> None:
    """Raise unless the database holds a journal of this version, or nothing at all."""
    try:
        tables = set(inspect(connection).get_table_names())
    except UnicodeDecodeError as error:  # raised by sqlite3 in place of its own, which quotes what it cannot read
        raise JournalDamaged(f"the tables of {backend.where} cannot be read; type: trader journal verify") from error
    connection.rollback()
    if not tables and may_be_new:
        return
    if not tables:
        raise JournalUnavailable(f"the journal {backend.where} is empty; start the service once")
    if not {"meta", "facts"} <= tables:
        raise NotAJournal(f"{backend.where} is a database but not a journal; correct journal.url")
    found = connection.execute(select(META.c.value).where(META.c.key == "schema_version")).scalar_one_or_none()
    connection.rollback()
    if found is None or not found.isdigit():
        raise JournalDamaged(f"the journal {backend.where} does not say its version; type: trader journal verify")
    if int(found) > SCHEMA_VERSION:
        raise JournalTooNew(
            f"the journal {backend.where} has version {found} and this program understands {SCHEMA_VERSION}; "
            "it was left untouched, install the later release that wrote it"
        )


def _create(connection: Connection, clock: Clock) -> None:
    if inspect(connection).has_table("meta"):
        connection.rollback()
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")  # else each table is a transaction of its own
    _metadata.create_all(connection)
    rows = [
        {"key": "schema_version", "value": str(SCHEMA_VERSION)},
        {"key": "created_at", "value": timestamp(clock.now())},
    ]
    connection.execute(insert(META), rows)
    connection.commit()


def _query(kinds: Collection[str] | None, since: datetime | None, until: datetime | None) -> Select[tuple[int, str]]:
    query = select(FACTS.c.seq, FACTS.c.body).order_by(FACTS.c.seq).limit(PAGE_ROWS)
    if kinds is not None:
        query = query.where(FACTS.c.kind.in_(sorted(kinds)))
    if since is not None:
        query = query.where(FACTS.c.at >= timestamp(since))
    if until is not None:
        query = query.where(FACTS.c.at < timestamp(until))
    return query
