"""``trader drill faults``: the service's own engine in simulated worlds where everything breaks, on all cores.

Rules: connects to nothing and writes nothing. Exit code 0 only when every invariant held in every world, 1 when one
did not, 2 when nothing could be tried. The same seeds and configuration give the same result anywhere.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail, settings_from

if TYPE_CHECKING:
    from trader.drills.simulation import Campaign, CampaignResult, Violation
    from trader.drills.simulation.trace import TraceLine

SHOWN_MAX: Final = 20

SeedsOption = Annotated[str, typer.Option("--seeds", metavar="A:B", help="Seeds from A up to, without, B.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="This seed alone.", show_default=False)]
PointsOption = Annotated[
    int, typer.Option("--crash-points", min=0, max=100_000, help="Deaths at a point tried in the world of each seed.")
]
PointOption = Annotated[
    int | None, typer.Option("--crash-point", min=0, help="With --seed: the world that dies at this point alone.")
]
TraceOption = Annotated[bool, typer.Option("--trace", help="With --seed: print the history of its world.")]
ConfigFileOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Its strategy, instruments and limits. [default: a strategy that always wants otherwise]"
    ),
]
SecondsOption = Annotated[
    float, typer.Option("--seconds", min=10, max=3_600, help="Simulated time in which things go wrong, of each world.")
]
JobsOption = Annotated[int, typer.Option("--jobs", min=0, max=256, help="Processes to use. [default: one a core]")]


def faults(
    seeds: SeedsOption = "0:200",
    seed: SeedOption = None,
    crash_points: PointsOption = 5,
    crash_point: PointOption = None,
    trace: TraceOption = False,
    config: ConfigFileOption = None,
    seconds: SecondsOption = 80.0,
    jobs: JobsOption = 0,
    json: JsonOption = False,
) -> None:
    """Simulate faults, crashes and restarts by the thousand, and look at what must hold after every event."""
    from trader.drills.simulation import Campaign, SimulationError, require_usable

    if seed is None and (trace or crash_point is not None):
        fail("--trace and --crash-point are about one world; name it with --seed", EXIT_UNUSABLE)
    first, end = (seed, seed + 1) if seed is not None else _range_of(seeds)
    campaign = Campaign(
        first=first,
        end=end,
        crash_points=crash_points,
        settings=None if config is None else settings_from(config),
        duration_s=seconds,
        jobs=jobs,
    )
    try:
        require_usable(campaign)
    except SimulationError as error:
        fail(f"cannot simulate: {error}", EXIT_UNUSABLE)
    if seed is not None and (trace or crash_point is not None):
        _one(campaign, crash_point, trace, json)
    else:
        _many(campaign, json)


def _range_of(text: str) -> tuple[int, int]:
    from trader.drills.simulation.run import SEEDS_MAX

    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        fail(f"--seeds is A:B with whole numbers and A below B, such as 0:2000, not {text!r}", EXIT_UNUSABLE)
    if int(end) - int(first) > SEEDS_MAX:
        fail(f"--seeds may name {SEEDS_MAX} seeds at most", EXIT_UNUSABLE)
    return int(first), int(end)


# -- many worlds


def _many(campaign: "Campaign", json: bool) -> None:
    from trader.clock import NANOSECONDS_PER_SECOND, SystemClock
    from trader.drills.simulation import run_campaign

    clock = SystemClock()
    started_ns = clock.monotonic_ns()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("worlds", total=campaign.end - campaign.first)
        result = run_campaign(campaign, lambda _: progress.advance(task))
    took_s = (clock.monotonic_ns() - started_ns) / NANOSECONDS_PER_SECOND
    if json:
        values = {"seeds": f"{campaign.first}:{campaign.end}", "took_s": round(took_s, 3), "totals": result}
        typer.echo(msgspec.json.encode({**values, "passed": not result.violated}).decode())
    else:
        _show(Console(highlight=False, soft_wrap=True), campaign, result, took_s)
    if result.violated:
        raise typer.Exit(EXIT_FAILED)


def _show(console: Console, campaign: "Campaign", result: "CampaignResult", took_s: float) -> None:
    for violation in result.violations[:SHOWN_MAX]:
        console.print(line_of(violation))
    if result.violated > SHOWN_MAX:
        console.print(f"… and {result.violated - SHOWN_MAX} more")
    console.print(
        f"{result.seeds:,} seeds, {result.worlds:,} worlds, {result.simulated_s / 3600:,.1f} simulated hours, "
        f"{result.events:,} events: {result.orders:,} orders, {result.fills:,} fills, {result.deaths:,} deaths "
        f"({result.crash_points:,} at a chosen point), {took_s:.1f} s"
    )
    if not result.orders:
        console.print("no order was sent: the strategy wanted nothing in this time, so little was tried (--seconds)")
    verdict = f"[red]{result.violated} violations[/red]" if result.violated else "[green]0 violations[/green]"
    console.print(verdict)


def line_of(violation: "Violation") -> str:
    """One failure, and how to see its history."""
    point = "" if violation.crash_point is None else f" --crash-point {violation.crash_point}"
    return (
        f"[red]✗[/red] seed {violation.seed}{point}, after {violation.at_s:.3f} s: {violation.invariant}: "
        f"{violation.detail} (--seed {violation.seed}{point} --trace)"
    )


# -- one world


def _one(campaign: "Campaign", crash_point: int | None, trace: bool, json: bool) -> None:
    from trader.drills.simulation import run_world
    from trader.drills.simulation.run import world_of

    result, history = run_world(world_of(campaign, campaign.first, crash_point), crash_point, trace)
    if json:
        values: dict[str, Any] = {"world": {**msgspec.structs.asdict(result), "points": len(result.points)}}
        typer.echo(msgspec.json.encode({**values, "history": list(history.lines)}).decode())
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in history.lines:
            console.print(text_of(line), markup=False)
        console.print(
            f"{result.events:,} events, {result.orders} orders, {result.fills} fills, {result.deaths} deaths, "
            f"{len(result.points)} points; history {result.history_hash}"
        )
        console.print(line_of(result.violation) if result.violation else "[green]0 violations[/green]")
    if result.violation is not None:
        raise typer.Exit(EXIT_FAILED)


def text_of(line: "TraceLine") -> str:
    return f"{line.at_s:10.3f}  {line.source:9}{line.text}"
