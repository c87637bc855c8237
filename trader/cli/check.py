"""``trader check``: everything that is wrong with a configuration, or the settings in force.

Rules: starts nothing and connects to nothing; secrets are masked. Exit code 0 when the configuration can
be used, 2 when it cannot.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
import yaml

from trader.schedule import ScheduleError, fire_times
from trader.session import BrokerWindows, BrokerWindowsError, CalendarError, SessionCalendar
from trader.settings import Settings
from trader.settings_file import (
    ConfigurationError,
    Problem,
    SecretError,
    config_hash,
    effective_settings,
    load_settings,
    read_secret,
    reference,
)
from trader.settings_file.document import read_document
from trader.settings_file.problems import KeyPath
from trader.strategy.loader import StrategyError, load_strategy

EXIT_UNUSABLE = 2
SOME_DAY = datetime(2026, 1, 5, tzinfo=UTC)
PART_ERRORS = (CalendarError, ScheduleError, BrokerWindowsError, StrategyError, SecretError, ValueError)


def register(parent: typer.Typer) -> None:
    """Add ``trader check`` to the command line."""
    parent.command("check")(check_command)


def check(file: Path) -> Settings:
    """The settings in ``file``, with the parts they name tried too; raises ConfigurationError with every problem."""
    settings = load_settings(file)
    document = read_document(file)
    problems: list[Problem] = []
    for path, attempt in _parts(settings):
        try:
            attempt()
        except PART_ERRORS as error:
            problems.append(document.problem(path, " ".join(str(error).split())))
    if problems:
        raise ConfigurationError(problems)
    return settings


def _parts(settings: Settings) -> Iterator[tuple[KeyPath, Callable[[], Any]]]:
    """What the settings name by name or by file, and how to find out whether it is there."""
    session, strategy = settings.session, settings.strategy
    symbols = [item.symbol for item in settings.instruments]
    yield ("session", "calendar"), lambda: SessionCalendar.load(session.calendar, session.calendar_file)
    yield (
        ("session", "broker_region"),
        lambda: BrokerWindows.load(session.broker_region, session.broker_windows_file),
    )
    yield ("strategy", "name"), lambda: load_strategy(strategy, symbols)
    yield ("strategy", "schedule_time_zone"), lambda: _require_zone(strategy.schedule_time_zone)
    if strategy.schedule:
        yield ("strategy", "schedule"), lambda: fire_times(strategy.schedule, "UTC", SOME_DAY)
    if settings.tracing.otlp_token_file:
        yield ("tracing", "otlp_token_file"), lambda: read_secret(settings.tracing.otlp_token_file or Path())


def _require_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is not a time zone such as America/New_York") from error


def check_command(
    file: Annotated[Path | None, typer.Argument(help="The configuration file.", show_default=False)] = None,
    show_reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of every key instead.")
    ] = False,
) -> None:
    """Name every problem of a configuration at once, or print the settings in force."""
    if show_reference:
        typer.echo(reference(), nl=False)
        return
    if file is None:
        typer.echo("name the configuration file: trader check config.yaml", err=True)
        raise typer.Exit(EXIT_UNUSABLE)
    try:
        settings = check(file)
    except ConfigurationError as error:
        count = len(error.problems)
        typer.echo(f"{file}: {count} problem{'s' if count > 1 else ''}", err=True)
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_UNUSABLE) from error
    typer.echo(f"# {file}: OK (config hash {config_hash(settings)}); the settings in force, defaults included:")
    typer.echo(yaml.safe_dump(effective_settings(settings), sort_keys=False, allow_unicode=True), nl=False)
