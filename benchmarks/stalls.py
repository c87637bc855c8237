"""How long scrapes hold the event loop: a callback in every turn of it, and the longest time between two of its turns.

Rules: the probe keeps the loop turning, so what it measures is what an event that arrives at the worst moment waits.
Wall time holds whatever kept the loop away, other processes and threads too; processor time holds the loop's own work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from time import perf_counter_ns, thread_time_ns
from typing import Final

import msgspec
from prometheus_client import start_http_server

from benchmarks.scraper import OPENMETRICS, TEXT, Scraped, Scraper
from benchmarks.traded import Traded
from benchmarks.turns import in_turns
from observability.exporter import Exporter
from observability.loops import LoopTicks
from trader.clock import SystemClock

MILLISECOND_NS: Final = 1_000_000
LOOPBACK: Final = "127.0.0.1"
WARM_UP: Final = 3
NO_SCRAPE: Final = "no scrape"
SLICED: Final = "the service's exporter, text"
SLICED_OPENMETRICS: Final = "the service's exporter, OpenMetrics"
THREAD: Final = "prometheus_client's start_http_server, text"

Scrape = Callable[[], Awaitable[Scraped]]


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """The longest time between two turns, in milliseconds: by the wall clock, and of the loop's processor time."""

    wall_ms: float
    own_ms: float


class Probe:
    """Runs in the loop between ``start`` and ``stop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.Handle | None = None
        self._wall_ns = self._own_ns = 0
        self._turned_ns = self._worked_ns = 0

    def start(self) -> None:
        self._turned_ns, self._worked_ns = perf_counter_ns(), thread_time_ns()
        self._wall_ns = self._own_ns = 0
        self._handle = self._loop.call_soon(self._turn)

    def stop(self) -> Stall:
        """The longest since ``start``."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        return Stall(wall_ms=self._wall_ns / MILLISECOND_NS, own_ms=self._own_ns / MILLISECOND_NS)

    def _turn(self) -> None:
        now_ns, worked_ns = perf_counter_ns(), thread_time_ns()
        self._wall_ns = max(self._wall_ns, now_ns - self._turned_ns)
        self._own_ns = max(self._own_ns, worked_ns - self._worked_ns)
        self._turned_ns, self._worked_ns = now_ns, worked_ns
        self._handle = self._loop.call_soon(self._turn)


def scraped_in_turns(
    runner: asyncio.Runner, source: Traded, rounds: int, scrapes: int, rng: Random
) -> dict[str, list[Stall]]:
    """One stall a scrape, by side; without a scrape, one in as much time as the exporter's last scrape took."""
    clock = SystemClock()
    exporter = Exporter(source.registry, source.snapshot, LoopTicks(clock), clock)
    port, scraper = runner.run(exporter.start()), runner.run(Scraper.start())
    server, thread = start_http_server(0, LOOPBACK, source.registry)
    try:
        sides = _sides(scraper, port, server.server_port)
        turns = {name: _turn(runner, scrape, scrapes) for name, scrape in sides.items()}
        for _ in range(WARM_UP):
            runner.run(_stall(sides[SLICED]))
        return in_turns(turns, rounds, rng)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        runner.run(scraper.stop())
        runner.run(exporter.stop())


def _sides(scraper: Scraper, port: int, thread_port: int) -> dict[str, Scrape]:
    last = Scraped(0.0, 0)

    async def text() -> Scraped:
        nonlocal last
        last = await scraper.get(port, TEXT)
        return last

    return {
        NO_SCRAPE: lambda: scraper.wait(last.duration_s),
        SLICED: text,
        SLICED_OPENMETRICS: lambda: scraper.get(port, OPENMETRICS),
        THREAD: lambda: scraper.get(thread_port, TEXT),
    }


def _turn(runner: asyncio.Runner, scrape: Scrape, scrapes: int) -> Callable[[], list[Stall]]:
    return lambda: [runner.run(_stall(scrape)) for _ in range(scrapes)]


async def _stall(scrape: Scrape) -> Stall:
    """The longest stall while ``scrape`` is under way."""
    probe = Probe(asyncio.get_running_loop())
    probe.start()
    await scrape()
    return probe.stop()
