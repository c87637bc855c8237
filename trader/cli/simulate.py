"""``trader simulate``: a simulated IB Gateway on this machine, until it is interrupted.

Rules: connects to nothing. Everything that cannot be used is said in one sentence, with exit code 2, before
the port opens. SIGINT and SIGTERM end it cleanly; with ``--state`` the account survives.
"""

import asyncio
import logging
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader.cli.plumbing import EXIT_UNUSABLE, fail

if TYPE_CHECKING:
    from trader.simulator.market import MarketSource
    from trader.simulator.options import ExchangeOptions
    from trader.simulator.wire import ServerOptions, SimulatedGatewayServer

SYNTHETIC: Final = "synthetic"
DEFAULT_SYMBOLS: Final = "AAPL,MSFT,SPY,QQQ,IBM,BAC,ES,EUR.USD"
SYMBOLS_MAX: Final = 500
NAMES_SHOWN: Final = 8
COMMISSIONS: Final = ("fixed", "tiered")
HOURS: Final = ("always", "us")
START_ON: Final = ("listening", "subscribed")
BEGIN: Final = ("fixed", "now")

Market = Annotated[
    list[str] | None,
    typer.Option("--market", help="'synthetic', or a recorded file (CSV, CSV.gz, Parquet); repeat it for more files."),
]
MoreFiles = Annotated[
    list[str] | None, typer.Argument(metavar="FILE", help="Further recorded files.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add ``trader simulate`` to the command line."""
    app.command("simulate")(simulate)


def simulate(
    more_files: MoreFiles = None,
    market: Market = None,
    host: Annotated[str, typer.Option(help="An address of this machine's own; others are refused.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 4002,
    symbols: Annotated[
        str,
        typer.Option(
            help=f"What the synthetic market quotes; default: {DEFAULT_SYMBOLS.replace(',', ', ')}.", show_default=False
        ),
    ] = DEFAULT_SYMBOLS,
    seed: Annotated[int, typer.Option(min=0, help="Makes the synthetic market and the faults repeatable.")] = 1,
    speed: Annotated[float, typer.Option(help="Simulated seconds in one real second.")] = 1.0,
    faults: Annotated[Path | None, typer.Option(help="YAML file of what goes wrong.")] = None,
    state: Annotated[Path | None, typer.Option(help="File that keeps orders and positions between runs.")] = None,
    hours: Annotated[
        str | None, typer.Option(help="'always' open (default of synthetic) or 'us' stock hours (of recorded).")
    ] = None,
    commission: Annotated[str, typer.Option(help="IBKR's pricing: 'fixed' or 'tiered'.")] = "fixed",
    start_on: Annotated[
        str, typer.Option(help="When time begins to run: 'listening', or 'subscribed' (first market data request).")
    ] = "listening",
    begin: Annotated[
        str,
        typer.Option(help="When the synthetic market begins: 'fixed' (repeatable), or 'now' as a monitor needs it."),
    ] = "fixed",
    exit_at_end: Annotated[bool, typer.Option("--exit-at-end", help="End when the recorded market ends.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what clients do.")] = False,
) -> None:
    """Run a simulated IB Gateway that speaks the TWS protocol on a loopback port."""
    from trader.simulator.faults import FaultsFileError
    from trader.simulator.recorded import MarketDataFileError
    from trader.simulator.wire import ServerRefused

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
    for value, known, name in (
        (hours or HOURS[0], HOURS, "--hours"),
        (commission, COMMISSIONS, "--commission"),
        (start_on, START_ON, "--start-on"),
        (begin, BEGIN, "--begin"),
    ):
        _require_one_of(value, known, name)
    files = [*(market or [SYNTHETIC]), *(more_files or [])]
    try:
        options = _server_options(host, port, speed, start_on, exit_at_end=exit_at_end)
        exchange_options = _exchange_options(hours or ("always" if files == [SYNTHETIC] else "us"), commission)
        synthetic = (symbols, seed, begin)
        server = _build(files, synthetic, faults, state, options, exchange_options)
        asyncio.run(_serve(server, state))
    except (ServerRefused, FaultsFileError, MarketDataFileError) as error:
        fail(f"cannot simulate: {error}", EXIT_UNUSABLE)


def _require_one_of(value: str, known: tuple[str, ...], option: str) -> None:
    if value not in known:
        fail(f"cannot simulate: {option} has to be one of {', '.join(known)}, not {value!r}", EXIT_UNUSABLE)


def _server_options(host: str, port: int, speed: float, start_on: str, *, exit_at_end: bool) -> "ServerOptions":
    from trader.simulator.wire import ClockStart, ServerOptions

    return ServerOptions(host=host, port=port, speed=speed, clock_start=ClockStart(start_on), exit_at_end=exit_at_end)


def _exchange_options(hours: str, commission: str) -> "ExchangeOptions":
    from trader.clock import SystemClock
    from trader.simulator.calendar_hours import us_stock_hours
    from trader.simulator.commissions import FIXED, TIERED
    from trader.simulator.hours import ALWAYS_OPEN
    from trader.simulator.options import ExchangeOptions

    return ExchangeOptions(
        hours=ALWAYS_OPEN if hours == "always" else us_stock_hours(),
        commission=FIXED if commission == "fixed" else TIERED,
        run_number=int(SystemClock().now().timestamp() * 1_000) % 2**32,
    )


def _build(
    files: list[str],
    synthetic: tuple[str, int, str],
    faults: Path | None,
    state: Path | None,
    options: "ServerOptions",
    exchange_options: "ExchangeOptions",
) -> "SimulatedGatewayServer":
    """The server, with everything read and checked and nothing opened yet."""
    from trader.simulator.faults import load_faults
    from trader.simulator.wire import SimulatedGatewayServer
    from trader.simulator.wire.options import require_loopback
    from trader.simulator.wire.state import read_state, restore, state_time

    require_loopback(options.host)
    stored = read_state(state) if state is not None else None
    played = load_faults(faults) if faults is not None else None
    saved_at = state_time(stored) if stored is not None else None
    source = _synthetic(*synthetic, saved_at) if files == [SYNTHETIC] else _recorded(files)
    server = SimulatedGatewayServer(source, options, exchange_options, played, synthetic[1])
    if stored is not None and state is not None:
        restore(server.exchange, stored, state)
    return server


def _recorded(files: list[str]) -> "MarketSource":
    from trader.simulator.recorded import RecordedMarket

    if SYNTHETIC in files:
        fail("cannot simulate: the synthetic market and recorded files exclude each other", EXIT_UNUSABLE)
    market = RecordedMarket(files)
    market.validate()
    return market


def _synthetic(symbols: str, seed: int, begin: str, saved_at: datetime | None) -> "MarketSource":
    """The synthetic market; one that goes on from a saved state starts when that was saved, or later."""
    from trader.clock import SystemClock
    from trader.simulator.market import SYNTHETIC_START, SyntheticMarket

    start = SystemClock().now() if begin == "now" else SYNTHETIC_START
    start = max(start, saved_at) if saved_at is not None else start
    keys = _market_keys([name.strip() for name in symbols.split(",") if name.strip()], start)
    return SyntheticMarket(keys, seed, start)


def _market_keys(symbols: list[str], start: datetime) -> list[str]:
    """The names markets go by: a future is named by its month, so its symbol means the front month."""
    from trader.contracts import SecurityType
    from trader.simulator.contract_book import ContractBook

    if not 0 < len(symbols) <= SYMBOLS_MAX:
        fail(f"cannot simulate: --symbols has to name 1 to {SYMBOLS_MAX} symbols", EXIT_UNUSABLE)
    book = ContractBook(around=start.date())
    fronts = {name: book.find(symbol=name, security_type=SecurityType.FUTURE) for name in symbols}
    return [fronts[name][0].local_symbol if fronts[name] else name for name in symbols]


async def _serve(server: "SimulatedGatewayServer", state: Path | None) -> None:
    """Serve until a signal or the market's end, then save."""
    from trader.simulator.wire.state import save_state

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    port = await server.start()
    typer.echo(f"listening on {server.host}:{port} — {_described(server)}")
    ended = loop.create_task(server.run_until_market_ends())
    signalled = loop.create_task(stopped.wait())
    try:
        await asyncio.wait((ended, signalled), return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
        await server.stop()
        if state is not None:
            save_state(server.exchange, state)
    if ended.done() and not ended.cancelled():
        ended.result()


def _described(server: "SimulatedGatewayServer") -> str:
    keys = server.market.contracts
    named = ", ".join(keys[:NAMES_SHOWN]) + (", …" if len(keys) > NAMES_SHOWN else "")
    return f"{named} from {server.exchange.now:%Y-%m-%d %H:%M} UTC, × {server.options.speed:g}"
