"""What a journal does, whatever keeps it.

Rules: sequence numbers begin at 1, have no gaps and are given by the one writer; ``read`` yields facts in
that order; times in filters are aware. The implementations are in ``database`` and ``memory``; the first
is imported only when a journal is opened by URL, because SQLAlchemy costs 0.1 s and 28 MB to import.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal, Self, TypeAlias

from trader.clock import Clock
from trader.events import AnyDurableFact, DurableFact

Durability: TypeAlias = Literal["process", "power"]
NumberedFact: TypeAlias = tuple[int, AnyDurableFact]


class JournalReader(ABC):
    """A journal that is read. Reading never disturbs the service that writes it."""

    @staticmethod
    def open(url: str) -> "JournalReader":
        """Open the journal at ``url`` for reading, also while a service writes it; raises JournalError."""
        from trader.journal.database import open_reader

        return open_reader(url)

    @property
    @abstractmethod
    def last_sequence(self) -> int:
        """The number of the newest fact; 0 when there is none."""

    @abstractmethod
    def read(
        self,
        after: int = 0,
        kinds: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[NumberedFact]:
        """Facts numbered above ``after``, oldest first; ``since`` is inclusive, ``until`` is not.

        ``kinds`` are class names; None means all. Raises JournalDamaged at a row that cannot be understood.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up files and locks; what was appended is on the disk when this returns. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Journal(JournalReader):
    """A journal that is written, by one process at a time and from one thread.

    ``problem`` says why ``waiting`` facts that were appended are not durable; empty when all are.
    """

    problem: str = ""
    waiting: int = 0

    @staticmethod
    def open(
        url: str, durability: Durability = "process", clock: Clock | None = None, may_create: bool = True
    ) -> "Journal":
        """Open or, unless told not to, create the journal at ``url``.

        Addresses are ``sqlite:///path``, ``sqlite://`` (in memory) and ``postgresql+psycopg://…``.

        ``process``: a fact survives any crash of the process once appended, and reaches the disk right after;
        ``power``: ``append`` waits for the disk. Raises JournalError.
        """
        from trader.journal.database import open_journal

        return open_journal(url, durability, clock, may_create)

    @abstractmethod
    def append(self, facts: Sequence[DurableFact]) -> None:
        """Write ``facts`` in one transaction: all or, with a JournalError, none.

        None at all looks whether some could be written.
        """

    def require_in_place(self) -> None:
        """Raise JournalReplaced when another journal is at this one's address, JournalUnavailable when none is."""


def require_address(url: str) -> None:
    """Raise JournalError unless ``url`` is the address of a journal, whether there is one or not."""
    from trader.journal.backends import backend_for

    backend_for(url)
