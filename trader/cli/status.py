"""``trader status``, ``trader positions``, ``trader orders``: what a running service knows, asked over its socket.

Rules: questions only, nothing here changes anything. Exit code 0 when the service answered, 1 when not.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, ConfigOption, JsonOption, failing, settings_to_ask_by

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trader.snapshot import Snapshot

WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Stay and draw it anew until Ctrl-C.")]
IntervalOption = Annotated[float, typer.Option(min=0.2, max=3_600, help="Seconds between two drawings of --watch.")]


def register(parent: typer.Typer) -> None:
    """Add ``status``, ``positions`` and ``orders`` to the command line."""
    parent.command("status")(status_command)
    parent.command("positions")(positions_command)
    parent.command("orders")(orders_command)


def status_command(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    interval: IntervalOption = 1.0,
) -> None:
    """Show connection, state, positions, orders, P&L, risk and the success metrics of the running service."""
    from trader.cli.views import status_view

    _show(config, as_json, status_view, (interval if watch else None))


def positions_command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show the positions in the service's books."""
    from trader.cli.views import positions_table

    _show(config, as_json, positions_table, part="positions")


def orders_command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show the orders that are open."""
    from trader.cli.views import orders_table

    _show(config, as_json, orders_table, part="open_orders")


def _show(
    config: Path,
    as_json: bool,
    view: "Callable[[Snapshot], RenderableType]",
    interval_s: float | None = None,
    part: str | None = None,
) -> None:
    """Ask for a snapshot and draw it, or print it or one ``part`` of it as JSON."""
    from rich.console import Console

    from trader.control_messages import ControlError

    socket = settings_to_ask_by(config, "control").control.socket
    if interval_s is not None and not as_json:
        _watch(socket, view, interval_s)
        return
    with failing(ControlError):
        snapshot = ask_snapshot(socket)
    if as_json:
        typer.echo(as_pretty_json(snapshot if part is None else getattr(snapshot, part)))
    else:
        Console().print(view(snapshot))


def _watch(socket: Path, view: "Callable[[Snapshot], RenderableType]", interval_s: float) -> None:
    """Draw until Ctrl-C; a service that is away is said and waited for."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        if not console.is_terminal:
            _repeat(lambda: console.print(_view_or_reason(socket, view)), interval_s)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            _repeat(lambda: live.update(_view_or_reason(socket, view), refresh=True), interval_s)
    except KeyboardInterrupt:
        return


def _repeat(draw: Callable[[], None], interval_s: float) -> NoReturn:
    pause = threading.Event()
    while True:
        draw()
        pause.wait(interval_s)


def _view_or_reason(socket: Path, view: "Callable[[Snapshot], RenderableType]") -> "RenderableType":
    from rich.text import Text

    from trader.control_messages import ControlError

    try:
        return view(ask_snapshot(socket))
    except ControlError as error:
        return Text(f"{error}\nwaiting; Ctrl-C ends", "yellow")


def ask_snapshot(socket: Path) -> "Snapshot":
    """The running service's snapshot; raises ControlError."""
    from trader.control import ControlClient
    from trader.control_messages import Command
    from trader.snapshot import Snapshot

    return ControlClient(socket).call(Command.STATUS).value(Snapshot)


def as_pretty_json(value: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
