"""The simulated gateway as a server on a loopback socket, for one process or inside another one.

Rules: it listens on this machine's own addresses and refuses all others. It runs on the caller's event loop;
``start`` returns when clients can connect, ``stop`` when nothing of it is left.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Coroutine
from datetime import date
from typing import Any

from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.faults import FaultInjector, Faults
from trader.simulator.market import MarketSource
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire.driver import MarketDriver
from trader.simulator.wire.gateway import SimulatedGateway
from trader.simulator.wire.link import play_link_faults
from trader.simulator.wire.options import ServerOptions, ServerRefused, require_loopback
from trader.simulator.wire.session import Session

log = logging.getLogger(__name__)


class SimulatedGatewayServer:
    """A market, an exchange over it, and the TWS API in front of it.

    ``seed`` numbers orders and executions. Raises ServerRefused for options it cannot serve.
    """

    def __init__(
        self,
        market: MarketSource,
        options: ServerOptions | None = None,
        exchange_options: ExchangeOptions | None = None,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        self.options = options or ServerOptions()
        self.faults = faults or Faults()
        _require_sane(self.options)
        self.market = market
        self._listener: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._port = self.options.port
        self._tasks: list[asyncio.Task[None]] = []
        self._market_task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.gateway = SimulatedGateway(
            ContractBook(market.contracts, _date_of(market)),
            market.start,
            seed,
            self.options,
            exchange_options or ExchangeOptions(),
            FaultInjector(self.faults),
            self._later,
        )

    @property
    def exchange(self) -> Exchange:
        return self.gateway.exchange

    @property
    def port(self) -> int:
        """The port it listens on; the real one where the options said 0, once started."""
        return self._port

    @property
    def host(self) -> str:
        return "127.0.0.1" if self.options.host == "localhost" else self.options.host

    async def start(self) -> int:
        """Listen and let time run; returns the port. Raises ServerRefused when the port cannot be had."""
        self._loop = asyncio.get_running_loop()
        await self.open_port()
        driver = MarketDriver(self.gateway, self.market)
        self._market_task = self._begin(driver.run(), "the simulated market")
        if self.faults.link:
            self._begin(play_link_faults(self), "the player of link faults")
        return self._port

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)
        return task

    async def run_until_market_ends(self) -> None:
        """Wait for the end of the market (``exit_at_end``), else for ever; raises what ends it before."""
        waiting = set(self._tasks)
        while self._market_task in waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def stop(self) -> None:
        """Close the port and every connection, and end all tasks. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.close_port()
        self._release_port()
        self.drop_connections()
        # One turn of the loop lets the transports report that they are closed.
        await asyncio.sleep(0)

    async def open_port(self) -> None:
        """Listen, on the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(lambda: Session(self.gateway), self.host, self._port)
        except (OSError, OverflowError) as error:
            raise ServerRefused(_why_not(self.host, self._port, error)) from None
        self._port = self._listener.sockets[0].getsockname()[1]
        self._release_port()

    async def close_port(self) -> None:
        """Refuse further connections; those that are there stay, and nobody else gets the port until ``stop``."""
        listener, self._listener = self._listener, None
        if listener is not None:
            family = listener.sockets[0].family
            listener.close()
            self._reserve_port(family)

    def _reserve_port(self, family: int) -> None:
        """Hold the port without listening on it: connections to it are refused, and another program cannot take it."""
        self._reserved = socket.socket(family, socket.SOCK_STREAM)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken in this very moment: opening the port again will say so
            self._reserved.bind((self.host, self._port))

    def _release_port(self) -> None:
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            reserved.close()

    def drop_connections(self) -> None:
        """Hang up on every client at once."""
        for session in list(self.gateway.connections):
            session.abort()

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_later(delay_s, call)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s has stopped: %s", task.get_name(), error)


def _require_sane(options: ServerOptions) -> None:
    require_loopback(options.host)
    if not 0 < options.speed <= 1_000_000:
        raise ServerRefused(f"the speed has to be above 0 and at most 1000000, not {options.speed:g}")
    if not 0 <= options.port <= 65_535:
        raise ServerRefused(f"there is no port {options.port}; choose one up to 65535, or 0 for any free one")


def _date_of(market: MarketSource) -> date:
    return market.start.date()


def _why_not(host: str, port: int, error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what listens there or choose another with --port"
    if code == errno.EACCES:
        return f"port {port} on {host} needs rights that this user has not; choose one above 1023"
    return f"cannot listen on {host}:{port}: {error}"
