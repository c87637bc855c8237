"""Tests of availability and of coverage, in slices of session time.

Rules: each way of not being available makes slices bad, also being gone; the limits are told apart by one slice.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import floor

from observability.promql import bucket
from observability.rules_alerts import BURN_FAST, BURN_SLOW, EXHAUSTED, UNMEASURED
from observability.rules_recording import session_floor_seconds
from observability.rules_tests.burn import session
from observability.rules_tests.series import Case, Scenario, firing, runs
from observability.slo import BurnPair, Duration, Latency, Spec, TimeSlices
from observability.slo_gates import error_ratio_at

HOUR_S = 4_500
READY = "trader_ready"


def scenarios(spec: Spec) -> Iterator[tuple[str, list[Scenario]]]:
    """Test files by name."""
    step_s = spec.evaluation_interval.seconds
    hour = Scenario("availability: one slice more and one less", step_s, HOUR_S // step_s, session(HOUR_S // step_s))
    for name, slo in spec.slos.items():
        if isinstance(slo, TimeSlices):
            hour.cases += _burns(spec, name, slo, hour.steps)
            hour.cases += _budget(spec, name, slo, hour.steps)
            hour.cases += _reasons(spec, name, slo, hour.steps)
        if isinstance(slo, Latency):
            hour.cases += _coverage(spec, name, slo, hour.steps)
    yield "slo_availability.test.yml", [hour, *_outside(spec), *_early(spec), *_unknown_session(spec)]


def healthy(steps: int) -> dict[str, list[float | None]]:
    """What a good trader exports, at every step."""
    fixed = {
        "up": 1.0,
        READY: 1.0,
        "trader_broker_upstream_connected": 1.0,
        "trader_market_data_stale_symbols": 1.0,
        "trader_market_data_subscribed_symbols": 2.0,
        'trader_trading_state{state="halted"}': 0.0,
        'trader_trading_state{state="reduce_only"}': 0.0,
        'trader_halted{reason="other"}': 0.0,
        'trader_halted{reason="operator"}': 0.0,
    }
    return {name: [value] * (steps + 1) for name, value in fixed.items()}


def texts(values: Mapping[str, Sequence[float | None]], step_s: int, ticks_until: int | None = None) -> dict[str, str]:
    """The series in promtool's notation, with a market that ticks until the step ``ticks_until``."""
    steps = len(values["up"]) - 1
    last = steps if ticks_until is None else ticks_until
    ticks = [float(min(step, last) * step_s) for step in range(steps + 1)]
    ticking = " ".join(f"{tick:g}" for tick in ticks[:1]) + f" {step_s}+{step_s}x{last - 1}"
    stopped = f" {last * step_s}x{steps - last - 1}" if steps > last else ""
    return {
        **{name: runs(samples) for name, samples in values.items()},
        "trader_market_data_last_tick_timestamp_seconds": ticking + stopped,
    }


def with_bad(steps: int, step_s: int, bad: Sequence[int]) -> dict[str, str]:
    """A trader that is not ready at the steps ``bad``."""
    values = healthy(steps)
    for step in bad:
        values[READY][step] = 0.0
    return texts(values, step_s)


def _burns(spec: Spec, name: str, slo: TimeSlices, steps: int) -> Iterator[Case]:
    for alert, burn in ((BURN_FAST, spec.burn.fast), (BURN_SLOW, spec.burn.slow)):
        for pair in burn.pairs:
            query = firing(alert, burn.severity, slo=name, window=pair.long)
            yield from _pair(spec, f"{name}-{pair.long}", query, pair, slo, steps)


def _pair(spec: Spec, name: str, query: str, pair: BurnPair, slo: TimeSlices, steps: int) -> Iterator[Case]:
    """The fewest bad slices that fire, and one less; a short window that is over has none."""
    step_s = spec.evaluation_interval.seconds
    limit = float(error_ratio_at(pair.factor, slo.objective))

    def needed(window: Duration) -> int:
        return floor(limit * session_floor_seconds(spec, window) / step_s + 1e-9) + 1

    in_long, in_short = needed(pair.long), needed(pair.short)
    old = max(5, steps - int(0.9 * pair.long.seconds / step_s))
    young = max(steps - int(0.9 * pair.short.seconds / step_s), old + in_long)

    def case(suffix: str, fires: bool, olds: int, youngs: int) -> Case:
        bad = [*range(old, old + olds), *range(young, young + youngs)]
        return Case(f"{name}-{suffix}", query, fires, with_bad(steps, step_s, bad))

    yield case("above", True, max(0, in_long - in_short), in_short)
    yield case("long-below", False, max(0, in_long - 1 - in_short), min(in_short, in_long - 1))
    if pair.short.seconds < (steps - old) * step_s:
        yield case("short-below", False, in_long, in_short - 1)


def _budget(spec: Spec, name: str, slo: TimeSlices, steps: int) -> Iterator[Case]:
    step_s = spec.evaluation_interval.seconds
    allowed = floor((1 - slo.objective) * spec.budget_session_seconds / step_s)
    query = firing(EXHAUSTED, "ticket", slo=name, policy="true")
    for suffix, bad in (("budget-spent", allowed + 1), ("budget-left", allowed)):
        yield Case(f"{name}-{suffix}", query, bad > allowed, with_bad(steps, step_s, range(10, 10 + bad)))
    late = range(steps - allowed, steps + 1)
    yield Case(f"{name}-budget-pending", query, False, with_bad(steps, step_s, late))


def _reasons(spec: Spec, name: str, slo: TimeSlices, steps: int) -> Iterator[Case]:
    """Every way of not being available, for the last 10 slices before the last."""
    step_s = spec.evaluation_interval.seconds
    pair = spec.burn.fast.pairs[0]
    query = firing(BURN_FAST, spec.burn.fast.severity, slo=name, window=pair.long)
    away = range(steps - 12, steps + 1)
    planned = f'trader_halted{{reason="{slo.planned_halts[0]}"}}'
    state = "trader_trading_state{{state={}}}".format
    reasons: dict[str, tuple[bool, dict[str, float | None]]] = {
        "not-scraped": (True, {"up": 0.0}),
        "not-upstream": (True, {"trader_broker_upstream_connected": 0.0}),
        "all-stale": (True, {"trader_market_data_stale_symbols": 2.0}),
        "halted": (True, {state('"halted"'): 1.0, 'trader_halted{reason="other"}': 1.0}),
        "halted-by-us": (False, {state('"halted"'): 1.0, planned: 1.0}),
        "reduce-only": (False, {state('"reduce_only"'): 1.0, 'trader_halted{reason="other"}': 1.0}),
        "nothing-known": (True, {READY: None}),
        "gone": (True, dict.fromkeys(healthy(0))),
    }
    for suffix, (fires, changes) in reasons.items():
        values = healthy(steps)
        for series, value in changes.items():
            for step in away:
                values[series][step] = value
        yield Case(f"{name}-{suffix}", query, fires, texts(values, step_s))
    silent = slo.fresh_within.seconds // step_s
    for suffix, ago in (("silent-market", silent + 8), ("quiet-market", silent - 1)):
        quiet = texts(healthy(steps), step_s, ticks_until=steps - ago)
        yield Case(f"{name}-{suffix}", query, ago > silent, quiet)


def _measured_from(spec: Spec, slo: Latency, steps: int, first: int) -> dict[str, str]:
    missing: list[float | None] = [None] * first
    known = [*missing, *([0.0] * (steps + 1 - first))]
    within = str(bucket(slo.histogram, slo.threshold_s))
    extra = {f"{slo.histogram}_count": runs(known), within: runs(known)}
    return {**texts(healthy(steps), spec.evaluation_interval.seconds), **extra}


def _coverage(spec: Spec, name: str, slo: Latency, steps: int) -> Iterator[Case]:
    query = firing(UNMEASURED, "ticket", slo=name)
    allowed = 1 - spec.coverage.min_ratio
    for suffix, share in (("unmeasured", allowed + 0.01), ("measured", allowed - 0.01)):
        series = _measured_from(spec, slo, steps, int(steps * share))
        yield Case(f"{name}-{suffix}", query, share > allowed, series)


def _early(spec: Spec) -> Iterator[Scenario]:
    """Coverage is not judged before there was enough session time, and its alert waits."""
    step_s = spec.evaluation_interval.seconds
    due_s = spec.coverage.min_session.seconds + spec.coverage.for_.seconds
    name = next(name for name, slo in spec.slos.items() if isinstance(slo, Latency))
    query = firing(UNMEASURED, "ticket", slo=name)
    for offset_s, fires in ((-60, False), (60, True)):
        steps = (due_s + offset_s) // step_s
        scenario = Scenario(f"coverage {due_s + offset_s} s after the open", step_s, steps, session(steps))
        scenario.cases.append(Case(f"{name}-early", query, fires, texts(healthy(steps), step_s)))
        yield scenario


def _unknown_session(spec: Spec) -> Iterator[Scenario]:
    step_s = spec.evaluation_interval.seconds
    for offset_s, fires in ((-60, False), (60, True)):
        steps = (spec.coverage.for_.seconds + offset_s) // step_s
        scenario = Scenario(f"no calendar for {steps * step_s} s", step_s, steps, {"some_other": "0"})
        scenario.question = f"count({firing(UNMEASURED, 'ticket', slo='all')})"
        scenario.answer = fires
        yield scenario
    steps = (spec.coverage.for_.seconds + 60) // step_s
    known = Scenario("a calendar, and the market closed", step_s, steps, session(steps, opens_at_s=10**6))
    known.question = f"count({firing(UNMEASURED, 'ticket', slo='all')})"
    yield known


def _outside(spec: Spec) -> Iterator[Scenario]:
    """Nothing is bad while the market is closed, and no page comes after the close."""
    step_s, steps = spec.evaluation_interval.seconds, 480
    name = next(name for name, slo in spec.slos.items() if isinstance(slo, TimeSlices))
    pair = spec.burn.fast.pairs[0]
    page = firing(BURN_FAST, spec.burn.fast.severity, slo=name, window=pair.long)
    before = Scenario("down before the open", step_s, steps, session(steps, opens_at_s=470 * step_s))
    before.cases.append(Case(f"{name}-before-open", page, False, with_bad(steps, step_s, range(470))))
    after = Scenario("down until after the close", step_s, steps, session(steps, closes_at_s=steps * step_s - 180))
    after.cases.append(Case(f"{name}-after-close", page, False, with_bad(steps, step_s, range(430, steps + 1))))
    yield from (before, after)
