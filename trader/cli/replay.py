"""``trader replay``: recorded data through the service's own engine at full speed.

Rules: connects to nothing and writes nothing but the report. Exit code 0; 1 when a comparison finds that
the signals disagree; 2, with one sentence, when the input cannot be used.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from trader.cli import replay_view
from trader.replay import Comparison, ReplayError, ReplayResult, compare, run_replay, summarize
from trader.replay.report import report_data
from trader.replay.wire_run import read_wire_run
from trader.report import ReportError, write_report
from trader.settings import Settings
from trader.settings_file import ConfigurationError, config_hash, load_settings

EXIT_DISAGREE: Final = 1
EXIT_UNUSABLE: Final = 2

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Recorded files (CSV, CSV.gz, Parquet).", show_default=False)
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Configuration; without it every recorded symbol is traded.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
LatencyMs = Annotated[
    float, typer.Option("--latency-ms", min=0, max=60_000, help="Virtual time from sending an order to the exchange.")
]


def register(parent: typer.Typer) -> None:
    """Add ``trader replay`` to the command line."""
    parent.command("replay")(replay_command)


def replay_command(
    files: Files,
    config: Config = None,
    as_json: AsJson = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write one HTML page with charts.")] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Journal (file or URL) of a run over the wire to compare with.")
    ] = None,
    latency_ms: LatencyMs = 0.0,
) -> None:
    """Replay recorded data through the engine, and say what came of it."""
    try:
        result = replay(files, config, latency_ms)
        comparison = compare_with(against, result) if against else None
        summary = summarize(result)
        if report is not None:
            write_report(report_data(result, summary), report)
    except (ReplayError, ReportError, ConfigurationError) as error:
        typer.echo(f"cannot replay: {error}", err=True)
        raise typer.Exit(EXIT_UNUSABLE) from error
    if as_json:
        _print_json(
            {
                **replay_view.summary_values(summary),
                "comparison": None if comparison is None else replay_view.comparison_values(comparison),
            }
        )
    else:
        console = Console(highlight=False)
        console.print(replay_view.summary_view(summary))
        if comparison is not None:
            console.print()
            console.print(replay_view.comparison_view(comparison))
        if report is not None:
            console.print(f"\nreport written to {report}")
    require_agreement(comparison)


def replay(files: list[Path], config: Path | None, latency_ms: float = 0.0) -> ReplayResult:
    """Run the replay that the command line asks for; raises ReplayError or ConfigurationError."""
    settings: Settings | None = load_settings(config) if config is not None else None
    return run_replay(files, settings, latency=timedelta(milliseconds=latency_ms))


def compare_with(journal: str, result: ReplayResult) -> Comparison:
    """The last run in ``journal`` over the replayed time against the replay; raises ReplayError."""
    run = read_wire_run(journal, result.started_at, result.ended_at)
    ended_early = run.ended_at < result.ended_at
    comparison = compare(run.facts, result.facts, run.ended_at if ended_early else None)
    same = run.config_hashes == {config_hash(result.settings)} if run.config_hashes else None
    return msgspec.structs.replace(comparison, same_configuration=same)


def require_agreement(comparison: Comparison | None) -> None:
    if comparison is not None and not comparison.signals_agree:
        raise typer.Exit(EXIT_DISAGREE)


def _print_json(values: dict[str, Any]) -> None:
    typer.echo(json.dumps(values, indent=2))
