"""Where and with what a job runs, and what is wrong with that: calendar, resets, configuration, clock.

Rules: there is a section only when something is wrong. A job runs all the same: without a calendar the service opens
no position, so there is nothing to keep clear of, and a backup that is not made is worse.
"""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Final, NamedTuple

from trader.maintenance.context import Context
from trader.maintenance.history import Past
from trader.maintenance.model import Kind, Outcome, Section, worst
from trader.session import BrokerWindows, BrokerWindowsError, CalendarError, SessionCalendar
from trader.settings import SessionSettings, Settings

TASK: Final = "surroundings"
TITLE: Final = "Calendar, clock and configuration"
CLOCK_TOLERANCE: Final = timedelta(minutes=5)


class _Wrong(NamedTuple):
    outcome: Outcome
    sentence: str
    mend: str


@dataclass(frozen=True)
class Surroundings:
    """``calendar`` and ``windows`` are None when they cannot be used; the problems say why, and are empty otherwise."""

    host: str
    version: str
    calendar: SessionCalendar | None
    windows: BrokerWindows | None
    calendar_problem: str = ""
    windows_problem: str = ""
    configuration_problem: str = ""


def look_around(session: SessionSettings, configuration_problem: str = "") -> Surroundings:
    """This host, and what the configuration's session names."""
    calendar, calendar_problem = _calendar(session)
    windows, windows_problem = _windows(session)
    return Surroundings(
        platform.node(), version("ibkr-trading"), calendar, windows, calendar_problem, windows_problem,
        configuration_problem,
    )  # fmt: skip


def _calendar(session: SessionSettings) -> tuple[SessionCalendar | None, str]:
    try:
        return SessionCalendar.load(session.calendar, session.calendar_file), ""
    except CalendarError as error:
        return None, str(error)


def _windows(session: SessionSettings) -> tuple[BrokerWindows | None, str]:
    try:
        return BrokerWindows.load(session.broker_region, session.broker_windows_file), ""
    except BrokerWindowsError as error:
        return None, str(error)


def limit_s_of(settings: Settings, kind: Kind) -> float:
    """The longest run of a job of ``kind``."""
    maintenance = settings.maintenance
    return {
        Kind.DAILY: maintenance.daily_limit_s,
        Kind.WEEKLY: maintenance.weekly_limit_s,
        Kind.MONTHLY: maintenance.monthly_limit_s,
    }[kind]


def surroundings_section(around: Surroundings, context: Context, kept: Sequence[Past]) -> Section | None:
    """What is wrong with a job's surroundings; None when nothing is. ``kept`` are the reports, the newest first."""
    wrong = [*_of_files(around, context), *_of_clock(context, kept)]
    if not wrong:
        return None
    return Section(
        key=TASK, title=TITLE, outcome=worst(item.outcome for item in wrong),
        sentence="; ".join(item.sentence for item in wrong),
        mend="\n".join(dict.fromkeys(item.mend for item in wrong)),
    )  # fmt: skip


def _of_files(around: Surroundings, context: Context) -> Iterator[_Wrong]:
    problem = around.calendar_problem or _not_covered(around.calendar, context)
    if problem:
        name = context.settings.session.calendar
        file = context.config_file.parent / f"{name}.csv"
        yield _Wrong(
            Outcome.FAILED,
            f"the session's hours are not known, so this job kept clear of none: {problem}",
            f"trader calendar extract --calendar {name} --out {file}  # and name it in session.calendar_file",
        )
    if around.windows_problem:
        yield _Wrong(Outcome.FAILED, around.windows_problem, f"trader check {context.config_file}")
    if around.configuration_problem:
        lines = around.configuration_problem.splitlines()
        more = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
        sentence = f"the configuration has mistakes, the next start will fail: {lines[0]}{more}"
        yield _Wrong(Outcome.WARNING, sentence, f"trader check {context.config_file}")


def _not_covered(calendar: SessionCalendar | None, context: Context) -> str:
    if calendar is None:
        return ""
    try:
        calendar.current_or_next(context.clock.now())
    except CalendarError as error:
        return str(error)
    return ""


def _of_clock(context: Context, kept: Sequence[Past]) -> Iterator[_Wrong]:
    now = context.clock.now()
    if kept and kept[0].started_at > now + CLOCK_TOLERANCE:
        newest = kept[0]
        yield _Wrong(
            Outcome.FAILED,
            f"by this clock it is {now:%Y-%m-%d %H:%M} UTC, and there is a report of "
            f"{newest.started_at:%Y-%m-%d %H:%M} UTC: one of the two was made with a wrong clock, by which "
            "no session is kept clear of",
            f"timedatectl  # if the clock is right: rm {newest.path} {newest.page}",
        )
