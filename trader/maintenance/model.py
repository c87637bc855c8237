"""What a maintenance job finds, as data: sections of figures, tables and charts, each with a verdict.

Rules: pure. A section is made whole or says what it lacks (``missing``): a figure that could not be got is absent and
named, never zero and never invented. Values are kept raw for JSON and for sorting; how they look is the page's
business. Everything is bounded: a table shows at most ``ROWS_MAX`` rows and says how many there are.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from trader.contracts import TradingMode
from trader.events import MaintenanceKind as Kind
from trader.events import MaintenanceOutcome as Outcome

__all__ = [
    "ROWS_MAX",
    "Chart",
    "Column",
    "Figure",
    "JobReport",
    "Kind",
    "Line",
    "Outcome",
    "Part",
    "Section",
    "Table",
    "TaskRun",
    "Unit",
    "Value",
    "worst",
]

ROWS_MAX: Final = 500

Value: TypeAlias = str | int | float | Decimal | datetime | timedelta | None


class Unit(StrEnum):
    """How a value is shown; the raw value is in the base unit that is named here."""

    TEXT = "text"
    COUNT = "count"
    RATIO = "ratio"
    SECONDS = "seconds"
    BYTES = "bytes"
    MONEY = "money"
    MOMENT = "moment"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number with what is expected of it; ``bound`` is a text such as ``"< 0.1 %"``, empty without one."""

    label: str
    value: Value
    unit: Unit = Unit.TEXT
    currency: str = ""
    bound: str = ""
    outcome: Outcome = Outcome.OK


class Column(msgspec.Struct, frozen=True):
    """A column of a table; numbers are right-aligned and sort as numbers."""

    title: str
    unit: Unit = Unit.TEXT


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """``rows`` hold one value a column; ``total`` is how many rows there were before the table was cut to the limit."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    total: int

    @classmethod
    def of(cls, title: str, columns: Iterable[Column], rows: Iterable[Iterable[Value]]) -> "Table":
        """A table of the first ``ROWS_MAX`` of ``rows``."""
        every = tuple(tuple(row) for row in rows)
        return cls(title=title, columns=tuple(columns), rows=every[:ROWS_MAX], total=len(every))


class Line(msgspec.Struct, frozen=True):
    """A line of a chart: moments ascending, and a value for each, None where it is not known."""

    name: str
    points: tuple[tuple[datetime, float | None], ...]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Lines over time; ``bound`` is drawn as a dashed line."""

    title: str
    unit: Unit
    lines: tuple[Line, ...]
    bound: float | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a task did which has metrics of its own, such as a drill. ``task`` is in ``Task.parts``.

    What was not tried is no part: it did neither succeed nor fail. ``duration_s`` is what it took, None if not known.
    """

    task: str
    outcome: Outcome
    duration_s: float | None = None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one task found. ``sentence`` says the result in one line; ``missing`` what could not be got, and why.

    ``mend`` is the command that a person types next, empty when there is nothing to do.
    """

    key: str
    title: str
    outcome: Outcome
    sentence: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mend: str = ""
    parts: tuple[Part, ...] = ()


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it went: its section, when it began, and how long it took.

    ``task`` is the value of the label ``task`` of the textfile metrics.
    """

    task: str
    section: Section
    started_at: datetime
    duration_s: float


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job, as it is kept as JSON beside its page. ``since`` to ``until`` is the period it looks at.

    ``label`` names the period; ``notes`` are about the run itself: what it waited for, and what it could not tell.
    """

    kind: Kind
    started_at: datetime
    finished_at: datetime
    since: datetime
    until: datetime
    mode: TradingMode
    account: str
    host: str
    version: str
    dry_run: bool
    outcome: Outcome
    runs: tuple[TaskRun, ...]
    label: str = ""
    notes: tuple[str, ...] = ()


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of ``outcomes``; of none, OK."""
    order = tuple(Outcome)
    return max(outcomes, key=order.index, default=Outcome.OK)
