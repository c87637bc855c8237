"""Core: the service itself, its loop, its observers, its configuration."""

from typing import Final

from observability.catalogue.record import OTHER, Group, Label, Source
from trader.contracts import TradingMode, TradingState

GROUP: Final = Group("core")

OBSERVERS: Final = ("metrics", "logs", "traces", "recorder", OTHER)
COLLECTORS: Final = ("snapshot", "service", "cgroup", "process")
LOOPS: Final = ("event_loop", "engine")
RELOAD_OUTCOMES: Final = ("applied", "refused")
LAG_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

BUILD_INFO: Final = GROUP.gauge(
    "trader_build_info",
    "What runs: version, source revision and the hash of the configuration. Always 1.",
    Label("version", at_most=1),
    Label("revision", at_most=1),
    Label("config_hash", at_most=1),
    source=Source.SERVICE,
)
READY: Final = GROUP.gauge(
    "trader_ready", "1 when the service is connected to IB and agrees with it, so that it can trade, else 0."
)
JOURNAL_UP: Final = GROUP.gauge(
    "trader_journal_up", "1 when every fact is in the journal, 0 while facts wait in memory for one that is away."
)
MODE: Final = GROUP.gauge(
    "trader_mode", "1 for the mode that the service runs in, 0 for the others.", Label("mode", tuple(TradingMode))
)
TRADING_STATE: Final = GROUP.gauge(
    "trader_trading_state",
    "1 for the trading state that holds, 0 for the others.",
    Label("state", tuple(TradingState)),
)
LOOP_LAST_TICK: Final = GROUP.gauge(
    "trader_loop_last_tick_timestamp_seconds",
    "When the loop last came round, Unix time.",
    Label("loop", LOOPS),
    source=Source.SERVICE,
    unit="seconds",
)
EVENT_LOOP_LAG: Final = GROUP.histogram(
    "trader_event_loop_lag_seconds",
    "How much later than due the event loop ran a timer.",
    LAG_BOUNDS_S,
    source=Source.SERVICE,
)
OBSERVER_FAILURES: Final = GROUP.counter(
    "trader_observer_failures_total",
    "Facts that an observer failed on; trading goes on without it.",
    Label("observer", OBSERVERS),
    source=Source.SERVICE,
)
COLLECTOR_FAILURES: Final = GROUP.counter(
    "trader_collector_failures_total",
    "Scrapes in which a collector failed, so that its metrics are missing.",
    Label("collector", COLLECTORS),
    source=Source.SERVICE,
)
LOG_RECORDS_DROPPED: Final = GROUP.counter(
    "trader_log_records_dropped_total",
    "Log records dropped because the writer fell behind.",
    source=Source.SERVICE,
)
CONFIG_RELOAD_SUCCESS: Final = GROUP.gauge(
    "trader_config_reload_success_timestamp_seconds",
    "When a configuration was last reloaded with success, Unix time; absent before the first.",
    source=Source.SERVICE,
    unit="seconds",
)
CONFIG_RELOADS: Final = GROUP.counter(
    "trader_config_reload_total", "Reloads of the configuration.", Label("outcome", RELOAD_OUTCOMES)
)
