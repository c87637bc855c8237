"""``trader drill emergency``: panic, loss of the gateway and stop, held for real against a simulated gateway.

Rules: never the live gateway and never live state; the installed configuration, where there is one, is read for its
waits and for what must stay out of reach. Exit code 0 only when every drill ended well within its bound, 2 when none
could be held. A person's drill counts as the weekly job's does: its times are published, and when panic was drilled it
is recorded, unless a maintenance job runs meanwhile.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trader.cli.plumbing import CONFIG_VARIABLE, DEFAULT_CONFIG, EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail

if TYPE_CHECKING:
    from trader.drills.emergency import EmergencyResult
    from trader.settings import Settings

NamesArgument = Annotated[list[str] | None, typer.Argument(help="Drills to hold. All without any.", show_default=False)]
ConfigFileOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar=CONFIG_VARIABLE,
        help="The configuration of the service to practise for. [default: config.yaml where there is one]",
    ),
]  # fmt: skip
FolderOption = Annotated[Path | None, typer.Option("--folder", help="Keep logs, journals and configurations here.")]
ListOption = Annotated[bool, typer.Option("--list", help="Only list the drills and their bounds.")]
RecordOption = Annotated[bool, typer.Option(help="Publish the times, and that panic was drilled.")]


def emergency(
    names: NamesArgument = None,
    config: ConfigFileOption = None,
    folder: FolderOption = None,
    record: RecordOption = True,
    listing: ListOption = False,
    json: JsonOption = False,
) -> None:
    """Hold emergency drills on a simulated gateway: panic, loss of the gateway, stop; each against its bound."""
    from trader.drills.emergency import EMERGENCIES, EmergencyOptions, emergencies_of, play_emergencies

    try:
        chosen = emergencies_of(names or [])
    except KeyError as error:
        known = ", ".join(drill.name for drill in EMERGENCIES)
        fail(f"there is no drill {error.args[0]}; there are {known}", EXIT_UNUSABLE)
    if listing:
        _list(json)
        return
    settings = _settings(config)
    console = Console(stderr=json)
    with tempfile.TemporaryDirectory(prefix="drill-") as temporary:
        options = EmergencyOptions(folder=(folder or Path(temporary)).resolve(), live=settings)
        results = asyncio.run(
            play_emergencies(options, chosen, lambda result: console.print(line_of(result), highlight=False))
        )
    notes = _recorded(settings, results) if record and settings is not None else []
    _show(results, notes, json)
    if not any(result.tried for result in results):
        raise typer.Exit(EXIT_UNUSABLE)
    if not all(result.met for result in results):
        raise typer.Exit(EXIT_FAILED)


def _settings(config: Path | None) -> "Settings | None":
    """The installed configuration; None when none was named and there is none here."""
    from trader.settings_file import ConfigurationError, load_settings

    if config is None and not DEFAULT_CONFIG.exists():
        return None
    try:
        return load_settings(config or DEFAULT_CONFIG)
    except ConfigurationError as error:
        fail(f"{error}\nno drill was held: what must stay out of reach is not known", EXIT_UNUSABLE)


def _recorded(settings: "Settings", results: "Sequence[EmergencyResult]") -> list[str]:
    """Publish and record; what to say of it."""
    from trader.clock import SystemClock
    from trader.maintenance.drill_metrics import NotRecorded, record_drills

    if settings.maintenance.textfile_folder is None:
        return ["not recorded: no folder is configured for metrics (maintenance.textfile_folder)"]
    try:
        return record_drills(settings.maintenance, results, SystemClock())
    except NotRecorded as error:
        return [f"not recorded: {error}"]


def line_of(result: "EmergencyResult") -> str:
    """One drill on one line, as it ends."""
    if result.met:
        return f"[green]✓[/green] {result.title}: {result.duration_s} s (may take {result.bound_s:g} s)"
    return f"[red]✗[/red] {result.title}: {result.problem}"


def table_of(results: "Sequence[EmergencyResult]") -> Table:
    """Every drill with its time and its bound."""
    table = Table(box=None, pad_edge=False)
    for heading, right in (("drill", False), ("took", True), ("may take", True), ("verdict", False)):
        table.add_column(heading, justify="right" if right else "left")
    for result in results:
        took = "-" if result.duration_s is None else f"{result.duration_s:.2f} s"
        verdict = "[green]ok[/green]" if result.met else f"[red]{result.problem}[/red]"
        table.add_row(result.title, took, f"{result.bound_s:g} s", verdict)
    return table


def _show(results: "Sequence[EmergencyResult]", notes: Sequence[str], json: bool) -> None:
    if json:
        rows = [{**msgspec.structs.asdict(result), "met": result.met} for result in results]
        typer.echo(msgspec.json.encode({"drills": rows, "notes": notes}).decode())
        return
    console = Console()
    console.print(table_of(results))
    for note in notes:
        console.print(note, highlight=False)


def _list(json: bool) -> None:
    from trader.drills.emergency import EMERGENCIES

    if json:
        rows = [{"name": drill.name, "title": drill.title, "bound_s": drill.bound_s} for drill in EMERGENCIES]
        typer.echo(msgspec.json.encode({"drills": rows}).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading, right in (("name", False), ("drill", False), ("may take", True)):
        table.add_column(heading, justify="right" if right else "left")
    for drill in EMERGENCIES:
        table.add_row(drill.name, drill.title, f"{drill.bound_s:g} s")
    Console().print(table)
