"""What a kind of database has to do for a journal, and how one is connected to.

Rules: a backend touches nothing of an existing journal in ``connect``; ``prepare`` is called once it is known to be one
that this version understands.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from trader.journal.api import Durability
from trader.journal.errors import JournalError

Require = Callable[[Connection], None]


class Backend(Protocol):
    """One kind of database. ``where`` names the journal in sentences."""

    where: str

    def connect(self, write: bool, may_create: bool = True, require: Require | None = None) -> Connection:
        """A connection, with the one writer's lock when it is to ``write``; raises JournalError.

        ``require`` looks at what is there before anything could be changed.
        """
        ...

    def prepare(self, connection: Connection, durability: Durability) -> None:
        """Set a writer's connection up; called after the schema was found to be ours."""
        ...

    def bounded(self) -> AbstractContextManager[None]:
        """Around whatever may wait for the database: a limit on how long."""
        ...

    def require_disk(self) -> None:
        """Raise JournalUnavailable when the disk failed behind the writer, or what is open was taken away."""
        ...

    def require_in_place(self) -> None:
        """Raise JournalReplaced when another journal came to the address of this one, JournalUnavailable when none is
        there; where only its content can tell, nothing is raised.
        """
        ...

    def wrote(self) -> None:
        """A transaction was committed."""
        ...

    def explain(self, error: DBAPIError) -> JournalError: ...

    def close(self) -> None: ...


def connect(engine: Engine, backend: Backend) -> Connection:
    """A connection of ``engine``; raises JournalError in the backend's words."""
    try:
        return engine.connect()
    except DBAPIError as error:
        raise backend.explain(error) from error
