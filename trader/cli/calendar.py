"""``trader calendar``: extract an exchange's sessions into a table, show what a table says, publish it as metrics.

Rules: the only module that imports exchange_calendars, and only inside the extraction, because it brings
pandas with it and takes a quarter of a second.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from trader.clock import SystemClock
from trader.session import BrokerWindows, BrokerWindowsError, CalendarError, Session, SessionCalendar
from trader.session.gauges import session_gauges
from trader.session.table import format_table, parse_table
from trader.textfile import TextfileError, write

FIRST_DAY: Final = date(2010, 1, 1)
# CME Globex halts daily from 16:00 to 17:00 in Chicago; the library lets a full session run through the halt.
CLOSE_CORRECTIONS: Final = {"CMES": (time(17, 0), time(16, 0))}

app = typer.Typer(help="Exchange calendars.", no_args_is_help=True)


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
    calendar: Annotated[str, typer.Option(help="Name of a calendar, as in session.calendar.")] = "XNYS",
    file: Annotated[Path | None, typer.Option(help="Table to read instead of the one that comes along.")] = None,
    region: Annotated[str, typer.Option(help="Whose resets apply, as in session.broker_region.")] = "north_america",
    windows_file: Annotated[Path | None, typer.Option(help="Resets to read instead of those that come along.")] = None,
) -> None:
    """Publish the session and the broker's reset as metrics; run it every few minutes from a timer."""
    try:
        source = SessionCalendar.load(calendar, file)
        windows = BrokerWindows.load(region, windows_file)
        write(out, session_gauges(source, windows, SystemClock().now()))
    except (CalendarError, BrokerWindowsError, TextfileError) as error:
        typer.echo(f"session not published: {error}", err=True)
        raise typer.Exit(2) from error
