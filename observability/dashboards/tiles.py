"""The eight success metrics as tiles: the SLO row of the overview and of the SLO board.

Rules: a tile shows what was measured over its objective's own window, coloured by the objective; unmeasured is grey,
never green.
"""

from grafana_foundation_sdk.builders.stat import Panel

from observability.dashboards.panels import GREEN, GREY, ORANGE, RED, Steps, query, stat_panel
from observability.dashboards.promql import highest, of_traders, trader
from observability.dashboards.targets import Targets


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
            "Orders in time",
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
    matcher = 'slo="restarts"'
    return stat_panel(
        "Restarts",
        "Unplanned ones in the last 24 hours: starts after a crash, a watchdog timeout or out of memory. The objective "
        f"is fewer than {targets.restarts} a day.",
        "none",
        query(trader("slo:bad:1d", matcher), instant=True),
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
        query(of_traders(highest(trader("slo:resource_ratio"))), instant=True),
        limits=[(None, GREEN), (targets.resources, RED)],
        decimals=1,
        filled=True,
        none="no limits",
    )


def _net_pnl() -> Panel:
    return stat_panel(
        "Net P&L",
        "Over 20 sessions (28 days), after commissions and fees, in the base currency; of the whole ledger while that "
        "is younger. The objective is a gain.",
        "locale",
        query(
            f"{trader('slo:net_pnl_base:28d')} or on (job, instance) {trader('trader_pnl_net_cumulative_base')}",
            "{{currency}}",
            instant=True,
        ),
        limits=[(None, RED), (0, GREY), (0.01, GREEN)],
        decimals=2,
        filled=True,
        none="unmeasured",
    )
