"""Latency and order flow: how fast it decides, how fast the broker answers, what becomes of the orders."""

from grafana_foundation_sdk.builders import heatmap, stat, timeseries

from observability.dashboards.frame import Board, Row, strategy_decisions
from observability.dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    heatmap_panel,
    lines_panel,
    query,
    stat_panel,
)
from observability.dashboards.promql import (
    age,
    buckets,
    count,
    quantile,
    quantile_over_range,
    rate,
    share_within,
    total,
    trader,
)
from observability.dashboards.targets import Targets
from observability.dashboards.tiles import ratio_limits

DECISION = "trader_decision_duration_seconds"
ACK = "trader_order_ack_duration_seconds"
FILL = "trader_order_fill_duration_seconds"
SLIPPAGE = "trader_order_slippage_ratio"


def latency(targets: Targets) -> Board:
    """The board of latencies and of the order flow."""
    return Board(
        uid="trader-latency",
        title="Latency and order flow",
        description="How fast it decides, how fast the broker answers, and what becomes of the orders.",
        strategies=True,
        rows=(
            Row("In the time shown", (*_latency_tiles(targets), *_order_tiles(targets))),
            Row("Decisions", (decision_latency(targets), _decision_heatmap(), decisions())),
            Row("Orders", (order_latency(targets), _ack_heatmap(), finals(), _fills(), _slippage(), _submitted())),
            Row("Around them", (_quote_age(), _loop_lag(), _open_orders())),
        ),
    )


def decision_latency(targets: Targets) -> timeseries.Panel:
    """Quantiles of the time from tick to decision, with traces as exemplars."""
    return _quantiles(
        "Decision latency",
        "From a tick's arrival to the decision made on it. The dashed line is the objective; dots lead to traces.",
        DECISION,
        [(None, GREEN), (float(targets.decision_within), RED)],
    )


def order_latency(targets: Targets) -> timeseries.Panel:
    """Quantiles of the time from hand-over to the broker's first word, with traces as exemplars."""
    return _quantiles(
        "Order acknowledgement latency",
        "From an order's hand-over to the socket to the broker's first word. The dashed line is the objective; "
        "dots lead to traces.",
        ACK,
        [(None, GREEN), (float(targets.order_within), RED)],
    )


def _quantiles(
    title: str, description: str, histogram: str, limits: list[tuple[float | None, str]] | None = None
) -> timeseries.Panel:
    return lines_panel(
        title,
        description,
        "s",
        query(quantile(0.99, histogram), "p99 {{instance}}", exemplars=True),
        query(quantile(0.9, histogram), "p90 {{instance}}"),
        query(quantile(0.5, histogram), "p50 {{instance}}"),
        limits=limits,
        colors={"/^p99/": ORANGE, "/^p90/": YELLOW, "/^p50/": BLUE},
        logarithmic=True,
        calcs=("max",),
    )


def _latency_tiles(targets: Targets) -> tuple[stat.Panel, ...]:
    within, ack = targets.decision_within, targets.order_within
    return (
        _quantile_tile("Decision p99", "99 of 100 decisions were faster than this.", DECISION, float(within)),
        _share_tile(
            "Decisions in time", f"Share decided within {within} s.", DECISION, within, targets.decision_latency
        ),
        _quantile_tile("Order p99", "99 of 100 orders were acknowledged faster than this.", ACK, float(ack)),
        _share_tile("Orders in time", f"Share acknowledged within {ack} s.", ACK, ack, targets.order_latency),
    )


def _quantile_tile(title: str, description: str, histogram: str, limit: float) -> stat.Panel:
    expr = quantile_over_range(0.99, histogram)
    limits = [(None, GREEN), (limit, RED)]
    return stat_panel(title, description, "s", query(expr, instant=True), limits=limits, none="none yet")


def _share_tile(title: str, description: str, histogram: str, le: str, objective: float) -> stat.Panel:
    return stat_panel(
        title,
        f"{description} The objective is {objective:.4g}.",
        "percentunit",
        query(share_within(histogram, le), instant=True),
        limits=ratio_limits(objective),
        decimals=2,
        none="none yet",
    )


def _order_tiles(targets: Targets) -> tuple[stat.Panel, ...]:
    eligible = _increase('eligible="true"')
    filled = _increase('eligible="true"', 'outcome="filled"')
    unacknowledged = trader("trader_order_oldest_unacked_timestamp_seconds")
    return (
        stat_panel(
            "Fill rate",
            f"Filled of the eligible orders that became final. The objective is {targets.fill_rate:.4g}.",
            "percentunit",
            query(f"{filled} / {eligible}", instant=True),
            limits=ratio_limits(targets.fill_rate),
            decimals=1,
            none="none yet",
        ),
        stat_panel(
            "Orders sent",
            "Orders handed to the socket in the time shown.",
            "none",
            query(count(trader("trader_orders_submitted_total"), window="$__range"), instant=True),
            decimals=0,
        ),
        stat_panel(
            "Oldest unacked",
            "How long the oldest order without a word of the broker has been waiting; 0 when there is none.",
            "s",
            query(f"({age(unacknowledged)}) * ({unacknowledged} > bool 0)", instant=True),
            limits=[(None, GREEN), (targets.unacknowledged_s, RED)],
        ),
        stat_panel(
            "State unknown",
            "Orders whose state at the broker is not known.",
            "none",
            query(trader("trader_orders_unknown_state"), instant=True),
            limits=[(None, GREEN), (1, RED)],
            decimals=0,
        ),
    )


def _increase(*matchers: str) -> str:
    return total(f"increase({trader('trader_orders_final_total', *matchers)}[$__range])")


def _decision_heatmap() -> heatmap.Panel:
    return heatmap_panel(
        "Decision latency, distribution",
        "How many decisions took how long. A second band is a second way through the code.",
        "s",
        query(buckets(DECISION)),
    )


def _ack_heatmap() -> heatmap.Panel:
    return heatmap_panel(
        "Acknowledgement latency, distribution",
        "How many orders were acknowledged how fast.",
        "s",
        query(buckets(ACK)),
    )


def decisions() -> timeseries.Panel:
    """Decisions by outcome, of the selected strategies."""
    return lines_panel(
        "Decisions",
        "Decisions of the strategy a second, by outcome. Holding is the rule; errors and stale data are not.",
        "ops",
        query(rate(strategy_decisions(), "strategy, outcome"), "{{outcome}} {{strategy}} {{instance}}"),
        colors={
            "/^error/": RED,
            "/^stale/": ORANGE,
            "/^blocked/": YELLOW,
            "/^enter/": GREEN,
            "/^exit/": BLUE,
            "/^hold/": GREY,
        },
        stacked=True,
        calcs=(),
    )


def finals() -> timeseries.Panel:
    """Final orders by outcome."""
    return lines_panel(
        "Final orders",
        "Orders that became final a minute, by outcome.",
        "cpm",
        query(f"60 * {rate(trader('trader_orders_final_total'), 'outcome')}", "{{outcome}} {{instance}}"),
        colors={
            "/^filled/": GREEN,
            "/^partial/": YELLOW,
            "/^unfilled/": ORANGE,
            "/^rejected/": RED,
            "/^error/": RED,
            "/^cancelled/": GREY,
        },
        bars=True,
        reach=1,
        calcs=(),
    )


def _fills() -> timeseries.Panel:
    return _quantiles("Fill latency", "From an order's hand-over to the socket to a fill.", FILL)


def _slippage() -> timeseries.Panel:
    return lines_panel(
        "Slippage",
        "Price paid above the decision's price, over that price; below 0 is better than expected.",
        "percentunit",
        query(quantile(0.9, SLIPPAGE), "p90 {{instance}}"),
        query(quantile(0.5, SLIPPAGE), "p50 {{instance}}"),
        minimum=None,
        decimals=3,
        colors={"/^p90/": YELLOW, "/^p50/": BLUE},
    )


def _submitted() -> timeseries.Panel:
    return lines_panel(
        "Orders sent",
        "Orders handed to the socket a minute, by type.",
        "cpm",
        query(f"60 * {rate(trader('trader_orders_submitted_total'), 'order_type')}", "{{order_type}} {{instance}}"),
        bars=True,
        reach=1,
        calcs=(),
    )


def _quote_age() -> timeseries.Panel:
    return _quantiles(
        "Age of the quote decided on",
        "How old the quote was when the decision was made.",
        "trader_market_data_age_at_decision_seconds",
    )


def _loop_lag() -> timeseries.Panel:
    return _quantiles(
        "Event loop lag", "How much later than due the event loop ran a timer.", "trader_event_loop_lag_seconds"
    )


def _open_orders() -> timeseries.Panel:
    return lines_panel(
        "Open orders",
        "Orders that are not final, and those whose state is not known.",
        "none",
        query(trader("trader_orders_open"), "open {{instance}}"),
        query(trader("trader_orders_unknown_state"), "unknown state {{instance}}"),
        query(
            f"increase({trader('trader_orders_duplicate_blocked_total')}[$__rate_interval])",
            "duplicates blocked {{instance}}",
        ),
        colors={"/^unknown/": RED, "/^open/": BLUE, "/^dup/": ORANGE},
        stepped=True,
        decimals=0,
        reach=1,
        calcs=(),
    )
