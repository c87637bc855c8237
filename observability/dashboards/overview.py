"""The overview: are the objectives met, does something fire, does it trade."""

from grafana_foundation_sdk.builders import bargauge, statetimeline, table, timeseries

from observability.dashboards import flow, money, tiles
from observability.dashboards.frame import Board, Row
from observability.dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Column,
    bars_panel,
    lines_panel,
    query,
    table_panel,
    timeline_panel,
)
from observability.dashboards.promql import count, highest, of_traders, trader
from observability.dashboards.targets import Targets

BUDGET_LIMITS = ((None, RED), (0.1, ORANGE), (0.25, YELLOW), (0.5, GREEN))


def overview(targets: Targets) -> Board:
    """The board to look at first."""
    return Board(
        uid="trader-overview",
        title="Overview",
        description="The eight success metrics, what fires, and whether the trader trades.",
        strategies=True,
        rows=(
            Row("Success metrics", tiles.objectives(targets)),
            Row("Now", (firing(span=9), budgets(span=7), states(span=8))),
            Row(
                "Trading",
                (
                    flow.decision_latency(targets),
                    flow.order_latency(targets),
                    money.session_net(),
                    flow.decisions(),
                    flow.finals(),
                    errors(),
                ),
            ),
        ),
    )


def firing(*, span: int) -> table.Panel:
    """Every firing alert but the dead-man's."""
    return table_panel(
        "Firing alerts",
        "What fires now, by severity. The dead-man's alert, which always fires, is left out.",
        [
            Column("severity", "Severity", width=80),
            Column("alertname", "Alert", width=200),
            Column("instance", "Instance", width=110, blank="–"),
            Column("slo", "SLO", blank="–"),
        ],
        'sum by (alertname, severity, instance, slo) (ALERTS{alertstate="firing", severity=~"page|ticket"})',
        span=span,
        sort="Severity",
        none="nothing fires",
    )


def budgets(*, span: int) -> bargauge.Panel:
    """What is left of each error budget."""
    return bars_panel(
        "Error budget left",
        "The share of the errors allowed in 30 days that has not been used. Empty means the objective is broken.",
        "percentunit",
        query(f"clamp_min({trader('slo:budget_remaining_ratio')}, 0)", "{{slo}} {{instance}}", instant=True),
        limits=list(BUDGET_LIMITS),
        span=span,
        decimals=0,
    )


def states(*, span: int) -> statetimeline.Panel:
    """Whether the trader may trade, and why not."""
    return timeline_panel(
        "State",
        "Whether the trader is ready, connected, writing its journal, in session and trading. A gap means that it was "
        "not scraped.",
        query(of_traders(highest(trader("up"))), "scraped {{instance}}"),
        query(highest(trader("trader_ready")), "ready {{instance}}"),
        query(highest(trader("trader_broker_connected")), "gateway {{instance}}"),
        query(highest(trader("trader_broker_upstream_connected")), "IB {{instance}}"),
        query(highest(trader("trader_journal_up")), "journal {{instance}}"),
        query(highest(trader("trader_trading_state", 'state="active"')), "trading {{instance}}"),
        query("max by (calendar) (trader:session_open)", "session {{calendar}}"),
        states={0: ("no", RED), 1: ("yes", GREEN)},
        span=span,
    )


def errors() -> timeseries.Panel:
    """Errors of the broker that are more than notices."""
    return lines_panel(
        "Broker errors",
        "Messages of the broker that report an error within the rate interval, by meaning. Notices are left out.",
        "none",
        query(
            count(trader("trader_broker_errors_total", 'class!="notice"'), "class") + " > 0", "{{class}} {{instance}}"
        ),
        bars=True,
        reach=1,
        none="no errors",
        decimals=0,
        calcs=(),
    )
