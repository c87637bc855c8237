"""What jobs beside the service publish through node_exporter's textfile collector.

Rules: known whether the trader runs or not; written to a file, never served by the exporter, so these metrics are
not in ``CATALOGUE``. The calendar's are written by ``trader calendar textfile``, a unit's failure by
``systemd/libexec/alert``, the others by the jobs themselves.
"""

from typing import Final

from observability.catalogue.record import Group, Label, Source

SESSION: Final = Group("session")
JOBS: Final = Group("jobs")
TEXTFILE: Final = Source.TEXTFILE
MAX_CALENDARS: Final = 4
MAX_TASKS: Final = 20
MAX_UNITS: Final = 12
MAX_DRILLS: Final = 12
UNIT_RESULTS: Final = (
    "core-dump",
    "exec-condition",
    "exit-code",
    "oom-kill",
    "protocol",
    "resources",
    "signal",
    "start-limit-hit",
    "timeout",
    "unknown",
    "watchdog",
)
MAINTENANCE_KINDS: Final = ("daily", "weekly", "monthly", "manual")

CALENDAR: Final = Label("calendar", at_most=MAX_CALENDARS)
KIND: Final = Label("kind", MAINTENANCE_KINDS)
TASK: Final = Label("task", at_most=MAX_TASKS)
DRILL: Final = Label("drill", at_most=MAX_DRILLS)
UNIT: Final = Label("unit", at_most=MAX_UNITS)
RESULT: Final = Label("result", UNIT_RESULTS)

SESSION_OPEN: Final = SESSION.gauge(
    "trader_session_open_timestamp_seconds",
    "When the session that is open, or else the next one, opens, Unix time.",
    CALENDAR,
    source=TEXTFILE,
    unit="seconds",
)
SESSION_CLOSE: Final = SESSION.gauge(
    "trader_session_close_timestamp_seconds",
    "When the session that is open, or else the next one, closes, Unix time.",
    CALENDAR,
    source=TEXTFILE,
    unit="seconds",
)
SESSION_ELAPSED_BEFORE: Final = SESSION.gauge(
    "trader_session_elapsed_before_seconds",
    "Session time of all sessions before that one, from 2020 on.",
    CALENDAR,
    source=TEXTFILE,
    unit="seconds",
)
CALENDAR_VALID_UNTIL: Final = SESSION.gauge(
    "trader_calendar_valid_until_timestamp_seconds",
    "Until when the calendar's sessions are known, Unix time; absent for one that never ends.",
    CALENDAR,
    source=TEXTFILE,
    unit="seconds",
)
RESET_START: Final = SESSION.gauge(
    "trader_broker_reset_start_timestamp_seconds",
    "When the broker's current, or else next, announced reset begins, Unix time.",
    source=TEXTFILE,
    unit="seconds",
)
RESET_END: Final = SESSION.gauge(
    "trader_broker_reset_end_timestamp_seconds",
    "When the broker's current, or else next, announced reset ends, Unix time.",
    source=TEXTFILE,
    unit="seconds",
)

MAINTENANCE_START: Final = JOBS.gauge(
    "trader_maintenance_start_timestamp_seconds",
    "When declared maintenance begins, Unix time.",
    KIND,
    source=TEXTFILE,
    unit="seconds",
)
MAINTENANCE_END: Final = JOBS.gauge(
    "trader_maintenance_end_timestamp_seconds",
    "When declared maintenance ends, Unix time.",
    KIND,
    source=TEXTFILE,
    unit="seconds",
)
TASK_LAST_SUCCESS: Final = JOBS.gauge(
    "trader_task_last_success_timestamp_seconds",
    "When the task last succeeded, Unix time.",
    TASK,
    source=TEXTFILE,
    unit="seconds",
)
TASK_LAST_RUN: Final = JOBS.gauge(
    "trader_task_last_run_timestamp_seconds",
    "When the task last ran, Unix time.",
    TASK,
    source=TEXTFILE,
    unit="seconds",
)
TASK_LAST_DURATION: Final = JOBS.gauge(
    "trader_task_last_duration_seconds", "How long the task took.", TASK, source=TEXTFILE, unit="seconds"
)
TASK_LAST_EXIT_CODE: Final = JOBS.gauge(
    "trader_task_last_exit_code", "Exit code of the task's last run; 0 is success.", TASK, source=TEXTFILE
)
TASK_MAX_STALENESS: Final = JOBS.gauge(
    "trader_task_max_staleness_seconds",
    "The longest time that may pass between two successes of the task.",
    TASK,
    source=TEXTFILE,
    unit="seconds",
)
DRILL_DURATION: Final = JOBS.gauge(
    "trader_drill_duration_seconds",
    "How long the emergency drill took when it was last held; absent when it did not end well.",
    DRILL,
    source=TEXTFILE,
    unit="seconds",
)
DRILL_BOUND: Final = JOBS.gauge(
    "trader_drill_bound_seconds",
    "How long the emergency drill may take, for each that was held.",
    DRILL,
    source=TEXTFILE,
    unit="seconds",
)
UNIT_FAILED: Final = JOBS.gauge(
    "trader_unit_failed_timestamp_seconds",
    "When the unit last failed, Unix time, by what systemd calls the result.",
    UNIT,
    RESULT,
    source=TEXTFILE,
    unit="seconds",
)

TEXTFILE_GROUPS: Final = (SESSION, JOBS)
