"""``trader compare``: a run over the wire against a replay of the same recorded data.

Exit code 0 when the signals agree one by one, 1 when they do not, 2 when the input cannot be used.
"""

import json
from typing import Annotated

import typer
from rich.console import Console

from trader.cli import replay_view
from trader.cli.replay import EXIT_UNUSABLE, AsJson, Config, Files, LatencyMs, compare_with, replay, require_agreement
from trader.replay import ReplayError
from trader.settings_file import ConfigurationError


def register(parent: typer.Typer) -> None:
    """Add ``trader compare`` to the command line."""
    parent.command("compare")(compare_command)


def compare_command(
    journal: Annotated[
        str,
        typer.Argument(metavar="JOURNAL", help="Journal (file or URL) of the run over the wire.", show_default=False),
    ],
    files: Files,
    config: Config = None,
    as_json: AsJson = False,
    latency_ms: LatencyMs = 0.0,
) -> None:
    """Compare a run's journal with a replay: signals must agree, fills differ by latency only."""
    try:
        comparison = compare_with(journal, replay(files, config, latency_ms))
    except (ReplayError, ConfigurationError) as error:
        typer.echo(f"cannot compare: {error}", err=True)
        raise typer.Exit(EXIT_UNUSABLE) from error
    if as_json:
        typer.echo(json.dumps(replay_view.comparison_values(comparison), indent=2))
    else:
        Console(highlight=False).print(replay_view.comparison_view(comparison))
    require_agreement(comparison)
