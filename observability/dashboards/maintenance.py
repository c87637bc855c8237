"""Maintenance: did the scheduled work run, when is the next session, is the monitoring itself in order.

Rules: what tasks and calendars report comes through node_exporter's textfiles, so it is selected as the host's.
"""

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from observability.dashboards.frame import Board, Row
from observability.dashboards.panels import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Column,
    lines_panel,
    query,
    stat_panel,
    table_panel,
    timeline_panel,
)
from observability.dashboards.promql import age, count, node, of_traders, trader, unit
from observability.dashboards.targets import Targets

TASK_SUCCESS = "trader_task_last_success_timestamp_seconds"
TASK_LIMIT = "trader_task_max_staleness_seconds"
BY_TASK = "max by (instance, task)"
BY_DRILL = "max by (instance, drill)"


def maintenance(targets: Targets) -> Board:
    """The board of scheduled work, calendars and the monitoring itself."""
    return Board(
        uid="trader-maintenance",
        title="Maintenance",
        description="Did the scheduled work run, when is the next session, and is the monitoring itself in order.",
        hosts=True,
        span="now-24h",
        rows=(
            Row("Calendar", _calendar_tiles()),
            Row("Scheduled work", (_tasks(), _durations(), _timers(), _drills(), _windows())),
            Row("The service", (_builds(), _reloads(), _observers())),
            Row("Monitoring", (_up(), _scrapes(), _rules(), _textfiles())),
        ),
    )


def _until(metric: str) -> str:
    return f"max by (calendar) ({node(metric)}) - time()"


def _calendar_tiles() -> tuple[stat.Panel, ...]:
    return (
        stat_panel(
            "Session",
            "Whether a session is open, by the exchange's calendar.",
            "none",
            query("max by (calendar) (trader:session_open)", "{{calendar}}", instant=True),
            states={0: ("closed", GREY), 1: ("open", GREEN)},
            span=4,
            none="no calendar",
        ),
        _countdown(
            "Session opens in",
            "Until the next session's open; 0 while one is open.",
            f"clamp_min({_until('trader_session_open_timestamp_seconds')}, 0)",
        ),
        _countdown(
            "Session closes in",
            "Until the close of the session that runs or comes next.",
            _until("trader_session_close_timestamp_seconds"),
        ),
        _countdown(
            "Calendar ends in",
            "Until the published calendar is not known any more.",
            _until("trader_calendar_valid_until_timestamp_seconds"),
        ),
        _countdown(
            "Broker reset in",
            "Until the broker's next reset, when the connection may be lost; below 0 while it runs.",
            f"max({node('trader_broker_reset_start_timestamp_seconds')}) - time()",
        ),
        _countdown("Up for", "Since the trader's process started.", _uptime()),
    )


def _countdown(title: str, description: str, expr: str) -> stat.Panel:
    shown = query(expr, "{{calendar}}{{instance}}", instant=True)
    return stat_panel(title, description, "s", shown, decimals=1, span=4, none="unknown")


def _uptime() -> str:
    return of_traders(f"time() - {trader('process_start_time_seconds')}")


def _tasks() -> table.Panel:
    limit = f"{BY_TASK} ({node(TASK_LIMIT)})"
    since = f"time() - {BY_TASK} ({node(TASK_SUCCESS)})"
    return table_panel(
        "Tasks",
        "When each task last succeeded, how long that may be ago, and how its last run ended; failed ones first.",
        [
            Column("task", "Task", width=130),
            Column("instance", "Host", width=110),
            Column("Value #A", "Since success", "s", decimals=1, width=120),
            Column("Value #B", "May be", "s", decimals=1, width=110),
            Column(
                "Value #C", "Used", "percentunit", decimals=0, limits=[(None, GREEN), (0.8, ORANGE), (1, RED)], width=80
            ),
            Column("Value #D", "Exit code", "none", decimals=0, limits=[(None, GREEN), (1, RED)], width=90),
        ],
        since,
        limit,
        f"({since}) / ({limit})",
        f"{BY_TASK} ({node('trader_task_last_exit_code')})",
        height=12,
        sort=("Exit code", "Used"),
        descending=True,
        none="never",
    )


def _durations() -> timeseries.Panel:
    return lines_panel(
        "Duration of tasks",
        "How long the last run of each task took.",
        "s",
        query(f"{BY_TASK} ({node('trader_task_last_duration_seconds')})", "{{task}} {{instance}}"),
        span=12,
        height=12,
        stepped=True,
        calcs=(),
    )


def _timers() -> table.Panel:
    return table_panel(
        "Timers",
        "When systemd last started each timer's unit.",
        [Column("name", "Timer"), Column("instance", "Host"), Column("Value", "Ago", "s", decimals=1)],
        age(unit("unit:timer_last_trigger_seconds")),
        sort="Ago",
        descending=True,
        none="no timers",
    )


def _drills() -> table.Panel:
    took = f"{BY_DRILL} ({node('trader_drill_duration_seconds')})"
    bound = f"{BY_DRILL} ({node('trader_drill_bound_seconds')})"
    return table_panel(
        "Emergency drills",
        "How long each emergency drill took when it was last held, and may take; no time when it did not end well.",
        [
            Column("drill", "Drill", width=170),
            Column("instance", "Host", width=110),
            Column("Value #A", "Took", "s", decimals=1, width=90),
            Column("Value #B", "May take", "s", decimals=1, width=90),
            Column(
                "Value #C", "Used", "percentunit", decimals=0, limits=[(None, GREEN), (0.8, ORANGE), (1, RED)], width=80
            ),
        ],
        took,
        bound,
        f"({took}) / ({bound})",
        sort="Used",
        descending=True,
        none="none",
    )


def _windows() -> statetimeline.Panel:
    return timeline_panel(
        "Windows",
        "Sessions, the broker's resets and declared maintenance.",
        query("max by (calendar) (trader:session_open)", "session {{calendar}}"),
        query("max(trader:in_broker_reset)", "broker reset"),
        query("max by (kind) (trader:in_maintenance)", "maintenance {{kind}}"),
        states={0: ("no", DIM), 1: ("yes", BLUE)},
        span=24,
    )


def _builds() -> table.Panel:
    return table_panel(
        "What runs",
        "Version, source revision and configuration of each trader.",
        [
            Column("instance", "Instance", width=110),
            Column("version", "Version", width=80),
            Column("revision", "Revision", width=110),
            Column("config_hash", "Configuration"),
        ],
        trader("trader_build_info"),
        span=8,
    )


def _reloads() -> timeseries.Panel:
    return lines_panel(
        "Configuration reloads",
        "Reloads of the configuration within the rate interval; a refused one leaves the old one in force.",
        "none",
        query(count(trader("trader_config_reload_total"), "outcome"), "{{outcome}} {{instance}}"),
        colors={"/^refused/": RED, "/^applied/": GREEN},
        bars=True,
        reach=1,
        decimals=0,
        calcs=(),
    )


def _observers() -> timeseries.Panel:
    return lines_panel(
        "Failures of observers",
        "Facts that an observer failed on, scrapes that a collector failed in, and log records that were dropped, "
        "within the rate interval.",
        "none",
        query(count(trader("trader_observer_failures_total"), "observer"), "{{observer}} {{instance}}"),
        query(count(trader("trader_collector_failures_total")), "collectors {{instance}}"),
        query(count(trader("trader_log_records_dropped_total")), "log records dropped {{instance}}"),
        bars=True,
        reach=1,
        decimals=0,
        calcs=(),
    )


def _up() -> statetimeline.Panel:
    return timeline_panel(
        "Targets",
        "Whether Prometheus could scrape each target.",
        query('up{instance=~"$instance"}', "{{job}} {{instance}}"),
        span=6,
    )


def _scrapes() -> timeseries.Panel:
    return lines_panel(
        "Samples a scrape",
        "Samples that a scrape of the trader brings; there is a limit of 1,500 series an instance.",
        "none",
        query(of_traders(trader("scrape_samples_scraped"))),
        decimals=0,
        span=6,
    )


def _rules() -> timeseries.Panel:
    return lines_panel(
        "Rules and notifications",
        "Evaluations of rules that failed, and notifications that were dropped or failed, a second.",
        "ops",
        query("sum by (job, instance) (rate(prometheus_rule_evaluation_failures_total[$__rate_interval]))", "rules"),
        query("sum by (job, instance) (rate(prometheus_notifications_dropped_total[$__rate_interval]))", "dropped"),
        query("sum by (job, instance) (rate(alertmanager_notifications_failed_total[$__rate_interval]))", "failed"),
        reach=0.1,
        span=6,
        calcs=(),
    )


def _textfiles() -> timeseries.Panel:
    return lines_panel(
        "Age of the textfiles",
        "How old the files are that calendars and tasks write for node_exporter.",
        "s",
        query(_by_file_name(f"time() - {node('node_textfile_mtime_seconds')}"), "{{file}} {{instance}}"),
        span=6,
        calcs=(),
    )


def _by_file_name(expr: str) -> str:
    """``expr`` with the label ``file`` without its folder."""
    return f'label_replace({expr}, "file", "$1", "file", ".*/(.+)")'
