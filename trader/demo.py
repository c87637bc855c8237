"""The demonstration: a simulated IB Gateway in a process of its own, and the service trading on it.

Rules: exactly the service that ``trader run`` starts, connected as it would be to a real gateway. At the end the
books are checked against the broker's, over a second connection: positions, executions, commissions and cash.
Nothing is left behind but the folder that was asked for.
"""

import asyncio
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from observability.logs import LogPipeline
from trader.clock import AnchoredClock
from trader.contracts import ZERO
from trader.events import (
    AccountValue,
    AccountValuesReceived,
    AnyFact,
    BrokerStateReceived,
    DecodeFailed,
    FillBooked,
    MismatchFound,
    ObserverFailed,
    StrategyFailed,
)
from trader.gateway.ib import IbGateway
from trader.ledger import base_exec_id
from trader.service import Service
from trader.settings import Settings
from trader.snapshot import Snapshot

SYMBOLS: Final = ("SPY", "AAPL", "IBM", "BAC")
SIMULATOR_START_TIMEOUT_S: Final = 30.0
SIMULATOR_STOP_TIMEOUT_S: Final = 5.0
LISTENING: Final = "listening on 127.0.0.1:"
CENT: Final = Decimal("0.01")
FAILURES: Final = (StrategyFailed, ObserverFailed, DecodeFailed, MismatchFound)


class DemoError(Exception):
    """The demonstration cannot run; one sentence."""


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``markets`` are recorded files, none for the synthetic market; ``speed`` is simulated seconds a second.

    ``begin`` is when the synthetic market begins: ``fixed`` or ``now``. ``policy_token_file`` has Alertmanager's
    bearer token; without it there is no budget policy.
    """

    folder: Path
    duration_s: float
    markets: tuple[Path, ...] = ()
    seed: int = 1
    speed: float = 1.0
    metrics_port: int = 0
    begin: str = "fixed"
    policy_token_file: Path | None = None


class DemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """``problems`` is empty when the books balance and nothing failed."""

    snapshot: Snapshot
    fills: tuple[FillBooked, ...]
    commission: Decimal
    problems: tuple[str, ...]


class Demo:
    """One demonstration. ``on_fact`` is told of every fact."""

    def __init__(self, options: DemoOptions, on_fact: Callable[[AnyFact], None], logs: LogPipeline) -> None:
        self._options = options
        self._logs = logs
        self._on_fact = on_fact
        self._fills: list[FillBooked] = []
        self._failures: list[AnyFact] = []
        self._opening_cash: Decimal | None = None
        self.service: Service | None = None

    def request_stop(self) -> None:
        """End early, as gracefully as at the end."""
        if self.service is not None:
            self.service.request_stop("the demonstration was ended")

    async def run(self) -> DemoResult:
        """Trade for the duration, stop flat, compare with the broker. Raises DemoError, or the service's errors."""
        simulator, port = await start_simulator(self._options)
        try:
            settings = demo_settings(self._options, port)
            self.service = Service(settings, logs=self._logs, watchers=(("demo", self._watch),))
            timer = asyncio.get_running_loop().call_later(self._options.duration_s, self.request_stop)
            try:
                await self.service.run()
            finally:
                timer.cancel()
            return await self._conclude(self.service, settings)
        finally:
            await stop_simulator(simulator)

    def _watch(self, fact: AnyFact) -> None:
        if isinstance(fact, FillBooked):
            self._fills.append(fact)
        elif isinstance(fact, FAILURES):
            self._failures.append(fact)
        elif isinstance(fact, AccountValuesReceived) and self._opening_cash is None:
            self._opening_cash = cash_of(fact.values)
        self._on_fact(fact)

    async def _conclude(self, service: Service, settings: Settings) -> DemoResult:
        core = service.engine.core
        state, values = await ask_broker(settings)
        commission = core.ledger.pnl(settings.base_currency, {}, session=False).commission
        problems = [f"{type(fact).__name__}: {fact}" for fact in self._failures]
        problems += compare_books(core.ledger.positions(), self._fills, commission, state)
        problems += compare_cash(self._opening_cash, cash_of(values), self._fills, commission)
        if core.orders.open():
            problems.append(f"{len(core.orders.open())} orders did not end")
        return DemoResult(
            snapshot=service.snapshot(), fills=tuple(self._fills), commission=commission, problems=tuple(problems)
        )


def demo_settings(options: DemoOptions, port: int) -> Settings:
    """The embedded defaults: a market that never closes, quick decisions, and a flat end."""
    recorded = bool(options.markets)
    sample_s = 2.0 if options.speed > 1 else 0.5
    quick = {"window": 60, "sample_interval_s": sample_s, "entry_score": 1.5, "min_edge_ratio": 0.001}
    return Settings.model_validate(
        {
            "mode": "simulated",
            "instruments": ["SPY", "IBM", "BAC", "AIG"] if recorded else list(SYMBOLS),
            "gateway": {"port": port},
            "market_data": {"feed": "tick_by_tick" if recorded else "streaming"},
            "strategy": {"name": "mean_reversion", "capital": 200_000, "parameters": {} if recorded else quick},
            "session": {"calendar": "XNYS"}
            if recorded
            else {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0},
            "journal": {"url": f"sqlite:///{options.folder / 'journal.db'}"},
            "panic": {"flag": options.folder / "panic.flag"},
            "control": {"socket": options.folder / "control.sock"},
            "metrics": {"port": options.metrics_port},
            "policy": {"token_file": options.policy_token_file},
            "stop": {"flatten": True},
        }
    )


async def start_simulator(options: DemoOptions) -> tuple[asyncio.subprocess.Process, int]:
    """Start ``trader simulate`` on a free port; the process and the port. Raises DemoError when it does not come up."""
    command = ["-m", "trader", "simulate", "--port", "0", "--seed", str(options.seed), "--speed", str(options.speed)]
    if options.markets:
        command += ["--start-on", "subscribed", "--market", *(str(path) for path in options.markets)]
    else:
        command += ["--symbols", ",".join(SYMBOLS), "--begin", options.begin]
    with (options.folder / "simulator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), SIMULATOR_START_TIMEOUT_S)
    except TimeoutError:
        line = b""
    text = line.decode(errors="replace").strip()
    if not text.startswith(LISTENING):
        await stop_simulator(process)
        said = (options.folder / "simulator.log").read_text(errors="replace").strip()
        raise DemoError(f"the simulated gateway did not start: {said or text or 'it said nothing'}")
    return process, int(text.removeprefix(LISTENING).split()[0])


async def stop_simulator(process: asyncio.subprocess.Process) -> None:
    """End the simulator: politely, then not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), SIMULATOR_STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def ask_broker(settings: Settings) -> tuple[BrokerStateReceived, tuple[AccountValue, ...]]:
    """What the broker says at the end, over a connection of its own."""
    values: list[AccountValue] = []

    def take(fact: AnyFact) -> None:
        if isinstance(fact, AccountValuesReceived):
            values.extend(fact.values)

    gateway = IbGateway(settings, {}, AnchoredClock(), take, client_id=settings.gateway.panic_client_id)
    await gateway.connect_once()
    try:
        return await gateway.broker_state("end of the demonstration"), tuple(values)
    finally:
        await gateway.close()


def cash_of(values: tuple[AccountValue, ...]) -> Decimal | None:
    """The account's total cash in the base currency; None when the values do not say."""
    found = [item.value for item in values if item.tag == "TotalCashValue" and item.currency in ("USD", "")]
    return Decimal(found[-1]) if found else None


def compare_books(
    positions: dict[str, Decimal], fills: list[FillBooked], commission: Decimal, state: BrokerStateReceived
) -> list[str]:
    """What differs between our books and the broker's answers; an unanswered question is a difference."""
    if state.positions is None or state.executions is None:
        return ["the broker did not answer what it holds and what it executed"]
    problems = []
    theirs = {line.instrument.symbol: line.quantity for line in state.positions if line.quantity}
    if theirs != positions:
        problems.append(f"positions differ: ours {_shown(positions)}, the broker's {_shown(theirs)}")
    ours_executed = {base_exec_id(fill.line.exec_id) for fill in fills}
    theirs_executed = {base_exec_id(line.exec_id) for line in state.executions}
    if ours_executed != theirs_executed:
        problems.append(f"executions differ: {len(ours_executed ^ theirs_executed)} are known to one side only")
    charged = sum((line.amount for line in state.commissions), ZERO)
    if abs(charged - commission) > CENT:
        problems.append(f"commissions differ: ours {commission}, the broker's {charged}")
    return problems


def _shown(positions: dict[str, Decimal]) -> str:
    return ", ".join(f"{quantity} {symbol}" for symbol, quantity in sorted(positions.items())) or "flat"


def compare_cash(
    opening: Decimal | None, closing: Decimal | None, fills: list[FillBooked], commission: Decimal
) -> list[str]:
    """Whether the account's cash moved by exactly what our fills and commissions say."""
    if opening is None or closing is None:
        return ["the broker did not say how much cash the account has"]
    paid = sum((f.line.quantity * f.line.price * f.line.instrument.multiplier * f.line.side.sign for f in fills), ZERO)
    expected = opening - paid - commission
    if abs(expected - closing) > CENT:
        return [f"cash differs: by our fills {expected:.2f}, the broker's {closing:.2f}"]
    return []
