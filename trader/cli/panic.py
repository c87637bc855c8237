"""``trader panic``: raise the flag, then see that the account is flat, with or without a running service.

Rules: the flag comes first, so that nothing opens a position from here on, whatever happens to this command.
A running service flattens; when there is none, or it does not get there in time, this command does it itself
with a clientId of its own. Exit code 0 only when the broker says that the account is flat. A configuration that
is wrong in what a panic does not need does not stop it; which account is meant, and where, is never guessed.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, EXIT_UNUSABLE, ConfigOption, fail
from trader.clock import NANOSECONDS_PER_SECOND, AnchoredClock
from trader.settings import Settings

POLL_S: Final = 0.2
SERVICE_PATIENCE_S: Final = 15.0
# Sections and keys that say which account is meant and where it is; "" is the file as a whole.
DECISIVE: Final = frozenset({"", "mode", "account", "gateway"})

TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, max=600, help="Seconds to flatten in.")]
FlagOption = Annotated[bool, typer.Option("--flag-only", help="Raise the flag and leave the rest to who watches it.")]


def register(parent: typer.Typer) -> None:
    """Add ``trader panic`` to the command line."""
    parent.command("panic")(panic_command)


def panic_command(
    config: ConfigOption = DEFAULT_CONFIG, timeout: TimeoutOption = 60.0, flag_only: FlagOption = False
) -> None:
    """Cancel every order, close every position, stay in panic until: trader resume."""
    settings = _settings_for_panic(config)
    _raise_flag(settings)
    if not flag_only:
        asyncio.run(_flatten(settings, timeout))


def _settings_for_panic(config: Path) -> Settings:
    """What the configuration says, also when it is wrong in something that a panic can do without."""
    from trader.settings_file import ConfigurationError, load_settings

    try:
        return load_settings(config)
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        if error.rest is None or any(_is_decisive(problem.key) for problem in error.problems):
            fail(
                "NO PANIC RAISED: this does not say which account is meant; correct it, or give another file with "
                "--config, or create the panic flag's file by hand for the running service to see",
                EXIT_UNUSABLE,
            )
        typer.echo("the panic goes on with the rest of the configuration", err=True)
        return error.rest


def _is_decisive(key: str) -> bool:
    """Whether a mistake there leaves open which account is meant; an unknown section may be a misspelt one of those."""
    section = key.partition(".")[0].partition("[")[0]
    return section in DECISIVE or section not in Settings.model_fields


def _raise_flag(settings: Settings) -> None:
    flag = settings.panic.flag
    try:
        flag.parent.mkdir(parents=True, exist_ok=True)
        flag.touch()
    except OSError as error:
        typer.echo(f"the panic flag {flag} cannot be raised ({error.strerror}); flattening all the same", err=True)
    else:
        typer.echo(f"panic flag raised: {flag}")


async def _flatten(settings: Settings, timeout_s: float) -> None:
    from trader.control_messages import NoServiceError

    try:
        done = await _by_the_service(settings)
    except NoServiceError:
        typer.echo("no service is running: flattening from here")
        done = False
    if not done:
        await _from_here(settings, timeout_s)


async def _by_the_service(settings: Settings) -> bool:
    """Whether the running service cancelled and flattened everything; NoServiceError when none runs."""
    from trader.control import ControlClient
    from trader.control_messages import Command, ControlError, NoServiceError
    from trader.snapshot import Snapshot

    clock, client = AnchoredClock(), ControlClient(settings.control.socket)
    deadline_ns = clock.monotonic_ns() + int(SERVICE_PATIENCE_S * NANOSECONDS_PER_SECOND)
    try:
        await asyncio.to_thread(client.call, Command.PANIC)
        typer.echo("the service is flattening")
        while clock.monotonic_ns() < deadline_ns:
            snapshot = (await asyncio.to_thread(client.call, Command.STATUS)).value(Snapshot)
            if snapshot.panic_completed:
                typer.echo("flat: the service cancelled every order and closed every position")
                return True
            await asyncio.sleep(POLL_S)
    except NoServiceError:
        raise
    except ControlError as error:
        typer.echo(f"the service does not answer ({error}): flattening from here", err=True)
        return False
    typer.echo(f"the service is not done after {SERVICE_PATIENCE_S:.0f} s: flattening from here", err=True)
    return False


async def _from_here(settings: Settings, timeout_s: float) -> None:
    from trader.panic import PanicError, flatten_account

    try:
        duration_s = await flatten_account(settings, AnchoredClock(), typer.echo, timeout_s)
    except PanicError as error:
        fail(f"NOT FLAT: {error}; look at the account in TWS or Client Portal now")
    typer.echo(f"flat: every order is cancelled and every position closed, in {duration_s:.1f} s")
