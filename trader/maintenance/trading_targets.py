"""A period's trading against the success metrics: the same names, targets and objectives as everywhere.

Rules: pure; what was not measured is unknown, never met. Resources have a section of their own.
"""

from collections import Counter
from decimal import Decimal
from typing import Final

from trader.contracts import ZERO
from trader.maintenance.measures import counted, quantile, share_within
from trader.maintenance.trading import BaseResult, Trading
from trader.maintenance.trading_measured import Measured
from trader.success_metrics import (
    ACK_THRESHOLD_S,
    AVAILABILITY_OBJECTIVE,
    ERROR_RATE_LIMIT,
    FILL_RATE_OBJECTIVE,
    LATENCY_OBJECTIVE,
    METRICS,
    NOT_MEASURED,
    UNPLANNED_STARTS,
    Verdict,
    duration_text,
    percent_text,
)

RESOURCES: Final = "resource usage"

Row = tuple[str, str, str, Verdict]


def success_metrics(trading: Trading, measured: Measured, result: BaseResult, currency: str) -> tuple[Row, ...]:
    """Name, target, value and verdict of each success metric over the period; resources have a section of their own."""
    judged = {
        "availability": _at_least(measured.available_ratio, AVAILABILITY_OBJECTIVE, 2, ""),
        "restarts today": _restarts(trading.starts),
        "error rate": _error_rate(measured.error_ratio),
        "decision latency p99": _decisions(measured),
        "order latency p99": _acknowledgements(trading.ack_s),
        "fill rate": _fill_rate(*trading.fill_rate()),
        "net P&L after costs": _net(result.net, trading.fills, currency),
    }
    return tuple((name, target, *judged[name]) for name, target, _ in METRICS if name != RESOURCES)


Judgement = tuple[str, Verdict]
UNMEASURED: Final = (NOT_MEASURED, Verdict.UNKNOWN)


def _at_least(ratio: float | None, objective: float, digits: int, more: str) -> Judgement:
    if ratio is None:
        return UNMEASURED
    return f"{percent_text(ratio, digits)}{more}", Verdict.OK if ratio >= objective else Verdict.BROKEN


def _restarts(starts: Counter[str]) -> Judgement:
    unplanned = sum(starts[reason] for reason in UNPLANNED_STARTS)
    return f"{unplanned} unplanned of {counted(starts.total(), 'start')}", _verdict(unplanned < 1)


def _error_rate(ratio: float | None) -> Judgement:
    return UNMEASURED if ratio is None else (percent_text(ratio, 3), _verdict(ratio < ERROR_RATE_LIMIT))


def _decisions(measured: Measured) -> Judgement:
    total, within, p99_s = measured.decisions, measured.decisions_within, measured.decision_p99_s
    if not total or within is None or p99_s is None:
        return UNMEASURED
    return f"{duration_text(p99_s)} over {counted(round(total), 'decision')}", _verdict(
        within / total >= LATENCY_OBJECTIVE
    )


def _acknowledgements(ack_s: list[float]) -> Judgement:
    p99_s, share = quantile(ack_s, LATENCY_OBJECTIVE), share_within(ack_s, ACK_THRESHOLD_S)
    if p99_s is None or share is None:
        return UNMEASURED
    return f"{duration_text(p99_s)} over {counted(len(ack_s), 'order')}", _verdict(share >= LATENCY_OBJECTIVE)


def _fill_rate(filled: int, eligible: int) -> Judgement:
    if not eligible:
        return UNMEASURED
    text = f"{percent_text(filled / eligible, 1)} ({filled:,} of {counted(eligible, 'order')})"
    return text, _verdict(filled / eligible > FILL_RATE_OBJECTIVE)


def _net(net: Decimal | None, fills: int, currency: str) -> Judgement:
    if net is None or not (net or fills):
        return UNMEASURED
    return f"{net:+,.2f} {currency}", _verdict(net > ZERO)


def _verdict(good: bool) -> Verdict:
    return Verdict.OK if good else Verdict.BROKEN
