"""Objectives to recording rules: slices, session time, counts, ratios, budgets, coverage.

Rules: ``slo:bad:<window>`` and ``slo:total:<window>`` are counts (for availability: seconds of session time), and
every ratio is one over the other, never a mean of ratios. Session time is counted for each target from the day
that it is first seen, and goes on while nothing is recorded: what is missing is bad, not forgotten.
"""

from collections.abc import Iterator
from decimal import Decimal

from observability.promql import (
    Recording,
    RuleGroup,
    bucket,
    by_target,
    in_session,
    increased,
    number,
    of_traders,
    session_elapsed,
    target_labels,
)
from observability.selectors import Selector
from observability.slo import (
    AnySlo,
    Count,
    Duration,
    Events,
    FewEvents,
    FewLatency,
    Latency,
    Pnl,
    Saturation,
    Spec,
    TimeSlices,
)
from observability.slo_gates import error_ratio_at

LONG_WINDOW_S = 86_400
# A slice longer than this many evaluations is a gap: the rest of it is missing.
SLICE_MAX_INTERVALS = 4


def recording_groups(spec: Spec) -> Iterator[RuleGroup]:
    """All recording rules, in groups that are evaluated in the order in which they need each other."""
    quick, slow = spec.evaluation_interval, spec.long_evaluation_interval
    windows = (*spec.burn_windows(), *_more_windows(spec))
    short = [window for window in windows if window.seconds < LONG_WINDOW_S]
    long = [window for window in windows if window.seconds >= LONG_WINDOW_S]
    yield RuleGroup("slo_slices", quick, [*_slices(spec)])
    in_short = [rule for window in short for rule in _window(spec, window)]
    yield RuleGroup("slo_windows", quick, [*_events(spec), *in_short])
    lasting = [rule for name, slo in spec.slos.items() if isinstance(slo, Pnl) for rule in _pnl(spec, name, slo)]
    yield RuleGroup("slo_long_windows", slow, [*(rule for window in long for rule in _window(spec, window)), *lasting])
    yield RuleGroup("slo_budgets", quick, [*_budgets(spec), *_levels(spec)])


def _more_windows(spec: Spec) -> tuple[Duration, ...]:
    """The windows that are no burn window: of few events, of coverage, of the budget."""
    wanted = {spec.coverage.window, spec.budget.window, *(w for few in spec.few().values() for w in few.windows)}
    wanted |= {slo.window for slo in spec.slos.values() if isinstance(slo, Count)}
    return tuple(sorted(wanted - set(spec.burn_windows()), key=lambda window: window.seconds))


# -- slices


def _slices(spec: Spec) -> Iterator[Recording]:
    target = spec.target
    scraped = f"last_over_time(up{{{target.selector}}}[{target.expected_for}])"
    yield Recording("trader:expected", by_target(spec, "group", scraped))
    yield Recording(
        "slo:session_elapsed_seconds_total",
        f"trader:expected * on () group_left () {session_elapsed(spec)}",
    )
    # How long a slice was is measured, so it does not matter how often the rules are evaluated.
    since = f"time() - slo:slice_end_timestamp_seconds, {SLICE_MAX_INTERVALS * spec.evaluation_interval.seconds}"
    yield Recording("slo:slice_seconds", f"clamp_max({since})")
    yield Recording("slo:slice_end_timestamp_seconds", "trader:expected * time()")
    weighed = f"* on ({target_labels(spec)}) group_left () slo:slice_seconds"
    for name, slo in spec.slos.items():
        if isinstance(slo, TimeSlices):
            yield Recording("slo:slice_good", in_session(spec, f"(\n{_good(spec, slo)}\n)"), {"slo": name})
    for name, slo in spec.slos.items():
        inputs = "\n  and ".join(by_target(spec, "group", item) for item in _inputs(spec, slo))
        measured = f"(\n  {inputs}\n  or trader:expected * 0\n)" if inputs else "trader:expected"
        yield Recording("slo:slice_measured_seconds", in_session(spec, f"{measured}\n{weighed}"), {"slo": name})
    yield Recording("slo:slice_bad_seconds", f"(1 - slo:slice_good) {weighed}")


def _good(spec: Spec, slo: TimeSlices) -> str:
    """1 for a target whose slice is good, 0 for every other that is expected."""

    def value(expr: str) -> str:
        return by_target(spec, "max", expr)

    stopped = value('trader_trading_state{state=~"halted|panic"}')
    unplanned = value(f'trader_halted{{reason!~"{"|".join(slo.planned_halts)}"}}')
    return "\n".join(
        (
            "  trader:expected",
            f"  and {by_target(spec, 'min', f'up{{{spec.target.selector}}}')} == 1",
            f"  and {value('trader_ready')} == 1",
            f"  and {value('trader_broker_upstream_connected')} == 1",
            f"  and {value('trader_market_data_stale_symbols')} < {value('trader_market_data_subscribed_symbols')}",
            f"  and {value('trader_market_data_last_tick_timestamp_seconds')} > time() - {slo.fresh_within.seconds}",
            "  unless (",
            f"    {stopped} == 1",
            f"    and {unplanned} == 1",
            "  )",
            "  or trader:expected * 0",
        )
    )


def _inputs(spec: Spec, slo: AnySlo) -> tuple[str, ...]:
    """The metrics without which an SLO is not measured; all exist from a service's start."""
    match slo:
        case TimeSlices():
            return ()  # what is missing is bad, which is a measurement
        case Events() | FewEvents():
            return tuple(str(item) for item in slo.total)
        case Latency() | FewLatency():
            return (f"{slo.histogram}_count",)
        case Count():
            return (str(slo.counter),)
        case Saturation():
            return tuple(of_traders(spec, resource.used) for resource in slo.resources.values())
        case Pnl():
            return (slo.cumulative,)


# -- windows


def _events(spec: Spec) -> Iterator[Recording]:
    """What each SLO counts, one series a metric: windows that read a series of each label set cost many times more.

    Each metric stays a series of its own, because one that is missing for a moment would look like a counter's reset.
    """
    for name, slo in spec.slos.items():
        for kind, chosen in _counted(slo).items():
            for number_of, selector in enumerate(chosen, 1):
                labels = {"slo": name, "kind": kind, "part": str(number_of)}
                yield Recording("slo:events_total", by_target(spec, "sum", str(selector)), labels)


def _counted(slo: AnySlo) -> dict[str, tuple[Selector, ...]]:
    """The counters of events by kind: ``bad``, ``good``, ``total``, ``fills``."""
    match slo:
        case Events():
            return {"bad": slo.bad, "total": slo.total}
        case FewEvents():
            return {"good": slo.good, "total": slo.total}
        case Latency() | FewLatency():
            within = bucket(slo.histogram, slo.threshold_s)
            return {"good": (within,), "total": (Selector(f"{slo.histogram}_count"),)}
        case Count():
            return {"bad": (slo.counter,)}
        case Pnl():
            return {"fills": (slo.fills,)}
        case TimeSlices() | Saturation():
            return {}


def _window(spec: Spec, window: Duration) -> Iterator[Recording]:
    elapsed = f"increase(slo:session_elapsed_seconds_total[{window}])"
    yield Recording(f"slo:session_seconds:{window}", elapsed)
    for name, slo in spec.slos.items():
        if window in _windows_of(spec, slo):
            yield from _counts(spec, name, slo, window)
    ratio = f"slo:bad:{window} / (slo:total:{window} > 0)"
    yield Recording(f"slo:error_ratio:{window}", ratio)
    if window == spec.coverage.window:
        yield Recording(f"slo:coverage_ratio:{window}", _coverage(spec, window))
    if window == spec.budget.window:
        yield Recording("slo:coverage_ratio", _coverage(spec, window))


def _windows_of(spec: Spec, slo: AnySlo) -> tuple[Duration, ...]:
    match slo:
        case TimeSlices() | Events() | Latency():
            return (*spec.burn_windows(), spec.budget.window)
        case FewEvents() | FewLatency():
            return slo.windows
        case Count():
            return (slo.window,)
        case Saturation() | Pnl():
            return ()


def _counts(spec: Spec, name: str, slo: AnySlo, window: Duration) -> Iterator[Recording]:
    labels = {"slo": name}
    for kind, expr in _bad_and_total(spec, name, slo, window):
        yield Recording(f"slo:{kind}:{window}", expr, labels)
    if isinstance(slo, FewEvents | FewLatency):
        yield Recording(f"slo:good_ratio_upper:{window}", wilson_upper(name, slo.z, window), labels)


def _bad_and_total(spec: Spec, name: str, slo: AnySlo, window: Duration) -> Iterator[tuple[str, str]]:
    match slo:
        case TimeSlices():
            yield "bad", _bad_seconds(spec, name, window)
            yield "total", f"clamp_min(slo:session_seconds:{window}, {session_floor_seconds(spec, window)})"
        case Events():
            yield "bad", increased(spec, name, "bad", window)
            yield "total", increased(spec, name, "total", window)
        case FewEvents() | Latency() | FewLatency():
            yield "total", increased(spec, name, "total", window)
            total = f'slo:total:{window}{{slo="{name}"}}'
            yield "bad", f"{total}\n- ignoring (slo) {increased(spec, name, 'good', window)}"
        case Count():
            yield "bad", increased(spec, name, "bad", window)
        case Saturation() | Pnl():
            return


def session_floor_seconds(spec: Spec, window: Duration) -> int:
    """The least session time that a window's ratio is taken over, so that one slice after the open is no outage."""
    if window == spec.budget.window:
        return spec.budget_session_seconds
    return min(window.seconds, spec.session.length.seconds)


def _bad_seconds(spec: Spec, name: str, window: Duration) -> str:
    """Seconds of bad slices, and of what was never evaluated (one slice may lie across an edge of the window)."""

    def summed(what: str) -> str:
        return by_target(spec, "max", f'sum_over_time(slo:slice_{what}_seconds{{slo="{name}"}}[{window}])')

    return (
        f"{summed('bad')}\n+ clamp_min(\n  slo:session_seconds:{window}\n"
        f"  - on ({target_labels(spec)}) ({summed('measured')} + {spec.evaluation_interval.seconds}),\n  0\n)"
    )


def _coverage(spec: Spec, window: Duration) -> str:
    """Measured session time over session time, at most 1."""
    measured = f"sum_over_time(slo:slice_measured_seconds[{window}])"
    seconds = f"(slo:session_seconds:{window} > 0)"
    return f"clamp_max(\n  {measured}\n  / on ({target_labels(spec)}) group_left () {seconds},\n  1\n)"


def wilson_upper(name: str, z: float, window: Duration) -> str:
    """The upper bound of the Wilson score interval of the share of good events."""
    total = f'(slo:total:{window}{{slo="{name}"}} > 0)'
    bad = f'slo:bad:{window}{{slo="{name}"}}'
    squared = Decimal(str(z)) ** 2
    return (
        f"(\n  {total} - {bad} + {squared / 2}\n"
        f"  + {number(z)} * sqrt(({total} - {bad}) * {bad} / {total} + {squared / 4})\n"
        f")\n/ ({total} + {squared})"
    )


# -- budgets and levels


def _budgets(spec: Spec) -> Iterator[Recording]:
    budget, burning = spec.budget.window, spec.budget.burn_window
    allowed = "on (slo) group_left () slo:error_budget_ratio"
    for name, objective in spec.objectives().items():
        yield Recording("slo:objective_ratio", f"vector({number(objective)})", {"slo": name})
        # Not 1 - objective: that is 0.0010000000000000009 for 0.999, and a spent budget would be never quite 0.
        yield Recording("slo:error_budget_ratio", f"vector({error_ratio_at(1, objective):f})", {"slo": name})
    yield Recording("slo:budget_remaining_ratio", f"1 - slo:error_ratio:{budget} / {allowed}")
    yield Recording(f"slo:burn_rate:{burning}", f"slo:error_ratio:{burning} / {allowed}")
    yield Recording(
        "slo:budget_exhaustion_seconds",
        f"clamp_min(slo:budget_remaining_ratio, 0) * {spec.budget_session_seconds} / (slo:burn_rate:{burning} > 0)",
    )


def _levels(spec: Spec) -> Iterator[Recording]:
    """What has no budget, and for every SLO whether it is met."""
    for name, slo in spec.slos.items():
        if isinstance(slo, Saturation):
            yield from _saturation(spec, name, slo)
    for name, slo in spec.slos.items():
        yield Recording("slo:met", _met(spec, name, slo), {"slo": name})


def _saturation(spec: Spec, name: str, slo: Saturation) -> Iterator[Recording]:
    for resource, item in slo.resources.items():
        used, limit = of_traders(spec, item.used), of_traders(spec, item.limit)
        level = f"rate({used}[{item.rate_window}])" if item.rate_window else used
        expr = f"{by_target(spec, 'max', level)}\n/ ({by_target(spec, 'max', limit)} > 0)"
        yield Recording("slo:resource_ratio", expr, {"slo": name, "resource": resource})


def _pnl(spec: Spec, name: str, slo: Pnl) -> Iterator[Recording]:
    last = f"last_over_time({slo.cumulative}[{slo.lookback}]"
    now, before = (by_target(spec, "max", f"{last}{offset})", "currency") for offset in ("", f" offset {slo.window}"))
    yield Recording(f"slo:net_pnl_base:{slo.window}", f"{now}\n- {before}", {"slo": name})
    yield Recording(f"slo:fills:{slo.window}", increased(spec, name, "fills", slo.window), {"slo": name})


def _met(spec: Spec, name: str, slo: AnySlo) -> str:
    """1 when the objective is met, 0 when it is broken, absent when that is not known."""
    match slo:
        case TimeSlices() | Events() | Latency():
            return f'slo:budget_remaining_ratio{{slo="{name}"}} > bool 0'
        case FewEvents() | FewLatency():
            return f'slo:good_ratio_upper:{spec.budget.window}{{slo="{name}"}} >= bool {number(slo.objective)}'
        case Count():
            return f'slo:bad:{slo.window}{{slo="{name}"}} < bool {slo.less_than}'
        case Saturation():
            return f"{by_target(spec, 'max', 'slo:resource_ratio')} < bool {number(slo.below_ratio)}"
        case Pnl():
            return f"{by_target(spec, 'min', f'slo:net_pnl_base:{slo.window}')} > bool 0"
