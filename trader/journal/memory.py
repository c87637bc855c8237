"""Journals without a file: a list of facts for tests and short replays, and one that only counts."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import cast

from trader.events import AnyDurableFact, DurableFact
from trader.journal.api import Journal, NumberedFact


class MemoryJournal(Journal):
    """Keeps facts in a list, ``facts``; gone with the process."""

    def __init__(self) -> None:
        self.facts: list[AnyDurableFact] = []

    @property
    def last_sequence(self) -> int:
        return len(self.facts)

    def append(self, facts: Sequence[DurableFact]) -> None:
        self.facts.extend(cast("Sequence[AnyDurableFact]", facts))

    def read(
        self,
        after: int = 0,
        kinds: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[NumberedFact]:
        for sequence, fact in enumerate(self.facts[after:], start=after + 1):
            if kinds is not None and type(fact).__name__ not in kinds:
                continue
            if (since is None or fact.at >= since) and (until is None or fact.at < until):
                yield sequence, fact

    def close(self) -> None:
        """Nothing to give up."""


class NullJournal(Journal):
    """Counts facts and keeps none: for replays whose result is all that is wanted."""

    def __init__(self) -> None:
        self._last_sequence = 0

    @property
    def last_sequence(self) -> int:
        return self._last_sequence

    def append(self, facts: Sequence[DurableFact]) -> None:
        self._last_sequence += len(facts)

    def read(
        self,
        after: int = 0,
        kinds: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[NumberedFact]:
        return iter(())

    def close(self) -> None:
        """Nothing to give up."""
