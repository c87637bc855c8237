"""The service's own path in this process, so that its stages can be timed and its observers taken off and put back.

Rules: the parts are the service's and put together as it does; the gateway is the simulator over a real socket in the
same event loop. What the socket brings is timed from the first byte of a read to the end of all that it leads to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from random import Random
from time import perf_counter_ns
from typing import Final

from benchmarks.options import BenchmarkFailed
from benchmarks.wire.clients import configuration
from benchmarks.wire.market import StillMarket, Ticks
from benchmarks.wire.strategy import OnMarker
from observability.collectors import BuildInfo
from observability.logs import LogPipeline, configure_logging
from observability.stack import ObservabilityStack, build
from trader.clock import AnchoredClock
from trader.engine import Engine
from trader.events import AnyFact, StartReason, TimerElapsed
from trader.gateway.ib import IbGateway
from trader.journal import Journal
from trader.loop import TradingLoop
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer
from trader.statistics import Statistics

READY_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.05
ANSWER_S: Final = 0.0005
QUIET_TURNS: Final = 6


class Discarded(StringIO):
    """A stream that keeps nothing of what is written."""

    def write(self, text: str, /) -> int:
        return len(text)


class Uncounted(Statistics):
    """Statistics that nobody keeps."""

    def hold(self, duration_s: float) -> None: ...

    def observe(self, fact: AnyFact) -> None: ...


class Inside:
    """The trading loop with its gateway and observers. ``received`` takes what a read of the socket would bring."""

    def __init__(self, loop: TradingLoop, gateway: IbGateway, stack: ObservabilityStack, publish: "Publish") -> None:
        self.spent_ns = 0
        self.reads = 0
        self._loop = loop
        self._gateway = gateway
        self._stack = stack
        self._publish = publish
        self._counted = loop.engine.core.statistics
        self._uncounted = Uncounted("")
        self._take: Callable[[bytes], None]

    def time_reads(self) -> None:
        """From now on add up what reads of the socket take."""
        session = self._gateway._session
        if session is None:
            raise BenchmarkFailed("the gateway is not connected")
        self._take = session.wire.data_received
        session.wire.data_received = self.received  # type: ignore[method-assign] # the transport looks it up each time

    def received(self, data: bytes) -> None:
        began_ns = perf_counter_ns()
        self._take(data)
        self.spent_ns += perf_counter_ns() - began_ns
        self.reads += 1

    def observed(self, *, by_observers: bool, counted: bool) -> None:
        """Put the observers on or take them off; likewise the engine's own counts and latencies."""
        self._publish.to = self._stack.observers.publish if by_observers else _nobody
        self._loop.engine.core.statistics = self._counted if counted else self._uncounted

    async def quiet(self) -> None:
        """Wait until the socket has brought nothing more for some turns of the loop."""
        seen, turns = self.reads, 0
        while turns < QUIET_TURNS:
            await asyncio.sleep(ANSWER_S)
            turns = turns + 1 if seen == self.reads else 0
            seen = self.reads

    @property
    def orders(self) -> int:
        """How many orders were intended so far."""
        return self._loop.engine.core.order_count


class Publish:
    """Whom the loop tells of facts."""

    def __init__(self) -> None:
        self.to: Callable[[Sequence[AnyFact]], None] = _nobody

    def __call__(self, facts: Sequence[AnyFact]) -> None:
        self.to(facts)


def _nobody(_facts: Sequence[AnyFact]) -> None: ...


@asynccontextmanager
async def inside(folder: Path, symbols: Sequence[str]) -> AsyncIterator[tuple[Inside, SimulatedGatewayServer]]:
    """A connected service that is ready, and the gateway that it is connected to."""
    server = SimulatedGatewayServer(
        StillMarket(symbols), ServerOptions(port=0, messages_per_s=0), ExchangeOptions(history_bars=0)
    )
    port = await server.start()
    settings = Settings.model_validate(configuration(port, 0, symbols))
    clock = AnchoredClock()
    logs = configure_logging("INFO", clock, Discarded(), with_priority=False)
    journal = Journal.open(f"sqlite:///{folder}/journal.db", "process", clock)
    try:
        made = _made(settings, clock, logs, journal)
        await made._stack.start()
        tasks = [asyncio.create_task(made._gateway.run()), asyncio.create_task(_beat(made._loop, clock))]
        try:
            await _until_ready(made._loop, tasks)
            made.time_reads()
            yield made, server
        finally:
            await made._gateway.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await made._stack.stop()
    finally:
        journal.close()
        logs.stop()
        await server.stop()


def _made(settings: Settings, clock: AnchoredClock, logs: LogPipeline, journal: Journal) -> Inside:
    instruments = {item.symbol: item.instrument() for item in settings.instruments}
    engine = Engine(settings, instruments, OnMarker(), SessionCalendar.load("always"), clock, "benchmark")
    stack = build(settings, engine.snapshot, clock, BuildInfo("benchmark", config_hash=""), logs)
    publish = Publish()
    loop = TradingLoop(engine, journal, publish, lambda: None, clock=clock)
    gateway = IbGateway(settings, instruments, clock, loop.post)
    loop.gateway = gateway
    loop.take(engine.start(StartReason.MANUAL, "benchmark", ""))
    return Inside(loop, gateway, stack, publish)


async def _beat(loop: TradingLoop, clock: AnchoredClock) -> None:
    while loop.failure is None:
        if clock.anchored:
            loop.post(TimerElapsed(at=clock.now(), monotonic_ns=clock.monotonic_ns()))
        await asyncio.sleep(0.1)


async def _until_ready(loop: TradingLoop, tasks: Sequence["asyncio.Task[None]"]) -> None:
    for _ in range(int(READY_TIMEOUT_S / POLL_S)):
        if loop.engine.snapshot().ready:
            return
        if loop.failure is not None or any(task.done() for task in tasks):
            break
        await asyncio.sleep(POLL_S)
    raise BenchmarkFailed(f"the service did not become ready: {loop.failure or loop.engine.snapshot().problems}")


def ticks_of(server: SimulatedGatewayServer, rng: Random) -> Ticks:
    """Ticks for the one client of ``server``."""
    (session,) = server.gateway.sessions.values()
    requests = {subscription.contract.con_id: number for number, subscription in session.streaming.items()}
    return Ticks(requests, session.version, rng)
