"""The eight success metrics: kept, broken, or not measured yet."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from trader.snapshot import (
    ACK_BOUNDS_S,
    DECISION_BOUNDS_S,
    Histogram,
    HistogramView,
    PnlView,
    ResourceView,
    Snapshot,
)
from trader.success_metrics import Verdict, duration_text, evaluate

Make = Callable[..., Snapshot]


def latencies(bounds: tuple[float, ...], *values: tuple[float, int]) -> HistogramView:
    histogram = Histogram(bounds)
    for value, count in values:
        for _ in range(count):
            histogram.observe(value)
    return histogram.freeze()


def pnl(realized: str | None, commission: str = "0") -> PnlView:
    return PnlView(
        currency="USD",
        realized=None if realized is None else Decimal(realized),
        unrealized=Decimal(0),
        commission=Decimal(commission),
        fees=Decimal(0),
        commissions_missing=0,
    )


def judge(snapshot: Snapshot, name: str) -> tuple[str, Verdict]:
    (found,) = [metric for metric in evaluate(snapshot) if metric.name == name]
    return found.value, found.verdict


def test_there_are_eight_and_a_healthy_service_keeps_them_all(make_snapshot: Make) -> None:
    verdicts = evaluate(make_snapshot())
    assert len(verdicts) == 8
    assert {metric.verdict for metric in verdicts} == {Verdict.OK}


SCENARIOS: list[tuple[str, dict[str, Any], str, Verdict]] = [
    ("availability", {"session_available_s": 7_000.0}, "93.83 % of 124 min in session", Verdict.BROKEN),
    ("availability", {"session_elapsed_s": 0.0}, "not measured yet", Verdict.UNKNOWN),
    ("availability", {"session_available_s": None}, "not measured yet", Verdict.UNKNOWN),
    ("restarts today", {"starts_today": {"crash": 1, "manual": 2}}, "1 unplanned", Verdict.BROKEN),
    ("restarts today", {"starts_today": {"deploy": 3}}, "0 unplanned", Verdict.OK),
    ("restarts today", {"starts_today": None, "starts": {"crash": 4}}, "not measured yet", Verdict.UNKNOWN),
    ("restarts today", {"starts_today": None, "starts": {"manual": 4}}, "0 unplanned", Verdict.OK),
    ("restarts today", {"starts_today": None, "starts": {}}, "not measured yet", Verdict.UNKNOWN),
    ("resource usage", {"resources": None}, "not measured yet", Verdict.UNKNOWN),
    ("resource usage", {"resources": ResourceView()}, "no limits are set", Verdict.UNKNOWN),
    (
        "resource usage",
        {"resources": ResourceView(memory_ratio=0.81, cpu_ratio=0.1)},
        "81.0 % of memory, the highest",
        Verdict.BROKEN,
    ),
    ("error rate", {"activity__errors": 49}, "0.101 % (49 of 48,356)", Verdict.BROKEN),
    ("error rate", {"activity__errors": 48}, "0.099 % (48 of 48,356)", Verdict.OK),
    (
        "error rate",
        {"activity__requests": 0, "activity__decisions": 0, "activity__orders_submitted": 0},
        "not measured yet",
        Verdict.UNKNOWN,
    ),
    (
        "decision latency p99",
        {"activity__decision_duration": latencies(DECISION_BOUNDS_S, (0.35, 99), (0.4, 1))},
        "350 ms over 100 decisions",
        Verdict.OK,
    ),
    (
        "decision latency p99",
        {"activity__decision_duration": latencies(DECISION_BOUNDS_S, (0.34, 98), (0.4, 2))},
        "425 ms over 100 decisions",
        Verdict.BROKEN,
    ),
    ("order latency p99", {"activity__ack_duration": latencies(ACK_BOUNDS_S)}, "not measured yet", Verdict.UNKNOWN),
    (
        "order latency p99",
        {"activity__ack_duration": latencies(ACK_BOUNDS_S, (2.5, 1))},
        "2.99 s over 1 acknowledgement",
        Verdict.BROKEN,
    ),
    ("fill rate", {"activity__orders_eligible_filled": 36}, "90.0 % (36 of 40 orders)", Verdict.BROKEN),
    ("fill rate", {"activity__orders_eligible_filled": 37}, "92.5 % (37 of 40 orders)", Verdict.OK),
    ("fill rate", {"activity__orders_eligible": 0}, "not measured yet", Verdict.UNKNOWN),
    ("net P&L after costs", {"pnl_base": pnl("10.00", "-10.01")}, "-0.01 USD today", Verdict.BROKEN),
    ("net P&L after costs", {"pnl_base": pnl(None)}, "not measured yet", Verdict.UNKNOWN),
    ("net P&L after costs", {"pnl_base": pnl("0"), "activity__fills": 0}, "not measured yet", Verdict.UNKNOWN),
]


@pytest.mark.parametrize(("name", "changes", "value", "verdict"), SCENARIOS)
def test_it_judges_each_metric_by_its_target(
    make_snapshot: Make, name: str, changes: dict[str, Any], value: str, verdict: Verdict
) -> None:
    assert judge(make_snapshot(**changes), name) == (value, verdict)


@pytest.mark.parametrize(("seconds", "text"), [(0.000085, "85 µs"), (0.0018, "1.8 ms"), (1.2, "1.20 s")])
def test_a_latency_is_shown_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
