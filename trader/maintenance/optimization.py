"""Monthly: where time goes by stage, what was slowest, and what watching costs.

Rules: stages come from the service's histograms in Prometheus, and from the durable facts, which also know which
order it was; neither is filled in by the other. What has no measurement is missing and named.
"""

import math
from typing import Final, NamedTuple

from trader.events import FillBooked, OrderIntended, OrderStateChanged
from trader.journal import JournalError
from trader.maintenance import monitoring_cost
from trader.maintenance.context import Context
from trader.maintenance.measures import one_value, window
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit, Value, worst
from trader.maintenance.order_stages import DECISIONS, ORDERS, Order, Stage, Stages, Timing
from trader.maintenance.plain import plain
from trader.maintenance.show import text_of
from trader.maintenance.sources import Unavailable
from trader.success_metrics import ACK_THRESHOLD_S, DECISION_THRESHOLD_S

KEY: Final = "optimization"
TITLE: Final = "Where time goes"
SHARES: Final = (0.5, 0.95, 0.99)
APART: Final = (
    "journal and submit apart from each other: no metric has them; the traces of orders do (tracing.otlp_endpoint)"
)


class Histogram(NamedTuple):
    """A histogram of the service; ``bound_s`` is its objective's, 0 without one."""

    stage: str
    metric: str
    bound_s: float = 0.0


class Measured(NamedTuple):
    """A stage by its histogram, seconds; quantiles are those of the buckets."""

    stage: str
    events: float
    total_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    bound_s: float


HISTOGRAMS: Final = (
    Histogram("decision: tick to decision", "trader_decision_duration_seconds", DECISION_THRESHOLD_S),
    Histogram("ack: handed over to the broker's first word", "trader_order_ack_duration_seconds", ACK_THRESHOLD_S),
    Histogram("fill: handed over to a fill", "trader_order_fill_duration_seconds"),
    Histogram("gateway: heartbeat to its answer", "trader_broker_heartbeat_duration_seconds"),
    Histogram("event loop: how late a timer ran", "trader_event_loop_lag_seconds"),
    Histogram("data: age of the quote decided on", "trader_market_data_age_at_decision_seconds"),
)


def run(context: Context) -> Section:
    """The stages from both sources, the slowest, and the monitoring's cost."""
    missing: list[str] = []
    measured = measure(context, missing)
    stages = fold(context, missing)
    cost = monitoring_cost.look(context)
    return section(measured, stages, cost, missing)


def measure(context: Context, missing: list[str]) -> list[Measured]:
    """Each histogram over the period; one that nothing was counted in is missing."""
    found = []
    for item in HISTOGRAMS:
        try:
            found.append(_measured(context, item))
        except Unavailable as error:
            missing.append(f"{item.stage}, from {item.metric}: {error}")
    return found


def _measured(context: Context, item: Histogram) -> Measured:
    span = window(context.until - context.since)

    def ask(text: str) -> float | None:
        return one_value(context, text.format(metric=item.metric, span=span))

    count = ask("sum by (instance) (increase({metric}_count[{span}]))")
    if not count or not math.isfinite(count):
        raise Unavailable("nothing was counted in this time")
    bucket = "sum by (instance, le) (increase({metric}_bucket[{span}]))"
    p50_s, p95_s, p99_s = (ask(f"histogram_quantile({share}, {bucket})") for share in SHARES)
    total_s = ask("sum by (instance) (increase({metric}_sum[{span}]))")
    return Measured(item.stage, count, total_s, p50_s, p95_s, p99_s, item.bound_s)


def fold(context: Context, missing: list[str]) -> Stages | None:
    """The stages by the durable facts; None when the journal cannot be read."""
    try:
        stages = Stages().take(context.facts(OrderIntended, OrderStateChanged, FillBooked))
    except (Unavailable, JournalError) as error:
        missing.append(f"stages and slowest orders, from the journal: {error}")
        return None
    unmeasured = [stage for stage in Stage if not stages.durations[stage]]
    if unmeasured:
        missing.append(f"from the journal, which has no such order in this time: {'; '.join(unmeasured)}")
    return stages


def section(measured: list[Measured], stages: Stages | None, cost: monitoring_cost.Cost, missing: list[str]) -> Section:
    """The whole section; it fails for nothing: slowness has alerts of its own."""
    timings = stages.timings() if stages else []
    figures = [*_figures(measured), *cost.figures]
    tables = [*([_measured_table(measured)] if measured else []), *([_timings_table(timings)] if timings else [])]
    if stages:
        tables += [
            _slowest_table("Slowest decisions that became orders", stages.slowest(*DECISIONS), DECISIONS),
            _slowest_table("Slowest orders", stages.slowest(*ORDERS), ORDERS),
        ]
    nothing = not measured and not timings
    return Section(
        key=KEY,
        title=TITLE,
        outcome=worst([*(figure.outcome for figure in figures), Outcome.UNKNOWN if nothing else Outcome.OK]),
        sentence=sentence_of(measured, timings, figures),
        figures=tuple(figures),
        tables=(*(table for table in tables if table.rows), *cost.tables),
        notes=cost.advice,
        missing=(*missing, APART, *cost.missing),
    )


def _figures(measured: list[Measured]) -> list[Figure]:
    return [
        Figure(
            label=f"p99 of {item.stage}", value=item.p99_s, unit=Unit.SECONDS, bound=f"≤ {item.bound_s:g} s",
            outcome=Outcome.WARNING if item.p99_s is not None and item.p99_s > item.bound_s else Outcome.OK,
        )
        for item in measured if item.bound_s
    ]  # fmt: skip


def sentence_of(measured: list[Measured], timings: list[Timing], figures: list[Figure]) -> str:
    """What is out of its bound, else where an order's time goes."""
    out = [figure for figure in figures if figure.outcome is Outcome.WARNING]
    if out:
        return f"{out[0].label}: {text_of(out[0].value, out[0].unit)}, and {out[0].bound} is expected"
    way = [timing for timing in timings if timing.stage is not Stage.FILL]
    total_s = sum(timing.total_s for timing in way)
    if total_s > 0:
        most = max(way, key=lambda timing: timing.total_s)
        return f"{most.total_s / total_s:.0%} of an order's time until the broker's word goes into {most.stage}"
    if measured:
        return f"{len(measured)} stages measured, all within their bounds"
    return "no stage was measured in this time"


def _measured_table(measured: list[Measured]) -> Table:
    columns = (
        Column("Stage"), Column("Measured", Unit.COUNT), Column("Together", Unit.SECONDS), Column("p50", Unit.SECONDS),
        Column("p95", Unit.SECONDS), Column("p99", Unit.SECONDS), Column("Objective", Unit.SECONDS),
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (item.stage, round(item.events), *item[2:6], item.bound_s or None) for item in measured
    ]
    return Table.of("Stages, by the service's histograms", columns, rows)


def _timings_table(timings: list[Timing]) -> Table:
    """The share is that of the way until the broker's word; a fill is the market's."""
    total_s = sum(timing.total_s for timing in timings if timing.stage is not Stage.FILL)
    columns = (
        Column("Stage"), Column("Orders", Unit.COUNT), Column("Together", Unit.SECONDS), Column("Share", Unit.RATIO),
        Column("p50", Unit.SECONDS), Column("p95", Unit.SECONDS), Column("p99", Unit.SECONDS),
        Column("Most", Unit.SECONDS),
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for timing in timings:
        share = timing.total_s / total_s if timing.stage is not Stage.FILL and total_s > 0 else None
        row = (timing.p50_s, timing.p95_s, timing.p99_s, timing.most_s)
        rows.append((str(timing.stage), timing.orders, timing.total_s, share, *row))
    return Table.of("Stages of an order, by the journal", columns, rows)


def _slowest_table(title: str, orders: list[Order], stages: tuple[Stage, ...]) -> Table:
    columns = (
        Column("Order"), Column("Symbol"), Column("At", Unit.MOMENT), Column("Together", Unit.SECONDS),
        *(Column(stage.partition(":")[0].capitalize(), Unit.SECONDS) for stage in stages),
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (
            plain(order.order_ref), plain(order.symbol), order.intended_at, order.sum_s(*stages),
            *(order.stages.get(stage) for stage in stages),
        )
        for order in orders
    ]  # fmt: skip
    return Table.of(title, columns, rows)
