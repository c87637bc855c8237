"""Tests of burn rates and budgets that are counted in events.

Rules: each window of a pair has a case just above its limit and one just below, with the bad events in the older
part of the window, so that a shorter window would miss them.
"""

from collections.abc import Iterator
from math import ceil

from observability.rules_alerts import BURN_FAST, BURN_SLOW, EXHAUSTED
from observability.rules_tests.counts import scraped
from observability.rules_tests.series import Case, Scenario, burst, constant, firing
from observability.slo import Burn, BurnPair, Events, Latency, Spec
from observability.slo_gates import error_ratio_at

EVENTS_A_STEP = 20_000
MARGIN = 0.02
STEPS_A_SHORT_WINDOW = 5
BUDGET_STEP_S, BUDGET_STEPS = 300, 60
SESSION_S = 10_000_000


def session(steps: int, opens_at_s: int = 0, closes_at_s: int = SESSION_S) -> dict[str, str]:
    """The calendar's series for a session; times are seconds from the test's beginning."""
    values = {"open_timestamp": opens_at_s, "close_timestamp": closes_at_s, "elapsed_before": 0}
    return {f'trader_session_{name}_seconds{{calendar="XNYS"}}': constant(at, steps) for name, at in values.items()}


def scenarios(spec: Spec) -> Iterator[tuple[str, list[Scenario]]]:
    """Test files by name; each pair of windows has a clock that is fine enough for its short window."""
    for alert, burn in ((BURN_FAST, spec.burn.fast), (BURN_SLOW, spec.burn.slow)):
        for pair in burn.pairs:
            yield f"slo_burn_{pair.long}.test.yml", _pair(spec, alert, burn, pair)
    yield "slo_budgets.test.yml", [_budgets(spec)]


def _pair(spec: Spec, alert: str, burn: Burn, pair: BurnPair) -> list[Scenario]:
    step_s = pair.short.seconds // STEPS_A_SHORT_WINDOW
    steps = pair.long.seconds // step_s + 10
    closes_at_s = step_s * (steps - 1) - burn.keep_firing_for.seconds
    what = f"{alert} {pair.long} and {pair.short}"
    inside = Scenario(f"{what}: just above and just below its limits", step_s, steps, session(steps))
    outside = Scenario(f"{what}: after the close", step_s, steps, session(steps, closes_at_s=closes_at_s))
    for name, slo in spec.budgeted().items():
        if isinstance(slo, Events | Latency):
            query = firing(alert, burn.severity, slo=name, window=pair.long)
            inside.cases += _cases(f"{name}-{pair.long}", query, burn, pair, slo, step_s, steps)
            above = _above(f"{name}-{pair.long}-closed", query, pair, slo, step_s, steps)
            outside.cases.append(Case(above.name, query, not burn.session_only, above.series))
    return [inside, outside]


def _cases(
    name: str, query: str, burn: Burn, pair: BurnPair, slo: Events | Latency, step_s: int, steps: int
) -> Iterator[Case]:
    long, short = pair.long.seconds // step_s, pair.short.seconds // step_s
    limit = float(error_ratio_at(pair.factor, slo.objective)) * EVENTS_A_STEP
    needs_long, needs_short = round(limit * long), round(limit * short)
    above_short, above_long = ceil(needs_short * (1 + MARGIN)), ceil(needs_long * (1 + MARGIN))

    def case(suffix: str, fires: bool, in_long: float, in_short: float) -> Case:
        old, young = burst(steps, long, in_long - in_short), burst(steps, short, in_short)
        bad = [a + b for a, b in zip(old, young, strict=True)]
        good = [EVENTS_A_STEP - count for count in bad]
        return Case(f"{name}-{suffix}", query, fires, scraped(slo, good, bad))

    yield _above(f"{name}-above", query, pair, slo, step_s, steps)
    yield case("long-at-limit", False, needs_long, above_short)
    yield case("short-at-limit", False, above_long, needs_short)
    yield Case(f"{name}-healthy", query, False, scraped(slo, [EVENTS_A_STEP] * steps, [0] * steps))
    for count in (slo.min_bad, slo.min_bad - 1):
        few = [a + b for a, b in zip(burst(steps, long, count - 1), burst(steps, short, 1), strict=True)]
        yield Case(f"{name}-{count}-bad", query, count >= slo.min_bad, scraped(slo, burst(steps, short, 1), few))
    if burn.for_.seconds:
        only_now = [0.0] * (steps - 1) + [float(ceil(needs_long * 2))]
        good = [max(0.0, EVENTS_A_STEP - count) for count in only_now]
        yield Case(f"{name}-pending", query, False, scraped(slo, good, only_now))
    if isinstance(slo, Events):
        for number in range(1, len(slo.bad)):
            bad = burst(steps, short, above_long)
            yield Case(f"{name}-bad-{number}", query, True, scraped(slo, [EVENTS_A_STEP] * steps, bad, only=number))


def _above(name: str, query: str, pair: BurnPair, slo: Events | Latency, step_s: int, steps: int) -> Case:
    long, short = pair.long.seconds // step_s, pair.short.seconds // step_s
    limit = float(error_ratio_at(pair.factor, slo.objective)) * EVENTS_A_STEP * (1 + MARGIN)
    old, young = burst(steps, long, ceil(limit * (long - short))), burst(steps, short, ceil(limit * short))
    bad = [a + b for a, b in zip(old, young, strict=True)]
    return Case(name, query, True, scraped(slo, [EVENTS_A_STEP - count for count in bad], bad))


def _budgets(spec: Spec) -> Scenario:
    """Budgets at the last bad event that they allow, and at the first that they do not."""
    steps = BUDGET_STEPS
    scenario = Scenario(f"{EXHAUSTED}: the last bad event and the one before", BUDGET_STEP_S, steps, session(steps))
    for name, slo in spec.budgeted().items():
        if not isinstance(slo, Events | Latency):
            continue
        query = firing(EXHAUSTED, "ticket", slo=name, policy="true")
        total = 100_000
        allowed = round(total * (1 - slo.objective))
        enough = spec.budget.min_events
        amounts = {
            "spent": (total, allowed + 1, True),
            "left": (total, allowed - 1, False),
            "enough-events": (enough, enough // 2, True),
            "few-events": (enough - 1, enough // 2, False),
            "enough-bad": (enough, slo.min_bad, slo.min_bad > enough * (1 - slo.objective)),
            "few-bad": (enough, slo.min_bad - 1, False),
        }
        for suffix, (count, bad, fires) in amounts.items():
            bads = burst(steps, steps, bad)
            goods = burst(steps, steps, count - bad)
            scenario.cases.append(Case(f"{name}-{suffix}", query, fires, scraped(slo, goods, bads)))
        late = [0.0] * (steps - 1) + [float(enough)]
        scenario.cases.append(Case(f"{name}-pending", query, False, scraped(slo, [0.0] * steps, late)))
    return scenario
