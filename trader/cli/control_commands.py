"""``trader halt`` and ``trader resume``: an operator's word to the running service.

Rules: only the running service changes its trading state, and writes that down; with no service these
commands write nothing to the journal. The text says what is true now and what to type next, for somebody
who was just woken up.
"""

from pathlib import Path
from typing import Annotated

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, ConfigOption, fail, settings_to_ask_by

ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why, for the journal.")]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-positions", help="The broker's positions are right: the books follow them."),
]


def register(parent: typer.Typer) -> None:
    """Add ``halt`` and ``resume`` to the command line."""
    parent.command("halt")(halt_command)
    parent.command("resume")(resume_command)


def halt_command(config: ConfigOption = DEFAULT_CONFIG, reason: ReasonOption = "an operator asked for it") -> None:
    """Stop trading: cancel working orders, place none; positions stay as they are."""
    from trader.control import ControlClient
    from trader.control_messages import Command, ControlError, NoServiceError

    socket = settings_to_ask_by(config, "control", "panic").control.socket
    try:
        answer = ControlClient(socket).call(Command.HALT, reason=reason)
    except NoServiceError as error:
        fail(f"{error}; nothing trades, but orders may still stand at the broker: trader panic cancels and flattens")
    except ControlError as error:
        fail(str(error))
    typer.echo(
        answer.sentence()
        or "halted: working orders are being cancelled, positions stay; trade again with: trader resume"
    )


def resume_command(config: ConfigOption = DEFAULT_CONFIG, accept_positions: AcceptOption = False) -> None:
    """Trade again after a halt, a panic or a mismatch; removes the panic flag."""
    from trader.control import ControlClient
    from trader.control_messages import Command, ControlError, NoServiceError

    settings = settings_to_ask_by(config, "control", "panic")
    try:
        answer = ControlClient(settings.control.socket).call(Command.RESUME, accept_positions=accept_positions)
    except NoServiceError as error:
        fail(f"{error}; {lower_flag(settings.panic.flag)}")
    except ControlError as error:
        fail(str(error))
    typer.echo(answer.sentence() or "resumed: the service trades as soon as it is ready; see: trader status")


def lower_flag(flag: Path) -> str:
    """Remove the panic flag while no service runs; the sentence says what that does and what it does not."""
    try:
        flag.unlink()
    except FileNotFoundError:
        return "trading is not resumed; start the service, then type: trader resume"
    except OSError as error:
        return f"the panic flag {flag} could not be removed either ({error.strerror}); remove it by hand"
    return (
        f"the panic flag {flag} was removed, but trading is not resumed: the service remembers a panic; "
        "start it, then type: trader resume"
    )
