"""Finds, in a journal, the run of the service over the data that is replayed.

Rules: reads, never writes. A run is what follows a ServiceStarted; runs that follow one another in virtual
time are one run with restarts, runs that go over the same time again are different ones, and the last one
counts. A fact's time is compared, never its place in the host's time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from trader.events import AnyDurableFact, OrderIntended, ServiceStarted, SignalChanged
from trader.journal import JournalError, JournalReader
from trader.replay.result import ReplayError

# Quotes over the wire carry the time at which they arrived, which is a little after the recorded one.
MARGIN = timedelta(minutes=1)
FACTS_MAX = 2_000_000


class WireRun(msgspec.Struct, frozen=True):
    """``ended_at`` is the last moment that the run tells of; ``starts`` counts its starts and restarts.

    ``config_hashes`` are of the configurations that it was started with.
    """

    facts: tuple[AnyDurableFact, ...]
    ended_at: datetime
    starts: int
    config_hashes: frozenset[str]


def journal_url(journal: str) -> str:
    """A file's name means an SQLite journal; raises ReplayError when there is no such file."""
    if "://" in journal:
        return journal
    path = Path(journal)
    if not path.is_file():
        raise ReplayError(f"{journal}: there is no such journal; name the file or the URL of journal.url")
    return f"sqlite:///{path}"


def read_wire_run(journal: str, started_at: datetime, ended_at: datetime) -> WireRun:
    """The last run in ``journal`` over this time; raises ReplayError when there is none or it cannot be read."""
    try:
        with JournalReader.open(journal_url(journal)) as reader:
            if reader.last_sequence > FACTS_MAX:
                raise ReplayError(f"{journal} holds {reader.last_sequence:,} facts, more than {FACTS_MAX:,} to compare")
            facts = [fact for _, fact in reader.read()]
    except JournalError as error:
        raise ReplayError(str(error)) from error
    run = last_run(facts, started_at - MARGIN, ended_at + MARGIN)
    if run is None:
        raise ReplayError(
            f"{journal} holds no run between {started_at:%Y-%m-%d %H:%M} and {ended_at:%Y-%m-%d %H:%M} UTC that "
            "signalled or ordered anything; run the service against: trader simulate --market FILE"
        )
    return run


def last_run(facts: Sequence[AnyDurableFact], first: datetime, last: datetime) -> WireRun | None:
    """The last run that decided anything between ``first`` and ``last``."""
    chosen: list[AnyDurableFact] = []
    starts = 0
    hashes: set[str] = set()
    for segment in reversed(_segments(facts)):
        inside = [fact for fact in segment if first <= fact.at <= last]
        if not any(isinstance(fact, (SignalChanged, OrderIntended)) for fact in inside):
            continue
        if chosen and max(fact.at for fact in inside) >= min(fact.at for fact in chosen):
            break
        chosen = inside + chosen
        starts += 1
        hashes.update(fact.config_hash for fact in segment if isinstance(fact, ServiceStarted))
    if not chosen:
        return None
    return WireRun(tuple(chosen), max(fact.at for fact in chosen), starts, frozenset(hashes))


def _segments(facts: Iterable[AnyDurableFact]) -> list[list[AnyDurableFact]]:
    segments: list[list[AnyDurableFact]] = [[]]
    for fact in facts:
        if isinstance(fact, ServiceStarted):
            segments.append([])
        segments[-1].append(fact)
    return segments
