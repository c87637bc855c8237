"""The eight success metrics as tiles: the SLO row of the overview and of the SLO board.

Rules: a tile shows what was measured over its objective's own window, coloured by the objective; unmeasured is grey,
never green.
"""

from grafana_foundation_sdk.builders.stat import Panel

from observability.dashboards.panels import GREEN, GREY, ORANGE, RED, Steps, query, stat_panel
from observability.dashboards.promql import count, highest, trader
from observability.dashboards.targets import Targets

DAY = "1d"


def objectives(targets: Targets) -> tuple[Panel, ...]:
    """The row of eight."""
    return (
        _ratio("Availability", "availability", targets.availability, 3, "Good session-minutes; missing data is bad."),
        _ratio("Error-free", "error_rate", targets.success, 3, "Requests, decisions and orders without an error."),
        _ratio(
            "Decisions in time",
            "decision_latency",
            targets.decision_latency,
            2,
            f"Decisions within {targets.decision_within} s of the tick's arrival.",
        ),
        _ratio(
            "Orders acknowledged in time",
            "order_latency",
            targets.order_latency,
            2,
            f"Orders that the broker acknowledged within {targets.order_within} s.",
        ),
        _ratio("Fill rate", "fill_rate", targets.fill_rate, 1, "Filled of the eligible orders that are final."),
        _restarts(targets),
        _resources(targets),
        _net_pnl(),
    )


def _ratio(title: str, slo: str, objective: float, decimals: int, what: str) -> Panel:
    return stat_panel(
        title,
        f"{what} Over 30 days; the objective is {objective:.4g}.",
        "percentunit",
        query(measured(slo), instant=True),
        limits=ratio_limits(objective),
        decimals=decimals,
        filled=True,
        none="unmeasured",
    )


def measured(slo: str) -> str:
    """The share of good events over 30 days."""
    matcher = f'slo="{slo}"'
    return f"1 - {trader('slo:error_ratio:30d', matcher)}"


def ratio_limits(objective: float) -> Steps:
    """Green where the objective is met, orange down to twice the errors that it allows, red below."""
    return [(None, RED), (round(2 * objective - 1, 9), ORANGE), (objective, GREEN)]


def _restarts(targets: Targets) -> Panel:
    planned = 'reason=~"crash|watchdog|oom"'
    return stat_panel(
        "Unplanned restarts",
        "Starts after a crash, a watchdog timeout or out of memory, in the last 24 hours; "
        f"the objective is fewer than {targets.restarts} a day.",
        "none",
        query(count(trader("trader_starts_total", planned), window=DAY), instant=True),
        limits=[(None, GREEN), (targets.restarts, RED)],
        decimals=0,
        filled=True,
        none="unmeasured",
    )


def _resources(targets: Targets) -> Panel:
    return stat_panel(
        "Resources",
        f"The fullest of memory, CPU, files and tasks; the objective is below {targets.resources:.0%} of its limit.",
        "percentunit",
        query(fullest(), instant=True),
        limits=[(None, GREEN), (targets.resources, RED)],
        decimals=1,
        filled=True,
        none="no limits",
    )


RESOURCES = {
    "memory": ("trader_unit_memory_working_set_bytes", "trader_unit_memory_max_bytes"),
    "files": ("process_open_fds", "process_max_fds"),
    "tasks": ("trader_unit_tasks", "trader_unit_tasks_max"),
}


def used_ratio(resource: str) -> str:
    """What is used of a resource's limit; absent without a limit."""
    if resource == "cpu":
        used = f"rate({trader('trader_unit_cpu_usage_seconds_total')}[$__rate_interval])"
        return f"{used} / {trader('trader_unit_cpu_limit_cores')}"
    used, limit = RESOURCES[resource]
    return f"{trader(used)} / {trader(limit)}"


def fullest() -> str:
    """The highest of the four ratios, by target."""
    ratios = [f'label_replace({used_ratio(name)}, "resource", "{name}", "", "")' for name in (*RESOURCES, "cpu")]
    return highest(" or ".join(ratios))


def _net_pnl() -> Panel:
    return stat_panel(
        "Net P&L",
        "Realized and unrealized less commissions and fees, of the whole ledger, in the base currency.",
        "short",
        query(trader("trader_pnl_net_cumulative_base"), "{{currency}}", instant=True),
        limits=[(None, RED), (0, GREY), (0.01, GREEN)],
        decimals=2,
        filled=True,
        none="unmeasured",
    )
