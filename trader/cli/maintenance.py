"""``trader maintenance``: the daily, weekly and monthly jobs, as their timers start them.

Rules: exit code 0 when no task failed, 1 when one did or something could not be written, 2 when the configuration
cannot be used, 3 when another run holds the lock, 4 when there is no time for it outside of the session and the resets.
"""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, EXIT_UNUSABLE, ConfigOption, JsonOption, fail
from trader.clock import AnchoredClock, Clock, SystemClock
from trader.maintenance.model import Kind, Outcome

if TYPE_CHECKING:
    from rich.table import Table

    from trader.doctor import Place
    from trader.maintenance.job import Ended, World
    from trader.maintenance.model import JobReport
    from trader.maintenance.runner import Stop
    from trader.settings import Settings

# Without these a job would not know what it is about; it runs in spite of a mistake elsewhere.
NEEDED: Final = ("maintenance", "session", "journal", "control", "mode", "account", "base_currency", "")
COLOURS: Final = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.UNKNOWN: "cyan",
    Outcome.FAILED: "bold red",
}


def register(parent: typer.Typer) -> None:
    """Add ``trader maintenance`` to the command line."""
    parent.command("maintenance")(maintenance)


def maintenance(
    kind: Annotated[Kind, typer.Argument(help="Which job.")],
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look now, and write nothing.")] = False,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
            help="Look back, as if it were this moment in UTC: writes the report and changes nothing else.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a maintenance job: wait until the session is over, do its tasks, write a report."""
    from trader.maintenance.job import run_job
    from trader.maintenance.runner import Stop

    settings, problem = _settings(config)
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.request)
    world = _world(kind, settings, problem, config, _clock(at), stop)
    ended = run_job(world, dry_run=dry_run, look_back=at is not None)
    _show(ended, as_json)
    if ended.exit:
        raise typer.Exit(ended.exit)


def _settings(config: Path) -> "tuple[Settings, str]":
    """The settings, and the mistakes that do not keep a job from running."""
    from trader.settings import Settings
    from trader.settings_file import ConfigurationError, load_settings

    try:
        return load_settings(config), ""
    except ConfigurationError as error:
        sections = {problem.key.partition(".")[0].partition("[")[0] for problem in error.problems}
        if error.rest is None or sections & set(NEEDED) or not sections <= Settings.model_fields.keys():
            fail(str(error), EXIT_UNUSABLE)
        return error.rest, str(error)


def _clock(at: datetime | None) -> Clock:
    if at is None:
        return SystemClock()
    clock = AnchoredClock()
    clock.anchor(at.replace(tzinfo=UTC))
    return clock


def _world(kind: Kind, settings: "Settings", problem: str, config: Path, clock: Clock, stop: "Stop") -> "World":
    from trader.maintenance.job import World
    from trader.maintenance.runner import Forked
    from trader.maintenance.sources import JournalctlLogs, NoMetrics, PrometheusMetrics
    from trader.maintenance.surroundings import look_around

    url, place = settings.maintenance.prometheus_url, _place(settings, config)
    if place.site.instance and settings.maintenance.textfile_folder:
        # The metrics have no label for it, so two accounts of a host would overwrite each other's.
        settings = settings.model_copy(
            update={"maintenance": settings.maintenance.model_copy(update={"textfile_folder": None})}
        )
        _say(f"no metrics: those of maintenance are the plain service's, not of the instance {place.site.instance}")
    return World(
        kind=kind, settings=settings, config_file=Path(os.path.abspath(config)), clock=clock,
        place=place, logs=JournalctlLogs(), metrics=PrometheusMetrics(url) if url else NoMetrics(),
        around=look_around(settings.session, problem), run_task=Forked(clock, stop), stop=stop, say=_say,
    )  # fmt: skip


def _place(settings: "Settings", config: Path) -> "Place":
    from observability.catalogue import SERIES_LIMIT
    from trader.doctor import LinuxHost, Options, Place, SiteError, instance_of, site_of
    from trader.doctor.bounds import Bounds

    host = LinuxHost()
    options = Options(
        prometheus=settings.maintenance.prometheus_url or Options.prometheus, bounds=Bounds(series_max=SERIES_LIMIT)
    )
    try:
        return Place(host, site_of(host, instance_of(os.path.abspath(config))), options)
    except SiteError as error:
        fail(str(error), EXIT_UNUSABLE)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _show(ended: "Ended", as_json: bool) -> None:
    from trader.maintenance.history import as_json as report_json

    if ended.report is None:
        fail("\n".join(ended.problems), ended.exit)
    if as_json:
        typer.echo(report_json(ended.report).decode())
        return
    from rich.console import Console

    from trader.maintenance.page import title_of, verdict_of

    report, console = ended.report, Console(highlight=False)
    if "JOURNAL_STREAM" not in os.environ:
        console.print(table_of(report))
    for note in report.notes:
        console.print(note, markup=False)
    for mend in dict.fromkeys(run.section.mend for run in report.runs if run.section.mend):
        console.print(f"    {mend}", soft_wrap=True, markup=False)
    console.print(f"{title_of(report)}: {verdict_of(report)}", markup=False)
    if ended.page is not None:
        console.print(f"{ended.page}", soft_wrap=True, markup=False)
    for problem in ended.problems:
        console.print(problem, markup=False)


def table_of(report: "JobReport") -> "Table":
    """The tasks, each with its verdict, its sentence and how long it took."""
    from rich.table import Table
    from rich.text import Text

    from trader.maintenance.show import WORDS, duration_text

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for run in report.runs:
        outcome = run.section.outcome
        sentence = "\n".join((run.section.sentence, *(f"not known: {what}" for what in run.section.missing)))
        table.add_row(
            Text(WORDS[outcome], COLOURS[outcome]), run.section.title, sentence, duration_text(run.duration_s)
        )
    return table
