"""Whatever a client sends to the simulated gateway: it goes on, and so do its other clients.

A good client watches all the time: it asks for the time and for its positions, and must be answered.
"""

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fuzz.conftest import Campaign
from tests.fuzz.mutations import LENGTH, NASTY_LENGTHS, bad_bytes, bad_payload, bad_stream, framed, payload_of, pieces
from trader.simulator.market import SyntheticMarket
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
PATIENCE_S = 60.0
# How long a hostile client that reads hears what it is answered, before it leaves.
LISTENS_S = 0.005
HELLO = b"API\0" + framed(b"v100..178")
AAPL = ("265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
ORDER = ("3", "5", *AAPL, "", "", "BUY", "100", "LMT", "69.50", "", "DAY", "", "DU1234567", "", "0", "ref", "1", "0")
# What a client may say, one or two of each kind; whether all of it is well-formed does not matter.
REQUESTS = tuple(
    payload_of(fields)
    for fields in (
        ("71", "2", "{client}", ""),
        ("49", "1"),
        ("1", "11", "9", *AAPL, "0", "", "0", "0", ""),
        ("2", "2", "9"),
        (*ORDER, *[""] * 120),
        (*ORDER, *["0"] * 90),
        ("4", "1", "5"),
        ("58", "1"),
        ("5", "1"),
        ("16", "1"),
        ("7", "3", "8", "0", "", "", "", "", "", ""),
        ("9", "8", "7", *AAPL, "0", "", "", ""),
        ("6", "2", "1", "DU1234567"),
        ("61", "1"),
        ("64", "1"),
        ("99", "0"),
        ("97", "6", *AAPL, "BidAsk", "0", "0"),
        ("98", "6"),
        ("20", "4", *AAPL, "0", "", "1 min", "1 D", "0", "TRADES", "1", "0", ""),
        ("50", "3", "5", *AAPL, "5", "TRADES", "0", ""),
        ("62", "1", "3", "All", "$LEDGER"),
        ("92", "4", "DU1234567", ""),
        ("94", "4", "DU1234567", "", "265598"),
        ("59", "1", "3"),
        ("8", "1", "1"),
        ("17", "1"),
        ("91", "26"),
        ("78", "5", "AAPL", "", "STK", "265598"),
        ("87", "5", *AAPL, "0", "TRADES", "1", "1"),
        ("96", "7", *AAPL, "", "20131007 10:00:00", "100", "TRADES", "1", "0", ""),
    )
)


class Watcher:
    """A good client, by hand; it reads what it is sent all the time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def join(cls, port: int) -> "Watcher":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        made = cls(reader, writer)
        writer.write(HELLO)
        await made.next()
        made.say("71", "2", "1", "")
        await made.until("9")
        return made

    def say(self, *fields: str) -> None:
        self.writer.write(framed(payload_of(fields)))

    async def next(self) -> list[str]:
        async with asyncio.timeout(PATIENCE_S):
            length = LENGTH.unpack(await self.reader.readexactly(4))[0]
            return (await self.reader.readexactly(length)).decode().split("\0")

    async def until(self, kind: str) -> list[str]:
        while (fields := await self.next())[0] != kind:
            pass
        return fields

    async def check(self) -> None:
        """The gateway answers."""
        self.say("49", "1")
        await self.until("49")
        self.say("61", "1")
        await self.until("62")


@asynccontextmanager
async def watched(**options: Any) -> AsyncIterator[tuple[SimulatedGatewayServer, Watcher]]:
    """A server, and a good client of it."""
    market = SyntheticMarket(["AAPL", "MSFT"], seed=7, start=START, interval_s=1.0)
    server = SimulatedGatewayServer(market, ServerOptions(port=0, messages_per_s=0, **options))
    watcher = await Watcher.join(await server.start())
    try:
        yield server, watcher
        await watcher.check()
    finally:
        watcher.writer.close()
        await server.stop()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def hostile(port: int, data: list[bytes], rng: Random, *, reads: bool) -> None:
    """Say it in these pieces, read or not, and leave politely or not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
    if not reads:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(OSError, TimeoutError):
        for part in data:
            writer.write(part)
            await asyncio.sleep(0)
        if rng.random() < 0.5:
            writer.write_eof()
        async with asyncio.timeout(LISTENS_S):
            while reads and await reader.read(4_096):
                pass
    writer.transport.abort()
    await asyncio.sleep(0)


def session_of(rng: Random, client: int) -> bytes:
    """What a hostile client says: often a good beginning, and then anything."""
    hello = HELLO if rng.random() < 0.8 else bad_bytes(rng, HELLO)
    requests = [payload.replace(b"{client}", str(client).encode()) for payload in REQUESTS]
    start = framed(requests[0]) if rng.random() < 0.8 else b""
    body = b"".join(
        framed(bad_payload(rng, payload, requests) if rng.random() < 0.6 else payload)
        for payload in (rng.choice(requests) for _ in range(rng.randrange(1, 12)))
    )
    tail = bad_stream(rng, requests) if rng.random() < 0.3 else b""
    lie = LENGTH.pack(rng.choice(NASTY_LENGTHS)) if rng.random() < 0.2 else b""
    return hello + start + body + tail + lie


async def test_no_client_stops_the_gateway_or_its_other_clients(campaign: Campaign) -> None:
    async with watched() as (server, watcher):
        for number, rng in enumerate(campaign.cases(250)):
            data = pieces(rng, session_of(rng, rng.randrange(2, 12)))
            await hostile(server.port, data, rng, reads=rng.random() < 0.8)
            if number % 10 == 0:
                await watcher.check()
            assert not server._market_task.done()  # type: ignore[union-attr]


async def test_what_is_hostile_leaves_nothing_behind(campaign: Campaign) -> None:
    descriptors = Path("/proc/self/fd")
    async with watched() as (server, watcher):
        before = len(os.listdir(descriptors))
        for rng in campaign.cases(40):
            data = pieces(rng, session_of(rng, rng.randrange(2, 12)))
            await hostile(server.port, data, rng, reads=True)
        await watcher.check()
        async with asyncio.timeout(PATIENCE_S):
            while len(server.gateway.connections) > 1:
                await asyncio.sleep(0)
        assert list(server.gateway.sessions) == [1]
        assert server.gateway.streaming_lines() == server.gateway.tick_by_tick_lines() == 0
        gc.collect()
        assert len(os.listdir(descriptors)) == before


async def test_a_crowd_is_refused_and_the_first_are_served() -> None:
    """Many more connections than there may be, none of which ever says or reads anything."""
    crowd = int(os.environ.get("TRADER_FUZZ_CROWD", "300"))
    async with watched(connections_max=64) as (server, watcher):
        writers = []
        for _ in range(crowd):
            with contextlib.suppress(ConnectionError):
                writers.append((await asyncio.open_connection("127.0.0.1", server.port))[1])
            assert len(server.gateway.connections) <= 64
        await watcher.check()
        for writer in writers:
            writer.transport.abort()
    assert len(writers) > 64


async def test_a_client_that_asks_for_much_and_reads_nothing_is_hung_up_on() -> None:
    async with watched(write_buffer_max_bytes=300_000) as (server, watcher):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(HELLO + framed(payload_of(("71", "2", "9", ""))))
        ask = b"".join(framed(payload_of(("9", "8", str(number), *AAPL, "0", "", "", ""))) for number in range(200))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while 9 not in server.gateway.sessions:
                    await asyncio.sleep(0)
                while 9 in server.gateway.sessions:
                    writer.write(ask)
                    await asyncio.sleep(0)
        writer.transport.abort()
        await watcher.check()


async def test_a_frame_that_is_announced_too_large_is_not_waited_for() -> None:
    async with watched() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HELLO + LENGTH.pack(2**32 - 1))
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()


@pytest.fixture(autouse=True)
def no_surprise(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Refusals are expected by the thousand; a message that a handler fails on is not, though the gateway goes on."""
    caplog.set_level("ERROR")
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"]
