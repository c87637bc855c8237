"""``trader doctor``: the deployment checklist, each item looked at, with the command that mends it.

Rules: changes nothing. Exit code 0 when nothing failed, 1 when something did, 2 when it cannot be told. What cannot
be seen, most of all without root, is *not known*, and does not fail.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail
from trader.doctor import Options, Place, Report, Result, SiteError, Stage, Verdict, examine, instance_of, site_of
from trader.doctor.bounds import Bounds
from trader.doctor.linux import LinuxHost

if TYPE_CHECKING:
    from rich.console import RenderableType

STAGE_TITLES: Final = {
    Stage.PRE: "Pre-deployment",
    Stage.DEPLOYMENT: "Deployment",
    Stage.POST: "Post-deployment",
}
MARKS: Final = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "bold red"),
    Verdict.UNKNOWN: ("?", "cyan"),
}
# Alike for every item, so that the columns are one below the other.
COLUMN_WIDTHS: Final = (11, 21)
# What has to be mended first is told last, next to the prompt.
MENDED_IN_ORDER: Final = (Verdict.UNKNOWN, Verdict.WARNING, Verdict.FAILED)


def register(parent: typer.Typer) -> None:
    """Add ``trader doctor`` to the command line."""
    parent.command("doctor")(doctor)


def doctor(
    stage: Annotated[
        Stage | None, typer.Option("--stage", help="Only the checks of this stage.", show_default=False)
    ] = None,
    instance: Annotated[
        str, typer.Option("--instance", help="NAME of ibkr-trading@NAME.service.", show_default=False)
    ] = "",
    prometheus: Annotated[str, typer.Option("--prometheus", help="Where Prometheus is.")] = Options.prometheus,
    alertmanager: Annotated[str, typer.Option("--alertmanager", help="Where Alertmanager is.")] = Options.alertmanager,
    as_json: JsonOption = False,
) -> None:
    """Go through the deployment checklist on this host, and say what mends what is not right."""
    from observability.catalogue import SERIES_LIMIT

    host = LinuxHost()
    try:
        site = site_of(host, instance or instance_of(os.environ.get("TRADER_CONFIG", "")))
    except SiteError as error:
        fail(str(error), EXIT_UNUSABLE)
    options = Options(prometheus=prometheus, alertmanager=alertmanager, bounds=Bounds(series_max=SERIES_LIMIT))
    report = examine(Place(host, site, options), tuple(Stage) if stage is None else (stage,))
    _show_json(report) if as_json else _show(report)
    if report.failed:
        raise typer.Exit(EXIT_FAILED)


def _show_json(report: Report) -> None:
    from trader.cli.status import as_pretty_json

    counts = {str(verdict): report.count(verdict) for verdict in Verdict}
    typer.echo(
        as_pretty_json(
            {"at": report.at, "unit": report.unit, "root": report.root, "counts": counts, "checks": report.results}
        )
    )


def _show(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for part in report_view(report):
        console.print(part)
    for line in mend_lines(report):
        console.print(line, soft_wrap=True, markup=False)
    console.print(summary_line(report))


def report_view(report: Report) -> "Iterator[RenderableType]":
    """Below each stage and each item of the checklist: verdict, check, what was seen."""
    from rich.text import Text

    for stage, results in groupby(report.results, key=lambda result: result.stage):
        yield Text(f"{STAGE_TITLES[stage]}\n", "bold")
        for item, group in groupby(results, key=lambda result: result.item):
            yield Text(item, "dim")
            yield _table(group)
        yield Text("")


def _table(results: Iterable[Result]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for width in COLUMN_WIDTHS:
        table.add_column(no_wrap=True, width=width)
    table.add_column(overflow="fold")
    for result in results:
        mark, style = MARKS[result.verdict]
        seen = Text(result.seen.replace("; ", "\n"), "" if result.verdict is Verdict.OK else style)
        table.add_row(Text(f"{mark} {result.verdict}", style), result.title, seen)
    return table


def mend_lines(report: Report) -> Iterator[str]:
    """What to type, each command on a line of its own that can be copied; failures last."""
    for verdict in MENDED_IN_ORDER:
        by_mend: dict[str, list[str]] = {}
        for result in report.results:
            if result.verdict is verdict and result.mend:
                by_mend.setdefault(result.mend, []).append(result.title)
        for mend, titles in by_mend.items():
            mark, _ = MARKS[verdict]
            yield f"{mark} {', '.join(titles)}"
            yield f"    {mend}"
    if any(result.mend for result in report.results):
        yield ""


def summary_line(report: Report) -> "RenderableType":
    """``1 failed, 2 warnings, 3 not known, 40 ok``."""
    from rich.text import Text

    words = {Verdict.FAILED: "failed", Verdict.WARNING: "warnings", Verdict.UNKNOWN: "not known", Verdict.OK: "ok"}
    parts = []
    for verdict, word in words.items():
        number = report.count(verdict)
        style = MARKS[verdict][1] if number else "dim"
        parts.append((f"{number} {'warning' if word == 'warnings' and number == 1 else word}", style))
    text = Text(f"{report.unit}: ")
    for position, (told, style) in enumerate(parts):
        text.append(("" if position == 0 else ", ") + told, style)
    if not report.root:
        text.append("; not root, so some things cannot be seen", "dim")
    return text
