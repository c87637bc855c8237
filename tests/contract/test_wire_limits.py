"""Everything about the simulated gateway's server is bounded: readers that do not read, crowds, idlers."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trader.simulator.model import MarketEvent
from trader.simulator.recorded import MarketDataFileError
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer
from trader.simulator.wire.codec import frame

pytestmark = pytest.mark.e2e
WAIT_S = 60.0
AAPL = (265598, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")


async def greeted(port, client_id=40):
    """A connection that has started the API, spoken by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    writer.write(b"API\0\0\0\0\x09v100..178")
    await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    writer.write(frame(71, 2, client_id, ""))
    return reader, writer


async def ended(server, count):
    async with asyncio.timeout(WAIT_S):
        while len(server.gateway.connections) > count:
            await asyncio.sleep(0.001)


async def test_a_client_that_does_not_read_is_hung_up_on_and_others_are_served(serve, join):
    server = await serve(messages_per_s=0, write_buffer_max_bytes=500_000)
    desk = await join(server)
    start = datetime(2013, 10, 7, 14, 30, tzinfo=UTC)
    for second in range(3_000):
        desk.move(70.0, 70.1, at=start + timedelta(seconds=second))
    reader, writer = await greeted(server.port)
    ask = frame(20, 1, *AAPL, 0, "", "1 secs", "7200 S", 0, "MIDPOINT", 2, 0, "")
    for _ in range(100):
        writer.write(ask)
    await ended(server, 1)
    assert await desk.ib.reqCurrentTimeAsync()
    writer.close()
    assert not reader.at_eof()


async def test_a_connection_that_never_starts_is_ended(serve):
    server = await serve(handshake_timeout_s=0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"API\0")
    async with asyncio.timeout(WAIT_S):
        assert await reader.read() == b""
    writer.close()


async def test_connections_beyond_the_limit_are_ended_at_once(serve, join):
    server = await serve(connections_max=1)
    desk = await join(server)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    async with asyncio.timeout(WAIT_S):
        assert await reader.read() == b""
    writer.close()
    assert await desk.ib.reqCurrentTimeAsync()


LINES = {
    "market data": ({"market_data_lines": 1}, lambda desk, stock: desk.ib.reqMktData(stock), 101),
    "tick by tick": ({"tick_by_tick_lines": 1}, lambda desk, stock: desk.ib.reqTickByTickData(stock, "Last"), 10190),
    "bars": ({"bar_subscriptions": 1}, lambda desk, stock: desk.ib.reqRealTimeBars(stock, 5, "BID", False), 420),
}


@pytest.mark.parametrize("name", LINES)
async def test_subscriptions_beyond_the_lines_are_refused_with_their_code(serve, join, name):
    options, ask, code = LINES[name]
    server = await serve(**options)
    first, second = await join(server, 1), await join(server, 2)
    ask(first, first.stock)
    await first.ib.reqCurrentTimeAsync()
    ask(second, second.stock)
    await second.until(lambda: code in second.codes)
    assert code not in first.codes


async def test_lines_are_free_again_when_a_client_has_gone(serve, join):
    server = await serve(market_data_lines=1)
    first = await join(server, 1)
    first.ib.reqMktData(first.stock)
    await first.ib.reqCurrentTimeAsync()
    first.ib.disconnect()
    await ended(server, 0)
    second = await join(server, 2)
    ticker = second.ib.reqMktData(second.stock)
    await second.until(ticker.hasBidAsk)


async def test_the_pace_can_cost_the_connection(serve):
    server = await serve(messages_per_s=5, disconnect_on_pacing=True)
    reader, writer = await greeted(server.port)
    for _ in range(10):
        writer.write(frame(49, 1))
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.close()
    assert b"\x00100\x00Max rate of messages" in answer


async def test_a_stopped_server_leaves_no_connection_and_no_port(serve, join):
    server = await serve()
    desk = await join(server)
    gone = asyncio.get_running_loop().create_future()
    desk.ib.disconnectedEvent += lambda: gone.done() or gone.set_result(None)
    await server.stop()
    await asyncio.wait_for(gone, WAIT_S)
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", server.port)


class BreakingMarket:
    """A market whose second row cannot be read."""

    contracts = ("AAPL",)
    start = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)

    def events(self):
        yield MarketEvent(at=self.start, symbol="AAPL", bid=Decimal(1), bid_size=Decimal(1))
        raise MarketDataFileError(Path("day.csv"), 3, "no price")


async def test_a_market_that_breaks_off_ends_the_wait_with_its_sentence(caplog):
    server = SimulatedGatewayServer(BreakingMarket(), ServerOptions(port=0))
    await server.start()
    with pytest.raises(MarketDataFileError, match=r"day.csv, line 3: no price"):
        await asyncio.wait_for(server.run_until_market_ends(), WAIT_S)
    await server.stop()
    assert "the simulated market has stopped: day.csv, line 3: no price" in caplog.text
