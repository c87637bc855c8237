"""Drills on the stack itself: metrics files for node_exporter, and Prometheus.

Rules: one entry an alert and severity. What would be felt by other drills runs alone.
"""

from typing import Final

from trader.drills.model import Drill, On
from trader.drills.session import CALENDAR, CLOSE, OPEN, SESSION_FILE, session_file
from trader.drills.steps import (
    break_prometheus_file,
    break_receiver,
    broken_textfile,
    fail_a_rule,
    forget_host,
    forget_trader,
    kill,
    mend_prometheus_file,
    mend_receiver,
    mend_the_rule,
    no_textfile,
    remember_host,
    remember_trader,
    shows_series,
    start,
    start_gateway,
    start_prometheus,
    steps,
    stop_gateway,
    stop_prometheus,
    textfile,
)

# How often Prometheus repeats an alert to Alertmanager; what it repeats no more ends after four times that.
RESEND_S: Final = 5.0
_LIVE: Final = 'trader_mode{mode="live"}'
_SUCCESS: Final = "trader_task_last_success_timestamp_seconds"
_DURATION: Final = "trader_drill_duration_seconds"
_BOUND: Final = "trader_drill_bound_seconds"
_LATE: Final = '{drill="drill_late"}'
_STALENESS: Final = "trader_task_max_staleness_seconds"

TEXTFILES: Final = (
    Drill(
        alert="TextfileError", severity="ticket", on=On.STACK, fault="a metrics file is broken", by_instance=False,
        inject=broken_textfile("broken"), repair=no_textfile("broken"),
    ),
    Drill(
        alert="TaskFailed", severity="ticket", on=On.STACK, fault="a task ends with exit code 3", by_instance=False,
        labels={"task": "drill_failed"},
        inject=textfile("failed", {'trader_task_last_exit_code{task="drill_failed"}': 3}),
        repair=textfile("failed", {'trader_task_last_exit_code{task="drill_failed"}': 0}),
    ),
    Drill(
        alert="TaskOverdue", severity="ticket", on=On.STACK, by_instance=False,
        fault="a task had no success for too long",
        labels={"task": "drill_overdue"},
        inject=textfile(
            "overdue", {f'{_STALENESS}{{task="drill_overdue"}}': 3600}, {f'{_SUCCESS}{{task="drill_overdue"}}': -4000}
        ),
        repair=no_textfile("overdue"),
    ),
    Drill(
        alert="TaskOverdue", severity="page", on=On.STACK, fault="there was no backup for twice as long as may be",
        by_instance=False, labels={"task": "backup"},
        inject=textfile("backup", {f'{_STALENESS}{{task="backup"}}': 3600}, {f'{_SUCCESS}{{task="backup"}}': -8000}),
        repair=no_textfile("backup"),
    ),
    Drill(
        alert="CalendarExpiring", severity="ticket", on=On.STACK, fault="a calendar ends within hours",
        by_instance=False, labels={"calendar": "DRILL"},
        inject=textfile("ending", {}, {'trader_calendar_valid_until_timestamp_seconds{calendar="DRILL"}': 7200}),
        repair=no_textfile("ending"),
    ),
    Drill(
        alert="PanicDrillOverdue", severity="ticket", on=On.TRADER_STANDIN, fault="the panic path was never drilled",
        series={_LIVE: 0}, inject=shows_series({_LIVE: 1}),
        repair=textfile("panic_drill", {}, {f'{_SUCCESS}{{task="panic_drill"}}': 0}),
    ),
    Drill(
        alert="DrillBoundUnmet", severity="page", on=On.STACK, fault="a drill took a second longer than its bound",
        by_instance=False, labels={"drill": "drill_late"},
        inject=textfile("late", {f"{_DURATION}{_LATE}": 16, f"{_BOUND}{_LATE}": 15}),
        repair=textfile("late", {f"{_DURATION}{_LATE}": 15, f"{_BOUND}{_LATE}": 15}),
    ),
    Drill(
        alert="PageDrillOverdue", severity="ticket", on=On.TRADER_STANDIN, fault="no page was ever drilled",
        series={_LIVE: 0}, inject=shows_series({_LIVE: 1}),
        repair=textfile("page_drill", {}, {f'{_SUCCESS}{{task="page_drill"}}': 0}),
    ),
)  # fmt: skip

WHOLE_STACK: Final = (
    Drill(
        alert="MaintenanceOverrun", severity="page", on=On.STACK, fault="a maintenance reaches into the session",
        by_instance=False, alone=True,
        inject=textfile(
            "maintenance", {},
            {
                'trader_maintenance_start_timestamp_seconds{kind="drill"}': -60,
                'trader_maintenance_end_timestamp_seconds{kind="drill"}': 3600,
            },
        ),
        repair=no_textfile("maintenance"),
    ),
    Drill(
        alert="RuleEvaluationFailures", severity="ticket", on=On.STACK, fault="a rule cannot be evaluated",
        by_instance=False, alone=True, inject=fail_a_rule, repair=mend_the_rule, detect_s=8, clear_s=20,
    ),
    Drill(
        alert="PrometheusConfigReloadFailed", severity="ticket", on=On.STACK, fault="Prometheus gets a broken file",
        by_instance=False, alone=True, inject=break_prometheus_file, repair=mend_prometheus_file,
    ),
    Drill(
        alert="CalendarExpiring", severity="page", on=On.SERVICE, fault="the session's times are gone", alone=True,
        inject=no_textfile(SESSION_FILE), repair=session_file,
    ),
    Drill(
        alert="BrokerDisconnected", severity="ticket", on=On.SERVICE, alone=True,
        fault="the gateway is stopped outside the session",
        prepare=textfile(SESSION_FILE, {}, {f"{OPEN}{{{CALENDAR}}}": 7200, f"{CLOSE}{{{CALENDAR}}}": 9000}),
        inject=stop_gateway, repair=start_gateway, detect_s=8, clear_s=12,
    ),
    Drill(
        alert="BrokerNotReadyBeforeOpen", severity="page", on=On.SERVICE, alone=True,
        fault="the gateway is stopped and the session opens in a moment",
        inject=steps(
            stop_gateway, textfile(SESSION_FILE, {}, {f"{OPEN}{{{CALENDAR}}}": 14, f"{CLOSE}{{{CALENDAR}}}": 9000})
        ),
        repair=steps(start_gateway, session_file), detect_s=8, clear_s=12,
    ),
)  # fmt: skip

MONITORING: Final = (
    Drill(
        alert="AlertmanagerNotificationsFailing", severity="page", on=On.STACK, by_instance=False, alone=True,
        fault="a receiver refuses what Alertmanager sends",
        inject=break_receiver, repair=mend_receiver, detect_s=10, clear_s=15,
    ),
    Drill(
        alert="TargetAbsent", severity="page", on=On.TRADER_STANDIN, by_instance=False, alone=True,
        fault="Prometheus is told of no trader any more", series={"trader_ready": 1},
        inject=forget_trader, repair=remember_trader, detect_s=10, clear_s=12,
    ),
    Drill(
        alert="TargetAbsent", severity="ticket", on=On.STACK, by_instance=False, alone=True, labels={"job": "node"},
        fault="Prometheus is told of no node_exporter any more", inject=forget_host, repair=remember_host,
        detect_s=10, clear_s=12,
    ),
    Drill(
        alert="TargetDown", severity="ticket", on=On.SERVICE, alone=True,
        fault="the service is killed outside the session",
        prepare=textfile(SESSION_FILE, {}, {f"{OPEN}{{{CALENDAR}}}": 7200, f"{CLOSE}{{{CALENDAR}}}": 9000}),
        inject=kill, repair=steps(start, session_file), detect_s=8, clear_s=15,
    ),
    Drill(
        alert="Watchdog", severity="none", on=On.STACK, alone=True, by_silence=True,
        fault="Prometheus is stopped; the dead-man's switch hears nothing",
        inject=stop_prometheus, repair=start_prometheus, detect_s=4 * RESEND_S, clear_s=15,
    ),
)  # fmt: skip

STACK_DRILLS: Final = (*TEXTFILES, *WHOLE_STACK, *MONITORING)
