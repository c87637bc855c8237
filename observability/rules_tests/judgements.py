"""Tests of what the alerts make of the recorded series, at the exact boundary of every condition.

Rules: the recorded series are given, so that a ratio can lie exactly on its limit, which no number of orders or
slices does. One condition at a time is not met. That the series are recorded right is tested elsewhere.
"""

from collections.abc import Iterator, Mapping

from observability.rules_alerts import BURN_FAST, BURN_SLOW, EXHAUSTED, NET_PNL_NEGATIVE, UNMEASURED
from observability.rules_tests.burn import session
from observability.rules_tests.series import Case, Scenario, firing, runs
from observability.slo import (
    Budgeted,
    Burn,
    BurnPair,
    Duration,
    Events,
    FewEvents,
    FewLatency,
    Holding,
    Latency,
    Pnl,
    Spec,
)
from observability.slo_gates import error_ratio_at

STEP_S, STEPS = 60, 60
ABOVE = 1.02
MANY = 1_000.0
OTHER = "other"


def scenarios(spec: Spec) -> Iterator[tuple[str, list[Scenario]]]:
    """Test files by name."""
    inside = Scenario("every condition at its boundary", STEP_S, STEPS, session(STEPS))
    closed = Scenario("after the close", STEP_S, STEPS, session(STEPS, closes_at_s=STEP_S * (STEPS // 2)))
    for alert, burn in ((BURN_FAST, spec.burn.fast), (BURN_SLOW, spec.burn.slow)):
        for name, slo in spec.budgeted().items():
            for pair in burn.pairs:
                inside.cases += _burn(spec, alert, burn, pair, name, slo)
                query = firing(alert, burn.severity, slo=name, window=pair.long)
                given = _burning(spec, pair, name, slo)
                closed.cases.append(_case(f"{name}-{pair.long}-closed", query, not burn.session_only, given))
    for name, slo in spec.budgeted().items():
        inside.cases += _budget(spec, name, slo)
    for name, few in spec.few().items():
        for window in few.windows:
            inside.cases += _few(spec, name, few, window)
    inside.cases += _coverage(spec)
    for name, any_slo in spec.slos.items():
        if isinstance(any_slo, Pnl):
            inside.cases += _profit(name, any_slo)
    yield "slo_judgements.test.yml", [inside, closed]


Given = Mapping[str, float]


def _case(name: str, query: str, fires: bool, given: Given) -> Case:
    return Case(name, query, fires, {series: runs([value] * (STEPS + 1)) for series, value in given.items()})


def _in_time(name: str, query: str, holding: Holding, broken: Given, healthy: Given) -> Iterator[Case]:
    """Only just broken does not fire yet, and only just repaired fires still, where an alert waits."""

    def series(before: Given, now: Given) -> dict[str, str]:
        return {item: runs([*([before[item]] * STEPS), now[item]]) for item in broken}

    if holding.for_.seconds:
        yield Case(f"{name}-pending", query, False, series(healthy, broken))
    if holding.keep_firing_for.seconds:
        yield Case(f"{name}-kept", query, True, series(broken, healthy))


def _given(kind: str, slo: str, windows: Mapping[Duration, float]) -> dict[str, float]:
    return {f'slo:{kind}:{window}{{slo="{slo}"}}': value for window, value in windows.items()}


def _burning(
    spec: Spec,
    pair: BurnPair,
    name: str,
    slo: Budgeted,
    in_long: float = ABOVE,
    in_short: float = ABOVE,
    bad: float = MANY,
) -> dict[str, float]:
    """Ratios in multiples of the limit; nothing is bad in any other window."""
    limit = error_ratio_at(pair.factor, slo.objective)

    def ratio(multiple: float) -> float:
        return float(limit) * multiple

    others = dict.fromkeys(spec.burn_windows(), 0.0)
    given = _given("error_ratio", name, {**others, pair.long: ratio(in_long), pair.short: ratio(in_short)})
    if isinstance(slo, Events | Latency):
        given |= _given("bad", name, {**others, pair.long: bad})
    return given


def _burn(spec: Spec, alert: str, burn: Burn, pair: BurnPair, name: str, slo: Budgeted) -> Iterator[Case]:
    query = firing(alert, burn.severity, slo=name, window=pair.long)
    called = f"{name}-{pair.long}"
    broken = _burning(spec, pair, name, slo)
    yield _case(f"{called}-above", query, True, broken)
    yield _case(f"{called}-long-at-limit", query, False, _burning(spec, pair, name, slo, in_long=1))
    yield _case(f"{called}-short-at-limit", query, False, _burning(spec, pair, name, slo, in_short=1))
    yield _case(f"{called}-of-another", query, False, _burning(spec, pair, OTHER, slo))
    if isinstance(slo, Events | Latency):
        for bad in (slo.min_bad, slo.min_bad - 1):
            given = _burning(spec, pair, name, slo, bad=bad)
            yield _case(f"{called}-{bad}-bad", query, bad >= slo.min_bad, given)
    yield from _in_time(called, query, burn, broken, _burning(spec, pair, name, slo, in_long=0, in_short=0))


def _budget(spec: Spec, name: str, slo: Budgeted) -> Iterator[Case]:
    """The remaining budget is recorded from what is given: a share that is exactly the budget leaves exactly 0."""
    query = firing(EXHAUSTED, "ticket", slo=name, policy="true")
    window, allowed = spec.budget.window, float(error_ratio_at(1, slo.objective))

    def given(total: float, bad: float, slo_name: str = name) -> dict[str, float]:
        shorter = dict.fromkeys((w for few in spec.few().values() for w in few.windows), 0.0)
        shorter |= dict.fromkeys(spec.burn_windows(), 0.0)
        totals = _given("total", slo_name, {**shorter, window: total})
        return totals | _given("bad", slo_name, {**shorter, window: bad})

    many = 1_000_000.0
    yield _case(f"{name}-spent", query, True, given(many, many * allowed))
    yield _case(f"{name}-almost-spent", query, False, given(many, many * allowed * 0.99))
    spent = {f'slo:budget_remaining_ratio{{slo="{OTHER}"}}': -1.0}
    yield _case(f"{name}-of-another-spent", query, False, given(many, many, OTHER) | spent)
    if isinstance(slo, Events | Latency):
        least = spec.budget.min_events
        for total in (least, least - 1):
            yield _case(f"{name}-{total}-events", query, total >= least, given(total, total))
        for bad in (slo.min_bad, slo.min_bad - 1):
            yield _case(f"{name}-{bad}-bad-spent", query, bad >= slo.min_bad, given(least, bad))
    yield from _in_time(f"{name}-budget", query, spec.budget.exhausted, given(many, many), given(many, 0))


def _few(spec: Spec, name: str, few: FewEvents | FewLatency, window: Duration) -> Iterator[Case]:
    query = firing(few.alert, few.severity, slo=name, window=window)
    windows = dict.fromkeys((w for other in spec.few().values() for w in other.windows), 0.0)

    def given(total: float, bad: float, slo_name: str = name) -> dict[str, float]:
        totals = _given("total", slo_name, {**windows, window: total})
        return totals | _given("bad", slo_name, {**windows, window: bad})

    called = f"{name}-{window}"
    broken = given(MANY, MANY)
    yield _case(f"{called}-broken", query, True, broken)
    yield from _in_time(called, query, few, broken, given(MANY, 0))
    if few.min_bad == 1:
        upper = dict.fromkeys(windows, 1.0)
        for suffix, ratio, slo_name in (("at", 1.0, name), ("below", 0.99, name), ("of-another", 0.5, OTHER)):
            bound = _given("good_ratio_upper", slo_name, {**upper, window: few.objective * ratio})
            totals = _given("total", slo_name, {window: MANY})
            yield _case(f"{called}-bound-{suffix}", query, ratio < 1 and slo_name == name, bound | totals)
    else:
        bound = _given("good_ratio_upper", OTHER, {window: 0.5})
        conditions = _given("total", OTHER, {window: MANY}) | _given("bad", OTHER, {window: MANY})
        yield _case(f"{called}-bound-of-another", query, False, bound | conditions)


def _coverage(spec: Spec) -> Iterator[Case]:
    cover, name = spec.coverage, next(iter(spec.slos))
    query = firing(UNMEASURED, "ticket", slo=name)

    def given(ratio: float, session_s: float) -> dict[str, float]:
        seconds = dict.fromkeys((*spec.burn_windows(), spec.budget.window), 0.0) | {cover.window: session_s}
        recorded = {f"slo:session_seconds:{window}": value for window, value in seconds.items()}
        return recorded | {f'slo:coverage_ratio:{cover.window}{{slo="{name}"}}': ratio}

    least, many = cover.min_session.seconds, 10.0 * cover.min_session.seconds
    broken = given(cover.min_ratio * 0.99, many)
    yield _case("coverage-below", query, True, broken)
    yield _case("coverage-at-limit", query, False, given(cover.min_ratio, many))
    yield _case("coverage-in-a-short-session", query, False, given(cover.min_ratio * 0.99, least))
    yield _case("coverage-in-a-longer-session", query, True, given(cover.min_ratio * 0.99, least + 1))
    yield from _in_time("coverage", query, cover, broken, given(1, many))


def _profit(name: str, slo: Pnl) -> Iterator[Case]:
    query = firing(NET_PNL_NEGATIVE, "ticket", slo=name, policy="true")

    def given(net: float, fills: float, slo_name: str = name) -> dict[str, float]:
        return {
            f'slo:net_pnl_base:{slo.window}{{slo="{slo_name}",currency="USD"}}': net,
            f'slo:fills:{slo.window}{{slo="{slo_name}"}}': fills,
        }

    yield _case(f"{name}-nothing", query, True, given(0, slo.min_fills))
    yield _case(f"{name}-a-cent", query, False, given(0.01, slo.min_fills))
    yield _case(f"{name}-no-fills", query, False, given(0, slo.min_fills - 1))
    yield _case(f"{name}-of-another", query, False, given(-5, MANY, OTHER))
    yield from _in_time(name, query, slo, given(-5, MANY), given(5, MANY))
