"""``trader stack``: Prometheus, Alertmanager and node_exporter on this machine, with the shipped files.

Rules: scrapes a trader that runs, or with ``--demo`` starts the demonstration too. A terminal gets a live table of
alerts, anything else a line a change. Ctrl-C ends as cleanly as the duration does, and nothing keeps running.
"""

import asyncio
import logging
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader.cli.plumbing import CONFIG_VARIABLE, DEFAULT_CONFIG, EXIT_FAILED, EXIT_UNUSABLE, fail, settings_from

if TYPE_CHECKING:
    from rich.console import Console

    from trader.stack import StackOptions

DEFAULT_TRADER: Final = "127.0.0.1:9464"

DurationOption = Annotated[
    float | None, typer.Option("--duration", min=1, help="Seconds to run; default: until Ctrl-C.")
]
TraderOption = Annotated[
    list[str] | None,
    typer.Option("--trader", help="HOST:PORT of a trader's /metrics; repeatable. Default: as config.yaml says."),
]
IntervalOption = Annotated[
    float | None,
    typer.Option("--interval", min=0.2, max=300, help="Seconds between scrapes and evaluations; default: as shipped."),
]


def register(parent: typer.Typer) -> None:
    """Add ``trader stack`` to the command line."""
    parent.command("stack")(stack_command)


def stack_command(
    duration: DurationOption = None,
    demo: Annotated[bool, typer.Option("--demo", help="Start the demonstration and watch it.")] = False,
    trader: TraderOption = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="Where the trader's metrics port is read.")
    ] = DEFAULT_CONFIG,
    calendar: Annotated[
        str | None, typer.Option(help="Whose session is announced; 'always' is open. Default: as config.yaml says.")
    ] = None,
    interval: IntervalOption = None,
    alerts: Annotated[Path | None, typer.Option(help="Folder of rules and configuration; default: alerts/.")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Keep data and logs here.")] = None,
    prometheus_port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of Prometheus; 0 takes any.")] = 0,
) -> None:
    """Run Prometheus, Alertmanager and node_exporter with the shipped files, and show what fires."""
    if demo:
        _with_demo(duration, trader)
        return
    from trader.stack import ALERTS_FOLDER, StackOptions

    addresses, named_calendar = _watched(trader, config)
    with tempfile.TemporaryDirectory(prefix="trader-stack-") as temporary:
        options = StackOptions(
            folder=(folder or Path(temporary)).resolve(),
            alerts=(alerts or ALERTS_FOLDER).resolve(),
            traders=addresses,
            calendar=calendar or named_calendar,
            scrape_interval_s=interval,
            evaluation_interval_s=interval,
            prometheus_port=prometheus_port,
        )
        run_stack(options, duration)


def _with_demo(duration: float | None, trader: list[str] | None) -> None:
    from trader.cli.demo import demo_command

    if trader:
        fail("choose one of --demo and --trader: the demonstration is the trader that is watched", EXIT_UNUSABLE)
    demo_command(duration=86_400.0 if duration is None else duration, stack=True)


def _watched(trader: list[str] | None, config: Path) -> tuple[tuple[str, ...], str]:
    """The addresses of /metrics, and the calendar, from the options or the configuration."""
    if config.exists():
        settings = settings_from(config)
        address = f"{settings.metrics.host}:{settings.metrics.port}"
        return tuple(trader or (address,)), settings.session.calendar
    if config != DEFAULT_CONFIG:
        fail(f"{config}: there is no such file", EXIT_UNUSABLE)
    return tuple(trader or (DEFAULT_TRADER,)), "XNYS"


def run_stack(options: "StackOptions", duration_s: float | None) -> None:
    """Run a stack to its end, and show it; ends the command with a sentence when it cannot run."""
    from rich.console import Console

    from trader.session import BrokerWindowsError, CalendarError
    from trader.stack import StackError
    from trader.textfile import TextfileError

    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        asyncio.run(_run(options, duration_s, Console()))
    except (BrokerWindowsError, CalendarError, StackError, TextfileError) as error:
        fail(str(error), EXIT_UNUSABLE)
    except OSError as error:
        fail(f"{options.folder}: cannot be used: {error}", EXIT_FAILED)


async def _run(options: "StackOptions", duration_s: float | None, console: "Console") -> None:
    """Show the stack until it is to end; the first Ctrl-C ends it, further ones do not disturb the ending."""
    showing = asyncio.create_task(_show(options, duration_s, console))
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()

    def request_end() -> None:
        if not requested.is_set():
            requested.set()
            showing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, request_end)
    await asyncio.wait({showing})
    if not showing.cancelled():
        showing.result()


async def _show(options: "StackOptions", duration_s: float | None, console: "Console") -> None:
    from trader.cli.stack_view import urls, watch
    from trader.stack import Stack

    console.print("starting Prometheus, Alertmanager and node_exporter …", style="dim")
    async with Stack(options) as stack:
        console.print(urls(stack), highlight=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await watch(stack, console)
        console.print("stopping …", style="dim")
