"""``trader slo``: the eight success metrics as Prometheus judges them.

Rules: exit code 0 when none is broken, 1 when one is, 2 when Prometheus cannot be asked or has no such rules. What is
not measured is said and is not broken.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail
from trader.slo_report import OBJECTIVE, QUERY, SloRow, TraderReport, Verdict, exhaustion_text, reports

if TYPE_CHECKING:
    from trader.stack import Sample

DEFAULT_URL: Final = "http://127.0.0.1:9090"
UrlOption = Annotated[str, typer.Option("--prometheus", help="Where Prometheus is.")]
COLOURS: Final = {Verdict.MET: "green", Verdict.BROKEN: "red", Verdict.UNMEASURED: "yellow"}


def register(app: typer.Typer) -> None:
    """Add ``trader slo`` to the command line."""
    app.command("slo")(slo)


def slo(prometheus: UrlOption = DEFAULT_URL, json: JsonOption = False) -> None:
    """Show every success metric: target, now, budget left, time to exhaustion, verdict."""
    from trader.stack import StackError

    try:
        samples = asyncio.run(_ask(prometheus.rstrip("/")))
    except StackError as error:
        fail(f"cannot tell: {error}", EXIT_UNUSABLE)
    found = [(sample.labels, sample.value) for sample in samples]
    if not any(labels.get("__name__") == OBJECTIVE for labels, _ in found):
        fail(f"cannot tell: {prometheus} has no {OBJECTIVE}; have it load alerts/rules/*.rules.yml", EXIT_UNUSABLE)
    told = reports(found)
    if json:
        typer.echo(msgspec.json.encode(told).decode())
    else:
        _show(told, prometheus)
    if any(report.broken for report in told):
        raise typer.Exit(EXIT_FAILED)


async def _ask(url: str) -> "list[Sample]":
    from trader.stack.client import Client

    client = Client(url, url)
    try:
        return await client.query(QUERY)
    finally:
        await client.close()


def _show(told: Sequence[TraderReport], url: str) -> None:
    console = Console()
    if not told:
        console.print(f"{url} has scraped no trader: nothing is measured")
    for report in told:
        console.print(table_of(report))


def table_of(report: TraderReport) -> Table:
    """One trader's success metrics."""
    table = Table(title=f"{report.job} {report.instance}", title_justify="left", box=None, pad_edge=False)
    for heading in ("success metric", "target", "now", "budget left", "exhausted in", "verdict"):
        table.add_column(heading, justify="right" if heading in ("budget left",) else "left")
    for row in report.rows:
        colour = COLOURS[row.verdict]
        table.add_row(
            row.title, row.target, row.now, _budget(row), exhaustion_text(row), f"[{colour}]{row.verdict}[/{colour}]"
        )
    return table


def _budget(row: SloRow) -> str:
    left = row.budget_remaining_ratio
    return "" if left is None else f"{left * 100:,.1f} %"
