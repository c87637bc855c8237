"""SLO and budgets: how fast each error budget burns, how long it lasts, and what the policy did about it."""

from grafana_foundation_sdk.builders import statetimeline, table, timeseries

from observability.dashboards import tiles
from observability.dashboards.frame import Board, Row
from observability.dashboards.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Column,
    lines_panel,
    query,
    table_panel,
    timeline_panel,
)
from observability.dashboards.promql import count, highest, trader
from observability.dashboards.targets import Targets

BUDGET_LIMITS = [(None, RED), (0.1, ORANGE), (0.25, YELLOW), (0.5, GREEN)]
OBJECTIVE = "max by (slo) (slo:objective_ratio)"
POLICY = {0: ("normal", GREEN), 1: ("caution", YELLOW), 2: ("no new entries", RED)}


def budgets(targets: Targets) -> Board:
    """The board of objectives and error budgets."""
    return Board(
        uid="trader-slo",
        title="SLO and budgets",
        description="How fast each error budget burns, how long it lasts, and what the policy did about it.",
        span="now-24h",
        rows=(
            Row("Success metrics", tiles.objectives(targets)),
            Row("Budgets", (_table(), _left(), _policy())),
            Row("Burn rates", (_burn("1h", targets), _burn("6h", targets), _burn("1d", targets))),
            Row(
                "What they are made of",
                (_slices(), _fill_rate(targets), _resources(targets), _pnl(), _starts(), _coverage()),
            ),
        ),
    )


def _table() -> table.Panel:
    """Objective, measured, left, lasts and coverage of each SLO."""
    measured = highest(trader("slo:error_ratio:30d"), "slo")
    return table_panel(
        "Objectives",
        "The objective, what was measured over 30 days, what is left of the budget and how long it lasts at the pace "
        "of the last hour, and the share of the expected samples that there were.",
        [
            Column("slo", "SLO"),
            Column("instance", "Instance"),
            Column("Value #A", "Objective", "percentunit", decimals=2),
            Column("Value #B", "Measured", "percentunit", decimals=3),
            Column("Value #C", "Budget left", "percentunit", decimals=1, limits=BUDGET_LIMITS),
            Column("Value #D", "Lasts", "s", decimals=1),
            Column("Value #E", "Coverage", "percentunit", decimals=1),
        ],
        f"0 * {measured} + on (slo) group_left () {OBJECTIVE}",
        f"1 - {measured}",
        highest(trader("slo:budget_remaining_ratio"), "slo"),
        highest(trader("slo:budget_exhaustion_seconds"), "slo"),
        highest(trader("slo:coverage_ratio"), "slo"),
        span=12,
        sort="Budget left",
    )


def _left() -> timeseries.Panel:
    return lines_panel(
        "Error budget left",
        "The share of the errors allowed in 30 days that has not been used; below 0 the objective is broken.",
        "percentunit",
        query(trader("slo:budget_remaining_ratio"), "{{slo}} {{instance}}"),
        limits=[(None, RED), (0, GREEN)],
        span=6,
        minimum=None,
        decimals=1,
        calcs=("lastNotNull",),
    )


def _policy() -> statetimeline.Panel:
    return timeline_panel(
        "Policy",
        "What the budget policy made of each objective. It never flattens by itself.",
        query(highest(trader("trader_budget_policy_state"), "slo"), "{{slo}} {{instance}}"),
        states=POLICY,
        span=6,
    )


def _burn(window: str, targets: Targets) -> timeseries.Panel:
    factor = targets.burn_factors[window]
    return lines_panel(
        f"Burn rate over {window}",
        f"Errors over the errors allowed; 1 uses up the budget in exactly 30 days. Above {factor:g} an alert fires "
        "as soon as its short window agrees.",
        "none",
        query(_burn_rate(window), "{{slo}} {{instance}}"),
        limits=[(None, GREEN), (1, YELLOW), (factor, RED)],
        decimals=2,
    )


def _burn_rate(window: str) -> str:
    matcher = 'slo=~"availability|error_rate|decision_latency"'
    return f"{trader(f'slo:error_ratio:{window}', matcher)} / on (slo) group_left () (1 - {OBJECTIVE})"


def _slices() -> statetimeline.Panel:
    return timeline_panel(
        "Good time",
        "Whether each moment in session counted as available. Outside a session there is nothing to count.",
        query(highest(trader("slo:slice_good"), "slo"), "{{slo}} {{instance}}"),
        query("max by (calendar) (trader:session_open)", "session {{calendar}}"),
        states={0: ("no", RED), 1: ("yes", GREEN)},
        span=8,
    )


def _fill_rate(targets: Targets) -> timeseries.Panel:
    return lines_panel(
        "Fill rate over a day",
        "The share of the eligible orders that filled and the range that the true rate is in, by Wilson's score; the "
        "alert fires when the upper end is below the objective.",
        "percentunit",
        query(_wilson(targets.fill_rate_z, +1), "at most {{instance}}"),
        query(_filled("1d"), "measured {{instance}}"),
        query(_wilson(targets.fill_rate_z, -1), "at least {{instance}}"),
        limits=[(None, RED), (targets.fill_rate, GREEN)],
        minimum=None,
        maximum=1,
        decimals=1,
        calcs=("lastNotNull", "min"),
    )


def _orders(window: str, *matchers: str) -> str:
    return f"sum by (job, instance) (increase({trader('trader_orders_final_total', *matchers)}[{window}]))"


def _filled(window: str) -> str:
    eligible = 'eligible="true"'
    filled = 'outcome="filled"'
    return f"{_orders(window, eligible, filled)} / {_orders(window, eligible)}"


def _wilson(z: float, side: int) -> str:
    share, events = f"({_filled('1d')})", _orders("1d", 'eligible="true"')
    sign = "+" if side > 0 else "-"
    square = round(z * z, 6)
    half = f"{z:g} * sqrt({share} * (1 - {share}) / {events} + {square} / (4 * {events} * {events}))"
    return f"({share} + {square} / (2 * {events}) {sign} {half}) / (1 + {square} / {events})"


def _resources(targets: Targets) -> timeseries.Panel:
    return lines_panel(
        "Resources",
        "What is used of each limit that is set.",
        "percentunit",
        *(query(tiles.used_ratio(name), f"{name} {{{{instance}}}}") for name in ("memory", "cpu", "files", "tasks")),
        limits=[(None, GREEN), (targets.resources, RED)],
        decimals=1,
    )


def _pnl() -> timeseries.Panel:
    return lines_panel(
        "Net P&L",
        "The ledger's cumulative net, after costs. The objective is a gain over 20 sessions.",
        "short",
        query(trader("trader_pnl_net_cumulative_base"), "{{currency}} {{instance}}"),
        minimum=None,
        decimals=2,
        calcs=("lastNotNull", "min", "max"),
    )


def _starts() -> timeseries.Panel:
    return lines_panel(
        "Starts in 24 hours",
        "Starts of the service by reason, counted by itself across restarts.",
        "none",
        query(count(trader("trader_starts_total"), "reason", window="1d"), "{{reason}} {{instance}}"),
        colors={"/^deploy|^boot|^manual/": GREY, "/^crash|^watchdog|^oom/": RED},
        stepped=True,
        decimals=0,
    )


def _coverage() -> timeseries.Panel:
    return lines_panel(
        "Coverage",
        "Samples that there were over the samples expected. A ratio made of half of the samples is half known.",
        "percentunit",
        query(trader("slo:coverage_ratio"), "{{slo}} {{instance}}"),
        minimum=None,
        decimals=1,
        calcs=("lastNotNull", "min"),
    )
