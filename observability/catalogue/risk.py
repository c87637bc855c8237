"""Risk and P&L: amounts in the currency of the label, costs negative, never summed over currencies."""

from typing import Final

from observability.catalogue.record import OTHER, Group, Label, Source
from trader.events import RiskRule

GROUP: Final = Group("risk and p&l")
MAX_CURRENCIES: Final = 8
COMPONENTS: Final = ("realized", "unrealized", "commission", "fees")
EXPOSURES: Final = ("gross", "net")
HALT_REASONS: Final = ("operator", "panic", "daily_loss", "reconciliation", "strategy", "policy", OTHER)
FLATTEN_BOUNDS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)

CURRENCY: Final = Label("currency", at_most=MAX_CURRENCIES)
BASE_CURRENCY: Final = Label("currency", at_most=1)

PNL_SESSION: Final = GROUP.gauge(
    "trader_pnl_session",
    "Profit and loss since the session's start by currency and component; the sum of a currency is its net.",
    CURRENCY,
    Label("component", COMPONENTS),
    unit="currency",
)
PNL_SESSION_BASE: Final = GROUP.gauge(
    "trader_pnl_session_base",
    "Profit and loss of all currencies since the session's start, in the base currency.",
    BASE_CURRENCY,
    Label("component", COMPONENTS),
    unit="currency",
)
PNL_NET_CUMULATIVE: Final = GROUP.gauge(
    "trader_pnl_net_cumulative_base",
    "Net profit and loss of the whole ledger after costs, in the base currency.",
    BASE_CURRENCY,
    unit="currency",
)
PNL_AS_OF: Final = GROUP.gauge(
    "trader_pnl_as_of_timestamp_seconds", "The moment that the profit and loss is of, Unix time.", unit="seconds"
)
COMMISSIONS_MISSING: Final = GROUP.gauge(
    "trader_pnl_commissions_missing", "Fills of the session whose commission the broker has not reported yet.", CURRENCY
)
COMMISSION_MISSING_OLDEST: Final = GROUP.gauge(
    "trader_commission_missing_oldest_timestamp_seconds",
    "When the oldest fill without a reported commission was booked, Unix time; absent when none is missing.",
    unit="seconds",
)
EQUITY: Final = GROUP.gauge("trader_equity", "Equity of the account.", BASE_CURRENCY, unit="currency")
DRAWDOWN: Final = GROUP.gauge("trader_drawdown_ratio", "Fall from the highest equity, over it.", unit="ratio")
DAILY_LOSS_LIMIT: Final = GROUP.gauge(
    "trader_daily_loss_limit",
    "The loss in a session from which on only exits are allowed.",
    BASE_CURRENCY,
    unit="currency",
)
EXPOSURE: Final = GROUP.gauge(
    "trader_exposure", "Market value of the positions.", BASE_CURRENCY, Label("kind", EXPOSURES), unit="currency"
)
MARGIN_CUSHION: Final = GROUP.gauge(
    "trader_margin_cushion_ratio", "Excess liquidity over net liquidation value, by the broker.", unit="ratio"
)
RISK_BLOCKS: Final = GROUP.counter(
    "trader_risk_blocks_total", "Intents that risk refused, by rule.", Label("rule", tuple(RiskRule))
)
HALTED: Final = GROUP.gauge(
    "trader_halted",
    "1 for the reason why trading is not active (reduce only, halted or panic), else 0.",
    Label("reason", HALT_REASONS),
)
ORDERS_WHILE_HALTED: Final = GROUP.counter(
    "trader_orders_while_halted_total", "Orders decided although the trading state forbade them; must stay 0."
)
PANIC_FLAG: Final = GROUP.gauge(
    "trader_panic_flag", "1 while the panic flag's file is there, else 0.", source=Source.SERVICE
)
PANIC_FLATTEN_DURATION: Final = GROUP.histogram(
    "trader_panic_flatten_duration_seconds", "From a panic to no orders and no positions.", FLATTEN_BOUNDS_S
)
