"""``trader check``: everything that is wrong with a configuration, or the settings in force.

Rules: starts nothing and connects to nothing; secrets are masked. Exit code 0 when the configuration can
be used, 2 when it cannot. What systemd passes to the service alone cannot be looked up from here, which is said and
is no problem of the configuration.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
import yaml

from trader.cli.plumbing import CONFIG_VARIABLE, EXIT_UNUSABLE
from trader.journal import JournalError, require_address
from trader.schedule import ScheduleError, fire_times
from trader.session import BrokerWindows, BrokerWindowsError, CalendarError, SessionCalendar
from trader.settings import Settings
from trader.settings_file import (
    ConfigurationError,
    CredentialUnseen,
    SecretError,
    config_hash,
    effective_settings,
    load_settings,
    read_secret,
    reference,
)
from trader.settings_file.document import read_document
from trader.settings_file.problems import KeyPath, dotted, in_order
from trader.strategy.loader import StrategyError, load_strategy

SOME_DAY = datetime(2026, 1, 5, tzinfo=UTC)
PART_ERRORS = (
    CalendarError,
    ScheduleError,
    BrokerWindowsError,
    JournalError,
    StrategyError,
    SecretError,
    ValueError,
)


def register(parent: typer.Typer) -> None:
    """Add ``trader check`` to the command line."""
    parent.command("check")(check_command)


class Part(NamedTuple):
    """What a setting names by name or by file. ``attempt`` finds out whether it is there, by the settings ``keys``."""

    path: KeyPath
    attempt: Callable[[], Any]
    keys: tuple[str, ...]


def check(file: Path) -> Settings:
    """The settings in ``file``, with the parts they name tried too; raises ConfigurationError with every problem."""
    try:
        settings, problems = load_settings(file), []
    except ConfigurationError as error:
        if error.rest is None:
            raise
        settings, problems = error.rest, list(error.problems)
    wrong = tuple(problem.key for problem in problems)
    document = read_document(file)
    for part in _parts(settings):
        if any(key.startswith(part.keys) for key in wrong):
            continue  # its settings are not those of the file
        try:
            part.attempt()
        except CredentialUnseen:
            continue
        except PART_ERRORS as error:
            problems.append(document.problem(part.path, " ".join(str(error).split())))
    if problems:
        raise ConfigurationError(in_order(problems))
    return settings


def _parts(settings: Settings) -> Iterator[Part]:
    session, strategy = settings.session, settings.strategy
    symbols = [item.symbol for item in settings.instruments]
    yield Part(
        ("session", "calendar"),
        lambda: SessionCalendar.load(session.calendar, session.calendar_file),
        ("session.calendar",),
    )
    yield Part(
        ("session", "broker_region"),
        lambda: BrokerWindows.load(session.broker_region, session.broker_windows_file),
        ("session.broker",),
    )
    yield Part(
        ("strategy", "name"),
        lambda: load_strategy(strategy, symbols),
        ("strategy.name", "strategy.parameters", "strategy.capital", "instruments"),
    )
    zone = strategy.schedule_time_zone
    yield Part(("strategy", "schedule_time_zone"), lambda: _require_zone(zone), ("strategy.schedule_time_zone",))
    if strategy.schedule:
        yield Part(
            ("strategy", "schedule"), lambda: fire_times(strategy.schedule, "UTC", SOME_DAY), ("strategy.schedule",)
        )
    yield Part(("journal", "url"), lambda: require_address(settings.journal.url), ("journal.url",))
    yield from _secrets(settings)


def _secrets(settings: Settings) -> Iterator[Part]:
    files = {
        ("tracing", "otlp_token_file"): settings.tracing.otlp_token_file,
        ("policy", "token_file"): settings.policy.token_file,
    }
    for path, file in files.items():
        if file is not None:
            yield Part(path, partial(read_secret, file), (".".join(path),))


def unseen_credentials(settings: Settings) -> Iterator[str]:
    """One sentence for each credential that only the service gets to see."""
    for part in _secrets(settings):
        try:
            part.attempt()
        except CredentialUnseen:
            yield f"{dotted(part.path)}: a credential cannot be looked up from here; systemd passes it to the service"
        except SecretError:
            pass  # told as a problem


def _require_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is not a time zone such as America/New_York") from error


def check_command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", envvar=CONFIG_VARIABLE, help="The configuration file.", show_default=False),
    ] = None,
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
    for sentence in unseen_credentials(settings):
        typer.echo(sentence, err=True)
    typer.echo(f"# {file}: OK (config hash {config_hash(settings)}); the settings in force, defaults included:")
    typer.echo(yaml.safe_dump(effective_settings(settings), sort_keys=False, allow_unicode=True), nl=False)
