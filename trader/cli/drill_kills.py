"""``trader drill kills``: SIGKILL the service at random moments while it trades, and compare its books each time.

Rules: never the live gateway and never live state. Exit code 0 only when nothing was lost and nothing doubled,
positions were the same after each recovery and each was in time; 2 when it could not be played. The seed repeats the
moments, not what the processes are doing then.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail

if TYPE_CHECKING:
    from trader.drills.kills import KillReport, KillResult

KillsOption = Annotated[int, typer.Option(min=1, max=10_000, help="How many times to kill.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Gives the moments.")]
FolderOption = Annotated[Path | None, typer.Option("--folder", help="Keep logs, journal and configuration here.")]


def kills(
    kills: KillsOption = 200, seed: SeedOption = 0, folder: FolderOption = None, json: JsonOption = False
) -> None:
    """Kill the service at random moments while it trades, start it again, and compare its books with the broker's."""
    from trader.drills.errors import DrillError
    from trader.drills.kills import KillOptions, play_kills
    from trader.gateway.protocol import GatewayError
    from trader.journal import JournalError
    from trader.stack import StackError

    console = Console(stderr=json)
    console.print(f"{kills} kills, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        options = KillOptions(folder=(folder or Path(temporary)).resolve(), kills=kills, seed=seed)
        try:
            report = asyncio.run(
                play_kills(options, lambda result: console.print(line_of(result), highlight=False, soft_wrap=True))
            )
        except (DrillError, StackError, GatewayError, JournalError, OSError) as error:
            fail(f"cannot drill kills (seed {seed}): {error}", EXIT_UNUSABLE)
    if json:
        typer.echo(msgspec.json.encode({**msgspec.structs.asdict(report), "passed": report.passed}).decode())
    else:
        _show(Console(), report)
    if not report.passed:
        raise typer.Exit(EXIT_FAILED)


def line_of(result: "KillResult") -> str:
    """One kill on one line, as its recovery ends."""
    what = "killed, killed again while it started" if result.starting else "killed"
    away = f", the port away for {result.away_s:.1f} s" if result.away_s is not None else ""
    ready = "not ready" if result.ready_s is None else f"ready after {result.ready_s:.2f} s"
    mark = "[red]✗[/red]" if result.problems else "[green]✓[/green]"
    known = f"{result.orders} orders and {result.executions} executions more"
    return f"{mark} {result.number}: {what}{away}; {ready}; {known}{''.join(f'; {p}' for p in result.problems)}"


def _show(console: Console, report: "KillReport") -> None:
    counted = f"{report.kills} kills, {report.orders} orders, {report.executions} executions"
    console.print(f"{counted}: {report.lost} lost, {report.doubled} doubled, in {report.duration_s:.0f} s")
    times = (report.ready_min_s, report.ready_median_s, report.ready_p99_s, report.ready_max_s)
    shown = " / ".join("-" if value is None else f"{value:.2f}" for value in times)
    console.print(f"start to ready and reconciled (least / median / p99 / most): {shown} s", soft_wrap=True)
    if report.ready_after_port_max_s is not None:
        console.print(
            f"port away {report.port_returns} times; ready at the latest {report.ready_after_port_max_s:.2f} s "
            "after its return",
            soft_wrap=True,
        )
    for problem in report.problems:
        _say(console, f"[red]✗[/red] {problem}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
