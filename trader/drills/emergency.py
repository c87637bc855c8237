"""The emergency drills: panic, loss of the gateway, and stop, done for real on the service and a simulated gateway.

Rules: each drill is a row of the table and plays on a pair of its own, which is refused when it could reach the live
service. It is timed as a person feels it, from the command or the fault to the end, and then the broker itself is asked
over a connection of the drill's own, and the journal read. A drill that ran and did not end well has no duration; one
that could not be prepared was not tried.
"""

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, AnchoredClock, Clock, SystemClock
from trader.drills.errors import DrillError
from trader.drills.isolation import free_client_ids
from trader.drills.pair import Config, Pair
from trader.events import AnyFact, BrokerStateReceived, ServiceStopped
from trader.gateway.ib import IbGateway
from trader.gateway.protocol import GatewayError
from trader.journal import JournalError, JournalReader
from trader.settings import GatewaySettings, Settings, StopSettings
from trader.stack import StackError

POSITION: Final = 100
# So many times the bound is a drill waited for, so that the report says by how much it was missed.
PATIENCE: Final = 2.0
RELOAD_S: Final = 30.0
LOAD_FILLS: Final = 20
LOAD_SPEED: Final = 20.0
# An order that stays at the broker: far from the touch, and nobody cancels it but the panic.
PATIENT: Final[Config] = {"cross_ticks": -100, "cancel_after_s": 600}


class EmergencyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``live`` is the installed configuration: its waits are drilled, and nothing of it may be reached."""

    folder: Path
    live: Settings | None = None


class Emergency(NamedTuple):
    """One drill. ``act`` is timed and waits no longer than it is told; ``proof`` says what is not as it must be."""

    name: str
    title: str
    bound_s: float
    prepare: Callable[[Pair], Awaitable[None]]
    act: Callable[[Pair, float], Awaitable[None]]
    proof: Callable[[Pair], Awaitable[str]]
    panic: bool = False
    speed: float = 1.0


class EmergencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """``duration_s`` is None when it did not end well, with the ``problem``; ``tried`` is False when it never began."""

    name: str
    title: str
    bound_s: float
    panic: bool = False
    tried: bool = True
    duration_s: float | None = None
    problem: str = ""

    @property
    def met(self) -> bool:
        """Whether it ended well and in time."""
        return self.duration_s is not None and self.duration_s <= self.bound_s


# -- what is prepared


async def hold_and_order(pair: Pair) -> None:
    """A position, and an order that works at the broker."""
    await hold(pair)
    pair.configure(execution=PATIENT)
    # Waits until it is applied: an order of the configuration before would be filled at once.
    code, said = await pair.command("reload", timeout_s=RELOAD_S)
    if code != 0:
        raise DrillError(f"the service was not reloaded: {said}")
    pair.steer(quantity=2 * POSITION)
    await pair.until(lambda found: any(order.perm_id for order in found.open_orders), "an order at the broker")


async def hold(pair: Pair) -> None:
    """A position."""
    pair.steer(quantity=POSITION)
    await pair.until(lambda found: [line.quantity for line in found.positions] == [POSITION], "a position")


async def crash(pair: Pair) -> None:
    """A position and a working order, and nobody to look after them."""
    await hold_and_order(pair)
    await pair.kill_service()


async def lose_gateway(pair: Pair) -> None:
    """A position, and a gateway that went away."""
    await hold(pair)
    await pair.stop_simulator()
    await pair.until(lambda found: not found.connection.connected, "the loss to be noticed")


async def load(pair: Pair) -> None:
    """Orders and fills all the time."""
    pair.steer(quantity=POSITION, turn_every=2)
    await pair.until(lambda found: found.activity.fills >= LOAD_FILLS, f"{LOAD_FILLS} fills")


# -- what is timed


async def panic(pair: Pair, patience_s: float) -> None:
    """``trader panic``, as a person types it."""
    code, said = await pair.command("panic", timeout_s=patience_s)
    if code is None:
        raise DrillError(f"trader panic had not ended after {patience_s:.0f} s: {said}")
    if code != 0:
        raise DrillError(f"trader panic ended with {code}: {said}")


async def notice_loss(pair: Pair, patience_s: float) -> None:
    await pair.stop_simulator()
    await pair.until(lambda found: not found.connection.connected and not found.ready, "the loss", patience_s)


async def come_back(pair: Pair, patience_s: float) -> None:
    await pair.start_simulator()
    await pair.until(lambda found: found.ready, "the service to be ready again", patience_s)


async def stop(pair: Pair, patience_s: float) -> None:
    code = await pair.end_service(patience_s)
    if code is None:
        raise DrillError(f"the service had not stopped after {patience_s:.0f} s")
    if code != 0:
        raise DrillError(f"the service stopped with {code}")


# -- what is proven


async def is_flat(pair: Pair) -> str:
    """No position and no order, by the broker's word, and the flag is still raised."""
    state = await broker_state(pair)
    held = [f"{line.instrument.symbol} {line.quantity}" for line in state.positions or () if line.quantity]
    if state.positions is None or state.open_orders is None:
        return "the broker did not tell its positions and orders"
    if held or state.open_orders:
        return f"not flat: {', '.join(held) or 'no position'}, {len(state.open_orders)} orders"
    return "" if pair.panic_flag.exists() else "the panic flag is gone"


async def is_held(pair: Pair) -> str:
    """The position that there was, by the broker's and by the service's word."""
    state = await broker_state(pair)
    theirs = {line.instrument.symbol: line.quantity for line in state.positions or () if line.quantity}
    snapshot = await pair.snapshot()
    ours = {line.symbol: line.quantity for line in snapshot.positions} if snapshot is not None else None
    if not theirs == ours == {"SPY": Decimal(POSITION)}:
        return f"the position is not what it was: the broker says {_told(theirs)}, the service {_told(ours)}"
    return ""


def _told(positions: dict[str, Decimal] | None) -> str:
    if positions is None:
        return "nothing"
    return ", ".join(f"{symbol} {quantity}" for symbol, quantity in sorted(positions.items())) or "none"


async def noticed(pair: Pair) -> str:
    """The service is still there, and opens nothing."""
    snapshot = await pair.snapshot()
    return "" if snapshot is not None and not snapshot.ready else "the service does not say that it is not ready"


async def is_stopped(pair: Pair) -> str:
    """A clean stop in the journal, and what the configuration wants of orders and positions."""
    last: ServiceStopped | None = None
    with JournalReader.open(pair.journal_url) as journal:
        for _, fact in journal.read(kinds=[ServiceStopped.__name__]):
            last = fact if isinstance(fact, ServiceStopped) else last
    if last is None or not last.clean:
        return "the journal has no clean stop"
    state, wanted = await broker_state(pair), pair.settings().stop
    if wanted.cancel_orders and state.open_orders != ():
        return "orders are left at the broker"
    if wanted.flatten and (state.positions is None or any(line.quantity for line in state.positions)):
        return "positions are left at the broker"
    return ""


async def broker_state(pair: Pair) -> BrokerStateReceived:
    """What the simulated broker holds; raises GatewayError."""

    def ignore(fact: AnyFact) -> None: ...

    client_id = free_client_ids(pair.live)[2]
    gateway = IbGateway(pair.settings(), {}, AnchoredClock(), ignore, client_id=client_id)
    try:
        await gateway.connect_once()
        return await gateway.broker_state("a drill")
    finally:
        await gateway.close()


# The bounds: a person at the keyboard; TimeoutStopSec= of the unit; the longest pause between two attempts to connect
# (gateway.backoff_max_s), and the time to connect and to reconcile.
EMERGENCIES: Final = (
    Emergency("panic_service_up", "Panic, with the service up", 15.0, hold_and_order, panic, is_flat, panic=True),
    Emergency("panic_service_down", "Panic, with the service killed", 15.0, crash, panic, is_flat, panic=True),
    Emergency("gateway_loss", "Loss of the gateway noticed", 10.0, hold, notice_loss, noticed),
    Emergency("gateway_return", "Ready again after the gateway's return", 45.0, lose_gateway, come_back, is_held),
    Emergency("stop_under_load", "Stop under load", 30.0, load, stop, is_stopped, speed=LOAD_SPEED),
)


def emergencies_of(names: Sequence[str]) -> tuple[Emergency, ...]:
    """The drills in ``names``, all of them for none; raises KeyError with the first that there is not."""
    known = {drill.name: drill for drill in EMERGENCIES}
    return tuple(known[name] for name in names) if names else EMERGENCIES


async def play_emergencies(
    options: EmergencyOptions, drills: Sequence[Emergency], told: Callable[[EmergencyResult], None]
) -> list[EmergencyResult]:
    """Play ``drills``, one after the other; ``told`` hears of each as it ends."""
    results = []
    for drill in drills:
        result = await play_emergency(options, drill)
        told(result)
        results.append(result)
    return results


async def play_emergency(options: EmergencyOptions, drill: Emergency, clock: Clock | None = None) -> EmergencyResult:
    """One drill, on a pair that is gone when this returns."""
    clock = clock or SystemClock()
    result = EmergencyResult(name=drill.name, title=drill.title, bound_s=drill.bound_s, panic=drill.panic)
    pair = Pair(options.folder / drill.name, installed_waits(options.live), clock, options.live, drill.speed)
    try:
        try:
            await pair.start()
            await drill.prepare(pair)
        except (DrillError, StackError, OSError) as error:
            return msgspec.structs.replace(result, tried=False, problem=f"could not be prepared: {error}")
        return await _timed(drill, pair, clock, result)
    finally:
        await pair.stop()


async def _timed(drill: Emergency, pair: Pair, clock: Clock, result: EmergencyResult) -> EmergencyResult:
    began_ns = clock.monotonic_ns()
    try:
        await drill.act(pair, PATIENCE * drill.bound_s)
        duration_s = (clock.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND
        problem = await drill.proof(pair)
    except (DrillError, StackError, GatewayError, JournalError, OSError) as error:
        return msgspec.structs.replace(result, problem=str(error))
    if problem:
        return msgspec.structs.replace(result, problem=problem)
    late = "" if duration_s <= drill.bound_s else f"took {duration_s:.1f} s, and may take {drill.bound_s:g} s"
    return msgspec.structs.replace(result, duration_s=round(duration_s, 2), problem=late)


def installed_waits(live: Settings | None) -> Config:
    """What an emergency depends on, as the installed configuration has it; the rest stays the drill's."""
    gateway, stop_ = (live.gateway, live.stop) if live is not None else (GatewaySettings(), StopSettings())
    waits = (
        "connect_timeout_s", "request_timeout_s", "heartbeat_interval_s", "heartbeat_timeout_s", "backoff_max_s",
        "messages_per_s", "reconcile_interval_s",
    )  # fmt: skip
    return {
        "gateway": {name: getattr(gateway, name) for name in waits},
        "stop": {"cancel_orders": stop_.cancel_orders, "flatten": stop_.flatten, "timeout_s": stop_.timeout_s},
        "risk": {"price_collar_ratio": 0.5},
    }
