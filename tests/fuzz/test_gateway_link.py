"""A hostile gateway on a real socket: whatever it sends, the service is soon connected to a good one and hears it."""

import asyncio
from datetime import UTC, datetime
from random import Random

import pytest

from tests.contract.test_gateway_scripted import Fields, ScriptedGateway, SkippingTimers
from tests.fuzz.conftest import Campaign
from tests.fuzz.mutations import bad_stream, framed, payload_of, pieces
from trader.clock import ManualClock
from trader.events import AnyFact, ExecutionReceived
from trader.gateway.ib import IbGateway
from trader.settings import Settings

START = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
PATIENCE_S = 60.0
EXECUTION = (
    "11", "-1", "5", "265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "USD", "AAPL", "NMS", "good.1.01",
    "20131007 09:31:02 US/Eastern", "DU1", "SMART", "BOT", "7", "69.5", "77", "1", "0", "7", "69.5", "mine", "", "", "",
    "2",
)  # fmt: skip


class HostileOnce(ScriptedGateway):
    """Hostile on the first connection, from its greeting on or once it has started; a good gateway afterwards."""

    def __init__(self, rng: Random, frames: tuple[bytes, ...]) -> None:
        super().__init__()
        self.rng, self.frames = rng, frames
        self.connections = 0
        self.strikes_at = rng.choice(("", "71", "6", "9", "61"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections += 1

    def say(self, *messages: Fields) -> None:
        last = self.received[-1][0] if self.received and self.greeted else ""
        if self.connections == 1 and last == self.strikes_at:
            self.strike()
        else:
            super().say(*messages)

    def strike(self) -> None:
        assert self._transport is not None
        # Messages that name another account or kind of gateway end the service for good, and rightly.
        harmless = [frame for frame in self.frames if frame.split(b"\0")[0] not in (b"15", b"6")]
        for part in pieces(self.rng, bad_stream(self.rng, harmless)):
            self._transport.write(part)
        self._transport.close()


async def heard_again(rng: Random, frames: tuple[bytes, ...]) -> None:
    script, heard = HostileOnce(rng, frames), asyncio.Event()

    def take(fact: AnyFact) -> None:
        if isinstance(fact, ExecutionReceived) and fact.line.exec_id == "good.1.01":
            heard.set()

    clock = ManualClock(START)
    config = Settings(mode="paper", instruments=("AAPL",), gateway={"port": await script.start()})  # type: ignore[arg-type]
    instruments = {item.symbol: item.instrument() for item in config.instruments}
    gateway = IbGateway(config, instruments, clock, take, timers=SkippingTimers(clock), rng=Random(1))
    running = asyncio.get_running_loop().create_task(gateway.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not heard.is_set():
                assert not running.done(), running.exception()
                if gateway.connected and script.connections > 1 and script._transport is not None:
                    script._transport.write(framed(payload_of(EXECUTION)))
                await asyncio.sleep(0)
    finally:
        await gateway.close()
        await asyncio.gather(running, return_exceptions=True)
        script.stop()


@pytest.mark.e2e
async def test_after_a_hostile_gateway_a_good_one_is_heard(campaign: Campaign, frames: tuple[bytes, ...]) -> None:
    for rng in campaign.cases(25):
        await heard_again(rng, frames)
