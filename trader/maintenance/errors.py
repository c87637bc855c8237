"""Daily: what our units complained about in the period: errors and warnings, equal news grouped and counted.

Rules: a line is equal news when it comes from the same unit at the same level with the same code and the same words
but for numbers, references and times, which are masked. Lines are hostile: over-long, not text, full of control
characters; each is cut before anything is searched in it, and memory is bounded. Nothing is counted in part: a journal
that cannot be read as a whole is unknown.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from trader.maintenance.context import Context
from trader.maintenance.measures import counted
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit, Value
from trader.maintenance.sources import LogLine, LogsUnavailable

KEY: Final = "errors"
TITLE: Final = "Errors of the day"
SHOWN_MAX: Final = 50
GROUPS_MAX: Final = 2_000
MESSAGE_MAX_CHARACTERS: Final = 400
CODE_MAX_CHARACTERS: Final = 40
COUNT_MAX: Final = 10**9
WARNING: Final = 4
ERROR: Final = 3
CRITICAL: Final = 2
# The level that a JSON line names; the journal's priority is the unit's default where no line begins with its own.
LEVELS: Final = {"CRITICAL": CRITICAL, "ERROR": ERROR, "WARNING": WARNING, "INFO": 6, "DEBUG": 7}
WORDS: Final = {CRITICAL: "critical", ERROR: "error", WARNING: "warning"}
NEW_NEWS: Final = "… more kinds of news than are told apart"
MEND: Final = 'sudo usermod --append --groups systemd-journal "$USER"'
PERMISSION: Final = "systemd-journal"

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")
# What differs between equal news, the most specific first. Repetitions are bounded, and the text is cut before.
MASKS: Final = (
    (re.compile(r"\bibt-[\w-]{1,80}"), "ORDER"),
    (re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{6,16}(?:\.[0-9a-f]{2,16}){2,4}\b"), "ID"),
    (re.compile(r"\b0x[0-9a-fA-F]{1,16}\b"), "ID"),
    (re.compile(r"\b(?=[0-9a-f]{0,39}\d)(?=[0-9a-f]{0,39}[a-f])[0-9a-f]{8,64}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?(?:Z|[+-]\d{2}:?\d{2})?"), "TIME"),
    (re.compile(r"\b\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?\b"), "TIME"),
    (re.compile(r"[-+]?\d[\d,]{0,30}(?:\.\d{1,30})?(?:[eE][-+]?\d{1,3})?"), "#"),
)


class News(NamedTuple):
    """What makes lines equal."""

    priority: int
    unit: str
    code: str
    message: str


@dataclass
class Group:
    """Equal news: how often, when, and one of its lines as it was."""

    first_at: datetime
    last_at: datetime
    sample: str
    count: int = 0


@dataclass
class Groups:
    """All news of a period."""

    groups: dict[News, Group] = field(default_factory=dict)
    lines: int = 0
    crowded: bool = False

    def take(self, line: LogLine) -> None:
        """Count ``line``, and those like it that its writer left out before it, unless it is no complaint."""
        self.lines += 1
        priority = priority_of(line)
        if priority > WARNING:
            return
        text = clean(line.message)
        news = News(max(priority, CRITICAL), clean(line.unit), code_of(line), masked(text))
        if news not in self.groups and len(self.groups) >= GROUPS_MAX:
            self.crowded = True
            news = News(news.priority, "", "", NEW_NEWS)
        group = self.groups.setdefault(news, Group(line.at, line.at, text))
        group.count += 1 + left_out(line)
        group.first_at, group.last_at = min(group.first_at, line.at), max(group.last_at, line.at)

    def total(self, priority: int) -> int:
        return sum(group.count for news, group in self.groups.items() if news.priority == priority)

    def worst_first(self) -> list[tuple[News, Group]]:
        """By level, then by count, then by time."""
        return sorted(self.groups.items(), key=lambda item: (item[0].priority, -item[1].count, item[1].first_at))


def grouped(lines: Iterable[LogLine]) -> Groups:
    groups = Groups()
    for line in lines:
        groups.take(line)
    return groups


def priority_of(line: LogLine) -> int:
    """0 to 7; what the line itself says counts more than the journal's default for what has no priority."""
    level = line.fields.get("level")
    return LEVELS.get(level, line.priority) if isinstance(level, str) else line.priority


def clean(text: str) -> str:
    """``text`` on one line, without control characters, cut."""
    return " ".join(CONTROL.sub(" ", text[: 2 * MESSAGE_MAX_CHARACTERS]).split())[:MESSAGE_MAX_CHARACTERS]


def masked(text: str) -> str:
    """``text`` with its numbers, references and times replaced, so that equal news is equal text."""
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def code_of(line: LogLine) -> str:
    """The broker's code, or whatever code a line of ours names."""
    code = line.fields.get("code")
    return "" if code in (None, "") or isinstance(code, (dict, list)) else clean(str(code))[:CODE_MAX_CHARACTERS]


def left_out(line: LogLine) -> int:
    """How many equal lines were not written before this one, as it says itself."""
    count = line.fields.get("left_out")
    return min(count, COUNT_MAX) if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


# -- the section


def run(context: Context) -> Section:
    """What was complained about."""
    try:
        groups = grouped(context.log_lines())
    except LogsUnavailable as error:
        return unavailable(str(error))
    return section(groups)


def unavailable(reason: str) -> Section:
    """The journal could not be read, or not as a whole."""
    permission = PERMISSION in reason
    return Section(
        key=KEY,
        title=TITLE,
        outcome=Outcome.UNKNOWN,
        sentence="the errors of the day are not known",
        notes=("The unit has the group by SupplementaryGroups=systemd-journal.",) if permission else (),
        missing=(f"errors and warnings: {reason}",),
        mend=MEND if permission else "journalctl --unit 'ibkr-*' --since -1d --priority warning",
    )


def section(groups: Groups) -> Section:
    """The whole section, from the groups."""
    totals = {priority: groups.total(priority) for priority in WORDS}
    bad = totals[ERROR] + totals[CRITICAL]
    notes = [f"At most {SHOWN_MAX} kinds are shown, the worst first."] if len(groups.groups) > SHOWN_MAX else []
    if groups.crowded:
        notes.append(f"More than {GROUPS_MAX:,} kinds of news: what came after them is counted as one.")
    return Section(
        key=KEY,
        title=TITLE,
        outcome=Outcome.WARNING if bad else Outcome.OK,
        sentence=_sentence(groups, totals),
        figures=tuple(_figures(groups, totals)),
        tables=(_table(groups),) if groups.groups else (),
        notes=tuple(notes),
        mend="journalctl --unit 'ibkr-*' --since -1d --priority err" if bad else "",
    )


def _sentence(groups: Groups, totals: dict[int, int]) -> str:
    said = ", ".join(counted(totals[priority], word) for priority, word in WORDS.items() if totals[priority])
    said = said.replace("criticals", "critical")
    if not said:
        return f"no error and no warning in {counted(groups.lines, 'line')}"
    return f"{said}, of {counted(len(groups.groups), 'kind')}"


def _figures(groups: Groups, totals: dict[int, int]) -> Iterator[Figure]:
    for priority, label in ((CRITICAL, "Critical"), (ERROR, "Errors"), (WARNING, "Warnings")):
        outcome = Outcome.WARNING if priority <= ERROR and totals[priority] else Outcome.OK
        yield Figure(label=label, value=totals[priority], unit=Unit.COUNT, outcome=outcome)
    yield Figure(label="Kinds of news", value=len(groups.groups), unit=Unit.COUNT)
    yield Figure(label="Lines read", value=groups.lines, unit=Unit.COUNT)


def _table(groups: Groups) -> Table:
    columns = (
        Column("Level"), Column("Unit"), Column("Code"), Column("Message"), Column("Count", Unit.COUNT),
        Column("First", Unit.MOMENT), Column("Last", Unit.MOMENT), Column("For example"),
    )  # fmt: skip
    every = groups.worst_first()
    table = Table.of("Errors and warnings", columns, [_row(news, group) for news, group in every[:SHOWN_MAX]])
    return Table(title=table.title, columns=table.columns, rows=table.rows, total=len(every))


def _row(news: News, group: Group) -> tuple[Value, ...]:
    example = group.sample if group.sample != news.message else ""
    return (
        WORDS[news.priority], news.unit, news.code, news.message, group.count, group.first_at, group.last_at, example,
    )  # fmt: skip
