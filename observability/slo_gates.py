"""What an objective must be able to do before rules are made of it.

Rules: a rule that can never fire, or is silently empty, is worse than none, because it is trusted. Each check
yields sentences: which key, what is wrong, what would be right.
"""

from collections.abc import Iterator
from decimal import Decimal
from math import sqrt

from observability.catalogue import Kind
from observability.catalogue.risk import HALT_REASONS
from observability.selectors import Selector, SelectorError, matchers, metric_called
from observability.slo import (
    AnySlo,
    Count,
    Events,
    Few,
    FewEvents,
    FewLatency,
    Latency,
    Pnl,
    Saturation,
    Spec,
    TimeSlices,
)

COUNTED_KINDS = (Kind.COUNTER,)
MIN_EVALUATIONS = 4


def problems(spec: Spec) -> Iterator[str]:
    """Everything about ``spec`` that would make a rule silent or meaningless."""
    yield from _windows(spec)
    yield from _target(spec)
    yield from _fireable(spec)
    for name, slo in spec.slos.items():
        yield from (f"slos.{name}{problem}" for problem in _slo(slo))


def error_ratio_at(factor: float, objective: float) -> Decimal:
    """The share of errors at which the budget of ``objective`` burns ``factor`` times too fast, exactly."""
    return (Decimal(str(factor)) * (1 - Decimal(str(objective)))).normalize()


def _fireable(spec: Spec) -> Iterator[str]:
    alerts = (("burn.fast", spec.burn.fast), ("burn.slow", spec.burn.slow))
    for name, slo in spec.budgeted().items():
        for key, burn in alerts:
            for number, pair in enumerate(burn.pairs):
                needed = error_ratio_at(pair.factor, slo.objective)
                if needed >= 1:
                    yield (
                        f"{key}.pairs.{number}: cannot fire for {name}: burning an objective of {slo.objective:.4%} "
                        f"{pair.factor:g} times too fast needs {needed:.0%} errors; judge {name} by a Wilson bound "
                        "(kind few_events), or lower the factor"
                    )
    for name, few in spec.few().items():
        if not wilson_fires(few, few.min_events, 0):
            yield (
                f"slos.{name}.min_events: {few.min_events} events cannot break an objective of {few.objective:g} at "
                f"z = {few.z:g} even when all of them are bad"
            )


def wilson_fires(few: Few, total: int, good: int) -> bool:
    """Whether the upper Wilson bound of ``good`` of ``total`` is below the objective, and enough events are bad."""
    expected = total * few.objective
    surprised = expected - good > few.z * sqrt(expected * (1 - few.objective))
    return surprised and total >= few.min_events and total - good >= few.min_bad


def _windows(spec: Spec) -> Iterator[str]:
    shortest = MIN_EVALUATIONS * spec.evaluation_interval.seconds
    for window in spec.burn_windows():
        if window.seconds < shortest:
            yield f"burn: the window {window} holds fewer than {MIN_EVALUATIONS} evaluations"
        if window.seconds >= spec.budget.window.seconds:
            yield f"burn: the window {window} must be shorter than the budget's, {spec.budget.window}"
    for name, few in spec.few().items():
        for window in few.windows:
            if window.seconds > spec.budget.window.seconds:
                yield f"slos.{name}.windows: {window} is longer than the budget's window, {spec.budget.window}"
        if spec.budget.window not in few.windows:
            yield f"slos.{name}.windows: must contain the budget's window, {spec.budget.window}"
    if spec.budget_session_seconds > spec.budget.window.seconds:
        yield "session: more session time than the budget's window is long; check length and sessions_per_budget"
    if spec.coverage.min_session.seconds > spec.coverage.window.seconds:
        yield "coverage.min_session: is longer than coverage.window, so that coverage would never be judged"
    if spec.long_evaluation_interval.seconds > 120:
        yield "long_evaluation_interval: more than 2m leaves gaps in what other rules read"


def _target(spec: Spec) -> Iterator[str]:
    for required in ("job", "instance"):
        if required not in spec.target.labels:
            yield f"target.labels: must contain {required}"
    try:
        matchers(spec.target.selector)
    except SelectorError as error:
        yield f"target.selector: {error}"


def _slo(slo: AnySlo) -> Iterator[str]:
    match slo:
        case Latency() | FewLatency():
            yield from _bucket(slo)
        case Events():
            yield from _counters(".bad", slo.bad)
            yield from _counters(".total", slo.total)
        case FewEvents():
            yield from _counters(".good", slo.good)
            yield from _counters(".total", slo.total)
        case Count():
            yield from _counters(".counter", (slo.counter,))
        case Pnl():
            yield from _counters(".fills", (slo.fills,))
            yield from _gauge(".cumulative", slo.cumulative)
        case Saturation():
            yield from _saturation(slo)
        case TimeSlices():
            for reason in slo.planned_halts:
                if reason not in HALT_REASONS:
                    yield f".planned_halts: {reason} is no reason of trader_halted; those are {', '.join(HALT_REASONS)}"


def _bucket(slo: Latency | FewLatency) -> Iterator[str]:
    metric = metric_called(slo.histogram)
    if metric.kind is not Kind.HISTOGRAM or metric.name != slo.histogram:
        yield f".histogram: {slo.histogram} is no histogram"
    elif slo.threshold_s not in metric.buckets:
        bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
        yield f".threshold_s: {metric.name} has no bucket at {slo.threshold_s:g} s; its bounds are {bounds}"


def _counters(key: str, chosen: tuple[Selector, ...]) -> Iterator[str]:
    """Counters only; and no two whose series look alike without their names, because one would hide the other."""
    seen: dict[frozenset[str], str] = {}
    for selector in chosen:
        if selector.metric.kind not in COUNTED_KINDS:
            yield f"{key}: {selector.name} is a {selector.metric.kind}, and only counters can be counted"
        labels = frozenset(selector.metric.label_names)
        if labels in seen:
            yield f"{key}: {selector.name} and {seen[labels]} have the same labels: one would hide the other"
        seen[labels] = selector.name


def _gauge(key: str, name: str) -> Iterator[str]:
    if metric_called(name).kind is not Kind.GAUGE:
        yield f"{key}: {name} is no gauge"


def _saturation(slo: Saturation) -> Iterator[str]:
    for name, resource in slo.resources.items():
        yield from _gauge(f".resources.{name}.limit", resource.limit)
        counted = metric_called(resource.used).kind is Kind.COUNTER
        if counted and resource.rate_window is None:
            yield f".resources.{name}: {resource.used} is a counter and needs a rate_window"
        elif not counted and resource.rate_window is not None:
            yield f".resources.{name}: {resource.used} is a gauge and takes no rate_window"
