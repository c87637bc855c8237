"""The weeks that a review compares: each one's trading from the journal, and what its daily reports said.

Rules: a week in which the journal has no fact at all is not known, and every figure of it is None; a week in which the
service ran and nothing was traded has zeros. Whole weeks of seven days, the last one is the job's period. Of a day that
was reported twice the later report counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from trader.events import AnyDurableFact
from trader.maintenance import history
from trader.maintenance.context import Context
from trader.maintenance.folded import BOOK_FACTS, CONTRADICTIONS, Books, contradicted, fold
from trader.maintenance.measures import quantile, share_within
from trader.maintenance.model import Kind
from trader.maintenance.trading import Trading
from trader.success_metrics import ACK_THRESHOLD_S, LATENCY_OBJECTIVE, UNPLANNED_STARTS, Verdict

WEEKS: Final = 13
WEEK: Final = timedelta(days=7)
REPORT_MAX_BYTES: Final = 64_000_000
PERFORMANCE: Final = "performance"
AGAINST_METRICS: Final = "Against the success metrics"

Span = tuple[datetime, datetime]


@dataclass(frozen=True, kw_only=True)
class Week:
    """One week's figures; ratios and latencies are None where nothing was measured, amounts where not known."""

    since: datetime
    until: datetime
    sessions: int = 0
    orders: int = 0
    fills: int = 0
    filled: int = 0
    eligible: int = 0
    ack_p50_s: float | None = None
    ack_p99_s: float | None = None
    ack_within: float | None = None
    gross: Decimal | None = None
    costs: Decimal | None = None
    net: Decimal | None = None
    slippage_ratio: float | None = None
    planned_starts: int = 0
    unplanned_starts: int = 0
    unpaid: int = 0

    @property
    def fill_rate(self) -> float | None:
        return self.filled / self.eligible if self.eligible else None


@dataclass(frozen=True)
class Weeks:
    """Oldest first; None where the journal has nothing. ``last`` is the last week's trading as a whole, if any."""

    spans: Sequence[Span]
    weeks: Sequence[Week | None]
    last: Trading | None = None

    @property
    def known(self) -> list[Week]:
        return [week for week in self.weeks if week is not None]


@dataclass
class Days:
    """What the daily reports of some days said; ``verdicts`` by success metric."""

    reported: int = 0
    not_met: int = 0
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)


def spans_until(until: datetime, count: int = WEEKS) -> tuple[Span, ...]:
    """``count`` weeks that end one after the other, the last one at ``until``; oldest first."""
    return tuple((until - (back + 1) * WEEK, until - back * WEEK) for back in reversed(range(count)))


def read_weeks(context: Context) -> Weeks:
    """Fold the journal up to the first week, then follow week by week; raises JournalError, Unavailable."""
    spans = spans_until(context.until)
    books = fold(context.settings.base_currency, context.facts_before(spans[0][0], *BOOK_FACTS))
    return follow(books, spans, [context.facts(since=since, until=until) for since, until in spans])


def follow(books: Books, spans: Sequence[Span], facts: Sequence[Iterable[AnyDurableFact]]) -> Weeks:
    """Each week's figures, on the books of the week before; raises Unavailable where facts contradict each other."""
    weeks: list[Week | None] = []
    last: Trading | None = None
    for span, found in zip(spans, facts, strict=True):
        trading, count = Trading(books), 0
        try:
            for fact in found:
                trading.take(fact)
                count += 1
        except CONTRADICTIONS as error:
            raise contradicted(error) from error
        books, last = trading.books, trading if count else None
        weeks.append(week_of(span, trading) if count else None)
    return Weeks(spans, weeks, last)


def week_of(span: Span, trading: Trading) -> Week:
    """The figures of one week that the journal knows."""
    filled, eligible = trading.fill_rate()
    result = trading.in_base()
    unplanned = sum(trading.starts[reason] for reason in UNPLANNED_STARTS)
    return Week(
        since=span[0], until=span[1], sessions=len(trading.closed), orders=trading.intended.total(),
        fills=trading.fills, filled=filled, eligible=eligible, ack_p50_s=quantile(trading.ack_s, 0.5),
        ack_p99_s=quantile(trading.ack_s, LATENCY_OBJECTIVE), ack_within=share_within(trading.ack_s, ACK_THRESHOLD_S),
        gross=result.gross, costs=None if result.commission is None else -result.commission, net=result.net,
        slippage_ratio=trading.slippage(), planned_starts=trading.starts.total() - unplanned,
        unplanned_starts=unplanned, unpaid=trading.commissions_missing,
    )  # fmt: skip


# -- the daily reports


class _Table(msgspec.Struct, frozen=True):
    title: str
    rows: list[list[Any]]


class _Section(msgspec.Struct, frozen=True):
    tables: list[_Table] = []


class _Run(msgspec.Struct, frozen=True):
    task: str
    section: _Section


class _Report(msgspec.Struct, frozen=True):
    label: str
    until: datetime
    started_at: datetime
    runs: list[_Run]
    dry_run: bool = False


def read_days(reports: Path, spans: Sequence[Span]) -> tuple[Days, ...]:
    """What the daily reports that are kept say of each week; what cannot be read is passed over."""
    newest: dict[str, _Report] = {}
    for report in _reports(reports, spans[0][0]):
        before = newest.get(report.label)
        if before is None or before.started_at < report.started_at:
            newest[report.label] = report
    return tuple(
        days_of(report for report in newest.values() if since < report.until <= until) for since, until in spans
    )


def _reports(folder: Path, since: datetime) -> Iterator[_Report]:
    for past in history.entries(folder, (Kind.DAILY,)):
        if past.finished_at <= since:
            continue
        try:
            yield msgspec.json.decode(past.path.read_bytes()[:REPORT_MAX_BYTES], type=_Report)
        except (OSError, msgspec.DecodeError):
            continue


def days_of(reports: Iterable[_Report]) -> Days:
    """The reports of one week, counted."""
    days = Days()
    for report in reports:
        verdicts = _verdicts(report)
        if not verdicts:
            continue
        days.reported += 1
        days.not_met += Verdict.BROKEN in verdicts.values()
        for metric, verdict in verdicts.items():
            days.verdicts.setdefault(metric, Counter())[verdict] += 1
    return days


def _verdicts(report: _Report) -> Mapping[str, str]:
    tables = [table for run in report.runs if run.task == PERFORMANCE for table in run.section.tables]
    rows = [row for table in tables if table.title == AGAINST_METRICS for row in table.rows]
    return {str(row[0]): str(row[-1]) for row in rows if len(row) >= 2}
