"""Weekly: how long the broker's login lasts, and whether the last one was in time.

Rules: when it ends is the table of the broker's windows, as the service publishes it; when it was renewed nobody
tells, so the first clean agreement with the broker after it is taken for that. Every Saturday it is due within a day,
and then it is a warning, like the alert BrokerReauthDue.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from trader.contracts import TradingMode
from trader.doctor.health import samples
from trader.doctor.model import Absent, NotVisible
from trader.events import ReconciliationFinished
from trader.journal import JournalError
from trader.maintenance.context import Context
from trader.maintenance.model import Figure, Outcome, Section, Unit, worst
from trader.maintenance.show import duration_text, text_of
from trader.maintenance.sources import Unavailable
from trader.session import BrokerWindows, BrokerWindowsError, CalendarError

KEY: Final = "reauth"
TITLE: Final = "Next authentication"
MEND: Final = "trader status"
METRIC: Final = "trader_broker_auth_expiry_timestamp_seconds"
DUE: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
TABLE_OLD: Final = timedelta(days=400)
DIFFERS: Final = timedelta(minutes=1)


class Renewal(NamedTuple):
    """The last login: when it ended, and when the books first agreed with the broker's after that, None: not yet."""

    ended_at: datetime
    agreed_at: datetime | None


def run(context: Context) -> Section:
    """The countdown, what the service says of it, and how the last one went."""
    session, now = context.settings.session, context.clock.now()
    try:
        windows = BrokerWindows.load(session.broker_region, session.broker_windows_file)
    except BrokerWindowsError as error:
        why = f"when the login ends is not known: {error}"
        return Section(key=KEY, title=TITLE, outcome=Outcome.UNKNOWN, sentence=why, missing=(why,))
    missing: list[str] = []
    ends_at = windows.next_authentication(now)
    opens_at = _opens_after(context, ends_at, missing)
    published = _published(context, missing)
    renewal = _renewal(context, windows, now, missing)
    simulated = context.settings.mode is TradingMode.SIMULATED
    figures = [
        *countdown(now, ends_at, opens_at, simulated=simulated),
        *_agreement(ends_at, published), *_renewed(renewal, simulated=simulated), *_table_age(windows, now),
    ]  # fmt: skip
    return section(figures, ends_at - now, ends_at, missing, simulated=simulated)


def section(
    figures: list[Figure], left: timedelta, ends_at: datetime, missing: list[str], *, simulated: bool
) -> Section:
    """The whole section; ``left`` is the time until the login ends."""
    outcome = worst(figure.outcome for figure in figures)
    told = f"the login ends in {duration_text(left.total_seconds())}, {text_of(ends_at, Unit.MOMENT)}"
    notes = ("The simulated gateway needs no login; this is what a real one would need.",) if simulated else ()
    others = [figure for figure in figures if figure.outcome is not Outcome.OK and figure.label != ENDS_IN]
    if others:
        told = f"{told}; {others[0].label}: {text_of(others[0].value, others[0].unit)}"
    return Section(
        key=KEY, title=TITLE, outcome=outcome, sentence=told, figures=tuple(figures), notes=notes,
        missing=tuple(missing), mend=MEND if outcome is not Outcome.OK else "",
    )  # fmt: skip


ENDS_IN: Final = "The login ends in"


def countdown(now: datetime, ends_at: datetime, opens_at: datetime | None, *, simulated: bool) -> list[Figure]:
    """When a person is needed, and until when."""
    left = ends_at - now
    due = left < DUE and not simulated
    figures = [
        Figure(
            label=ENDS_IN, value=left.total_seconds(), unit=Unit.SECONDS,
            bound="" if simulated else f"≥ {DUE.days} day",
            outcome=Outcome.WARNING if due else Outcome.OK,
        ),
        Figure(label="A person has to log in after", value=ends_at, unit=Unit.MOMENT),
    ]  # fmt: skip
    if opens_at is not None:
        figures += [
            Figure(label="and before the session that opens", value=opens_at, unit=Unit.MOMENT),
            Figure(label="Time for it", value=(opens_at - ends_at).total_seconds(), unit=Unit.SECONDS),
        ]
    return figures


def _opens_after(context: Context, ends_at: datetime, missing: list[str]) -> datetime | None:
    if context.calendar is None:
        missing.append("the session until which somebody has to have logged in: there is no usable calendar")
        return None
    try:
        return context.calendar.next_session(ends_at).opens_at
    except CalendarError as error:
        missing.append(f"the session until which somebody has to have logged in: {error}")
        return None


def _published(context: Context, missing: list[str]) -> datetime | None:
    """What the service itself publishes, which the alert goes by."""
    try:
        answered = context.place.exporter("/metrics")
        if answered is None:
            raise NotVisible("it does not answer")
        value = samples(answered.body).get(METRIC)
        if value is None or not math.isfinite(value) or not 0 < value < 1e11:
            raise NotVisible(f"it has no {METRIC}")
        return datetime.fromtimestamp(value, UTC)
    except (NotVisible, Absent) as error:
        missing.append(f"what the service publishes of it: {error}")
        return None


def _agreement(ends_at: datetime, published: datetime | None) -> list[Figure]:
    """A service that goes by another table than this job has not been restarted since the table changed."""
    if published is None:
        return []
    differs = abs(published - ends_at) > DIFFERS
    bound = f"= {text_of(ends_at, Unit.MOMENT)}"
    outcome = Outcome.WARNING if differs else Outcome.OK
    label = "The service and its alert go by"
    return [Figure(label=label, value=published, unit=Unit.MOMENT, bound=bound, outcome=outcome)]


def _renewal(context: Context, windows: BrokerWindows, now: datetime, missing: list[str]) -> Renewal | None:
    """How the login that ended last was renewed."""
    ended_at = windows.next_authentication(now - WEEK)
    if ended_at > now:  # the week with the longer day
        ended_at = windows.next_authentication(now - WEEK - DUE)
    try:
        facts = context.facts(ReconciliationFinished, since=ended_at, until=now)
        agreed = (fact.at for fact in facts if isinstance(fact, ReconciliationFinished) and fact.clean)
        return Renewal(ended_at, next(agreed, None))
    except (JournalError, Unavailable) as error:
        missing.append(f"whether the last login was in time: {error}")
        return None


def _renewed(renewal: Renewal | None, *, simulated: bool) -> list[Figure]:
    if renewal is None or simulated:
        return []
    ended = Figure(label="The login before ended", value=renewal.ended_at, unit=Unit.MOMENT)
    label = "Books agreed with the broker's again after"
    if renewal.agreed_at is None:
        return [ended, Figure(label=label, value="not yet", bound="before the session", outcome=Outcome.WARNING)]
    waited_s = (renewal.agreed_at - renewal.ended_at).total_seconds()
    return [ended, Figure(label=label, value=waited_s, unit=Unit.SECONDS)]


def _table_age(windows: BrokerWindows, now: datetime) -> list[Figure]:
    """IBKR moves its windows, so the table has to be looked after."""
    old = (now.date() - windows.as_of) > TABLE_OLD
    outcome = Outcome.WARNING if old else Outcome.OK
    label, bound = "Table of the broker's windows is of", f"≤ {TABLE_OLD.days} days ago"
    return [Figure(label=label, value=windows.as_of.isoformat(), bound=bound, outcome=outcome)]
