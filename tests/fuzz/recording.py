"""Real messages to bend: what a simulated gateway tells one client that does everything the service does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any
from unittest.mock import patch

from trader.clock import AnchoredClock
from trader.contracts import OrderType, Side
from trader.events import (
    AnyFact,
    Approved,
    BrokerConnectedReceived,
    CancelAllOrders,
    CancelReason,
    CommissionReceived,
    Intent,
    OrderTerms,
    PlaceOrder,
    QuoteReceived,
)
from trader.gateway.ib import IbGateway
from trader.gateway.ib.wire import LENGTH, Wire
from trader.settings import Settings
from trader.simulator.market import SyntheticMarket
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
PATIENCE_S = 60.0
# Quotes are nearly all that a gateway says: no more than so many messages of a kind.
OF_A_KIND_MAX = 12


async def recorded_frames() -> list[bytes]:
    """The payloads of every kind of message, at most ``OF_A_KIND_MAX`` of each, in the order of arrival."""
    heard = bytearray()
    take = Wire.data_received

    def listen(wire: Wire, data: bytes) -> None:
        heard.extend(data)
        take(wire, data)

    with patch.object(Wire, "data_received", listen):
        for feed in ("streaming", "tick_by_tick"):
            await _busy_minute(feed)
    return _few_of_each(_payloads(bytes(heard)))


async def _busy_minute(feed: str) -> None:
    facts: asyncio.Queue[AnyFact] = asyncio.Queue()
    async with connected(facts, feed) as gateway:
        next_id = (await _next(facts, BrokerConnectedReceived)).next_valid_id
        await _next(facts, QuoteReceived)
        for number, side in enumerate((Side.BUY, Side.SELL, Side.SELL)):
            gateway.execute(order(gateway, next_id + number, side, Decimal(10 * (number + 1))))
            await _next(facts, CommissionReceived)
        gateway.execute(order(gateway, next_id + 3, Side.BUY, Decimal(5), Decimal("1.00")))
        await gateway.broker_state("recording")
        gateway.execute(CancelAllOrders(reason=CancelReason.PANIC))
        gateway.execute(order(gateway, next_id + 3, Side.BUY, Decimal(-5)))
        await gateway.broker_state("recording")


@asynccontextmanager
async def connected(facts: "asyncio.Queue[AnyFact]", feed: str) -> AsyncIterator[IbGateway]:
    market = SyntheticMarket(["AAPL", "MSFT"], seed=7, start=START, interval_s=0.1)
    server = SimulatedGatewayServer(market, ServerOptions(port=0, speed=10.0))
    values: dict[str, Any] = {"instruments": ("AAPL", "MSFT"), "market_data": {"feed": feed}}
    config = Settings(gateway={"port": await server.start()}, **values)  # type: ignore[arg-type]
    instruments = {item.symbol: item.instrument() for item in config.instruments}
    gateway = IbGateway(config, instruments, AnchoredClock(), facts.put_nowait, rng=Random(1))
    running = asyncio.get_running_loop().create_task(gateway.run())
    try:
        yield gateway
    finally:
        await gateway.close()
        await running
        await server.stop()


async def _next(facts: "asyncio.Queue[AnyFact]", kind: type[Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not isinstance(fact := await facts.get(), kind):
            pass
    return fact


def order(
    gateway: IbGateway, order_id: int, side: Side, quantity: Decimal, limit_price: Decimal | None = None
) -> PlaceOrder:
    terms = OrderTerms(
        symbol="AAPL",
        side=side,
        quantity=quantity,
        order_type=OrderType.MARKET if limit_price is None else OrderType.LIMIT,
        limit_price=limit_price,
    )
    intent = Intent(terms=terms, strategy="fuzz", reason="fuzz", reference_price=None, decided_ns=0)
    return PlaceOrder(
        approved=Approved(intent=intent, reduces=False),
        instrument=gateway.instruments["AAPL"],
        order_ref=f"ibt-fuzz-{order_id}",
        order_id=order_id,
    )


def _payloads(data: bytes) -> list[bytes]:
    payloads, place = [], 0
    while place < len(data):
        size = LENGTH.unpack_from(data, place)[0]
        payloads.append(data[place + LENGTH.size : place + LENGTH.size + size])
        place += LENGTH.size + size
    return payloads


def _few_of_each(payloads: list[bytes]) -> list[bytes]:
    counts: dict[bytes, int] = {}
    chosen = []
    for payload in payloads:
        kind = payload.partition(b"\0")[0]
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= OF_A_KIND_MAX:
            chosen.append(payload)
    return chosen
