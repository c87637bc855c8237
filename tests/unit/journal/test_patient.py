"""A journal that is away is waited for: nothing is lost, nothing is doubled, and another one is not taken for it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.tools.journals import until
from trader.events import DurableFact, OrderIdsReserved
from trader.journal import JournalError, JournalFull, JournalReplaced, JournalUnavailable, MemoryJournal, patient
from trader.journal.patient import PatientJournal

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def fact(number: int) -> OrderIdsReserved:
    return OrderIdsReserved(at=START, next_order_id=number)


class Store(MemoryJournal):
    """Facts that outlive their connections. ``fails`` is raised by appending and by opening.

    ``fails_after`` is that from the next append on, ``fails_after_commit`` is raised by it although it has written.
    """

    fails: JournalError | None = None
    fails_after: JournalError | None = None
    fails_after_commit: JournalError | None = None
    opened = 0

    def append(self, facts: Sequence[DurableFact]) -> None:
        if self.fails:
            raise self.fails
        super().append(facts)
        self.fails, self.fails_after = self.fails_after, None
        if self.fails_after_commit:
            self.fails, self.fails_after_commit = self.fails_after_commit, None
            raise self.fails

    def reopen(self) -> "Store":
        if self.fails:
            raise self.fails
        self.opened += 1
        return self

    @property
    def numbers(self) -> list[int]:
        return [kept.next_order_id for kept in self.facts if isinstance(kept, OrderIdsReserved)]


AWAY = JournalUnavailable("the server is away")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(patient, "RETRY_MAX_S", 0.001)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def journal(store: Store) -> PatientJournal:
    journal = PatientJournal(store, store.reopen)
    journal.append([fact(1)])
    return journal


def test_what_cannot_be_written_waits_and_is_written_first(store: Store, journal: PatientJournal) -> None:
    store.fails = AWAY
    journal.append([fact(2), fact(3)])
    journal.append([fact(4)])
    assert (journal.problem, journal.waiting, journal.last_sequence) == ("the server is away", 3, 4)
    assert store.numbers == [1]

    store.fails = None
    until(journal, lambda: not journal.problem)
    journal.append([fact(5)])

    assert store.numbers == [1, 2, 3, 4, 5]
    assert (journal.waiting, journal.last_sequence) == (0, 5)


def test_a_commit_whose_answer_was_lost_is_not_written_twice(store: Store, journal: PatientJournal) -> None:
    store.fails_after_commit = AWAY
    journal.append([fact(2), fact(3)])
    journal.append([fact(4)])
    assert store.numbers == [1, 2, 3]

    store.fails = None
    until(journal, lambda: not journal.problem)

    assert store.numbers == [1, 2, 3, 4]


def test_the_reason_follows_what_opening_it_again_says(store: Store, journal: PatientJournal) -> None:
    store.fails = AWAY
    journal.append([fact(2)])
    store.fails = JournalFull("no room is left")
    until(journal, lambda: journal.problem == "no room is left")


def test_a_journal_that_fails_again_when_it_is_back_is_waited_for_again(store: Store, journal: PatientJournal) -> None:
    store.fails = JournalFull("no room is left")
    journal.append([fact(2)])
    first = journal._search
    assert first is not None
    journal.append([fact(3)])
    store.fails, store.fails_after = None, JournalFull("no room is left again")
    until(journal, lambda: journal._search is not first)
    assert (journal.problem, journal.waiting, store.numbers) == ("no room is left again", 1, [1, 2])

    store.fails = None
    until(journal, lambda: not journal.problem)
    assert store.numbers == [1, 2, 3]


@pytest.mark.parametrize(
    "theirs",
    [[], [fact(1), fact(7)], [fact(1), fact(2), fact(7)]],
    ids=["an older one", "another fact in its place", "a longer one"],
)
def test_another_journal_than_the_one_that_was_lost_is_refused(
    store: Store, journal: PatientJournal, theirs: list[OrderIdsReserved]
) -> None:
    store.fails = AWAY
    journal.append([fact(2)])
    store.facts[:] = theirs
    store.fails = None
    with pytest.raises(JournalReplaced, match="not the one that was lost"):
        until(journal, lambda: False)
    assert store.facts == theirs


def test_what_waits_has_a_limit(store: Store, journal: PatientJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "WAITING_MAX_FACTS", 3)
    store.fails = AWAY
    journal.append([fact(2), fact(3)])
    with pytest.raises(JournalUnavailable, match=r"2 facts wait .*the server is away"):
        journal.append([fact(4), fact(5)])


def test_closing_while_it_is_away_ends_the_search(store: Store, journal: PatientJournal) -> None:
    store.fails = AWAY
    journal.append([fact(2)])
    search = journal._search
    assert search is not None
    journal.close()
    search._thread.join(60)
    assert not search._thread.is_alive()
