"""``trader metrics``: the catalogue of every metric that the service exports.

Rules: starts nothing and connects to nothing; what is printed is what the exporter emits.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from trader.cli.plumbing import EXIT_UNUSABLE, JsonOption, fail

if TYPE_CHECKING:
    from rich.console import RenderableType


def register(parent: typer.Typer) -> None:
    """Add ``trader metrics`` to the command line."""
    parent.command("metrics")(metrics_command)


def metrics_command(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/metrics.md.")] = False,
) -> None:
    """Print every metric: name, kind, unit, labels, buckets and how many series it can have."""
    from observability.catalogue.document import render_markdown, rows

    if as_json and markdown:
        fail("choose one of --json and --markdown", EXIT_UNUSABLE)
    if as_json:
        import json

        typer.echo(json.dumps(rows(), indent=2))
    elif markdown:
        typer.echo(render_markdown(), nl=False)
    else:
        _print(catalogue_table())


def catalogue_table() -> "RenderableType":
    """The catalogue as a table for a person."""
    from rich.table import Table

    from observability.catalogue import CATALOGUE, GROUPS, SERIES_LIMIT, max_series
    from observability.catalogue.document import bucket_text, label_text

    table = Table(caption=f"{len(CATALOGUE)} metrics, at most {max_series()} series (limit {SERIES_LIMIT:,})")
    table.add_column("metric", no_wrap=True, style="bold")
    table.add_column("kind")
    table.add_column("series", justify="right")
    table.add_column("what it says", ratio=1)
    for group in GROUPS:
        table.add_section()
        for metric in group.metrics:
            told = [metric.help, *(f"[dim]{label_text(label)}[/dim]" for label in metric.labels)]
            if metric.buckets:
                told.append(f"[dim]buckets {bucket_text(metric)}[/dim]")
            table.add_row(metric.name, metric.kind, str(metric.max_series), "\n".join(told))
    return table


def _print(table: "RenderableType") -> None:
    """On the terminal as wide as it is, elsewhere wide enough that no name is cut."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
