"""``trader calendar``: extract an exchange's sessions into a table, show what a table says, publish it as metrics.

Rules: the only module that imports exchange_calendars, and only inside the extraction, because it brings
pandas with it and takes a quarter of a second.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from trader.cli.plumbing import settings_to_ask_by
from trader.clock import SystemClock
from trader.session import BrokerWindows, BrokerWindowsError, CalendarError, Session, SessionCalendar
from trader.session.gauges import session_gauges
from trader.session.table import format_table, parse_table
from trader.settings import SessionSettings
from trader.textfile import Gauge, TextfileError, write

FIRST_DAY: Final = date(2010, 1, 1)
# CME Globex halts daily from 16:00 to 17:00 in Chicago; the library lets a full session run through the halt.
CLOSE_CORRECTIONS: Final = {"CMES": (time(17, 0), time(16, 0))}

app = typer.Typer(help="Exchange calendars.", no_args_is_help=True)


class SessionChoiceError(Exception):
    """What is to be published contradicts itself; the text says how."""


class ExtractionError(Exception):
    """The sessions cannot be extracted; the text says why."""


def register(parent: typer.Typer) -> None:
    """Add ``trader calendar …`` to the command line."""
    parent.add_typer(app, name="calendar")


def extract(calendar: str, first: date, last: date | None, today: date) -> str:
    """The table of ``calendar`` from ``first`` to ``last`` (default: the end of next year), as text."""
    import exchange_calendars
    from exchange_calendars import errors

    last = last or date(today.year + 1, 12, 31)
    if first >= last:
        raise ExtractionError(f"the first day {first} must be before the last day {last}")
    try:
        source = exchange_calendars.get_calendar(calendar, start=first.isoformat(), end=last.isoformat())
    except errors.InvalidCalendarName as error:
        names = ", ".join(name for name in exchange_calendars.get_calendar_names() if name.startswith(calendar[:2]))
        hint = f"; similar: {names}" if names else ""
        raise ExtractionError(f"exchange_calendars knows no calendar {calendar!r}{hint}") from error
    except ValueError as error:
        raise ExtractionError(f"exchange_calendars cannot give {calendar} from {first} to {last}: {error}") from error
    headers = {
        "calendar": calendar,
        "source": f"exchange_calendars {exchange_calendars.__version__}" + _correction_note(calendar),
        "extracted": today.isoformat(),
        "generated": "DO NOT EDIT, made by: trader calendar extract --calendar " + calendar,
    }
    return format_table(headers, _sessions(calendar, source))


def _sessions(calendar: str, source: Any) -> Iterator[Session]:
    early = set(source.early_closes)
    for day, opens_at, closes_at in zip(
        source.schedule.index, source.schedule["open"], source.schedule["close"], strict=True
    ):
        closes = _corrected(calendar, closes_at.tz_convert(source.tz).to_pydatetime())
        yield Session(
            day.date().isoformat(), opens_at.to_pydatetime().astimezone(UTC), closes.astimezone(UTC), day in early
        )


def _corrected(calendar: str, closes_at: datetime) -> datetime:
    listed, actual = CLOSE_CORRECTIONS.get(calendar, (None, None))
    if actual is None or closes_at.time() != listed:
        return closes_at
    return closes_at.replace(hour=actual.hour, minute=actual.minute)


def _correction_note(calendar: str) -> str:
    if calendar not in CLOSE_CORRECTIONS:
        return ""
    listed, actual = CLOSE_CORRECTIONS[calendar]
    return f"; a close at {listed:%H:%M} local is taken as {actual:%H:%M}, when the daily halt begins"


@app.command("extract")
def extract_command(
    calendar: Annotated[str, typer.Option(help="Name of the exchange: XNYS, CMES, XLON, …")],
    out: Annotated[Path, typer.Option(help="File to write; replaced only when the extraction worked.")],
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help=f"First day; default: {FIRST_DAY}.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; default: the end of next year.")
    ] = None,
) -> None:
    """Extract the opens and closes of an exchange into the table that the service reads."""
    today = SystemClock().now().date()
    try:
        text = extract(calendar, first.date() if first else FIRST_DAY, last.date() if last else None, today)
        table = parse_table(text, str(out))
        part = out.with_name(out.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(out)
    except (ExtractionError, CalendarError, OSError) as error:
        typer.echo(f"calendar not extracted: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{out}: {len(table.sessions)} sessions, {table.sessions[0].name} to {table.sessions[-1].name}")


@app.command("show")
def show_command(
    calendar: Annotated[str, typer.Option(help="Name of a calendar, as in session.calendar.")] = "XNYS",
    file: Annotated[Path | None, typer.Option(help="Table to read instead of the one that comes along.")] = None,
    sessions: Annotated[int, typer.Option(min=1, max=100, help="How many sessions to list.")] = 5,
) -> None:
    """List the current and the next sessions, in UTC, and until when the calendar is known."""
    try:
        source = SessionCalendar.load(calendar, file)
        session = source.current_or_next(SystemClock().now())
        for _ in range(sessions):
            half_day = "  half day" if session.half_day else ""
            hours = f"{session.opens_at:%Y-%m-%d %H:%M} to {session.closes_at:%Y-%m-%d %H:%M} UTC"
            typer.echo(f"{session.name}  {hours}{half_day}")
            session = source.next_session(session.opens_at)
    except CalendarError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    known = source.valid_until
    typer.echo("never ends" if known is None else f"known until {known:%Y-%m-%d %H:%M} UTC")


@app.command("textfile")
def textfile_command(
    out: Annotated[Path, typer.Option(help="File to replace, in the folder of node_exporter's textfile collector.")],
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="Take all of it from this configuration; repeat it for several accounts."),
    ] = None,
    calendar: Annotated[
        str | None, typer.Option(help="Name of a calendar, as in session.calendar; XNYS when nothing is said.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Table to read instead of the one that comes along.")] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Whose resets apply, as in session.broker_region; north_america when nothing is said."),
    ] = None,
    windows_file: Annotated[Path | None, typer.Option(help="Resets to read instead of those that come along.")] = None,
) -> None:
    """Publish the session and the broker's reset as metrics; run it every few minutes from a timer."""
    single = (calendar, file, region, windows_file)
    try:
        if config and any(option is not None for option in single):
            raise SessionChoiceError("--config says which calendar and region; leave the other options out")
        wanted = [_session_of(path) for path in config] if config else [_session_named(*single)]
        write(out, published(wanted, SystemClock().now()))
    except (SessionChoiceError, CalendarError, BrokerWindowsError, TextfileError) as error:
        typer.echo(f"session not published: {error}", err=True)
        raise typer.Exit(2) from error


def _session_of(path: Path) -> SessionSettings:
    """The session of the configuration ``path``, which may be wrong in anything else: the market opens all the same."""
    return settings_to_ask_by(path, "session", tell=False).session


def _session_named(
    calendar: str | None, file: Path | None, region: str | None, windows_file: Path | None
) -> SessionSettings:
    default = SessionSettings()
    return default.model_copy(
        update={
            "calendar": calendar or default.calendar,
            "calendar_file": file,
            "broker_region": region or default.broker_region,
            "broker_windows_file": windows_file,
        }
    )


def published(wanted: Sequence[SessionSettings], now: datetime) -> tuple[Gauge, ...]:
    """The gauges of every calendar in ``wanted``, each once, and of their one region's resets.

    Raises SessionChoiceError when the same metric would get two values, besides what the calendars raise.
    """
    resets = {(session.broker_region, session.broker_windows_file) for session in wanted}
    if len(resets) > 1:
        regions = ", ".join(sorted(region for region, _ in resets))
        raise SessionChoiceError(
            f"the resets of one region can be published, not of several (broker_region: {regions})"
        )
    calendars = {(session.calendar, session.calendar_file) for session in wanted}
    names = sorted(name for name, _ in calendars)
    if len(names) != len(set(names)):
        raise SessionChoiceError(f"two calendar_file for the same calendar ({', '.join(names)}); name one of them")
    ((region, windows_file),) = resets
    windows = BrokerWindows.load(region, windows_file)
    sources = [SessionCalendar.load(name, file) for name, file in sorted(calendars, key=itemgetter(0))]
    return _merged(gauge for source in sources for gauge in session_gauges(source, windows, now))


def _merged(gauges: Iterable[Gauge]) -> tuple[Gauge, ...]:
    """One gauge for each name, with all its samples; what several calendars tell alike is told once."""
    merged: dict[str, Gauge] = {}
    for gauge in gauges:
        known = merged.get(gauge.name)
        earlier = known.samples if known is not None else ()
        new = tuple(sample for sample in gauge.samples if sample not in earlier)
        merged[gauge.name] = Gauge(gauge.name, gauge.help, (*earlier, *new))
    return tuple(merged.values())
