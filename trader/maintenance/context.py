"""What every task is given: the settings, the period it looks at, and where its figures come from.

Rules: a task reads through here and writes into ``folders`` only, and nothing at all when ``dry_run``. What cannot be
got raises ``Unavailable`` (facts: ``JournalError``) with a reason for ``Section.missing``; a task goes on without it.
Facts and log lines are told one by one, so that a month of them does not have to fit into memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from trader.clock import Clock
from trader.doctor import Place
from trader.events import AnyDurableFact, DurableFact
from trader.journal import JournalReader
from trader.maintenance.model import Kind
from trader.maintenance.sources import OUR_UNITS, LogLine, Logs, Metrics, Unavailable, sqlite_file
from trader.session import Session, SessionCalendar
from trader.settings import Settings

if TYPE_CHECKING:
    from trader.stack.client import Sample, Series

FACTS_MAX: Final = 5_000_000

F = TypeVar("F", bound=DurableFact)


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` until before ``until``, aware, UTC; ``label`` names it in files and headings.

    Daily: from the close before until the close of the last finished session, ``2026-11-20``; both a few minutes
    later (``period.SETTLE``), so that what a close causes belongs to its day and no moment belongs to two days or
    none. Weekly: the seven days before the last UTC midnight, named by the last of them. Monthly: the last whole
    calendar month in UTC, ``2026-10``. ``sessions`` are those that closed in it, oldest first; empty also when the
    calendar does not cover it, and a daily period is then the last whole UTC day.
    """

    since: datetime
    until: datetime
    label: str
    sessions: tuple[Session, ...] = ()


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a task may write. ``scratch`` is its own, private, and gone when the job ends.

    ``textfile`` is None where nobody collects such metrics. None of the others has to exist before a job runs.
    """

    reports: Path
    backups: Path
    scratch: Path
    textfile: Path | None = None


@dataclass(frozen=True)
class Context:
    """One job's view of the world. ``calendar`` is None when it cannot be used."""

    kind: Kind
    settings: Settings
    config_file: Path
    clock: Clock
    period: Period
    folders: Folders
    place: Place
    logs: Logs
    metrics: Metrics
    calendar: SessionCalendar | None = None
    dry_run: bool = False

    @property
    def since(self) -> datetime:
        """The begin of the period, in it."""
        return self.period.since

    @property
    def until(self) -> datetime:
        """The end of the period, no longer in it."""
        return self.period.until

    @property
    def session(self) -> Session | None:
        """The last session that closed in the period; of a daily job the one that it is about."""
        return self.period.sessions[-1] if self.period.sessions else None

    @property
    def journal_file(self) -> Path | None:
        """The journal's file; None when it is kept in PostgreSQL or in memory."""
        return sqlite_file(self.settings.journal.url)

    def facts(
        self, *kinds: type[F], since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[AnyDurableFact]:
        """Durable facts of the period (or of another time), oldest first, of ``kinds`` or all; raises JournalError.

        Each call reads anew, in pages, and never disturbs the service. More than ``FACTS_MAX`` raise Unavailable.
        """
        names = [kind.__name__ for kind in kinds] or None
        with JournalReader.open(self.settings.journal.url) as journal:
            found = journal.read(kinds=names, since=since or self.since, until=until or self.until)
            for count, (_, fact) in enumerate(found, start=1):
                if count > FACTS_MAX:
                    raise Unavailable(f"the journal has more than {FACTS_MAX:,} facts in this time")
                yield fact

    def facts_before(self, moment: datetime, *kinds: type[F]) -> Iterator[AnyDurableFact]:
        """Durable facts from the journal's first until before ``moment``: what balances are folded from."""
        names = [kind.__name__ for kind in kinds] or None
        with JournalReader.open(self.settings.journal.url) as journal:
            yield from (fact for _, fact in journal.read(kinds=names, until=moment))

    def log_lines(self, *units: str, since: datetime | None = None, until: datetime | None = None) -> Iterator[LogLine]:
        """Log lines of ``units`` (names or patterns; all of ours when none is named), oldest first.

        Raises LogsUnavailable, also at the end when it turns out that not everything could be seen: so take a result
        only after the last line.
        """
        return self.logs.lines(since or self.since, until or self.until, units or (OUR_UNITS,))

    def query(self, promql: str, at: datetime | None = None) -> "list[Sample]":
        """Instant values at the end of the period, or ``at``: (labels, value) each; raises PrometheusUnavailable."""
        return self.metrics.query(promql, at or self.until)

    def query_range(
        self, promql: str, step_s: float, since: datetime | None = None, until: datetime | None = None
    ) -> "list[Series]":
        """Values over the period, every ``step_s``: (labels, [(Unix time, value)]); raises PrometheusUnavailable."""
        return self.metrics.query_range(promql, since or self.since, until or self.until, step_s)
