"""Market data: subscriptions, freshness and quality."""

from typing import Final

from observability.catalogue.record import Group, Label, Source
from trader.events import BadTickReason, MarketDataMode
from trader.snapshot import DATA_AGE_BOUNDS_S

GROUP: Final = Group("market data")
MAX_FARMS: Final = 16

LAST_TICK: Final = GROUP.gauge(
    "trader_market_data_last_tick_timestamp_seconds",
    "When the last tick of any instrument arrived, Unix time.",
    unit="seconds",
)
TICKS: Final = GROUP.counter(
    "trader_market_data_ticks_total", "Ticks taken into the market view.", source=Source.SNAPSHOT
)
SUBSCRIBED: Final = GROUP.gauge("trader_market_data_subscribed_symbols", "Instruments with a standing subscription.")
STALE: Final = GROUP.gauge("trader_market_data_stale_symbols", "Subscribed instruments whose quote is too old.")
MODE: Final = GROUP.gauge(
    "trader_market_data_mode",
    "1 for the kind of data that the broker delivers, 0 for the others.",
    Label("mode", tuple(MarketDataMode)),
)
FARM_CONNECTED: Final = GROUP.gauge(
    "trader_market_data_farm_connected",
    "1 when the gateway reaches that data farm of IB, else 0.",
    Label("farm", at_most=MAX_FARMS),
)
BAD_TICKS: Final = GROUP.counter(
    "trader_market_data_bad_ticks_total", "Ticks that were dropped, by reason.", Label("reason", tuple(BadTickReason))
)
QUOTES_CONFLATED: Final = GROUP.counter(
    "trader_market_data_quotes_conflated_total",
    "Quotes that went no further because the service was behind and a later one of their instrument had arrived.",
)
AGE_AT_DECISION: Final = GROUP.histogram(
    "trader_market_data_age_at_decision_seconds",
    "Age of the quote that a decision was made on.",
    DATA_AGE_BOUNDS_S,
    source=Source.SNAPSHOT,
)
