"""The weekly review and the monthly stages of orders, computed a second time from the journal's rows.

Rules: as in ``recomputed``: nothing of the product is used, and what is expected of a section is all of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from tests.unit.maintenance.recomputed import JUDGED, WEEK, Expected, Period, Row, Rows, rank

# -- weeks


@dataclass(frozen=True)
class Told:
    """A daily report that is kept: the end of its period, and its verdicts by success metric."""

    until: datetime
    verdicts: Mapping[str, str]


def review(rows: Rows, until: datetime, daily: Sequence[Told]) -> Expected:
    weeks = [(until - (back + 1) * WEEK, until - back * WEEK) for back in range(13)][::-1]
    known = [Period(rows, since, end) if rows.between(since, end) else None for since, end in weeks]
    last = known[-1]
    assert last is not None
    told = [[one for one in daily if since < one.until <= end] for since, end in weeks]
    verdicts = {name: JUDGED[verdict] for name, _, _, verdict in last.against_metrics()}
    each = [_week(week) for week in known]
    metric = {
        "Net": "net P&L after costs", "Fill rate": "fill rate", "Order latency p99": "order latency p99",
        "Unplanned starts": "restarts today",
    }  # fmt: skip
    shown = {name: value for name, value in (each[-1] or {}).items() if name not in ("Sessions", "Starts, planned")}
    return Expected(
        figures={
            name: (value, verdicts[metric[name]] if name in metric else "ok") for name, value in shown.items()
        },
        tables={
            "By week (USD)": [_week_row(weeks[place][1], week, told[place]) for place, week in enumerate(each)],
            "Last week against the weeks before": [_trend(name, each) for name in shown],
            "Against the success metrics, last week": last.against_metrics(),
            **_by_daily(told),
        },
        charts=_week_charts([end for _, end in weeks], each),
    )  # fmt: skip


def _week(period: Period | None) -> dict[str, Any] | None:
    if period is None:
        return None
    filled, eligible = period.fill_rate()
    waits = period.waits()
    return {
        "Net": period.net, "Gross": period.gross, "Costs": period.costs, "Orders": len(period.of("OrderIntended")),
        "Fills": len(period.lines), "Fill rate": filled / eligible if eligible else None,
        "Order latency p50": rank(waits, 50), "Order latency p99": rank(waits, 99),
        "Slippage, mean by value": period.slippage()[0], "Unplanned starts": period.unplanned,
        "Sessions": len(period.of("SessionClosed")), "Starts, planned": len(period.starts) - period.unplanned,
    }  # fmt: skip


def _week_row(end: datetime, week: Mapping[str, Any] | None, told: Sequence[Told]) -> tuple[Any, ...]:
    names = (
        "Sessions", "Orders", "Fills", "Fill rate", "Order latency p50", "Order latency p99",
        "Slippage, mean by value", "Gross", "Costs", "Net", "Starts, planned", "Unplanned starts",
    )  # fmt: skip
    missed = sum("broken" in one.verdicts.values() for one in told)
    days = (len(told), missed) if told else (None, None)
    return ((end - timedelta(days=1)).strftime("%Y-%m-%d"), *((week or {}).get(name) for name in names), *days)


def _trend(name: str, weeks: Sequence[Mapping[str, Any] | None]) -> tuple[Any, ...]:
    """Values of several units in one column are text: a number that a text of them has to be near to."""
    now = (weeks[-1] or {})[name]
    before = [week[name] for week in weeks[:-1] if week is not None and week[name] is not None]
    usual = sum(map(Fraction, before)) / len(before) if len(before) > 1 else None
    change = None if now is None or usual is None else Fraction(now) - usual
    word = "not known" if change is None else "lower" if change < 0 else "higher" if change else "as before"
    return (
        name,
        *(Shown(None if value is None else float(value)) for value in (now, usual, change)),
        len(before),
        word,
    )


@dataclass(frozen=True)
class Shown:
    """A number that is in the report as a text."""

    value: float | None


def _by_daily(told: Sequence[Sequence[Told]]) -> dict[str, list[tuple[Any, ...]]]:
    every = [one.verdicts for days in told for one in days]
    if not every:
        return {}
    return {
        "By the daily reports of these weeks": [
            (name, *(sum(one[name] == verdict for one in every) for verdict in ("ok", "broken", "unknown")))
            for name in every[0]
        ]
    }


def _week_charts(
    ends: Sequence[datetime], weeks: Sequence[Mapping[str, Any] | None]
) -> dict[str, dict[str, list[tuple[datetime, Any]]]]:
    wanted = {
        "P&L by week": {"net": "Net", "gross": "Gross", "costs": "Costs"},
        "Orders by week": {"orders": "Orders", "fills": "Fills"},
        "Fill rate by week": {"fill rate": "Fill rate"},
        "Order latency by week": {"p50": "Order latency p50", "p99": "Order latency p99"},
        "Starts by week": {"planned": "Starts, planned", "unplanned": "Unplanned starts"},
    }
    return {
        title: {
            line: [(end, week and week[name]) for end, week in zip(ends, weeks, strict=True)]
            for line, name in lines.items()
        }
        for title, lines in wanted.items()
    }


# -- where time goes


STAGES: Final = (
    "decision: tick to risk asked", "risk", "journal and submit: approved to handed over",
    "ack: handed over to the broker's first word", "fill: handed over to a fill",
)  # fmt: skip


def optimization(rows: Rows, since: datetime, until: datetime) -> Expected:
    period = Period(rows, since, until)
    orders = {row.body["order_ref"]: _stages(row, period) for row in period.of("OrderIntended")}
    values = {stage: [item[stage] for item in orders.values() if item[stage] is not None] for stage in STAGES[:4]}
    values[STAGES[4]] = period.fill_waits()
    way = sum(sum(values[stage]) for stage in STAGES[:4])
    at = {row.body["order_ref"]: row for row in period.of("OrderIntended")}
    return Expected(
        tables={
            "Stages of an order, by the journal": [
                (
                    stage, len(found), sum(found), None if stage is STAGES[4] else sum(found) / way,
                    *(rank(found, percent) for percent in (50, 95, 99, 100)),
                )
                for stage, found in values.items()
            ],
            "Slowest decisions that became orders": _slowest(orders, at, STAGES[:2]),
            "Slowest orders": _slowest(orders, at, STAGES[2:4]),
        }
    )  # fmt: skip


def _stages(row: Row, period: Period) -> dict[str, float | None]:
    asked, answered = row.body["risk_ns"]
    changes = [one for one in period.about(row.body["order_ref"]) if one.kind == "OrderStateChanged"]
    sent = next((one.at for one in changes if one.body["new"] == "sent"), None)
    answer = next(
        (one.at for one in changes if one.body["new"] in ("working", "filled", "cancelled", "rejected")), None
    )
    decided = row.body["approved"]["intent"]["decided_ns"]
    return {
        STAGES[0]: (asked - decided) / 1e9,
        STAGES[1]: (answered - asked) / 1e9,
        STAGES[2]: (sent - row.at).total_seconds() if sent else None,
        STAGES[3]: (answer - sent).total_seconds() if sent and answer else None,
    }


def _slowest(
    orders: Mapping[str, Mapping[str, float | None]], at: Mapping[str, Row], stages: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The twenty slowest; where some take equally long, the earlier come first."""
    found = [(sum(item[stage] or 0.0 for stage in stages), ref) for ref, item in orders.items()]
    found.sort(key=lambda pair: -pair[0])
    return [
        (
            ref, at[ref].body["approved"]["intent"]["terms"]["symbol"], at[ref].at, total,
            *(orders[ref][stage] for stage in stages),
        )
        for total, ref in found[:20]
    ]  # fmt: skip
