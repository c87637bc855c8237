"""The tasks of each job, in the order in which they run.

Rules: a row says everything about a task but what it does. A task's module is imported when the task runs: a job needs
few of them, and one that cannot be imported fails alone. ``name`` is the value of the label ``task`` of the metrics.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from trader.maintenance.context import Context
from trader.maintenance.model import Kind, Section

Run: TypeAlias = Callable[[Context], Section]

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
# The longest time between two successes: how often the timer fires, and what its delay, a session and a change to
# daylight saving time add. A monthly job runs on the first Saturday, at most 35 days after the one before.
STALENESS_S: Final = {Kind.DAILY: 30 * HOUR_S, Kind.WEEKLY: 8 * DAY_S, Kind.MONTHLY: 36 * DAY_S}


@dataclass(frozen=True, slots=True)
class Task:
    """One task. ``run`` gets the context and gives a section, or raises: the task has failed then.

    ``parts`` are what it may report on its own as ``Section.parts``, each a value of the label ``task``, with the
    longest time between two successes. ``writes`` says that it changes files other than its scratch: ``run`` must
    look at ``context.dry_run``.
    """

    name: str
    title: str
    run: Run
    time_limit_s: float
    max_staleness_s: float
    writes: bool = False
    parts: Mapping[str, float] = field(default_factory=dict)


def _module(name: str) -> Run:
    """``run`` of ``trader.maintenance.<name>``, imported when it is called."""

    def run(context: Context) -> Section:
        return cast("Run", importlib.import_module(f"trader.maintenance.{name}").run)(context)

    return run


def _task(
    kind: Kind,
    name: str,
    title: str,
    limit_s: float,
    *,
    module: str = "",
    writes: bool = False,
    parts: Mapping[str, float] | None = None,
) -> Task:
    return Task(name, title, _module(module or name), limit_s, STALENESS_S[kind], writes, parts or {})  # fmt: skip


TASKS: Final[Mapping[Kind, tuple[Task, ...]]] = {
    Kind.DAILY: (
        _task(Kind.DAILY, "health", "Service and units", 2 * MINUTE_S),
        _task(Kind.DAILY, "errors", "Errors of the day", 5 * MINUTE_S),
        _task(Kind.DAILY, "resources", "Resources against limits", 3 * MINUTE_S),
        _task(Kind.DAILY, "performance", "Trading performance", 5 * MINUTE_S),
        _task(Kind.DAILY, "books", "Books against the broker", 3 * MINUTE_S),
        _task(Kind.DAILY, "backup", "Backup", 10 * MINUTE_S, module="backup_task", writes=True),
    ),
    Kind.WEEKLY: (
        _task(Kind.WEEKLY, "drift", "Configuration drift", 5 * MINUTE_S),
        _task(Kind.WEEKLY, "review", "Performance over weeks", 15 * MINUTE_S),
        _task(Kind.WEEKLY, "cleanup", "Logs and reports cleaned up", 10 * MINUTE_S, writes=True),
        # A quarter and a month: the bounds of PanicDrillOverdue and PageDrillOverdue.
        _task(
            Kind.WEEKLY, "drills", "Emergency drills", 60 * MINUTE_S, writes=True,
            parts={"panic_drill": 92 * DAY_S, "page_drill": 31 * DAY_S},
        ),
        _task(Kind.WEEKLY, "reauth", "Next authentication", 1 * MINUTE_S),
    ),
    Kind.MONTHLY: (
        _task(Kind.MONTHLY, "doctor", "Whole health check", 5 * MINUTE_S),
        _task(Kind.MONTHLY, "optimization", "Where time goes", 20 * MINUTE_S),
        _task(Kind.MONTHLY, "audit", "Security audit", 15 * MINUTE_S),
        _task(Kind.MONTHLY, "backup_verification", "Backups restored and compared", 60 * MINUTE_S, writes=True),
    ),
}  # fmt: skip


def tasks_of(kind: Kind) -> tuple[Task, ...]:
    """The tasks of a job, in order."""
    return TASKS[kind]
