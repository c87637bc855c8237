"""A simulated gateway on a free port whose market moves only when a test moves it, and clients of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from ib_async import IB, Contract, Order, Stock, Trade

from trader.simulator.faults import Faults
from trader.simulator.model import MarketEvent
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
WAIT_S = 60.0


def event(symbol: str, bid: Any, ask: Any, size: Any = 1000, last: Any = None, at: datetime = START) -> MarketEvent:
    """One market event with both sides of a quote; prices are anything Decimal takes."""
    amount = Decimal(size)
    return MarketEvent(
        at=at,
        symbol=symbol,
        bid=Decimal(str(bid)),
        bid_size=amount,
        ask=Decimal(str(ask)),
        ask_size=amount,
        last=None if last is None else Decimal(str(last)),
        last_size=None if last is None else Decimal(200),
    )


class StillMarket:
    """Quotes two stocks once, at the start, and then says nothing more."""

    contracts = ("AAPL", "SPY")
    start = START

    def events(self) -> Iterator[MarketEvent]:
        yield event("AAPL", "69.50", "69.52")
        yield event("SPY", "167.50", "167.52")


class Desk:
    """An ib_async client, unmodified, with what it heard; ``stock`` is qualified."""

    def __init__(self, server: SimulatedGatewayServer, client_id: int) -> None:
        self.server = server
        self.client_id = client_id
        self.ib = IB()
        self.codes: list[int] = []
        self.ib.errorEvent += self._note
        self.stock = Stock("AAPL", "SMART", "USD")

    def _note(self, request_id: int, code: int, text: str, contract: Contract | None) -> None:
        self.codes.append(code)

    async def connect(self, timeout_s: float = WAIT_S) -> "Desk":
        await self.ib.connectAsync(
            "127.0.0.1", self.server.port, self.client_id, timeout=timeout_s, raiseSyncErrors=True
        )
        await self.ib.qualifyContractsAsync(self.stock)
        return self

    def move(
        self, bid: Any, ask: Any, size: Any = 1000, last: Any = None, symbol: str = "AAPL", at: datetime | None = None
    ) -> None:
        """Let the market move."""
        self.server.exchange.apply(event(symbol, bid, ask, size, last, at or self.server.exchange.now))

    def place(self, order: Order) -> Trade:
        return self.ib.placeOrder(self.stock, order)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for messages until ``condition`` holds."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await self.ib.updateEvent

    async def reaches(self, trade: Trade, status: str) -> None:
        await self.until(lambda: trade.orderStatus.status == status)


@pytest.fixture
async def serve() -> AsyncIterator[Any]:
    """``await serve(faults=…, **options)`` starts a server; all are stopped afterwards."""
    servers: list[SimulatedGatewayServer] = []

    async def start(faults: Faults | None = None, **options: Any) -> SimulatedGatewayServer:
        server = SimulatedGatewayServer(StillMarket(), ServerOptions(port=0, **options), faults=faults)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def join(serve: Any) -> AsyncIterator[Any]:
    """``await join(server, client_id)`` connects a client; all are disconnected afterwards."""
    desks: list[Desk] = []

    async def connect(server: SimulatedGatewayServer, client_id: int = 1, timeout_s: float = WAIT_S) -> Desk:
        desks.append(Desk(server, client_id))
        return await desks[-1].connect(timeout_s)

    yield connect
    for desk in desks:
        desk.ib.disconnect()
    # The transports report their end on the next turns of the loop.
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
async def desk(serve: Any, join: Any) -> Desk:
    """One client of one server."""
    return await join(await serve())
