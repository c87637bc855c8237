"""A journal that outlasts the loss of its database: what cannot be written waits in memory, and is written first.

Rules: while ``problem`` is set, not all that was given is durable, and its order is kept. A thread opens the journal
again with growing pauses and writes what was lost with it, so that the loop waits for nothing; the next ``append``
takes that journal over and writes the rest. A transaction whose end was not heard of is looked for, and not written
twice. Where too many facts wait, or where another journal came back than the one that was lost, ``append`` raises, and
only a new start helps. A lost journal is kept open while its file is gone: a deleted one exists for as long.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from trader.events import DurableFact
from trader.journal.api import Journal, NumberedFact
from trader.journal.codec import to_row
from trader.journal.errors import JournalError, JournalReplaced, JournalUnavailable

WAITING_MAX_FACTS: Final = 10_000
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 15.0


class PatientJournal(Journal):
    """The one writer's journal; ``reopen`` opens it again, and must not make a new one."""

    def __init__(self, journal: Journal, reopen: Callable[[], Journal]) -> None:
        self._journal = journal
        self._reopen = reopen
        self._durable = journal.last_sequence
        self._kept: list[DurableFact] = []
        self._search: _Search | None = None
        self.problem = ""

    @property
    def last_sequence(self) -> int:
        return self._durable + len(self._kept)

    def append(self, facts: Sequence[DurableFact]) -> None:
        """Write ``facts``, or keep them while the journal is away; none at all looks whether it is away or back.

        Raises JournalError when waiting is over.
        """
        if self._search is not None:
            self._keep(facts)
            self._come_back(self._search)
            return
        try:
            self._journal.append(facts)
            self._durable += len(facts)
        except JournalError as error:
            self._keep(facts)
            self._lose(error)

    def _keep(self, facts: Sequence[DurableFact]) -> None:
        if len(self._kept) + len(facts) > WAITING_MAX_FACTS:
            raise JournalUnavailable(
                f"{len(self._kept)} facts wait for the journal and no more can be kept ({self.problem}); "
                "they are lost, and the next start asks the broker for what they told"
            )
        self._kept.extend(facts)
        self.waiting = len(self._kept)

    def _lose(self, error: JournalError) -> None:
        self.problem = str(error)
        self._search = _Search(self._journal, self._reopen, self._durable, tuple(self._kept))

    def _come_back(self, search: "_Search") -> None:
        found = search.found
        if found is None:
            self.problem = search.problem or self.problem
            return
        if isinstance(found, JournalError):
            raise JournalReplaced(
                f"{found}; the last {len(self._kept)} facts are lost, and the next start asks the broker "
                "for what they told"
            )
        self._journal = found
        del self._kept[: found.last_sequence - self._durable]
        self._durable, self.waiting = found.last_sequence, len(self._kept)
        try:
            self._journal.append(self._kept)
        except JournalError as error:
            self._lose(error)
            return
        self._durable += len(self._kept)
        self._kept.clear()
        self._search, self.problem, self.waiting = None, "", 0

    def read(
        self,
        after: int = 0,
        kinds: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[NumberedFact]:
        return self._journal.read(after, kinds, since, until)

    def close(self) -> None:
        if self._search is not None:
            self._search.stop()
        self._journal.close()


class _Search:
    """Opens a lost journal again, on a thread of its own; ``found`` ends it, ``problem`` is the last reason why not."""

    def __init__(
        self, lost: Journal, reopen: Callable[[], Journal], durable: int, in_doubt: Sequence[DurableFact]
    ) -> None:
        self.found: Journal | JournalError | None = None
        self.problem = ""
        self._lost, self._reopen = lost, reopen
        self._durable, self._in_doubt = durable, in_doubt
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-reopen", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Search no longer; what was found is closed with it."""
        self._stopping.set()
        if isinstance(self.found, Journal):
            self.found.close()

    def _run(self) -> None:
        wait_s = RETRY_FIRST_S
        while not self._stopping.wait(wait_s):
            try:
                self.found = self._look()
            except JournalReplaced as error:
                self.found = error
            except JournalError as error:
                self.problem = str(error)
            if self.found is not None:
                return
            wait_s = min(wait_s * 2, RETRY_MAX_S)

    def _look(self) -> Journal:
        self._lost.require_in_place()
        self._lost.close()
        journal = self._reopen()
        try:
            journal.append(self._in_doubt[self._count_written(journal) :])
        except BaseException:
            journal.close()
            raise
        return journal

    def _count_written(self, journal: Journal) -> int:
        """How many of the facts in doubt are in ``journal``; raises JournalReplaced when it is not the one lost."""
        beyond = journal.last_sequence - self._durable
        if not 0 <= beyond <= len(self._in_doubt):
            raise self._replaced(journal)
        for (sequence, fact), ours in zip(journal.read(after=self._durable), self._in_doubt, strict=False):
            if to_row(sequence, fact) != to_row(sequence, ours):
                raise self._replaced(journal)
        return beyond

    def _replaced(self, journal: Journal) -> JournalReplaced:
        return JournalReplaced(
            f"the journal that came back is not the one that was lost: it ends with fact {journal.last_sequence} "
            f"instead of {self._durable}, or with another; see whether another service wrote to it, then start again"
        )
