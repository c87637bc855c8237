"""The stand-in exporter."""

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from trader.clock import ManualClock
from trader.drills.errors import DrillError
from trader.drills.standin import StandIn, rising


async def text_of(exporter: StandIn) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{exporter.address}/metrics") as answer:
        return await answer.text()


async def test_it_serves_what_it_was_given_and_counters_rise() -> None:
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    exporter = StandIn(clock)
    exporter.set({'a{b="c"}': 1.5, "d_total": rising(2.0, 10.0), "gone": 1.0})
    exporter.set({"gone": None})
    await exporter.start()
    try:
        clock.advance_to(clock.now() + timedelta(seconds=3))
        assert await text_of(exporter) == 'a{b="c"} 1.5\nd_total 16.0\n'
        exporter.add('a{b="c"}', 2.0)
        assert 'a{b="c"} 3.5' in await text_of(exporter)
    finally:
        await exporter.stop()


async def test_it_comes_back_at_the_same_address() -> None:
    exporter = StandIn()
    with pytest.raises(DrillError):
        assert exporter.address
    await exporter.start()
    address = exporter.address
    await exporter.stop()
    await exporter.start()
    try:
        assert exporter.address == address
    finally:
        await exporter.stop()


def test_a_counter_that_rises_by_itself_is_not_stepped() -> None:
    exporter = StandIn()
    exporter.set({"a_total": rising(1.0)})
    with pytest.raises(DrillError, match="rises by itself"):
        exporter.add("a_total")
