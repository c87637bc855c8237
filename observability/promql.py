"""Pieces of PromQL that the generated rules are made of, and the shape of a rule.

Rules: what is derived keeps the labels of its target, by one list; a division has a denominator that is not 0;
counts are rounded, because ``increase`` extrapolates and one event becomes 1.00008.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from observability.selectors import Matcher, Selector
from observability.slo import Spec


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"record": self.record, "expr": self.expr}
        if self.labels:
            rule["labels"] = dict(self.labels)
        return rule


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. ``for_`` and ``keep_firing_for`` are durations; "0s" leaves them out."""

    name: str
    expr: str
    for_: str
    keep_firing_for: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"alert": self.name, "expr": self.expr}
        if self.for_ != "0s":
            rule["for"] = str(self.for_)
        if self.keep_firing_for != "0s":
            rule["keep_firing_for"] = str(self.keep_firing_for)
        return {**rule, "labels": dict(self.labels), "annotations": dict(self.annotations)}


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated in order, every ``interval``."""

    name: str
    interval: str
    rules: Sequence[Recording | Alert]

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "interval": str(self.interval), "rules": [rule.document() for rule in self.rules]}


def target_labels(spec: Spec, *also: str) -> str:
    return ", ".join((*spec.target.labels, *also))


def by_target(spec: Spec, aggregation: str, expr: str, *also: str) -> str:
    """``expr`` aggregated to one series a target (and a value of ``also``)."""
    return f"{aggregation} by ({target_labels(spec, *also)}) ({expr})"


def of_traders(spec: Spec, metric: str) -> str:
    """``metric`` of the traders alone; every scraped process has the names that begin with ``process_``."""
    return f"{metric}{{{spec.target.selector}}}"


def session_open(spec: Spec) -> str:
    """1 inside a session, without labels."""
    return f"max(trader:session_open{_calendar(spec)})"


def session_elapsed(spec: Spec) -> str:
    """The session time until now, without labels."""
    return f"max(trader:session_elapsed_seconds_total{_calendar(spec)})"


def _calendar(spec: Spec) -> str:
    return f'{{calendar="{spec.session.calendar}"}}' if spec.session.calendar else ""


def in_session(spec: Spec, expr: str) -> str:
    """``expr`` while a session is open, and nothing when it is not, or when that is not known."""
    return f"{expr}\nand on () ({session_open(spec)} == 1)"


def increased(spec: Spec, slo: str, kind: str, window: str) -> str:
    """How many events of ``kind`` the SLO counted in ``window``, as a whole number for each target."""
    events = f'slo:events_total{{slo="{slo}",kind="{kind}"}}'
    return f"round(sum by ({target_labels(spec)}) (increase({events}[{window}])))"


def bucket(histogram: str, threshold_s: float) -> Selector:
    """The bucket of everything within ``threshold_s``; ``le`` is spelled as the exporter does: ``2.0``."""
    return Selector(f"{histogram}_bucket", (Matcher("le", "=", str(float(threshold_s))),))


def number(value: float) -> str:
    """A number as a person would write it."""
    return f"{value:.12g}"
