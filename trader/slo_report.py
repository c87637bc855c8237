"""The eight success metrics by a Prometheus's recording rules: target, now, budget left, time to exhaustion, verdict.

Rules: pure, from samples to rows. Nothing is judged here that the rules judge: the verdict is ``slo:met``. What the
rules say nothing about is unmeasured, and never met.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from trader.success_metrics import ACK_THRESHOLD_S, DECISION_THRESHOLD_S, percent_text

OBJECTIVE: Final = "slo:objective_ratio"
# Which targets are traders; other programs have processes and files too.
EXPECTED: Final = "trader:expected"
# Everything that is asked, in one query.
QUERY: Final = (
    '{__name__=~"trader:expected|slo:(objective_ratio|met|error_ratio:30d|bad:30d|total:30d|bad:1d|budget_remaining_ratio|'
    'budget_exhaustion_seconds|coverage_ratio|resource_ratio|net_pnl_base:28d|fills:28d)"}'
)
COVERAGE_LOW_RATIO: Final = 0.9
HOUR_S: Final = 3600.0


class Verdict(StrEnum):
    MET = "met"
    BROKEN = "broken"
    UNMEASURED = "unmeasured"


class SloRow(msgspec.Struct, frozen=True, kw_only=True):
    """One success metric of one trader. Texts are for people; ``exhaustion_s`` is session time at the present rate."""

    slo: str
    title: str
    target: str
    now: str
    verdict: Verdict
    objective_ratio: float | None = None
    error_ratio: float | None = None
    budget_remaining_ratio: float | None = None
    exhaustion_s: float | None = None
    coverage_ratio: float | None = None


class TraderReport(msgspec.Struct, frozen=True, kw_only=True):
    """The eight rows of one trader."""

    job: str
    instance: str
    rows: tuple[SloRow, ...]

    @property
    def broken(self) -> bool:
        return any(row.verdict is Verdict.BROKEN for row in self.rows)


class Found(NamedTuple):
    """The values of one trader and one SLO, by the rule's name; ``by_label`` has those of further labels."""

    values: Mapping[str, float]
    by_label: Mapping[str, Mapping[str, float]]


Sample = tuple[Mapping[str, str], float]
Say = Callable[[Found], str | None]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min"


def _availability(found: Found) -> str | None:
    ratio, bad_s = found.values.get("slo:error_ratio:30d"), found.values.get("slo:bad:30d")
    if ratio is None or bad_s is None:
        return None
    return f"{percent_text(1 - ratio, 3)}, {_minutes(bad_s)} bad in 30 days"


def _of(noun: str, digits: int) -> Say:
    """The share that was good, with its counts."""

    def say(found: Found) -> str | None:
        bad, total = found.values.get("slo:bad:30d"), found.values.get("slo:total:30d")
        if bad is None or not total:
            return None
        return f"{percent_text(1 - bad / total, digits)} of {total:,.0f} {noun}{'' if total == 1 else 's'}"

    return say


def _error_rate(found: Found) -> str | None:
    bad, total = found.values.get("slo:bad:30d"), found.values.get("slo:total:30d")
    if bad is None or not total:
        return None
    return f"{percent_text(bad / total, 3)}, {bad:,.0f} of {total:,.0f}"


def _restarts(found: Found) -> str | None:
    bad = found.values.get("slo:bad:1d")
    return None if bad is None else f"{bad:.0f} unplanned in 24 hours"


def _resources(found: Found) -> str | None:
    ratios = found.by_label.get("slo:resource_ratio", {})
    if not ratios:
        return None
    name = max(ratios, key=lambda key: ratios[key])
    return f"{percent_text(ratios[name], 1)} of {name}, the highest"


def _net_pnl(found: Found) -> str | None:
    nets = found.by_label.get("slo:net_pnl_base:28d", {})
    if not nets:
        return None
    return ", ".join(f"{net:+,.2f} {currency}" for currency, net in sorted(nets.items())) + " in 28 days"


class Metric(NamedTuple):
    slo: str
    title: str
    target: str
    say: Say


# The target of a ratio is filled in from its objective.
METRICS: Final = (
    Metric("availability", "availability", "≥ {good}", _availability),
    Metric("restarts", "unplanned restarts", "< 1 a day", _restarts),
    Metric("resources", "resource usage", "< 80 %", _resources),
    Metric("error_rate", "error rate", "< {bad}", _error_rate),
    Metric("decision_latency", "decision latency", f"{{good}} ≤ {DECISION_THRESHOLD_S:g} s", _of("decision", 2)),
    Metric("order_latency", "order latency", f"{{good}} ≤ {ACK_THRESHOLD_S:g} s", _of("order", 2)),
    Metric("fill_rate", "fill rate", "> {good}", _of("order", 1)),
    Metric("net_pnl", "net P&L after costs", "> 0", _net_pnl),
)


def reports(samples: Sequence[Sample]) -> tuple[TraderReport, ...]:
    """A report for every trader in ``samples``: (labels with ``__name__``, value) pairs as ``QUERY`` answers them."""
    objectives = {labels.get("slo", ""): value for labels, value in samples if labels.get("__name__") == OBJECTIVE}
    traders = sorted(
        {(labels.get("job", ""), labels.get("instance", "")) for labels, _ in samples if labels["__name__"] == EXPECTED}
    )
    return tuple(
        TraderReport(
            job=job,
            instance=instance,
            rows=tuple(_row(metric, _found(samples, job, instance, metric.slo), objectives) for metric in METRICS),
        )
        for job, instance in traders
    )


def _found(samples: Sequence[Sample], job: str, instance: str, slo: str) -> Found:
    values: dict[str, float] = {}
    by_label: dict[str, dict[str, float]] = {}
    for labels, value in samples:
        if (labels.get("job", ""), labels.get("instance"), labels.get("slo")) != (job, instance, slo):
            continue
        name = labels["__name__"]
        values[name] = value
        by_label.setdefault(name, {})[labels.get("resource") or labels.get("currency", "")] = value
    return Found(values, by_label)


def _row(metric: Metric, found: Found, objectives: Mapping[str, float]) -> SloRow:
    objective = objectives.get(metric.slo)
    met, said = found.values.get("slo:met"), metric.say(found)
    coverage = found.values.get("slo:coverage_ratio")
    unmeasured = met is None or said is None
    if said and coverage is not None and coverage < COVERAGE_LOW_RATIO:
        said += f" (only {percent_text(coverage, 0)} of session time was measured)"
    return SloRow(
        slo=metric.slo,
        title=metric.title,
        target=_target(metric.target, objective),
        now=said or "not measured",
        verdict=Verdict.UNMEASURED if unmeasured else Verdict.MET if met else Verdict.BROKEN,
        objective_ratio=objective,
        error_ratio=found.values.get("slo:error_ratio:30d"),
        budget_remaining_ratio=found.values.get("slo:budget_remaining_ratio"),
        exhaustion_s=found.values.get("slo:budget_exhaustion_seconds"),
        coverage_ratio=coverage,
    )


def _target(template: str, objective: float | None) -> str:
    if objective is None:
        return template if "{" not in template else "not known"
    return template.format(good=_percent(objective), bad=_percent(1 - objective))


def _percent(ratio: float) -> str:
    return f"{round(ratio * 100, 6):g} %"


def exhaustion_text(row: SloRow) -> str:
    """When the budget is gone at the rate of the last hour, in session time; empty where there is no budget."""
    if row.budget_remaining_ratio is None:
        return ""
    if row.budget_remaining_ratio <= 0:
        return "gone"
    if row.exhaustion_s is None:
        return "not at this rate"
    hours = row.exhaustion_s / HOUR_S
    return f"{hours:,.1f} h in session" if hours < 1000 else "more than 1,000 h in session"
