"""Weekly: how trading went over the last weeks: net P&L, costs, orders, fill rate, latencies, restarts, with charts.

Rules: the weeks are the journal's, and what only a daily report knows is counted from those that are kept. A week
without data is a gap and never zero. The last week is judged by the success metrics, as a day is: what was not met is a
warning. A trend is the last week against the mean of the known weeks before it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from trader.journal import JournalError
from trader.maintenance.context import Context
from trader.maintenance.measures import OF_VERDICT, counted
from trader.maintenance.model import Chart, Column, Figure, Line, Outcome, Section, Table, Unit, Value, worst
from trader.maintenance.review_weeks import AGAINST_METRICS, Days, Week, Weeks, read_days, read_weeks
from trader.maintenance.show import text_of
from trader.maintenance.sources import Unavailable
from trader.maintenance.trading_measured import Measured, measure
from trader.maintenance.trading_targets import Row, success_metrics
from trader.success_metrics import ACK_THRESHOLD_S, FILL_RATE_OBJECTIVE, METRICS, Verdict

KEY: Final = "review"
TITLE: Final = "Performance over weeks"
FEW: Final = 2
"""Of fewer known weeks there is no trend."""

Number: TypeAlias = Decimal | float | int | None
Get: TypeAlias = Callable[[Week], Number]

WEEK_COLUMNS: Final = (
    Column("Week to"), Column("Sessions", Unit.COUNT), Column("Orders", Unit.COUNT),
    Column("Fills", Unit.COUNT), Column("Fill rate", Unit.RATIO), Column("Latency p50", Unit.SECONDS),
    Column("Latency p99", Unit.SECONDS), Column("Slippage", Unit.RATIO), Column("Gross", Unit.MONEY),
    Column("Costs", Unit.MONEY), Column("Net", Unit.MONEY), Column("Starts, planned", Unit.COUNT),
    Column("Starts, unplanned", Unit.COUNT), Column("Days reported", Unit.COUNT),
    Column("Days not all met", Unit.COUNT),
)  # fmt: skip
FIGURES: Final[tuple[tuple[str, Unit, str, Get], ...]] = (
    ("Net", Unit.MONEY, "> 0", lambda week: week.net),
    ("Gross", Unit.MONEY, "", lambda week: week.gross),
    ("Costs", Unit.MONEY, "", lambda week: week.costs),
    ("Orders", Unit.COUNT, "", lambda week: week.orders),
    ("Fills", Unit.COUNT, "", lambda week: week.fills),
    ("Fill rate", Unit.RATIO, "> 90 %", lambda week: week.fill_rate),
    ("Order latency p50", Unit.SECONDS, "", lambda week: week.ack_p50_s),
    ("Order latency p99", Unit.SECONDS, "< 2 s", lambda week: week.ack_p99_s),
    ("Slippage, mean by value", Unit.RATIO, "", lambda week: week.slippage_ratio),
    ("Unplanned starts", Unit.COUNT, "< 1", lambda week: week.unplanned_starts),
)
METRIC_OF: Final = {
    "Net": "net P&L after costs",
    "Fill rate": "fill rate",
    "Order latency p99": "order latency p99",
    "Unplanned starts": "restarts today",
}
CHARTS: Final[tuple[tuple[str, Unit, float | None, tuple[tuple[str, Get], ...]], ...]] = (
    (
        "P&L by week", Unit.MONEY, 0.0,
        (("net", lambda week: week.net), ("gross", lambda week: week.gross), ("costs", lambda week: week.costs)),
    ),
    ("Orders by week", Unit.COUNT, None, (("orders", lambda week: week.orders), ("fills", lambda week: week.fills))),
    ("Fill rate by week", Unit.RATIO, FILL_RATE_OBJECTIVE, (("fill rate", lambda week: week.fill_rate),)),
    (
        "Order latency by week", Unit.SECONDS, ACK_THRESHOLD_S,
        (("p50", lambda week: week.ack_p50_s), ("p99", lambda week: week.ack_p99_s)),
    ),
    (
        "Starts by week", Unit.COUNT, None,
        (("planned", lambda week: week.planned_starts), ("unplanned", lambda week: week.unplanned_starts)),
    ),
)  # fmt: skip


def run(context: Context) -> Section:
    """The last weeks; an unreadable journal is a failed section."""
    try:
        weeks = read_weeks(context)
    except (JournalError, Unavailable) as error:
        return Section(key=KEY, title=TITLE, outcome=Outcome.FAILED, sentence=str(error), mend="trader journal stats")
    days = read_days(context.settings.maintenance.reports_folder, weeks.spans)
    measured = measure(context) if weeks.last is not None else Measured()
    return section(weeks, days, measured, context.settings.base_currency)


def section(weeks: Weeks, days: Sequence[Days], measured: Measured, currency: str) -> Section:
    """The whole section, from what was found."""
    metrics = _metrics(weeks, measured, currency)
    verdicts = {name: verdict for name, _, _, verdict in metrics}
    broken = [name for name, verdict in verdicts.items() if verdict is Verdict.BROKEN]
    return Section(
        key=KEY,
        title=TITLE,
        outcome=_outcome(weeks, broken),
        sentence=_sentence(weeks, currency, broken),
        figures=tuple(_figures(weeks, verdicts, currency)),
        tables=tuple(_tables(weeks, days, metrics, currency)),
        charts=tuple(_charts(weeks)),
        notes=("Weeks end with their day at midnight UTC; a week without data is left out of charts and means.",),
        missing=tuple(_missing(weeks, days, measured)),
        mend="trader slo" if broken else "",
    )


def _metrics(weeks: Weeks, measured: Measured, currency: str) -> tuple[Row, ...]:
    if weeks.last is None:
        return ()
    return success_metrics(weeks.last, measured, weeks.last.in_base(), currency)


def _outcome(weeks: Weeks, broken: Sequence[str]) -> Outcome:
    if weeks.last is None:
        return Outcome.UNKNOWN
    return worst([OF_VERDICT[Verdict.BROKEN]] if broken else [Outcome.OK])


def _sentence(weeks: Weeks, currency: str, broken: Sequence[str]) -> str:
    known = len(weeks.known)
    if not known:
        return f"the journal has nothing of the last {len(weeks.spans)} weeks"
    if (week := weeks.weeks[-1]) is None:
        return f"the journal has nothing of the last week; {counted(known, 'week')} before it are known"
    net = "net not known" if week.net is None else f"net {week.net:+,.2f} {currency}"
    said = f"last week {counted(week.orders, 'order')}, {net}; {known} of {len(weeks.spans)} weeks are known"
    return f"{said}; not met last week: {', '.join(broken)}" if broken else said


# -- figures: the last week, and the weeks before it


def _figures(weeks: Weeks, verdicts: dict[str, Verdict], currency: str) -> Iterator[Figure]:
    last = weeks.weeks[-1]
    for label, unit, bound, get in FIGURES:
        verdict = verdicts.get(METRIC_OF.get(label, ""), Verdict.UNKNOWN)
        yield Figure(
            label=label, value=None if last is None else get(last), unit=unit,
            currency=currency if unit is Unit.MONEY else "", bound=bound,
            outcome=OF_VERDICT[verdict] if label in METRIC_OF else Outcome.OK,
        )  # fmt: skip


def mean(values: Sequence[Number]) -> Number:
    """The mean of what is known; None of nothing, or of fewer than it takes for a trend."""
    known = [Decimal(str(value)) for value in values if value is not None]
    if len(known) < FEW:
        return None
    found = sum(known, Decimal(0)) / len(known)
    return found if any(isinstance(value, Decimal) for value in values) else float(found)


def _trend_rows(weeks: Weeks) -> Iterator[tuple[Value, ...]]:
    last = weeks.weeks[-1]
    for label, unit, _, get in FIGURES:
        now = None if last is None else get(last)
        before = [get(week) for week in weeks.weeks[:-1] if week is not None]
        usual = mean(before)
        if now is None or usual is None:
            change, word = None, "not known"
        else:
            change = float(now) - float(usual)
            word = "as before" if not change else "higher" if change > 0 else "lower"
        known = sum(value is not None for value in before)
        yield (label, *(_shown(item, unit) for item in (now, usual, change)), known, word)


def _shown(value: Number, unit: Unit) -> Value:
    """One column has values of several units, so they are text; the mean of counts is rarely whole."""
    if unit is Unit.COUNT and isinstance(value, float):
        value = round(value, 1)
    return text_of(value, unit)


# -- tables and charts


def _tables(weeks: Weeks, days: Sequence[Days], metrics: tuple[Row, ...], currency: str) -> Iterator[Table]:
    rows = [_week_row(span[1], week, day) for span, week, day in zip(weeks.spans, weeks.weeks, days, strict=True)]
    yield Table.of(f"By week ({currency})", WEEK_COLUMNS, reversed(rows))
    trend = (
        Column("Figure"), Column("Last week"), Column("Mean before"), Column("Change"),
        Column("Weeks known", Unit.COUNT), Column("Trend"),
    )  # fmt: skip
    yield Table.of("Last week against the weeks before", trend, _trend_rows(weeks))
    if metrics:
        columns = (Column("Success metric"), Column("Target"), Column("Last week"), Column("Verdict"))
        yield Table.of(f"{AGAINST_METRICS}, last week", columns, [(*row[:3], str(row[3])) for row in metrics])
    if any(day.reported for day in days):
        reported = (
            Column("Success metric"), Column("Days met", Unit.COUNT), Column("Days not met", Unit.COUNT),
            Column("Days not measured", Unit.COUNT),
        )  # fmt: skip
        yield Table.of("By the daily reports of these weeks", reported, _reported_rows(days))


def last_day(until: datetime) -> str:
    """The name of the week that ends at ``until``, as its report has it."""
    return f"{until - timedelta(days=1):%Y-%m-%d}"


def _week_row(until: datetime, week: Week | None, day: Days) -> tuple[Value, ...]:
    told = (day.reported or None, day.not_met if day.reported else None)
    if week is None:
        return (last_day(until), *(None,) * (len(WEEK_COLUMNS) - 3), *told)
    return (
        last_day(until), week.sessions, week.orders, week.fills, week.fill_rate, week.ack_p50_s, week.ack_p99_s,
        week.slippage_ratio, week.gross, week.costs, week.net, week.planned_starts, week.unplanned_starts, *told,
    )  # fmt: skip


def _reported_rows(days: Sequence[Days]) -> Iterator[tuple[Value, ...]]:
    every: dict[str, Counter[str]] = {}
    for day in days:
        for metric, verdicts in day.verdicts.items():
            every.setdefault(metric, Counter()).update(verdicts)
    for name, _, _ in METRICS:
        if name in every:
            yield (name, *(every[name][verdict] for verdict in (Verdict.OK, Verdict.BROKEN, Verdict.UNKNOWN)))


def _charts(weeks: Weeks) -> Iterator[Chart]:
    for title, unit, bound, lines in CHARTS:
        drawn = tuple(Line(name, tuple(_points(weeks, get))) for name, get in lines)
        if any(value is not None for line in drawn for _, value in line.points):
            yield Chart(title=title, unit=unit, lines=drawn, bound=bound)


def _points(weeks: Weeks, get: Get) -> Iterator[tuple[datetime, float | None]]:
    for (_, until), week in zip(weeks.spans, weeks.weeks, strict=True):
        value = None if week is None else get(week)
        yield until, None if value is None else float(value)


def _missing(weeks: Weeks, days: Sequence[Days], measured: Measured) -> Iterator[str]:
    gaps = [last_day(until) for (_, until), week in zip(weeks.spans, weeks.weeks, strict=True) if week is None]
    if gaps:
        yield f"the journal has nothing of the weeks to {', '.join(gaps)}"
    unpaid = sum(week.unpaid for week in weeks.known)
    if unpaid:
        yield f"costs and net of some weeks: the commission of {counted(unpaid, 'fill')} was not reported in their week"
    unknown = [last_day(week.until) for week in weeks.known if week.net is None and not week.unpaid]
    if unknown:
        yield f"net P&L of the weeks to {', '.join(unknown)}: what was held was not valued when a session closed"
    if not any(day.reported for day in days):
        yield "success metrics by day: no daily report of these weeks is kept"
    yield from measured.missing
