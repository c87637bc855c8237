"""SLO and budgets: how fast each error budget burns, how long it lasts, and what the policy did about it."""

from grafana_foundation_sdk.builders import statetimeline, table, timeseries

from observability.dashboards import tiles
from observability.dashboards.frame import Board, Row
from observability.dashboards.panels import (
    BLUE,
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
from observability.dashboards.promql import count, highest, of_traders, trader
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
            Row("Budgets", (_table(), _left())),
            Row("Burn rates", (_burn("1h", targets), _burn("6h", targets), _burn("1d", targets))),
            Row(
                "What they are made of",
                (_slices(), _policy(), _coverage(), _fill_rate(targets), _resources(targets), _pnl(), _starts()),
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
            Column("slo", "SLO", width=130),
            Column("instance", "Instance", width=110),
            Column("Value #A", "Objective", "percentunit", decimals=1, width=90),
            Column("Value #B", "Measured", "percentunit", decimals=3, width=100),
            Column("Value #C", "Budget left", "percentunit", decimals=1, limits=BUDGET_LIMITS, width=105),
            Column("Value #D", "Lasts", "s", decimals=1, width=110),
            Column("Value #E", "Coverage", "percentunit", decimals=1, width=90),
        ],
        f"0 * {measured} + on (slo) group_left () {OBJECTIVE}",
        f"1 - {measured}",
        highest(trader("slo:budget_remaining_ratio"), "slo"),
        highest(trader("slo:budget_exhaustion_seconds"), "slo"),
        f"{highest(trader('slo:coverage_ratio'), 'slo')} and on (job, instance, slo) {measured}",
        span=12,
        none="–",
        sort="Budget left",
    )


def _left() -> timeseries.Panel:
    return lines_panel(
        "Error budget left",
        "The share of the errors allowed in 30 days that has not been used; below 0 the objective is broken.",
        "percentunit",
        query(trader("slo:budget_remaining_ratio"), "{{slo}} {{instance}}"),
        limits=[(None, RED), (0, GREEN)],
        span=12,
        minimum=None,
        decimals=1,
        calcs=(),
    )


def _policy() -> statetimeline.Panel:
    return timeline_panel(
        "Policy",
        "What the budget policy made of each objective. It never flattens by itself.",
        query(highest(trader("trader_budget_policy_state"), "slo"), "{{slo}} {{instance}}"),
        states=POLICY,
        span=8,
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
        calcs=("max",),
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
    matcher = 'slo="fill_rate"'
    return lines_panel(
        "Fill rate over a day",
        "The share of the eligible orders that filled, and the best true rate that this is likely for (Wilson's score, "
        f"z = {targets.fill_rate_z:g}). The alert fires when even that is below the objective.",
        "percentunit",
        query(trader("slo:good_ratio_upper:1d", matcher), "at best {{instance}}"),
        query(f"1 - {trader('slo:error_ratio:1d', matcher)}", "measured {{instance}}"),
        limits=[(None, RED), (targets.fill_rate, GREEN)],
        minimum=None,
        maximum=1,
        decimals=1,
        colors={"/^at best/": GREY, "/^measured/": BLUE},
        calcs=("lastNotNull", "min"),
        span=6,
    )


def _resources(targets: Targets) -> timeseries.Panel:
    return lines_panel(
        "Resources",
        "What is used of each limit that is set.",
        "percentunit",
        query(of_traders(trader("slo:resource_ratio")), "{{resource}} {{instance}}"),
        limits=[(None, GREEN), (targets.resources, RED)],
        maximum=1,
        decimals=2,
        span=6,
    )


def _pnl() -> timeseries.Panel:
    return lines_panel(
        "Net P&L",
        "The ledger's cumulative net, after costs. The objective is a gain over 20 sessions.",
        "locale",
        query(trader("trader_pnl_net_cumulative_base"), "{{currency}} {{instance}}"),
        minimum=None,
        decimals=2,
        calcs=("lastNotNull", "min", "max"),
        span=6,
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
        reach=1,
        calcs=(),
        span=6,
    )


def _coverage() -> timeseries.Panel:
    return lines_panel(
        "Coverage",
        "Samples that there were over the samples expected. A ratio made of half of the samples is half known.",
        "percentunit",
        query(trader("slo:coverage_ratio"), "{{slo}} {{instance}}"),
        maximum=1,
        decimals=1,
        calcs=(),
    )
