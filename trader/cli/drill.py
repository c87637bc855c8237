"""``trader drill page``: raise every alert on a real stack, see its page arrive, repair, see it resolved.

Rules: the other drills are in ``drill_*.py``, one to a module. Exit code 0 only when every drill paged and resolved
within its bounds, 2 when none could be played.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trader.cli.drill_emergency import emergency
from trader.cli.drill_faults import faults
from trader.cli.drill_kills import kills
from trader.cli.drill_soak import soak
from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail
from trader.drills.model import DrillResult

AlertOption = Annotated[
    list[str] | None, typer.Option("--alert", "-a", help="Drill this alert; repeat it for more. All without it.")
]
ScaleOption = Annotated[
    float, typer.Option("--time-scale", min=1, max=120, help="Shipped seconds per drilled second, in every rule.")
]
FolderOption = Annotated[Path | None, typer.Option("--folder", help="Keep logs, rules and data here.")]
MarkdownOption = Annotated[Path | None, typer.Option("--markdown", help="Also write the table to this file.")]
HEADING: Final = "Time scale {factor:g}: every wait of the shipped rules divided by it, none below a few seconds"

drills = typer.Typer(no_args_is_help=True, help="Practise what has to work when it matters.")


def register(parent: typer.Typer) -> None:
    """Add ``trader drill`` to the command line."""
    drills.command("emergency")(emergency)
    drills.command("faults")(faults)
    drills.command("kills")(kills)
    drills.command("soak")(soak)
    parent.add_typer(drills, name="drill")


@drills.callback()
def drill() -> None:
    """Practise what has to work when it matters."""


@drills.command()
def page(
    more_alerts: Annotated[list[str] | None, typer.Argument(help="Further alerts.", show_default=False)] = None,
    alert: AlertOption = None,
    time_scale: ScaleOption = 60.0,
    parallel: Annotated[int, typer.Option(min=1, max=8, help="Drills that run beside each other.")] = 3,
    folder: FolderOption = None,
    json: JsonOption = False,
    markdown: MarkdownOption = None,
    listing: Annotated[bool, typer.Option("--list", help="Only list the drills, and the alerts without one.")] = False,
) -> None:
    """Raise alerts on a real Prometheus and Alertmanager, wait for the page, repair, wait for the resolve."""
    from trader.drills.run import DrillOptions, play_all
    from trader.drills.table import drills_of
    from trader.stack import StackError

    try:
        chosen = drills_of([*(alert or []), *(more_alerts or [])])
    except KeyError as error:
        fail(_no_drill(str(error.args[0])), EXIT_UNUSABLE)
    if listing:
        _list(json)
        return
    console = Console(stderr=json)
    console.print(HEADING.format(factor=time_scale))
    with tempfile.TemporaryDirectory(prefix="drill-") as temporary:
        options = DrillOptions(folder=(folder or Path(temporary)).resolve(), factor=time_scale, parallel=parallel)
        try:
            results = asyncio.run(
                play_all(options, chosen, lambda result: console.print(line_of(result), highlight=False))
            )
        except StackError as error:
            fail(f"cannot drill: {error}", EXIT_UNUSABLE)
    if markdown is not None:
        markdown.write_text(markdown_of(results, time_scale), encoding="utf-8")
    _show(results, json, complete=not (alert or more_alerts))
    if any(result.problem for result in results):
        raise typer.Exit(EXIT_FAILED)


def line_of(result: DrillResult) -> str:
    """One drill on one line, as it ends."""
    mark = "[red]✗[/red]" if result.problem else "[green]✓[/green]"
    times = f"paged after {result.page_s} s, resolved after {result.resolve_s} s"
    return f"{mark} {result.alert} ({result.severity}): {result.problem or times}"


def table_of(results: Sequence[DrillResult]) -> Table:
    """Every drill with its times and bounds, in drilled seconds."""
    table = Table(box=None, pad_edge=False)
    for heading, right in (
        ("alert", False), ("", False), ("fault", False), ("on", False), ("to page", True), ("bound", True),
        ("to resolve", True), ("bound", True), ("verdict", False),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if right else "left")
    for result in sorted(results, key=lambda item: (item.alert, item.severity)):
        table.add_row(
            result.alert, result.severity, result.fault, result.on, _shown(result.page_s), _shown(result.page_bound_s),
            _shown(result.resolve_s), _shown(result.resolve_bound_s),
            f"[red]{result.problem}[/red]" if result.problem else "[green]ok[/green]",
        )  # fmt: skip
    return table


def markdown_of(results: Sequence[DrillResult], factor: float) -> str:
    """The table for the documentation, with what has no drill and why."""
    from trader.drills.table import NOT_DRILLED

    lines = [
        "<!-- Made by `trader drill page --markdown FILE`. DO NOT EDIT. -->",
        "",
        f"Time scale {factor:g}: every wait of the shipped rules divided by it, none below a few seconds.",
        "",
        "| alert | severity | fault | made on | to page | bound | to resolve | bound | verdict |",
        "|---|---|---|---|---:|---:|---:|---:|---|",
    ]
    for result in sorted(results, key=lambda item: (item.alert, item.severity)):
        times = (result.page_s, result.page_bound_s, result.resolve_s, result.resolve_bound_s)
        cells = [result.alert, result.severity, result.fault, result.on, *map(_shown, times), result.problem or "ok"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Without a drill, proven by promtool only:", ""]
    lines += [f"- `{name}`: {reason}." for name, reason in sorted(NOT_DRILLED.items())]
    return "\n".join(lines) + "\n"


def _show(results: Sequence[DrillResult], json: bool, complete: bool) -> None:
    from trader.drills.table import NOT_DRILLED

    if json:
        typer.echo(msgspec.json.encode({"results": results, "not_drilled": NOT_DRILLED}).decode())
        return
    console = Console()
    console.print(table_of(results))
    if complete:
        _print_not_drilled(console)


def _list(json: bool) -> None:
    from trader.drills.table import DRILLS, NOT_DRILLED

    if json:
        rows = [{"alert": item.alert, "severity": item.severity, "fault": item.fault, "on": item.on} for item in DRILLS]
        typer.echo(msgspec.json.encode({"drills": rows, "not_drilled": NOT_DRILLED}).decode())
        return
    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("alert", "", "fault", "on"):
        table.add_column(heading)
    for item in sorted(DRILLS, key=lambda drill: drill.name):
        table.add_row(item.alert, item.severity, item.fault, item.on)
    console.print(table)
    _print_not_drilled(console)


def _print_not_drilled(console: Console) -> None:
    from trader.drills.table import NOT_DRILLED

    console.print("\nWithout a drill, proven by promtool only:")
    for name, reason in sorted(NOT_DRILLED.items()):
        console.print(f"  {name}: {reason}", highlight=False)


def _no_drill(name: str) -> str:
    from trader.drills.table import NOT_DRILLED

    reason = NOT_DRILLED.get(name)
    return (
        f"{name} has no drill: {reason}" if reason else f"there is no alert {name}; trader drill page --list names all"
    )


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
