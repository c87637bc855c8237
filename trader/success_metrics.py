"""The eight success metrics, judged from one snapshot: what a status table, the demo and reports show.

Rules: pure; every ratio comes from counts, never from averages; what was not measured is ``unknown``, never
a success. These are verdicts on what one process has seen; the alerts judge over windows and restarts.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from trader.events import StartReason
from trader.snapshot import HistogramView, Snapshot

AVAILABILITY_OBJECTIVE: Final = 0.999
DECISION_THRESHOLD_S: Final = 0.35
ACK_THRESHOLD_S: Final = 2.0
LATENCY_OBJECTIVE: Final = 0.99
FILL_RATE_OBJECTIVE: Final = 0.90
ERROR_RATE_LIMIT: Final = 0.001
RESOURCE_LIMIT: Final = 0.80
UNPLANNED_STARTS: Final = (StartReason.CRASH, StartReason.WATCHDOG, StartReason.OOM)
NOT_MEASURED: Final = "not measured yet"


class Verdict(StrEnum):
    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class MetricVerdict(msgspec.Struct, frozen=True, gc=False):
    """One success metric: ``target`` and ``value`` are texts for people, ``verdict`` is for programs."""

    name: str
    target: str
    value: str
    verdict: Verdict


def evaluate(snapshot: Snapshot) -> tuple[MetricVerdict, ...]:
    """All eight, in the order in which they are always shown."""
    return tuple(MetricVerdict(name, target, *judge(snapshot)) for name, target, judge in METRICS)


Judgement = tuple[str, Verdict]


def _availability(snapshot: Snapshot) -> Judgement:
    elapsed_s, available_s = snapshot.session_elapsed_s, snapshot.session_available_s
    if not elapsed_s or available_s is None:
        return NOT_MEASURED, Verdict.UNKNOWN
    ratio = available_s / elapsed_s
    return f"{percent_text(ratio, 2)} of {_minutes(elapsed_s)} in session", _verdict(ratio >= AVAILABILITY_OBJECTIVE)


def _restarts(snapshot: Snapshot) -> Judgement:
    """Unplanned ones. The count of all days decides only when it is zero: then today's is zero as well."""
    starts = snapshot.starts if snapshot.starts_today is None else snapshot.starts_today
    unplanned = sum(starts.get(reason, 0) for reason in UNPLANNED_STARTS)
    if snapshot.starts_today is None and (unplanned or not starts):
        return NOT_MEASURED, Verdict.UNKNOWN
    return f"{unplanned} unplanned", _verdict(unplanned < 1)


def _resources(snapshot: Snapshot) -> Judgement:
    used = snapshot.resources
    if used is None:
        return NOT_MEASURED, Verdict.UNKNOWN
    ratios = {
        "memory": used.memory_ratio,
        "CPU": used.cpu_ratio,
        "files": used.open_files_ratio,
        "tasks": used.tasks_ratio,
    }
    known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    if not known:
        return "no limits are set", Verdict.UNKNOWN
    name = max(known, key=lambda name: known[name])
    return f"{percent_text(known[name], 1)} of {name}, the highest", _verdict(known[name] < RESOURCE_LIMIT)


def _error_rate(snapshot: Snapshot) -> Judgement:
    activity = snapshot.activity
    total = activity.requests + activity.decisions + activity.orders_submitted
    if not total:
        return NOT_MEASURED, Verdict.UNKNOWN
    ratio = activity.errors / total
    return f"{percent_text(ratio, 3)} ({activity.errors:,} of {total:,})", _verdict(ratio < ERROR_RATE_LIMIT)


def _decision_latency(snapshot: Snapshot) -> Judgement:
    return _latency(snapshot.activity.decision_duration, DECISION_THRESHOLD_S, "decision")


def _order_latency(snapshot: Snapshot) -> Judgement:
    return _latency(snapshot.activity.ack_duration, ACK_THRESHOLD_S, "acknowledgement")


def _latency(durations: HistogramView, threshold_s: float, what: str) -> Judgement:
    share, p99_s = durations.share_within(threshold_s), durations.quantile(0.99)
    if share is None or p99_s is None:
        return NOT_MEASURED, Verdict.UNKNOWN
    count = durations.count
    text = f"{duration_text(p99_s)} over {count:,} {what}{'s' if count != 1 else ''}"
    return text, _verdict(share >= LATENCY_OBJECTIVE)


def _fill_rate(snapshot: Snapshot) -> Judgement:
    eligible, filled = snapshot.activity.orders_eligible, snapshot.activity.orders_eligible_filled
    if not eligible:
        return NOT_MEASURED, Verdict.UNKNOWN
    rate = filled / eligible
    return f"{percent_text(rate, 1)} ({filled:,} of {eligible:,} orders)", _verdict(rate > FILL_RATE_OBJECTIVE)


def _net_pnl(snapshot: Snapshot) -> Judgement:
    pnl = snapshot.pnl_base
    if pnl.net is None or (not pnl.net and not snapshot.activity.fills):
        return NOT_MEASURED, Verdict.UNKNOWN
    return f"{pnl.net:+,.2f} {pnl.currency} today", _verdict(pnl.net > 0)


METRICS: Final[tuple[tuple[str, str, Callable[[Snapshot], Judgement]], ...]] = (
    ("availability", "≥ 99.9 %", _availability),
    ("restarts today", "< 1", _restarts),
    ("resource usage", "< 80 %", _resources),
    ("error rate", "< 0.1 %", _error_rate),
    ("decision latency p99", "< 350 ms", _decision_latency),
    ("order latency p99", "< 2 s", _order_latency),
    ("fill rate", "> 90 %", _fill_rate),
    ("net P&L after costs", "> 0", _net_pnl),
)


def _verdict(good: bool) -> Verdict:
    return Verdict.OK if good else Verdict.BROKEN


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def percent_text(ratio: float, digits: int) -> str:
    return f"{ratio * 100:.{digits}f} %"


def duration_text(seconds: float) -> str:
    """A latency in the unit that a person would choose: ``85 µs``, ``1.8 ms``, ``1.20 s``."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.2f} s"
