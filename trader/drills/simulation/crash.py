"""Death at a point, and the journal that outlives it.

Rules: a process that dies at a point does nothing any more, not even an ``except Exception``. What was appended
before survives, byte for byte; what was not is lost. What was handed to the socket still leaves the host.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b

from trader.drills.simulation.model import Point
from trader.events import AnyDurableFact, DurableFact
from trader.journal import Journal, JournalFull, JournalUnavailable
from trader.journal.api import NumberedFact
from trader.journal.codec import from_row, to_row

POINTS_MAX = 200_000


class ProcessDied(BaseException):
    """The process is dead; no handler of its own sees this."""


class Trap:
    """Counts the points, and kills the process at those with the numbers of ``deaths``."""

    def __init__(self, deaths: Collection[int]) -> None:
        self.points: list[Point] = []
        self._deaths: frozenset[int] = frozenset(deaths)

    def disarm(self) -> None:
        """Kill no more."""
        self._deaths = frozenset()

    @property
    def last(self) -> int:
        """The number of the point that was passed last; -1 before the first."""
        return len(self.points) - 1

    def pass_by(self, point: Point) -> None:
        """Go past a point, or die there."""
        number = len(self.points)
        if number >= POINTS_MAX:
            raise OverflowError(f"more than {POINTS_MAX} points in one simulated world")
        self.points.append(point)
        if number in self._deaths:
            raise ProcessDied(f"{point} (point {number})")


class Disk:
    """What a journal has written: the rows, as they would be in the database, and a digest of all of them."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.full = False
        self.about_to_write: Callable[[AnyDurableFact], None] = lambda fact: None
        self.written: Callable[[AnyDurableFact], None] = lambda fact: None
        self._digest = blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def append(self, facts: Sequence[DurableFact]) -> None:
        first = len(self.rows) + 1
        bodies = [str(to_row(number, fact)["body"]) for number, fact in enumerate(facts, start=first)]
        self.rows += bodies
        for number, body in enumerate(bodies, start=first):
            self._digest.update(body.encode())
            fact = from_row(number, body, "the simulated disk")
            self.about_to_write(fact)
            self.written(fact)

    def read(self) -> Iterator[NumberedFact]:
        for number, body in enumerate(self.rows, start=1):
            yield number, from_row(number, body, "the simulated disk")


class MortalJournal(Journal):
    """The journal of one process, on a disk that outlives it. It has the durability of the one in a database."""

    def __init__(self, disk: Disk, trap: Trap) -> None:
        self._disk = disk
        self._trap = trap

    @property
    def last_sequence(self) -> int:
        return len(self._disk.rows)

    def append(self, facts: Sequence[DurableFact]) -> None:
        if not facts:
            return
        self._trap.pass_by(Point.BEFORE_JOURNAL)
        if self._disk.full:
            raise JournalFull("the simulated disk is full; free space on it")
        self._disk.append(facts)
        self._trap.pass_by(Point.AFTER_JOURNAL)

    def read(
        self,
        after: int = 0,
        kinds: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[NumberedFact]:
        if kinds is not None or since is not None or until is not None:
            raise JournalUnavailable("the simulated journal is read as a whole")
        return (numbered for numbered in self._disk.read() if numbered[0] > after)

    def close(self) -> None:
        """Nothing to give up."""
