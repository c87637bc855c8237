"""Whether a journal is whole: its file, its log, the sequence, every row, and what the facts say together.

Rules: reads only, and never raises for what is wrong with a journal: that is a problem in the verdict, in words. ``ok``
is said only where every row is what was written. What may be a step that a crash interrupted is no ``ok`` either, but
named as such: SQLite drops it at the next start, and the broker is asked for what followed.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, TextClause, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trader.events import AnyDurableFact
from trader.journal.backend import Backend
from trader.journal.backends import backend_for
from trader.journal.codec import from_row, is_sealed, timestamp
from trader.journal.database import require_journal
from trader.journal.errors import JournalDamaged, JournalError, JournalLocked
from trader.journal.lock import FileLock
from trader.journal.sqlite import SqliteBackend
from trader.journal.wal import LogState, examine

PROBLEMS_MAX: Final = 20
Fold = Callable[[AnyDurableFact], None]

# In the order of writing, and past a damaged index: facts are only ever added at the end.
ROWS: Final = "SELECT seq, at, kind, body FROM facts"
ROWS_OF_SQLITE: Final = f"{ROWS} NOT INDEXED ORDER BY rowid"
ROWS_OF_POSTGRES: Final = f"{ROWS} ORDER BY seq"


class Verdict(msgspec.Struct, kw_only=True):
    """``facts`` are whole, numbered from 1 without a gap, and agree with each other; ``unsealed`` have no checksum.

    ``problems`` are sentences, at most PROBLEMS_MAX; ``tail`` says what may be a step that a crash interrupted.
    """

    journal: str
    facts: int = 0
    unsealed: int = 0
    last_at: datetime | None = None
    in_use: bool = False
    tail: str = ""
    problems: list[str] = []

    @property
    def ok(self) -> bool:
        return not self.problems and not self.tail

    def add(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)


def verify(url: str, fold: Fold, is_locked: bool = False) -> Verdict:
    """Look at everything in the journal at ``url``; ``fold`` raises for a fact that contradicts those before it.

    ``is_locked``: the caller holds the journal's lock, so that no service has it. Raises JournalAddressError when
    ``url`` is no journal's address.
    """
    backend = backend_for(url)
    verdict = Verdict(journal=backend.where)
    path = file_of(url)
    if path is not None and path.is_file():
        verdict.in_use = not is_locked and _in_use(path)
        _look_at_log(path, verdict)
    if verdict.problems:
        return verdict
    try:
        with closing(require_journal(backend, connection_to(backend))) as connection:
            if path is not None:
                _look_at_pages(connection, verdict)
            with closing(whole_facts(connection, backend, verdict)) as facts:
                for fact in facts:
                    _follow(fact, fold, verdict)
    except JournalError as error:
        verdict.add(str(error))
    return verdict


def file_of(url: str) -> Path | None:
    """The file of a journal in SQLite, else None."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def connection_to(backend: Backend) -> Connection:
    """A connection to read by, also where the file is damaged; raises JournalError."""
    return backend.connect_unchecked() if isinstance(backend, SqliteBackend) else backend.connect(write=False)


def _look_at_log(path: Path, verdict: Verdict) -> None:
    """A log that a service writes at this moment is left to SQLite."""
    try:
        state = LogState() if verdict.in_use else examine(path)
    except OSError as error:
        verdict.add(f"the log of the journal {path} cannot be read ({error.strerror})")
        return
    verdict.tail = state.tail
    if state.damage:
        verdict.add(f"the journal {path} is damaged ({state.damage})")


def _in_use(path: Path) -> bool:
    if not path.with_name(path.name + ".lock").exists():
        return False
    try:
        FileLock(path, name_holder=False).release()
    except JournalLocked:
        return True
    except JournalError:
        return False
    return False


def _look_at_pages(connection: Connection, verdict: Verdict) -> None:
    try:
        said = connection.exec_driver_sql(f"PRAGMA integrity_check({PROBLEMS_MAX})").scalars().all()
    except SQLAlchemyError as error:
        said = [_first_line(error)]
    for line in said:
        if line != "ok":
            verdict.add(f"the journal {verdict.journal} is damaged ({str(line).splitlines()[-1]})")


def whole_facts(connection: Connection, backend: Backend, verdict: Verdict) -> Generator[AnyDurableFact, None, None]:
    """The facts up to the first that is missing or not what was written, which becomes a problem of ``verdict``."""
    expected = 1
    try:
        with closing(connection.execution_options(stream_results=True).execute(_query(connection))) as rows:
            for row in rows:
                if row[0] != expected:
                    verdict.add(f"fact {expected} of {backend.where} is missing: {row[0]} stands in its place")
                    return
                yield _fact(expected, row, backend.where, verdict)
                expected += 1
    except JournalDamaged as error:
        verdict.add(str(error))
    except DBAPIError as error:
        verdict.add(f"after fact {expected - 1} of {backend.where} nothing can be read ({_first_line(error)})")


def _query(connection: Connection) -> TextClause:
    return text(ROWS_OF_SQLITE if connection.dialect.name == "sqlite" else ROWS_OF_POSTGRES)


def _fact(sequence: int, row: Any, where: str, verdict: Verdict) -> AnyDurableFact:
    at, kind, body = row[1], row[2], row[3]
    if not isinstance(body, str):
        raise JournalDamaged(f"fact {sequence} of {where} cannot be understood (it is no text)", sequence)
    fact = from_row(sequence, body, where)
    if (at, kind) != (timestamp(fact.at), type(fact).__name__):
        raise JournalDamaged(f"fact {sequence} of {where} is filed as another kind or time than its own", sequence)
    verdict.unsealed += not is_sealed(body)
    return fact


def _follow(fact: AnyDurableFact, fold: Fold, verdict: Verdict) -> None:
    """Fold what is whole; the first contradiction is told, and what follows it proves nothing."""
    if verdict.problems:
        return
    try:
        fold(fact)
    except Exception as error:  # noqa: BLE001 - whatever a fact breaks in the books is what is asked for here
        verdict.add(f"fact {verdict.facts + 1} of {verdict.journal} contradicts those before it ({error!r})")
        return
    verdict.facts += 1
    verdict.last_at = fact.at


def _first_line(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    return str(original or error).splitlines()[0]
