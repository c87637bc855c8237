"""Daily: is the service well: its units, why it was started in the period, and whether it is ready now.

Rules: units, readiness and the panic flag are the doctor's checks, at the moment of the job; starts come from the
journal and are the period's. What cannot be looked at is unknown and named; a service that is down has failed.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import structs

from trader.control import ControlClient
from trader.doctor import CHECKS, Place, Result, examine
from trader.doctor.model import NotVisible
from trader.doctor.model import Verdict as Found
from trader.doctor.units import moment_of
from trader.events import ServiceStarted, ServiceStopped, StartReason
from trader.health import check_health
from trader.journal import JournalError
from trader.maintenance.context import Context
from trader.maintenance.measures import OF_FINDING, counted
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit, Value, worst
from trader.maintenance.sources import OUR_UNITS, Unavailable
from trader.settings import Settings
from trader.success_metrics import UNPLANNED_STARTS

KEY: Final = "health"
TITLE: Final = "Service and units"
LOOKED_AT: Final = (
    "active", "restarts", "failed_units", "panic_path", "calendar_timer", "maintenance_timers", "panic_flag", "ready",
)  # fmt: skip
# Without these nothing trades, or nothing stops it; the others are worth a look.
VITAL: Final = frozenset({"active", "panic_path"})
UNITS_MAX: Final = 100
LABELS: Final = {"active": "Service", "ready": "Ready now", "restarts": "Restarts by systemd"}


class UnitRow(NamedTuple):
    """One unit as systemd has it; ``since`` is when it came into its state, None when that is not known."""

    name: str
    active: str
    sub: str
    result: str
    restarts: str
    since: datetime | None


class Starts(NamedTuple):
    """The starts of the period, oldest first, and the stops; None where the journal cannot be read."""

    started: tuple[ServiceStarted, ...] | None
    stopped: tuple[ServiceStopped, ...]
    problem: str = ""


def run(context: Context) -> Section:
    """The service's health."""
    looks = examine(context.place, checks=[check for check in CHECKS if check.key in LOOKED_AT]).results
    rows, problem = read_units(context.place)
    return section([asked_itself(look, context.settings) for look in looks], rows, read_starts(context), problem)


def asked_itself(look: Result, settings: Settings) -> Result:
    """Readiness by the service's own word where the doctor cannot see it: it may run by another configuration."""
    if look.key != "ready" or look.verdict is not Found.UNKNOWN:
        return look
    told = check_health(settings, ControlClient(settings.control.socket).call)
    return structs.replace(look, verdict=Found.OK if told.ready else Found.FAILED, seen=told.reason)


def read_units(place: Place) -> tuple[tuple[UnitRow, ...], str]:
    """Our units that systemd has loaded and those that belong to the installation; else why they are not known."""
    site = place.site
    try:
        ran = place.host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", OUR_UNITS)
        listed = [line.split()[0] for line in ran.output.splitlines() if line.strip()] if ran.code == 0 else []
        expected = (site.unit, site.panic_path, site.calendar_timer)
        names = dict.fromkeys((*expected, *sorted(listed)))
        return tuple(_unit_row(name, place.show(name)) for name in list(names)[:UNITS_MAX]), ""
    except NotVisible as error:
        return (), str(error)


def _unit_row(name: str, shown: dict[str, str]) -> UnitRow:
    loaded = shown.get("LoadState") == "loaded"
    return UnitRow(
        name=name,
        active=shown.get("ActiveState", "unknown") if loaded else "not installed",
        sub=shown.get("SubState", "") if loaded else "",
        result=shown.get("Result", ""),
        restarts=shown.get("NRestarts", ""),
        since=moment_of(shown.get("StateChangeTimestamp", "")),
    )


def read_starts(context: Context) -> Starts:
    try:
        facts = list(context.facts(ServiceStarted, ServiceStopped))
    except (JournalError, Unavailable) as error:
        return Starts(None, (), str(error))
    return Starts(
        tuple(fact for fact in facts if isinstance(fact, ServiceStarted)),
        tuple(fact for fact in facts if isinstance(fact, ServiceStopped)),
    )


# -- judgement


def section(looks: Sequence[Result], rows: Sequence[UnitRow], starts: Starts, problem: str = "") -> Section:
    """The whole section, from what was found."""
    unplanned = sum(fact.reason in UNPLANNED_STARTS for fact in starts.started or ())
    outcomes = [outcome_of(look) for look in looks]
    outcomes.append(Outcome.WARNING if unplanned else Outcome.OK)
    outcomes.append(Outcome.UNKNOWN if starts.started is None else Outcome.OK)
    return Section(
        key=KEY,
        title=TITLE,
        outcome=worst(outcomes),
        sentence=_sentence(looks, starts, unplanned),
        figures=tuple(_figures(looks, starts, unplanned)),
        tables=tuple(_tables(looks, rows, starts)),
        missing=tuple(_missing(looks, starts, problem)),
        mend=next((look.mend for look in sorted(looks, key=_badness, reverse=True) if look.mend), ""),
    )


def outcome_of(look: Result) -> Outcome:
    """A check's verdict as an outcome: only what is vital fails the section."""
    outcome = OF_FINDING[look.verdict]
    return Outcome.WARNING if outcome is Outcome.FAILED and look.key not in VITAL else outcome


def _badness(look: Result) -> int:
    return tuple(Outcome).index(outcome_of(look))


def _sentence(looks: Sequence[Result], starts: Starts, unplanned: int) -> str:
    bad = [look for look in looks if look.verdict in (Found.FAILED, Found.WARNING)]
    unseen = [look for look in looks if look.verdict is Found.UNKNOWN and look.key in (*VITAL, "ready")]
    if bad:
        first = max(bad, key=_badness)
        said = f"{first.title}: {first.seen}" + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")
    elif unseen:
        said = f"not known: {', '.join(look.title for look in unseen)} ({unseen[0].seen})"
    else:
        said = "the service and its units are well"
    if starts.started is None:
        return said
    return f"{said}; {counted(len(starts.started), 'start')}, {unplanned} of them unplanned"


def _figures(looks: Sequence[Result], starts: Starts, unplanned: int) -> Iterator[Figure]:
    for look in looks:
        if look.key in LABELS:
            yield Figure(label=LABELS[look.key], value=look.seen, outcome=outcome_of(look))
    known = starts.started is not None
    yield Figure(label="Starts", value=len(starts.started or ()) if known else None, unit=Unit.COUNT)
    yield Figure(
        label="Unplanned starts", value=unplanned if known else None, unit=Unit.COUNT, bound="< 1",
        outcome=Outcome.WARNING if unplanned else Outcome.OK,
    )  # fmt: skip


def _tables(looks: Sequence[Result], rows: Sequence[UnitRow], starts: Starts) -> Iterator[Table]:
    yield Table.of(
        "Checks", (Column("Check"), Column("Verdict"), Column("Seen"), Column("Mend")),
        [(look.title, str(look.verdict), look.seen, look.mend) for look in looks],
    )  # fmt: skip
    columns = (
        Column("Unit"), Column("State"), Column("Detail"), Column("Last result"), Column("Restarts", Unit.COUNT),
        Column("Since", Unit.MOMENT),
    )  # fmt: skip
    if rows:
        yield Table.of("Units", columns, [_as_row(row) for row in rows])
    if starts.started:
        reasons = (Column("Reason"), Column("Planned"), Column("Starts", Unit.COUNT), Column("Last", Unit.MOMENT))
        yield Table.of("Starts by reason", reasons, _by_reason(starts.started))
        runs = (Column("Started", Unit.MOMENT), Column("Reason"), Column("Exit before it"), Column("Version"))
        yield Table.of("Starts", runs, [_start_row(fact) for fact in starts.started])
    if starts.stopped:
        stops = (Column("Stopped", Unit.MOMENT), Column("Reason"), Column("Clean"))
        yield Table.of("Stops", stops, [(fact.at, fact.reason, _yes(fact.clean)) for fact in starts.stopped])


def _as_row(row: UnitRow) -> tuple[Value, ...]:
    restarts = int(row.restarts) if row.restarts.isdigit() else None
    return row.name, row.active, row.sub, row.result, restarts, row.since


def _by_reason(started: Sequence[ServiceStarted]) -> Iterator[tuple[Value, ...]]:
    for reason in StartReason:
        moments = [fact.at for fact in started if fact.reason is reason]
        if moments:
            yield reason.value, _yes(reason not in UNPLANNED_STARTS), len(moments), max(moments)


def _start_row(fact: ServiceStarted) -> tuple[Value, ...]:
    return fact.at, fact.reason.value, "clean" if fact.previous_exit_clean else "not clean", fact.version


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _missing(looks: Sequence[Result], starts: Starts, problem: str) -> Iterator[str]:
    for look in looks:
        if look.verdict is Found.UNKNOWN:
            yield f"{look.title}: {look.seen}"
    if problem:
        yield f"states of the units: {problem}"
    if starts.problem:
        yield f"starts by reason: {starts.problem}"
