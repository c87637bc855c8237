"""The gateway that feeds one client: at a rate, with the time from ticks to orders, or as fast as the client takes it.

Rules: one loop writes ticks and reads orders, and the simulator gets its turn (orders, answers, account values) right
after an order was seen and while none is awaited: what the simulator takes is no part of a client's time. One order is
awaited at a time. The process that feeds does nothing else, and collects no garbage meanwhile.
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from time import perf_counter_ns
from typing import Final

from benchmarks.options import BenchmarkFailed
from benchmarks.wire.line import Line, OrderReader
from benchmarks.wire.market import StillMarket, Ticks
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer
from trader.simulator.wire.driver import MarketDriver
from trader.simulator.wire.session import Session

NANOSECONDS: Final = 1_000_000_000
ACCEPT_TIMEOUT_S: Final = 60.0
READY_TIMEOUT_NS: Final = 60 * NANOSECONDS
LOST_NS: Final = NANOSECONDS
LOST_SHARE_MAX: Final = 0.01
DRAIN_TIMEOUT_NS: Final = 120 * NANOSECONDS
TURN_NS: Final = 5_000_000
QUIET_NS: Final = 300_000_000
# Between two markers: uniform, a mean of 33 ms. IB lets a client send 50 messages a second.
MARKER_GAP_S: Final = (0.022, 0.044)
BLOCK_TICKS: Final = 5_000
BLOCKS: Final = 8


class Feeder:
    """Serves one client after the other on ``port``. ``step`` is called whenever there is time."""

    def __init__(self, symbols: Sequence[str], rng: Random) -> None:
        self.step: Callable[[], object] = lambda: None
        self._symbols = symbols
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(ACCEPT_TIMEOUT_S)
        self.port: int = self._listener.getsockname()[1]
        self._line: Line
        self._session: Session
        self._ticks: Ticks
        self._reader = OrderReader()
        self._driving: asyncio.Task[None] | None = None
        self._lost = 0

    # -- a client comes and goes

    async def accept(self, ready: Callable[[], bool]) -> None:
        """Take the next client and serve it until it follows every symbol, is ``ready``, and asks nothing more."""
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            raise BenchmarkFailed(f"no client has come within {ACCEPT_TIMEOUT_S:.0f} s") from None
        market = StillMarket(self._symbols)
        options = ServerOptions(messages_per_s=0, market_data_lines=len(self._symbols))
        gateway = SimulatedGatewayServer(market, options, ExchangeOptions(history_bars=0)).gateway
        self._line, self._session = Line(connection), Session(gateway)
        self._session.connection_made(self._line)
        driver = MarketDriver(gateway, market)
        self._driving = asyncio.get_running_loop().create_task(driver.run(), name="the simulated market")
        await self._serve_until(ready)
        requests = {subscription.contract.con_id: number for number, subscription in self._session.streaming.items()}
        self._ticks = Ticks(requests, self._session.version, self._rng)
        self._reader = OrderReader()

    async def dismiss(self) -> None:
        """Hang up on the client."""
        driving, self._driving = self._driving, None
        if driving is not None:
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
            self._line.close()
            self._session.connection_lost(None)

    def close(self) -> None:
        self._listener.close()

    async def _serve_until(self, ready: Callable[[], bool]) -> None:
        deadline_ns, quiet_since_ns = perf_counter_ns() + READY_TIMEOUT_NS, perf_counter_ns()
        while (now_ns := perf_counter_ns()) < deadline_ns:
            read = self._line.read()
            if read is not None:
                quiet_since_ns = now_ns
                self._session.data_received(read[0])
            elif len(self._session.streaming) == len(self._symbols) and now_ns - quiet_since_ns > QUIET_NS:
                if ready():
                    return
                quiet_since_ns = now_ns
            self._line.flush()
            await asyncio.sleep(0.001)
        raise BenchmarkFailed(
            f"the client has not followed {len(self._symbols)} instruments within {READY_TIMEOUT_NS // NANOSECONDS} s"
        )

    # -- at a rate

    async def paced(self, ticks_per_s: int, duration_s: float) -> list[float]:
        """Feed at an average rate; microseconds from each marker to its order."""
        found, rng, line, ticks = list[float](), self._rng, self._line, self._ticks
        self._lost = 0
        with _no_garbage():
            tick_ns = now_ns = perf_counter_ns()
            end_ns, marker_ns, turn_ns = now_ns + int(duration_s * NANOSECONDS), now_ns + self._gap_ns(), now_ns
            awaited, sent_ns = 0, 0
            while (now_ns := perf_counter_ns()) < end_ns or awaited:
                if now_ns >= tick_ns:
                    line.write(ticks.tick())
                    tick_ns += int(rng.expovariate(ticks_per_s) * NANOSECONDS)
                if awaited:
                    came_ns = self._order_came(awaited)
                    if came_ns:
                        found.append((came_ns - sent_ns) / 1_000)
                        awaited, marker_ns = 0, came_ns + self._gap_ns()
                    elif now_ns - sent_ns > LOST_NS:
                        awaited, self._lost = 0, self._lost + 1
                elif now_ns >= marker_ns:
                    awaited, frame = ticks.marker()
                    sent_ns = perf_counter_ns()
                    line.write(frame)
                elif now_ns >= turn_ns:
                    await self._turn()
                    turn_ns = perf_counter_ns() + TURN_NS
        self._require_few_lost(len(found))
        return found

    def _order_came(self, con_id: int) -> int:
        """When the awaited order came, 0 when it has not; what was read is given to the simulator."""
        read = self._line.read()
        if read is None:
            return 0
        data, at_ns = read
        came_ns = at_ns if con_id in self._reader.feed(data) else 0
        self._session.data_received(data)
        return came_ns

    async def _turn(self) -> None:
        """Everybody else's turn: the simulator's tasks, what the client asks, whoever scrapes."""
        read = self._line.read()
        if read is not None:
            self._reader.feed(read[0])
            self._session.data_received(read[0])
        self._line.flush()
        self.step()
        await asyncio.sleep(0)

    def _gap_ns(self) -> int:
        return int(self._rng.uniform(*MARKER_GAP_S) * NANOSECONDS)

    def _require_few_lost(self, found: int) -> None:
        if self._lost > LOST_SHARE_MAX * (found + self._lost):
            raise BenchmarkFailed(f"{self._lost} of {found + self._lost} markers were not answered by an order")

    async def idle(self, until: Callable[[], bool]) -> None:
        """Feed nothing, but let everybody have a turn; BenchmarkFailed when ``until`` does not come true."""
        deadline_ns = perf_counter_ns() + READY_TIMEOUT_NS
        while not until():
            await self._turn()
            if perf_counter_ns() > deadline_ns:
                raise BenchmarkFailed("what was waited for has not come")

    # -- as fast as it goes

    async def flooded(self, count: int) -> float:
        """Ticks a second that the client took: from the first of ``count`` to the order on the marker after them."""
        blocks = [self._ticks.ticks(BLOCK_TICKS) for _ in range(BLOCKS)]
        con_id, marker = self._ticks.marker()
        with _no_garbage():
            began_ns = perf_counter_ns()
            for number in range(count // BLOCK_TICKS):
                while not self._line.flush():
                    await self._turn()
                self._line.write(blocks[number % BLOCKS])
            self._line.write(marker)
            while not (came_ns := self._order_came(con_id)):
                self._line.flush()
                self.step()
                await asyncio.sleep(0)
                if perf_counter_ns() - began_ns > DRAIN_TIMEOUT_NS:
                    raise BenchmarkFailed("the client has not come to the end of the ticks")
        return count * NANOSECONDS / (came_ns - began_ns)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """A collection in the middle would count as the client's time."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
