"""Starts and stops of the service, and a minute of trading, timed and weighed from outside.

Rules: each start goes on from the same journal and the same account, as a restart does. A stop has nothing to cancel,
or orders that rest in the book, or positions to close, as the configuration says. The peer is a script that imports
ib_async, connects to the same gateway and does nothing else.
"""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.processes import Config, Service, resident_bytes, simulated_gateway
from trader.snapshot import Snapshot

MIB: Final = 2**20
LOAD_SPEED: Final = 50.0
SCRAPE_S: Final = 1.0
BARE_TIMEOUT_S: Final = 60.0
STATE_TIMEOUT_S: Final = 30.0
STATE_POLL_S: Final = 0.05
TOLD: Final = "the service, until READY=1"
READY: Final = "the service, until connected and agreed with the broker"
BARE: Final = "a bare ib_async script, until connected"
NOTHING: Final = "nothing to cancel"
ORDERS: Final = "3 working orders cancelled"
POSITIONS: Final = "3 positions closed (stop.flatten)"
SYMBOLS: Final = "SPY,AAPL,IBM"
SHARES: Final = 20
BARE_SCRIPT: Final = """
import sys, ib_async
ib = ib_async.IB()
ib.connect("127.0.0.1", int(sys.argv[1]), clientId=77, timeout=30)
print("connected", flush=True)
sys.stdin.read()
ib.disconnect()
"""


class Runs(msgspec.Struct, frozen=True):
    """Seconds of starts and stops and MiB after the start, by side."""

    starts_s: dict[str, list[float]]
    stops_s: dict[str, list[float]]
    resident_mib: dict[str, list[float]]


class Load(msgspec.Struct, frozen=True):
    """MiB once a second while trading, and what was traded."""

    resident_mib: list[float]
    ticks: int
    orders: int
    duration_s: float


async def start_and_stop(folder: Path, options: Options, rounds: int) -> Runs:
    """Every kind of stop, and the peer, once a round; raises BenchmarkFailed."""
    runs = Runs(defaultdict(list), defaultdict(list), defaultdict(list))
    rng = options.rng()
    async with simulated_gateway(folder, options.seed) as gateway_port:
        for number in range(1, rounds + 1):
            for kind in rng.sample([NOTHING, ORDERS, POSITIONS, BARE], 4):
                options.told(f"round {number} of {rounds}: {kind}")
                if kind == BARE:
                    await _bare(gateway_port, runs)
                else:
                    await _once(folder, gateway_port, kind, runs)
    return runs


async def _once(folder: Path, gateway_port: int, kind: str, runs: Runs) -> None:
    steering = folder / "steering.json"
    steering.write_text(json.dumps({"quantity": 0 if kind == NOTHING else SHARES}))
    service = Service(folder, gateway_port, _changes(kind, steering))
    try:
        started = await service.start()
        runs.starts_s[TOLD].append(started.told_s)
        runs.starts_s[READY].append(started.ready_s)
        runs.resident_mib[READY].append(service.resident_bytes() / MIB)
        await until(service, HOLDS[kind])
        runs.stops_s[kind].append(await service.stop())
    finally:
        await service.kill()


def _changes(kind: str, steering: Path) -> Config:
    """A strategy that wants a position in each symbol; short of the touch, its orders rest in the book."""
    parameters = {"file": str(steering), "symbol": SYMBOLS}
    return {
        "strategy": {"name": "trader.drills.strategy:Steered", "parameters": parameters},
        "execution": {"cross_ticks": -100 if kind == ORDERS else 1, "cancel_after_s": 3_600},
        "stop": {"flatten": kind == POSITIONS},
    }


HOLDS: Final[Mapping[str, Callable[[Snapshot], bool]]] = {
    NOTHING: lambda snapshot: snapshot.ready,
    ORDERS: lambda snapshot: len(snapshot.open_orders) == len(SYMBOLS.split(",")),
    POSITIONS: lambda snapshot: len(snapshot.positions) == len(SYMBOLS.split(",")) and not snapshot.open_orders,
}


async def until(service: Service, holds: Callable[[Snapshot], bool]) -> None:
    """Wait until the service's state is as wanted; raises BenchmarkFailed."""
    deadline_s = perf_counter() + STATE_TIMEOUT_S
    while not holds(await service.snapshot()):
        if perf_counter() > deadline_s:
            raise BenchmarkFailed(f"the service did not do what the benchmark waited {STATE_TIMEOUT_S:g} s for")
        await asyncio.sleep(STATE_POLL_S)


async def _bare(gateway_port: int, runs: Runs) -> None:
    pipe, began_s = asyncio.subprocess.PIPE, perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BARE_SCRIPT, str(gateway_port), stdin=pipe, stdout=pipe
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), BARE_TIMEOUT_S)
        if not line:
            raise BenchmarkFailed("the bare ib_async script did not connect; its error is above")
        runs.starts_s[BARE].append(perf_counter() - began_s)
        runs.resident_mib[BARE].append(resident_bytes(process.pid) / MIB)
    finally:
        process.kill()
        await process.wait()


async def trade(folder: Path, options: Options, duration_s: float) -> Load:
    """The demonstration's strategy on a market that runs ``LOAD_SPEED`` times faster, scraped every second."""
    options.told(f"trade for {duration_s:g} s")
    folder.mkdir(exist_ok=True)
    async with simulated_gateway(folder, options.seed, LOAD_SPEED) as gateway_port:
        service = Service(folder, gateway_port)
        try:
            await service.start()
            resident_mib, ends_s = list[float](), perf_counter() + duration_s
            while perf_counter() < ends_s:
                await asyncio.sleep(SCRAPE_S)
                await service.scrape()
                resident_mib.append(service.resident_bytes() / MIB)
            activity = (await service.snapshot()).activity
        finally:
            await service.kill()
    return Load(resident_mib, activity.ticks, activity.orders_submitted, duration_s)
