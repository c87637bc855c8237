"""Plays the faults of the link: dropped sockets, silence, lost connectivity, farms, a restart.

Rules: one function per kind in one table; each fault begins when it is due and ends after its duration, so
faults may overlap. Texts and codes are the broker's.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from trader.simulator.faults import LinkFault
from trader.simulator.wire.gateway import CONNECTION, SimulatedGateway

if TYPE_CHECKING:
    from trader.simulator.wire.server import SimulatedGatewayServer

log = logging.getLogger(__name__)

POLL_S: Final = 0.02
LOST: Final = (1100, "Connectivity between IBKR and Trader Workstation has been lost.")
BACK_DATA_LOST: Final = (
    1101,
    "Connectivity between IBKR and Trader Workstation has been restored - data lost. All data farms are connected.",
)
BACK: Final = (
    1102,
    "Connectivity between IBKR and Trader Workstation has been restored - data maintained. "
    "All data farms are connected: usfarm; ushmds; secdefil.",
)
FARM_BROKEN: Final = (2103, "Market data farm connection is broken:usfarm")
FARM_OK: Final = (2104, "Market data farm connection is OK:usfarm")
COMPETING: Final = (10197, "No market data during competing live session")
PACING: Final = (100, "Max rate of messages per second has been exceeded:max=50 rec=51 (1)")

Play = Callable[["SimulatedGatewayServer", LinkFault], Coroutine[Any, Any, None]]


async def play_link_faults(server: "SimulatedGatewayServer") -> None:
    """Start every link fault when its time has come, counted from when time began to run; returns at their end."""
    loop = asyncio.get_running_loop()
    while not server.gateway.clock.running:
        await asyncio.sleep(POLL_S)
    started_s = loop.time()
    waiting = len(server.faults.link)
    try:
        async with asyncio.TaskGroup() as tasks:
            while waiting:
                for fault in server.gateway.injector.link_faults_due(loop.time() - started_s):
                    log.warning("link fault: %s for %s s", fault.kind, fault.duration_s)
                    tasks.create_task(_PLAYS[fault.kind](server, fault))
                    waiting -= 1
                await asyncio.sleep(POLL_S)
    except ExceptionGroup as group:
        # What ends a fault, such as a port that cannot be had again, is one sentence and not a tree.
        raise group.exceptions[0] from None


async def _disconnect(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    await _without_sockets(server, fault.duration_s)


async def _restart(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    gateway = server.gateway
    # The window is in real seconds, the exchange's time is simulated.
    lost_ms = int(fault.vanish_window_s * gateway.options.speed * 1_000)
    server.drop_connections()
    gateway.exchange.restart(fault.roll_back_ids, lost_ms)
    await _without_sockets(server, fault.duration_s)


async def _without_sockets(server: "SimulatedGatewayServer", duration_s: float) -> None:
    server.drop_connections()
    if duration_s > 0:
        await server.close_port()
        await asyncio.sleep(duration_s)
        await server.open_port()


async def _stall(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    gateway = server.gateway
    gateway.stalled = True
    for session in list(gateway.connections):
        session.stall()
    await asyncio.sleep(fault.duration_s)
    gateway.stalled = False
    for session in list(gateway.connections):
        session.go_on()


async def _upstream_lost(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    gateway = server.gateway
    _lose(gateway)
    await asyncio.sleep(fault.duration_s)
    _restore(gateway, data_lost=fault.data_lost)


async def _nightly_reset(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    gateway = server.gateway
    left_s = fault.duration_s
    while left_s > 0:
        _lose(gateway)
        pause_s = min(fault.repeat_s, left_s)
        await asyncio.sleep(pause_s)
        left_s -= pause_s
    _restore(gateway, data_lost=fault.data_lost)


async def _farm_flap(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    gateway = server.gateway
    gateway.tell_all(CONNECTION, *FARM_BROKEN)
    gateway.pause_data()
    await asyncio.sleep(fault.duration_s)
    gateway.resume_data(lost=fault.data_lost)
    gateway.tell_all(CONNECTION, *FARM_OK)


async def _competing_session(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    gateway = server.gateway
    for session in list(gateway.sessions.values()):
        for request_id in (*session.streaming, *session.tick_by_tick):
            session.send_error(request_id, *COMPETING)
    gateway.pause_data()
    await asyncio.sleep(fault.duration_s)
    gateway.resume_data(lost=fault.data_lost)


async def _handshake_326(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    server.gateway.ids_busy = True
    await asyncio.sleep(fault.duration_s)
    server.gateway.ids_busy = False


async def _pacing(server: "SimulatedGatewayServer", fault: LinkFault) -> None:
    server.gateway.tell_all(CONNECTION, *PACING)


def _lose(gateway: SimulatedGateway) -> None:
    gateway.traffic.lose()
    gateway.pause_data()
    gateway.tell_all(CONNECTION, *LOST)


def _restore(gateway: SimulatedGateway, *, data_lost: bool) -> None:
    gateway.resume_data(lost=data_lost)
    gateway.tell_all(CONNECTION, *(BACK_DATA_LOST if data_lost else BACK))
    gateway.traffic.restore()


_PLAYS: Final[dict[str, Play]] = {
    "disconnect": _disconnect,
    "stall": _stall,
    "upstream_lost": _upstream_lost,
    "farm_flap": _farm_flap,
    "competing_session": _competing_session,
    "restart": _restart,
    "nightly_reset": _nightly_reset,
    "handshake_326": _handshake_326,
    "pacing": _pacing,
}
