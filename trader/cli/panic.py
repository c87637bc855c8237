"""``trader panic``: raise the flag, then see that the account is flat, with or without a running service.

Rules: the flag comes first, so that nothing opens a position from here on, whatever happens to this command.
A running service flattens; when there is none, or it does not get there in time, this command does it itself
with a clientId of its own. Exit code 0 only when the broker says that the account is flat. A configuration that
is wrong in what a panic does not need does not stop it; which account is meant, and where, is never guessed.
``--hold`` is the same for a flag that somebody else raised, until that flag is gone; see ``panic_hold.py``.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, EXIT_UNUSABLE, ConfigOption, fail
from trader.clock import AnchoredClock
from trader.settings import Settings

# Sections and keys that say which account is meant and where it is; "" is the file as a whole.
DECISIVE: Final = frozenset({"", "mode", "account", "gateway"})
UNDECIDED: Final = (
    "NO PANIC RAISED: this does not say which account is meant; correct it, or give another file with "
    "--config, or create the panic flag's file by hand for the running service to see"
)
UNDECIDED_HOLD: Final = (
    "NOT FLATTENED FROM HERE: this does not say which account is meant; correct it; a running service flattens by "
    "the panic flag all the same"
)

TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, max=600, help="Seconds to flatten in.")]
FlagOption = Annotated[bool, typer.Option("--flag-only", help="Raise the flag and leave the rest to who watches it.")]
HoldOption = Annotated[
    bool, typer.Option("--hold", help="Flatten because the flag is raised, and hold it until it is removed.")
]


def register(parent: typer.Typer) -> None:
    """Add ``trader panic`` to the command line."""
    parent.command("panic")(panic_command)


def panic_command(
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = 60.0,
    flag_only: FlagOption = False,
    hold: HoldOption = False,
) -> None:
    """Cancel every order, close every position, stay in panic until: trader resume."""
    if hold and flag_only:
        fail(
            "choose one of --hold and --flag-only: the one raises the flag, the other waits for its end", EXIT_UNUSABLE
        )
    settings = _settings_for_panic(config, UNDECIDED_HOLD if hold else UNDECIDED)
    if hold:
        from trader.cli.panic_hold import PanicHold

        asyncio.run(PanicHold(settings, AnchoredClock()).run())
        return
    _raise_flag(settings)
    if not flag_only:
        asyncio.run(_flatten(settings, timeout))


def _settings_for_panic(config: Path, undecided: str) -> Settings:
    """What the configuration says, also when it is wrong in something that a panic can do without.

    Ends the command with ``undecided`` when the configuration leaves open which account is meant.
    """
    from trader.settings_file import ConfigurationError, load_settings

    try:
        return load_settings(config)
    except ConfigurationError as error:
        if error.rest is None or any(_is_decisive(problem.key) for problem in error.problems):
            fail(f"{error}\n{undecided}", EXIT_UNUSABLE)
        typer.echo(str(error), err=True)
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
    from trader.cli.panic_service import flattened_by_service
    from trader.control_messages import NoServiceError
    from trader.panic import PanicError, flatten_account

    try:
        if await flattened_by_service(settings, AnchoredClock(), typer.echo, _complain):
            return
    except NoServiceError:
        typer.echo("no service is running: flattening from here")
    try:
        duration_s = await flatten_account(settings, AnchoredClock(), typer.echo, timeout_s)
    except PanicError as error:
        fail(f"NOT FLAT: {error}; look at the account in TWS or Client Portal now")
    typer.echo(f"flat: every order is cancelled and every position closed, in {duration_s:.1f} s")


def _complain(sentence: str) -> None:
    typer.echo(sentence, err=True)
