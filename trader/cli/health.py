"""``trader health``: exit code 0 when the service may trade, 1 when not, and one line why.

Rules: the line says how old the last tick is while a session is open; whether that is too old is for who asks.
"""

import msgspec
import typer

from trader.cli.plumbing import DEFAULT_CONFIG, EXIT_FAILED, ConfigOption, JsonOption, settings_to_ask_by

ANSWER_TIMEOUT_S = 5.0


def register(parent: typer.Typer) -> None:
    """Add ``trader health`` to the command line."""
    parent.command("health")(health_command)


def health_command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Say in one line whether the service is healthy, and why not; the exit code says it to programs."""
    from trader.control import ControlClient
    from trader.health import check_health

    settings = settings_to_ask_by(config, "control", "panic", "metrics")
    report = check_health(settings, ControlClient(settings.control.socket, ANSWER_TIMEOUT_S).call)
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        typer.echo(report.reason, err=not report.ready)
    raise typer.Exit(0 if report.ready else EXIT_FAILED)
