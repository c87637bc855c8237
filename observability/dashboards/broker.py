"""Broker and market data: the session with the gateway, what was asked of it, and what it delivers."""

from grafana_foundation_sdk.builders import stat, statetimeline, timeseries

from observability.dashboards.frame import Board, Row
from observability.dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    YES_NO,
    lines_panel,
    query,
    stat_panel,
    timeline_panel,
)
from observability.dashboards.promql import age, count, highest, quantile, rate, state_number, trader
from observability.dashboards.targets import Targets

HEARTBEAT = "trader_broker_heartbeat_duration_seconds"
QUOTE_AGE = "trader_market_data_age_at_decision_seconds"
DATA_MODES = {0: ("live", GREEN), 1: ("delayed", ORANGE), 2: ("frozen", RED)}


def broker(targets: Targets) -> Board:
    """The board of the broker and its data."""
    return Board(
        uid="trader-broker",
        title="Broker and market data",
        description="The session with the gateway, what was asked of it, and what it delivers.",
        rows=(
            Row("Now", (*_link_tiles(targets), *_data_tiles(targets))),
            Row("Connection", (_links(), _heartbeat(targets), _sessions())),
            Row("Requests", (_requests(), _failures(), _errors())),
            Row("Market data", (_ticks(), _staleness(), _quote_age(), _farms(), _bad_ticks(), _trouble())),
        ),
    )


def _link_tiles(targets: Targets) -> tuple[stat.Panel, ...]:
    return (
        stat_panel(
            "Gateway",
            "The API session with the gateway.",
            "none",
            query(highest(trader("trader_broker_connected")), instant=True),
            states={0: ("down", RED), 1: ("up", GREEN)},
        ),
        stat_panel(
            "IB's servers",
            "Whether the gateway reaches IB.",
            "none",
            query(highest(trader("trader_broker_upstream_connected")), instant=True),
            states={0: ("down", RED), 1: ("up", GREEN)},
        ),
        stat_panel(
            "Last heartbeat",
            "Seconds since the gateway last answered a heartbeat.",
            "s",
            query(age(trader("trader_broker_heartbeat_last_success_timestamp_seconds")), instant=True),
            limits=[(None, GREEN), (targets.heartbeat_s, RED)],
            decimals=1,
        ),
        stat_panel(
            "Login ends in",
            "Until a person has to authenticate the login again, by the broker's announcement.",
            "s",
            query(f"{trader('trader_broker_auth_expiry_timestamp_seconds')} - time()", instant=True),
            limits=[(None, RED), (targets.reauth_s, GREEN)],
            decimals=1,
            none="not announced",
        ),
    )


def _data_tiles(targets: Targets) -> tuple[stat.Panel, ...]:
    return (
        stat_panel(
            "Last tick",
            "Seconds since the last tick of any instrument.",
            "s",
            query(age(trader("trader_market_data_last_tick_timestamp_seconds")), instant=True),
            limits=[(None, GREEN), (targets.tick_age_s, RED)],
            decimals=1,
        ),
        stat_panel(
            "Kind of data",
            "What the broker delivers: live, delayed or frozen.",
            "none",
            query(state_number("trader_market_data_mode", "mode", ("live", "delayed", "frozen")), instant=True),
            states=DATA_MODES,
        ),
        stat_panel(
            "Stale symbols",
            "Subscribed instruments whose quote is too old.",
            "none",
            query(trader("trader_market_data_stale_symbols"), instant=True),
            limits=[(None, GREEN), (1, ORANGE)],
            decimals=0,
        ),
        stat_panel(
            "Clock offset",
            "The gateway's clock less ours.",
            "s",
            query(trader("trader_broker_clock_offset_seconds"), instant=True),
            none="unknown",
        ),
    )


def _links() -> statetimeline.Panel:
    return timeline_panel(
        "Connection",
        "The API session, IB's servers behind it, and whether the trader is ready because of them.",
        query(highest(trader("trader_broker_connected")), "gateway {{instance}}"),
        query(highest(trader("trader_broker_upstream_connected")), "IB {{instance}}"),
        query(highest(trader("trader_ready")), "ready {{instance}}"),
        query("max by (calendar) (trader:session_open)", "session {{calendar}}"),
        states=YES_NO,
        span=8,
    )


def _heartbeat(targets: Targets) -> timeseries.Panel:
    return lines_panel(
        "Heartbeat",
        "From a heartbeat's request to the gateway's answer.",
        "s",
        query(quantile(0.99, HEARTBEAT), "p99 {{instance}}", exemplars=True),
        query(quantile(0.5, HEARTBEAT), "p50 {{instance}}"),
        colors={"/^p99/": ORANGE, "/^p50/": BLUE},
        logarithmic=True,
    )


def _sessions() -> timeseries.Panel:
    return lines_panel(
        "Disconnects and reconnects",
        "Sessions that ended and attempts to get back, within the rate interval.",
        "none",
        query(count(trader("trader_broker_disconnects_total"), "reason") + " > 0", "lost: {{reason}} {{instance}}"),
        query(count(trader("trader_broker_reconnects_total"), "outcome") + " > 0", "back: {{outcome}} {{instance}}"),
        query(count(trader("trader_broker_heartbeats_missed_total")), "heartbeats missed {{instance}}"),
        colors={"/^lost/": RED, "/^back: connected/": GREEN, "/^back: failed/": ORANGE, "/^heartbeats/": YELLOW},
        bars=True,
        reach=1,
        calcs=(),
        decimals=0,
    )


def _requests() -> timeseries.Panel:
    return lines_panel(
        "Requests",
        "Requests to the gateway that ended a second, by kind.",
        "reqps",
        query(rate(trader("trader_broker_requests_total"), "kind") + " > 0", "{{kind}} {{instance}}"),
        stacked=True,
        calcs=(),
    )


def _failures() -> timeseries.Panel:
    return lines_panel(
        "Requests that failed",
        "Requests that timed out, were answered with an error, or were dropped, within the rate interval.",
        "none",
        query(count(trader("trader_broker_requests_total", 'outcome!="ok"'), "outcome"), "{{outcome}} {{instance}}"),
        colors={"/^timeout/": ORANGE, "/^error/": RED, "/^dropped/": GREY},
        bars=True,
        reach=1,
        calcs=(),
        decimals=0,
    )


def _errors() -> timeseries.Panel:
    return lines_panel(
        "Errors by code",
        "Messages of the broker within the rate interval, by meaning and IB's code.",
        "none",
        query(count(trader("trader_broker_errors_total"), "class, code") + " > 0", "{{class}} {{code}} {{instance}}"),
        bars=True,
        reach=1,
        none="no messages",
        calcs=(),
        decimals=0,
    )


def _ticks() -> timeseries.Panel:
    return lines_panel(
        "Ticks",
        "Ticks taken into the market view, a second, and quotes that went no further because the trader was behind.",
        "cps",
        query(rate(trader("trader_market_data_ticks_total")), "taken {{instance}}"),
        query(rate(trader("trader_market_data_quotes_conflated_total")), "conflated {{instance}}"),
        colors={"/^taken/": BLUE, "/^conflated/": ORANGE},
    )


def _staleness() -> timeseries.Panel:
    return lines_panel(
        "Subscriptions",
        "Instruments subscribed, and how many of them have a quote that is too old.",
        "none",
        query(trader("trader_market_data_subscribed_symbols"), "subscribed {{instance}}"),
        query(trader("trader_market_data_stale_symbols"), "stale {{instance}}"),
        colors={"/^subscribed/": BLUE, "/^stale/": RED},
        stepped=True,
        decimals=0,
        reach=1,
    )


def _quote_age() -> timeseries.Panel:
    return lines_panel(
        "Age of the quote decided on",
        "How old the quote was when the decision was made.",
        "s",
        query(quantile(0.99, QUOTE_AGE), "p99 {{instance}}", exemplars=True),
        query(quantile(0.5, QUOTE_AGE), "p50 {{instance}}"),
        colors={"/^p99/": ORANGE, "/^p50/": BLUE},
        logarithmic=True,
    )


def _farms() -> statetimeline.Panel:
    return timeline_panel(
        "Data farms",
        "Whether the gateway reaches each of IB's data farms.",
        query(highest(trader("trader_market_data_farm_connected"), "farm"), "{{farm}} {{instance}}"),
        states=YES_NO,
        span=8,
    )


def _bad_ticks() -> timeseries.Panel:
    return lines_panel(
        "Ticks dropped",
        "Ticks that were not believed within the rate interval, by reason.",
        "none",
        query(count(trader("trader_market_data_bad_ticks_total"), "reason"), "{{reason}} {{instance}}"),
        bars=True,
        reach=1,
        calcs=(),
        decimals=0,
    )


def _trouble() -> timeseries.Panel:
    return lines_panel(
        "Pacing and decoding",
        "Requests held back by IB's message rate, and messages that could not be understood, within the rate interval.",
        "none",
        query(count(trader("trader_broker_pacing_waits_total")), "pacing waits {{instance}}"),
        query(count(trader("trader_broker_decode_failures_total")), "decode failures {{instance}}"),
        colors={"/^pacing/": YELLOW, "/^decode/": RED},
        bars=True,
        reach=1,
        calcs=(),
        decimals=0,
    )
