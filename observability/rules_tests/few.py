"""Tests of objectives over few events, and of profit and loss over sessions.

Rules: each number of events has a case with the most good ones that still break the objective, and a case with one
more. The events lie in the older half of their window.
"""

from collections.abc import Iterator

from observability.rules_alerts import NET_PNL_NEGATIVE
from observability.rules_tests.burn import session
from observability.rules_tests.counts import scraped
from observability.rules_tests.series import Case, Scenario, a_series, burst, counter, firing, runs
from observability.slo import Duration, FewEvents, FewLatency, Pnl, Spec
from observability.slo_gates import wilson_fires

STEPS_A_WINDOW = 24
PROFIT_STEP_S = 6 * 3_600
EVENTS_A_DAY = 20
MANY_TIMES = 10
TRADING_SHARE = 5 / 7
CURRENCY = '{currency="USD"}'


def scenarios(spec: Spec) -> Iterator[tuple[str, list[Scenario]]]:
    """Test files by name; each window has a clock of its own."""
    for window in sorted({window for few in spec.few().values() for window in few.windows}, key=lambda w: w.seconds):
        steps = STEPS_A_WINDOW + 6
        step_s = window.seconds // STEPS_A_WINDOW
        orders = Scenario(f"orders in {window}: one good one less and one more", step_s, steps, session(steps))
        for name, few in spec.few().items():
            if window in few.windows:
                orders.cases += _few(name, few, window, steps)
        yield f"slo_few_{window}.test.yml", [orders]
    for name, slo in spec.slos.items():
        if isinstance(slo, Pnl):
            steps = (slo.window.seconds + slo.lookback.seconds) // PROFIT_STEP_S + 4
            profits = Scenario(f"{NET_PNL_NEGATIVE}: nothing earned, and a cent", PROFIT_STEP_S, steps, session(steps))
            profits.cases += _profits(name, slo, steps)
            yield f"slo_{name}.test.yml", [profits]


def most_good_that_fires(few: FewEvents | FewLatency, total: int) -> int | None:
    """The largest number of good events of ``total`` that breaks the objective; None when none does."""
    return next((good for good in range(total, -1, -1) if wilson_fires(few, total, good)), None)


def _few(name: str, few: FewEvents | FewLatency, window: Duration, steps: int) -> Iterator[Case]:
    query = firing(few.alert, few.severity, slo=name, window=window)
    usual = EVENTS_A_DAY * (round(window.seconds / 86_400 * TRADING_SHARE) or 1)
    for total in dict.fromkeys((few.min_events - 1, few.min_events, usual, MANY_TIMES * usual)):
        worst = most_good_that_fires(few, total)
        for good in (worst, worst + 1) if worst is not None else (0,):
            bad = total - good
            series = scraped(few, burst(steps, STEPS_A_WINDOW, good), burst(steps, STEPS_A_WINDOW, bad))
            yield Case(f"{name}-{window}-{good}of{total}", query, wilson_fires(few, total, good), series)
    now = [0.0] * (steps - 1) + [float(few.min_events)]
    yield Case(f"{name}-{window}-pending", query, False, scraped(few, [0.0] * steps, now))


def _profits(name: str, slo: Pnl, steps: int) -> Iterator[Case]:
    query = firing(NET_PNL_NEGATIVE, "ticket", slo=name, policy="true")
    begin = steps - slo.window.seconds // PROFIT_STEP_S
    fills = a_series((slo.fills,))
    cumulative = f"{slo.cumulative}{CURRENCY}"

    def case(suffix: str, fires: bool, values: list[float | None], traded: int = slo.min_fills) -> Case:
        series = {cumulative: runs(values), fills: counter(burst(steps, steps - begin, traded))}
        return Case(f"{name}-{suffix}", query, fires, series)

    def path(start: float, middle: float, end: float) -> list[float | None]:
        half = (steps + 1 - begin) // 2
        return [*([start] * (begin + 1)), *([middle] * half), *([end] * (steps - begin - half))]

    yield case("nothing", True, path(100, 50, 100))
    yield case("a-cent", False, path(100, 50, 100.01))
    yield case("a-loss-that-recovers", True, path(100, 50, 60))
    yield case("a-gain-that-shrinks", False, path(100, 150, 110))
    yield case("no-fills", False, path(100, 100, 100), slo.min_fills - 1)
    yield case("young", False, [*([None] * (begin + 2)), *([-5.0] * (steps - begin - 1))])
    off = 2 * 86_400 // PROFIT_STEP_S
    yield case("off-for-two-days", True, [*path(100, 50, 90)[:-off], *([None] * off)])
    yield case("pending", False, [*path(100, 150, 110)[:-1], 90.0])
