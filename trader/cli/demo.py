"""``trader demo``: a simulated gateway and the service in one command, watched live, judged at the end.

Rules: a terminal gets a live picture, anything else plain lines. Ctrl-C ends as gracefully as the duration does.
Exit code 0 only when the books balance with the broker's and nothing failed; a success metric that is missed is
shown and does not fail the demonstration.
"""

import asyncio
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from observability.logs import LogPipeline, configure_logging
from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, fail
from trader.cli.views import metrics_table, status_view
from trader.contracts import ZERO
from trader.demo import Demo, DemoError, DemoOptions, DemoResult
from trader.events import AnyFact, CommissionBooked, FillBooked, IntentRefused, SignalChanged, TradingStateChanged
from trader.snapshot import HistogramView

if TYPE_CHECKING:
    from trader.stack import Stack, StackOptions

PICTURES_A_SECOND: Final = 4
DEFAULT_SPEED: Final = 20.0
DurationOption = Annotated[float, typer.Option("--duration", min=1, max=86_400, help="Seconds to trade.")]
MarketOption = Annotated[
    list[Path] | None, typer.Option("--market", help="A recorded file instead of the synthetic market; repeatable.")
]
FolderOption = Annotated[Path | None, typer.Option("--folder", help="Keep journal and logs here.")]
SpeedOption = Annotated[
    float | None,
    typer.Option(min=0.1, max=10_000, help="Simulated seconds in one real second; default: 20, with --stack 1."),
]
PortOption = Annotated[int, typer.Option("--metrics-port", min=0, max=65_535, help="Port of /metrics; 0 takes any.")]


def register(parent: typer.Typer) -> None:
    """Add ``trader demo`` to the command line."""
    parent.command("demo")(demo_command)


def demo_command(
    duration: DurationOption = 60.0,
    market: MarketOption = None,
    speed: SpeedOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Makes the synthetic market repeatable.")] = 1,
    folder: FolderOption = None,
    metrics_port: PortOption = 9464,
    stack: Annotated[bool, typer.Option("--stack", help="Watch it with Prometheus and Alertmanager, too.")] = False,
) -> None:
    """Trade on a simulated gateway, watch it, and see whether the books balance at the end."""
    if stack and (market or speed not in (None, 1.0)):
        fail(
            "with --stack the market is synthetic and runs in real time: leave out --market and --speed", EXIT_UNUSABLE
        )
    with tempfile.TemporaryDirectory(prefix="trader-demo-") as temporary:
        home = (folder or Path(temporary)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        options = DemoOptions(
            folder=home,
            duration_s=duration,
            markets=tuple(path.resolve() for path in market or ()),
            seed=seed,
            speed=speed or (1.0 if stack else DEFAULT_SPEED),
            metrics_port=metrics_port,
        )
        if stack:
            from trader.cli.demo_stack import watched_options

            _demonstrate(*watched_options(options))
        else:
            _demonstrate(options)


def _demonstrate(options: DemoOptions, stack: "StackOptions | None" = None) -> None:
    from observability.exporter import ExporterUnavailable
    from trader.cli.exit_codes import USER_ERRORS
    from trader.clock import AnchoredClock
    from trader.stack import StackError

    console = Console()
    with (options.folder / "trader.log").open("w") as log:
        logs = configure_logging("INFO", AnchoredClock(), stream=log)
        try:
            result = asyncio.run(_run(options, console, logs, stack))
        except ExporterUnavailable as error:
            fail(f"{str(error).partition(';')[0]}; another port: --metrics-port N, any free one: 0", EXIT_UNUSABLE)
        except (DemoError, StackError, *USER_ERRORS) as error:
            fail(str(error), EXIT_UNUSABLE)
        finally:
            logs.stop()
    console.print(summary(result))
    if result.problems:
        raise typer.Exit(EXIT_FAILED)


async def _run(
    options: DemoOptions, console: Console, logs: LogPipeline, stack_options: "StackOptions | None"
) -> DemoResult:
    show = _nothing if console.is_terminal else _line_printer(console)
    demo = Demo(options, show, logs)
    ended = asyncio.Event()

    def request_end() -> None:
        ended.set()
        demo.request_stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, request_end)
    async with AsyncExitStack() as closing:
        stack = None
        if stack_options is not None:
            from trader.cli.demo_stack import start_stack

            stack = await start_stack(stack_options, console, closing)
        source = ", ".join(path.name for path in options.markets) or "a synthetic market"
        console.print(f"trading {source} at {options.speed:g} × real time for {options.duration_s:g} s; Ctrl-C ends it")
        if options.metrics_port:
            console.print(f"metrics at http://127.0.0.1:{options.metrics_port}/metrics", highlight=False)
        if ended.is_set():
            raise DemoError("the demonstration was ended before it began")
        running = asyncio.create_task(demo.run())
        await _follow(demo, running, console, stack)
        return await running


async def _follow(demo: Demo, running: "asyncio.Task[DemoResult]", console: Console, stack: "Stack | None") -> None:
    """Show what happens until the demonstration ends."""
    if console.is_terminal:
        await _draw(demo, running, console, stack)
    elif stack is not None:
        from trader.cli.stack_view import print_changes

        printing = asyncio.create_task(print_changes(stack, console))
        await asyncio.wait({running, printing}, return_when=asyncio.FIRST_COMPLETED)
        demo.request_stop()
        printing.cancel()
        await asyncio.wait({running, printing})
        if not printing.cancelled():
            printing.result()


async def _draw(demo: Demo, running: "asyncio.Task[DemoResult]", console: Console, stack: "Stack | None") -> None:
    with Live(console=console, refresh_per_second=PICTURES_A_SECOND, transient=True) as live:
        while not running.done():
            parts: list[RenderableType] = []
            if stack is not None:
                from trader.cli.stack_view import picture

                parts += [await picture(stack), ""]
            if demo.service is not None and demo.service.running:
                parts.append(status_view(demo.service.snapshot()))
            live.update(Group(*parts))
            await asyncio.wait({running}, timeout=1 / PICTURES_A_SECOND)


def _nothing(fact: AnyFact) -> None:
    """The live picture shows the state; facts are not drawn one by one."""


def _line_printer(console: Console) -> Callable[[AnyFact], None]:
    def show(fact: AnyFact) -> None:
        text = line_of(fact)
        if text:
            console.print(f"{fact.at:%H:%M:%S}  {text}", highlight=False)

    return show


def line_of(fact: AnyFact) -> str:
    """One plain line about a fact that a spectator cares for; empty for the others."""
    match fact:
        case SignalChanged():
            return f"signal  {fact.symbol:5} wants {fact.target:>5} ({fact.reason})"
        case FillBooked():
            line = fact.line
            return f"fill    {line.instrument.symbol:5} {line.side} {line.quantity} at {line.price}"
        case CommissionBooked():
            return f"costs   {fact.line.amount} {fact.line.currency}"
        case IntentRefused():
            return f"refused {fact.symbol:5} {fact.side} {fact.quantity}: {fact.rule}, {fact.detail}"
        case TradingStateChanged():
            return f"state   {fact.old} -> {fact.new}: {fact.reason}"
        case _:
            return ""


def summary(result: DemoResult) -> RenderableType:
    """What was traded, at what speed and cost, and whether the books balance."""
    activity, pnl = result.snapshot.activity, result.snapshot.pnl_base
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim")
    facts.add_column(justify="right")
    eligible, filled = activity.orders_eligible, activity.orders_eligible_filled
    gross = pnl.gross
    net = None if gross is None else gross - result.commission
    for name, value in (
        ("quotes", f"{activity.ticks:,}"),
        ("signals", str(activity.signals)),
        ("orders", str(activity.orders_submitted)),
        ("fills", str(activity.fills)),
        ("fill rate", f"{filled / eligible:.1%} of {eligible}" if eligible else "no orders"),
        ("decision latency p50 / p99", _quantiles(activity.decision_duration)),
        ("order latency p50 / p99", _quantiles(activity.ack_duration)),
        ("P&L gross", "not known" if gross is None else f"{gross:,.2f} {pnl.currency}"),
        ("commissions", f"{ZERO - result.commission:,.2f} {pnl.currency}"),
        ("P&L net", "not known" if net is None else f"{net:,.2f} {pnl.currency}"),
    ):
        facts.add_row(name, value)
    verdict = "\n".join(f"[red]✗ {problem}[/red]" for problem in result.problems) or (
        "[green]✓ the books balance with the broker's: positions, executions, commissions, cash[/green]"
    )
    return Group("", "[bold]Summary[/bold]", facts, "", metrics_table(result.snapshot), "", verdict)


def _quantiles(view: HistogramView) -> str:
    half, worst = view.quantile(0.5), view.quantile(0.99)
    return "no orders" if half is None or worst is None else f"{half * 1000:.2f} / {worst * 1000:.2f} ms"
