"""P&L and risk: what was earned, what can be lost, what risk refused.

Rules: a profit is a signed gauge; currencies are never summed; the limits are those that the trader reports itself.
"""

from grafana_foundation_sdk.builders import stat, statetimeline, timeseries

from observability.dashboards.frame import Board, Row, strategy_decisions
from observability.dashboards.panels import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    lines_panel,
    query,
    stat_panel,
    timeline_panel,
)
from observability.dashboards.promql import age, count, highest, quantile_over_range, state_number, total, trader
from observability.dashboards.targets import Targets

TRADING_STATES = ("active", "reduce_only", "halted", "panic")
STATE_NAMES = {0: ("active", GREEN), 1: ("reduce only", YELLOW), 2: ("halted", ORANGE), 3: ("panic", RED)}
GAIN_LIMITS = [(None, RED), (0, GREY), (0.01, GREEN)]
COMPONENT_COLORS = {"/^realized/": GREEN, "/^unrealized/": BLUE, "/^commission/": ORANGE, "/^fees/": RED}


def profit(targets: Targets) -> Board:
    """The board of profit, loss and risk."""
    return Board(
        uid="trader-pnl",
        title="P&L and risk",
        description="What was earned, what can be lost, and what risk refused.",
        strategies=True,
        rows=(
            Row("Now", (*_money_tiles(), *_risk_tiles(targets))),
            Row("Profit and loss", (session_net(), _components(), _cumulative())),
            Row("Exposure", (_equity(), _exposure(), _limit_use(targets))),
            Row("Risk", (_blocks(), _blocked_decisions(), _trading_state(), _halts(), _cushion(), _forbidden())),
        ),
    )


def session_net() -> timeseries.Panel:
    """Net profit of the session after costs, and the limit on its loss."""
    return lines_panel(
        "Net P&L of the session",
        "Realized and unrealized less commissions and fees since the session's start, and the loss at which it halts.",
        "locale",
        query(total(trader("trader_pnl_session_base"), "currency"), "net {{currency}} {{instance}}"),
        query(f"-{trader('trader_daily_loss_limit')}", "halts at {{currency}} {{instance}}"),
        minimum=None,
        colors={"/^halts/": RED},
        decimals=2,
        calcs=("lastNotNull", "min", "max"),
    )


def _money_tiles() -> tuple[stat.Panel, ...]:
    return (
        stat_panel(
            "Session P&L",
            "Net, after commissions and fees, in the base currency.",
            "locale",
            query(total(trader("trader_pnl_session_base"), "currency"), "{{currency}}", instant=True),
            limits=GAIN_LIMITS,
            decimals=2,
        ),
        stat_panel(
            "Ledger P&L",
            "Net of everything since the ledger began, after costs, in the base currency.",
            "locale",
            query(trader("trader_pnl_net_cumulative_base"), "{{currency}}", instant=True),
            limits=GAIN_LIMITS,
            decimals=2,
        ),
        stat_panel(
            "Equity",
            "Equity of the account.",
            "locale",
            query(trader("trader_equity"), "{{currency}}", instant=True),
            decimals=0,
        ),
        stat_panel(
            "Costs missing",
            "Fills of the session whose commission the broker has not reported; the P&L is too high by them.",
            "none",
            query(total(trader("trader_pnl_commissions_missing")), instant=True),
            limits=[(None, GREEN), (1, ORANGE)],
            decimals=0,
        ),
    )


def _risk_tiles(targets: Targets) -> tuple[stat.Panel, ...]:
    return (
        stat_panel(
            "Loss limit used",
            "The session's net loss over the loss at which it halts; 0 while it gains.",
            "percentunit",
            query(_loss_used(), instant=True),
            limits=[(None, GREEN), (targets.loss_near, ORANGE), (1, RED)],
            decimals=1,
        ),
        stat_panel(
            "Drawdown",
            "Fall from the highest equity, over it.",
            "percentunit",
            query(trader("trader_drawdown_ratio"), instant=True),
            decimals=2,
        ),
        stat_panel(
            "Margin cushion",
            "Excess liquidity over net liquidation value, by the broker.",
            "percentunit",
            query(trader("trader_margin_cushion_ratio"), instant=True),
            limits=[(None, RED), (targets.margin_cushion, GREEN)],
            decimals=1,
        ),
        stat_panel(
            "Flatten p99",
            "From a panic to no orders and no positions, in the time shown.",
            "s",
            query(quantile_over_range(0.99, "trader_panic_flatten_duration_seconds") + " >= 0", instant=True),
            none="none",
        ),
    )


def _loss_used() -> str:
    net = total(trader("trader_pnl_session_base"), "currency")
    return f"clamp_min(-{net}, 0) / {total(trader('trader_daily_loss_limit'), 'currency')}"


def _components() -> timeseries.Panel:
    return lines_panel(
        "P&L by component",
        "Each currency by itself, in that currency; costs are negative.",
        "locale",
        query(trader("trader_pnl_session"), "{{component}} {{currency}} {{instance}}"),
        minimum=None,
        decimals=2,
        colors=COMPONENT_COLORS,
        calcs=(),
    )


def _cumulative() -> timeseries.Panel:
    return lines_panel(
        "Net P&L of the ledger",
        "The ledger's cumulative net in the base currency: the source of the 20-session objective.",
        "locale",
        query(trader("trader_pnl_net_cumulative_base"), "net {{currency}} {{instance}}"),
        minimum=None,
        decimals=2,
        calcs=("lastNotNull", "min", "max"),
    )


def _equity() -> timeseries.Panel:
    return lines_panel(
        "Equity",
        "Equity of the account.",
        "locale",
        query(trader("trader_equity"), "{{currency}} {{instance}}"),
        minimum=None,
        decimals=0,
        calcs=("lastNotNull", "min", "max"),
    )


def _exposure() -> timeseries.Panel:
    return lines_panel(
        "Exposure",
        "Market value of the positions.",
        "locale",
        query(trader("trader_exposure"), "{{kind}} {{currency}} {{instance}}"),
        minimum=None,
        decimals=0,
        colors={"/^gross/": ORANGE, "/^net/": BLUE},
    )


def _limit_use(targets: Targets) -> timeseries.Panel:
    return lines_panel(
        "Loss limit used and drawdown",
        "At 100 % of the limit trading halts. Dashed: where the alert warns, and the limit.",
        "percentunit",
        query(_loss_used(), "loss limit {{instance}}"),
        query(trader("trader_drawdown_ratio"), "drawdown {{instance}}"),
        limits=[(None, GREEN), (targets.loss_near, ORANGE), (1, RED)],
        decimals=1,
    )


def _blocks() -> timeseries.Panel:
    return lines_panel(
        "Intents refused",
        "Intents that risk refused within the rate interval, by rule.",
        "none",
        query(count(trader("trader_risk_blocks_total"), "rule") + " > 0", "{{rule}} {{instance}}"),
        bars=True,
        reach=1,
        none="nothing refused",
        calcs=(),
    )


def _blocked_decisions() -> timeseries.Panel:
    return lines_panel(
        "Decisions not carried out",
        "Decisions that were blocked by risk, made on stale data or failed, within the rate interval.",
        "none",
        query(
            count(strategy_decisions('outcome=~"blocked|stale|error"'), "strategy, outcome"),
            "{{outcome}} {{strategy}} {{instance}}",
        ),
        colors={"/^error/": RED, "/^stale/": ORANGE, "/^blocked/": YELLOW},
        bars=True,
        reach=1,
        calcs=(),
    )


def _trading_state() -> statetimeline.Panel:
    return timeline_panel(
        "Trading state",
        "Active trades; reduce only takes exits; halted and panic take nothing new.",
        query(state_number("trader_trading_state", "state", TRADING_STATES), "{{instance}}"),
        states=STATE_NAMES,
        span=8,
    )


def _halts() -> statetimeline.Panel:
    return timeline_panel(
        "Why it does not trade",
        "The reason why trading is not active.",
        query(highest(trader("trader_halted"), "reason"), "{{reason}} {{instance}}"),
        states={0: ("no", DIM), 1: ("yes", RED)},
        span=8,
    )


def _cushion() -> timeseries.Panel:
    return lines_panel(
        "Age of the P&L",
        "Since the moment that the profit and loss is of, the last reconciliation, and the oldest fill without a "
        "reported commission, if any. Limits on an old or incomplete number protect from nothing.",
        "s",
        query(age(trader("trader_pnl_as_of_timestamp_seconds")), "P&L {{instance}}"),
        query(age(trader("trader_reconciliation_last_success_timestamp_seconds")), "reconciliation {{instance}}"),
        query(age(trader("trader_commission_missing_oldest_timestamp_seconds")), "missing commission {{instance}}"),
        colors={"/^missing/": ORANGE},
    )


def _forbidden() -> timeseries.Panel:
    return lines_panel(
        "Must stay at zero",
        "Orders decided while halted, a panic flag, and differences between our books and the broker's.",
        "none",
        query(count(trader("trader_orders_while_halted_total")), "orders while halted {{instance}}"),
        query(trader("trader_panic_flag"), "panic flag {{instance}}"),
        query(trader("trader_reconciliation_mismatches"), "{{kind}} mismatches {{instance}}"),
        limits=[(None, GREEN), (1, RED)],
        stepped=True,
        decimals=0,
        reach=2,
        calcs=(),
    )
