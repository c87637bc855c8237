"""What being observed costs of the tick path and of the order path.

Rules: the parts are the service's, in this process. A side has all on, or the observers off (facts are told to nobody),
or the observers and the engine's own counts and latencies off; sides take turns, hundreds of times. The tick path is
decoding and deciding, from the bytes of one tick to the end of the read; the order path is all that the socket brings
for one order, from the marker to the commission. What the log's thread does behind it has a table of its own.
"""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import thread_time_ns
from typing import Final, TypeAlias

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.report import Goal, Table, figure
from benchmarks.wire.inside import Inside, inside, ticks_of
from benchmarks.wire.market import SYMBOLS, Ticks

EVERYTHING: Final = "all on"
NO_OBSERVERS: Final = "observers off"
NOTHING: Final = "all off"
# By side: whether the observers are told, whether the engine counts.
SIDES: Final = {EVERYTHING: (True, True), NO_OBSERVERS: (False, True), NOTHING: (False, False)}
TICKS_A_TURN: Final = 1_000
ORDERS_A_TURN: Final = 10
# The service sends 45 messages a second at most; more would measure its pacer.
ORDER_INTERVAL_S: Final = 0.026
SHARE_MAX: Final = 0.05
QUICK_SYMBOLS: Final = 10

Samples: TypeAlias = dict[str, list[float]]
TakeTurn: TypeAlias = Callable[[], Awaitable[list[float]]]


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    with TemporaryDirectory(prefix="benchmark-") as folder:
        ticks, orders, logged = asyncio.run(_measure(Path(folder), options))
    tables = [
        _table(
            "The tick path: decode and decide",
            "ns a tick",
            ticks,
            "A sample is the mean of 1,000 ticks, in processor time.",
        ),
        _table("The order path: from the marker to the commission", "µs an order", orders),
        Table(title="Behind the order path", figures=(figure("the log's thread", "µs an order", logged),)),
    ]
    return tables, [_goal(median(ticks[EVERYTHING]) / median(ticks[NOTHING]) - 1)]


async def _measure(folder: Path, options: Options) -> tuple[Samples, Samples, list[float]]:
    symbols = SYMBOLS[:QUICK_SYMBOLS] if options.quick else SYMBOLS
    tick_rounds, order_rounds = (30, 2) if options.quick else (700, 60)
    rng = options.rng()
    async with inside(folder, symbols) as (service, server):
        ticks = ticks_of(server, rng)
        options.told(f"{tick_rounds} rounds of ticks")
        of_ticks = await _in_turns(service, tick_rounds, rng, lambda: _tick_turn(service, ticks))
        options.told(f"{order_rounds} rounds of orders")
        of_orders = await _in_turns(service, order_rounds, rng, lambda: _order_turn(service, ticks))
        options.told("the log's thread")
        service.observed(by_observers=True, counted=True)
        logged = [await _logged(service, ticks) for _ in range(order_rounds)]
    return of_ticks, of_orders, logged


async def _in_turns(service: Inside, rounds: int, rng: Random, take_turn: TakeTurn) -> Samples:
    found: Samples = {side: [] for side in SIDES}
    await take_turn()
    for _ in range(rounds):
        for side in rng.sample(list(SIDES), len(SIDES)):
            by_observers, counted = SIDES[side]
            service.observed(by_observers=by_observers, counted=counted)
            found[side] += await take_turn()
    return found


async def _tick_turn(service: Inside, ticks: Ticks) -> list[float]:
    frames = [ticks.tick() for _ in range(TICKS_A_TURN)]
    gc.collect(0)
    began_ns = thread_time_ns()
    for frame in frames:
        service.received(frame)
    spent_ns = thread_time_ns() - began_ns
    await asyncio.sleep(0)
    return [spent_ns / TICKS_A_TURN]


async def _order_turn(service: Inside, ticks: Ticks) -> list[float]:
    found = []
    for _ in range(ORDERS_A_TURN):
        orders = service.orders
        service.spent_ns = 0
        service.received(ticks.marker()[1])
        await service.quiet()
        found.append(service.spent_ns / 1_000)
        if service.orders != orders + 1:
            raise BenchmarkFailed(f"a marker led to {service.orders - orders} orders instead of one")
        for _ in range(len(SYMBOLS)):
            service.received(ticks.tick())
        await asyncio.sleep(ORDER_INTERVAL_S)
    return found


async def _logged(service: Inside, ticks: Ticks) -> float:
    """Microseconds of processor time that the log's thread takes for an order."""
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "logs")
    account = Path(f"/proc/self/task/{thread.native_id}/schedstat")
    before_ns = int(account.read_text().split()[0])
    await _order_turn(service, ticks)
    return (int(account.read_text().split()[0]) - before_ns) / 1_000 / ORDERS_A_TURN


def _table(title: str, unit: str, samples: Samples, note: str = "") -> Table:
    bare = median(samples[NOTHING])
    figures = [
        figure(side, unit, found, None if side == NOTHING else median(found) / bare) for side, found in samples.items()
    ]
    return Table(title=title, figures=tuple(figures), compared=f"median to {NOTHING}", note=note)


def _goal(share: float) -> Goal:
    met = share <= SHARE_MAX
    return Goal(
        what="instrumentation of the tick path",
        limit=f"≤ {SHARE_MAX:.0%} of decode and decide",
        measured=f"{share:.1%}",
        met=met,
        why="" if met else f"{share - SHARE_MAX:.1%} too much: each decision's latency goes into a histogram",
    )
