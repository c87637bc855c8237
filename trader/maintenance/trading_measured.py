"""What Prometheus says of a period's trading that no durable fact says.

Rules: each question by itself; what it does not answer, or answers for several traders, is named and left out. The
selectors are those of alerts/slo.yaml (a test compares them), over the period instead of their windows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from trader.maintenance.context import Context
from trader.maintenance.measures import one_value, window
from trader.maintenance.sources import Unavailable
from trader.success_metrics import DECISION_THRESHOLD_S, LATENCY_OBJECTIVE

POINTS_MAX: Final = 720
STEP_MIN_S: Final = 60
# Of alerts/slo.yaml: availability in slices, the bad and all of what the error rate counts.
SLICE_SLACK_S: Final = 15
BAD: Final = (
    'trader_broker_requests_total{job="trader",outcome=~"timeout|error"}',
    'trader_decisions_total{job="trader",outcome="error"}',
    'trader_orders_final_total{job="trader",outcome=~"rejected|error"}',
    'trader_broker_decode_failures_total{job="trader"}',
)
ALL: Final = (
    'trader_broker_requests_total{job="trader"}',
    'trader_decisions_total{job="trader"}',
    'trader_orders_submitted_total{job="trader"}',
)
DECISIONS: Final = "trader_decision_duration_seconds"
CUMULATIVE: Final = 'trader_pnl_net_cumulative_base{job="trader"}'


@dataclass
class Measured:
    """What Prometheus says of the period; None where it says nothing. ``missing`` has why a figure is not there."""

    available_ratio: float | None = None
    error_ratio: float | None = None
    decisions: float | None = None
    decisions_within: float | None = None
    decision_p99_s: float | None = None
    equity: tuple[tuple[datetime, float | None], ...] = ()
    missing: list[str] = field(default_factory=list)


def measure(context: Context) -> Measured:
    """Ask Prometheus for what no fact says; one that does not answer is asked no more."""
    measured = Measured()
    span = window(context.until - context.since)
    questions: tuple[tuple[str, Callable[[Context, Measured, str], None]], ...] = (
        ("availability", _ask_availability),
        ("error rate", _ask_errors),
        ("decision latency", _ask_decisions),
        ("net P&L with open positions over time", _ask_equity),
    )
    for name, ask in questions:
        try:
            ask(context, measured, span)
        except Unavailable as error:
            measured.missing.append(f"{name}: {error}")
    return measured


def _ask_availability(context: Context, measured: Measured, span: str) -> None:
    total_s = one_value(context, f"max by (instance) (increase(slo:session_elapsed_seconds_total[{span}]))")
    bad = 'sum_over_time(slo:slice_bad_seconds{slo="availability"}[' + span + "])"
    seen = 'sum_over_time(slo:slice_measured_seconds{slo="availability"}[' + span + "])"
    bad_s = one_value(context, f"max by (instance) ({bad})")
    seen_s = one_value(context, f"max by (instance) ({seen})")
    if not total_s or bad_s is None or seen_s is None:
        raise Unavailable("Prometheus has nothing of it in this time")
    unseen_s = max(total_s - seen_s - SLICE_SLACK_S, 0.0)
    measured.available_ratio = max(1.0 - (bad_s + unseen_s) / total_s, 0.0)


def _ask_errors(context: Context, measured: Measured, span: str) -> None:
    total = one_value(context, _increase(ALL, span))
    if not total:
        raise Unavailable("Prometheus has no request, decision or order in this time")
    measured.error_ratio = (one_value(context, _increase(BAD, span)) or 0.0) / total


def _increase(selectors: tuple[str, ...], span: str) -> str:
    return f"sum by (instance) ({' or '.join(f'increase({selector}[{span}])' for selector in selectors)})"


def _ask_decisions(context: Context, measured: Measured, span: str) -> None:
    within = f'{DECISIONS}_bucket{{job="trader",le="{DECISION_THRESHOLD_S:g}"}}'
    measured.decisions = one_value(context, f'sum by (instance) (increase({DECISIONS}_count{{job="trader"}}[{span}]))')
    if not measured.decisions:
        raise Unavailable("Prometheus has no decision in this time")
    measured.decisions_within = one_value(context, f"sum by (instance) (increase({within}[{span}]))")
    buckets = f'sum by (instance, le) (increase({DECISIONS}_bucket{{job="trader"}}[{span}]))'
    measured.decision_p99_s = one_value(context, f"histogram_quantile({LATENCY_OBJECTIVE:g}, {buckets})")


def _ask_equity(context: Context, measured: Measured, span: str) -> None:
    seconds = (context.until - context.since).total_seconds()
    step_s = max(STEP_MIN_S, -(-int(seconds) // POINTS_MAX))
    series = context.query_range(CUMULATIVE, step_s)
    if len({one.labels.get("instance", "") for one in series}) > 1:
        raise Unavailable("Prometheus watches several traders here")
    points = sorted(point for one in series for point in one.values if isfinite(point[1]))
    if not points:
        raise Unavailable("Prometheus has nothing of it in this time")
    measured.equity = tuple(_with_gaps(points, step_s))


def _with_gaps(points: list[tuple[float, float]], step_s: float) -> Iterator[tuple[datetime, float | None]]:
    """The curve from zero; an unknown point where some were not measured."""
    first, before = points[0][1], points[0][0]
    for at, value in points:
        if at - before > 1.5 * step_s:
            yield datetime.fromtimestamp(before + step_s, UTC), None
        yield datetime.fromtimestamp(at, UTC), value - first
        before = at
