"""``trader reload``: the running service reads its configuration again.

Rules: it ends when the service is done, with exit code 0 and what changed, or 1 and every problem, and then the old
configuration is in force as a whole. What is read is the file that the service was started with; ``--config`` only
says where it is reached, so a mistake elsewhere in the file is the service's to refuse.
"""

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, ConfigOption, fail, settings_to_ask_by


def register(parent: typer.Typer) -> None:
    """Add ``trader reload`` to the command line."""
    parent.command("reload")(reload_command)


def reload_command(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Have the running service read its configuration again; all of it takes effect, or nothing."""
    from trader.control import ControlClient
    from trader.control_messages import Command, ControlError, NoServiceError

    client = ControlClient(settings_to_ask_by(config, "control", tell=False).control.socket)
    try:
        changed = client.call(Command.RELOAD).value(list[str])
    except NoServiceError as error:
        fail(f"{error}; it reads the configuration when it starts")
    except ControlError as error:
        fail(f"{error}\nthe old configuration stays in force")
    typer.echo(f"reloaded: {', '.join(changed)}" if changed else "reloaded: nothing changed")
