"""Faults of the link and of reports, as ib_async sees them over a real socket."""

import asyncio
import socket

import pytest
from ib_async import LimitOrder, MarketOrder

from trader.simulator.faults import FaultInjector, Faults, LinkFault
from trader.simulator.wire import ServerOptions
from trader.simulator.wire.link import play_link_faults

pytestmark = pytest.mark.e2e
WAIT_S = 60.0


def link(kind, duration_s=0.05, **more):
    return LinkFault(at_s=0, kind=kind, duration_s=duration_s, **more)


@pytest.fixture
async def play(desk):
    """``play(fault)`` begins a link fault now; the returned task ends with it."""
    tasks = []

    def begin(fault):
        desk.server.faults = Faults(link=(fault,))
        desk.server.gateway.traffic.injector = FaultInjector(desk.server.faults)
        tasks.append(asyncio.get_running_loop().create_task(play_link_faults(desk.server)))
        return tasks[-1]

    yield begin
    await asyncio.gather(*tasks)


async def test_a_fill_during_a_lost_link_arrives_after_it_is_back(desk, play):
    trade = desk.place(LimitOrder("BUY", 100, 69.0))
    await desk.reaches(trade, "Submitted")
    play(link("upstream_lost", 0.2))
    await desk.until(lambda: 1100 in desk.codes)
    desk.move(68.90, 68.95)
    assert desk.server.exchange.open_orders() == ()
    assert trade.orderStatus.status == "Submitted"
    await desk.reaches(trade, "Filled")
    assert [code for code in desk.codes if code in (1100, 1101, 1102)] == [1100, 1102]


async def test_an_order_sent_during_a_lost_link_is_worked_afterwards(desk, play):
    play(link("upstream_lost", 0.2))
    await desk.until(lambda: 1100 in desk.codes)
    trade = desk.place(MarketOrder("BUY", 10))
    await desk.reaches(trade, "Filled")
    assert 1102 in desk.codes


async def test_subscriptions_are_dead_after_data_was_lost_until_made_again(desk, play):
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(ticker.hasBidAsk)
    await play(link("upstream_lost", data_lost=True))
    await desk.until(lambda: 1101 in desk.codes)
    desk.move(70.0, 70.1)
    await desk.ib.reqCurrentTimeAsync()
    assert ticker.bid == 69.5
    desk.ib.cancelMktData(desk.stock)
    again = desk.ib.reqMktData(desk.stock)
    await desk.until(lambda: again.bid == 70.0)
    desk.move(70.2, 70.3)
    await desk.until(lambda: again.bid == 70.2)


async def test_a_farm_flap_says_so_and_keeps_quiet_in_between(desk, play):
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(ticker.hasBidAsk)
    desk.codes.clear()
    flap = play(link("farm_flap", 0.2))
    await desk.until(lambda: 2103 in desk.codes)
    desk.move(70.0, 70.1)
    await flap
    await desk.until(lambda: 2104 in desk.codes)
    assert ticker.bid == 69.5
    desk.move(70.2, 70.3)
    await desk.until(lambda: ticker.bid == 70.2)


async def test_a_competing_session_is_told_for_every_subscription(desk, play):
    desk.ib.reqMktData(desk.stock)
    desk.ib.reqTickByTickData(desk.stock, "BidAsk")
    await desk.ib.reqCurrentTimeAsync()
    await play(link("competing_session"))
    await desk.until(lambda: desk.codes.count(10197) == 2)


async def test_a_stalled_gateway_answers_when_it_goes_on(desk, play):
    stall = play(link("stall", 0.2))
    await asyncio.wait_for(asyncio.shield(_stalled(desk)), WAIT_S)
    asked = asyncio.ensure_future(desk.ib.reqCurrentTimeAsync())
    trade = desk.place(MarketOrder("BUY", 1))
    assert not stall.done()
    await asyncio.wait_for(asked, WAIT_S)
    await desk.reaches(trade, "Filled")
    assert stall.done() or not desk.server.gateway.stalled


async def _stalled(desk):
    while not desk.server.gateway.stalled:
        await asyncio.sleep(0)


async def test_the_port_of_a_gateway_that_is_down_refuses_clients_and_goes_to_nobody_else(serve):
    server = await serve()
    await server.close_port()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
    await server.open_port()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()
    await writer.wait_closed()


async def test_a_restart_drops_clients_rolls_ids_back_and_opens_the_same_port(desk, play, join):
    await desk.reaches(desk.place(MarketOrder("BUY", 1)), "Filled")
    before = desk.server.exchange.next_order_id(1)
    port = desk.server.port
    lost = asyncio.get_running_loop().create_future()
    desk.ib.disconnectedEvent += lambda: lost.done() or lost.set_result(None)
    restart = play(link("restart", roll_back_ids=1))
    await asyncio.wait_for(lost, WAIT_S)
    await restart
    assert desk.server.port == port
    again = await join(desk.server, 1)
    assert desk.server.exchange.next_order_id(1) == before - 1
    assert [item.position for item in again.ib.positions()] == [1]


async def test_busy_ids_are_told_while_the_gateway_holds_them(desk, play, join):
    play(link("handshake_326", 0.3))
    while not desk.server.gateway.ids_busy:
        await asyncio.sleep(0)
    with pytest.raises((TimeoutError, ConnectionError)):
        await join(desk.server, 9, 0.2)


async def test_frames_that_arrive_in_pieces_are_understood(serve, join):
    desk = await join(await serve(Faults(byte_split=True)))
    trade = desk.place(MarketOrder("BUY", 100))
    await desk.reaches(trade, "Filled")


async def test_bad_quotes_reach_the_client_as_they_are(serve, join):
    faults = Faults(bad_quote_ratio=1.0, bad_quote_kinds=("nan",))
    desk = await join(await serve(faults))
    ticker = desk.ib.reqTickByTickData(desk.stock, "BidAsk")
    await desk.ib.reqCurrentTimeAsync()
    desk.move(70.0, 70.1)
    await desk.until(lambda: ticker.tickByTicks)
    assert ticker.tickByTicks[0].bidPrice != ticker.tickByTicks[0].bidPrice


async def test_delayed_data_is_announced_with_10167(serve, join):
    desk = await join(await serve(Faults(delayed_data=True)))
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(lambda: 10167 in desk.codes and ticker.marketDataType == 3)


async def test_a_correction_replaces_an_execution_under_its_next_revision(serve, join):
    desk = await join(await serve(Faults(correction_ratio=1.0, correction_delay_s=0.01)))
    trade = desk.place(MarketOrder("BUY", 100))
    await desk.until(lambda: len(trade.fills) == 2)
    first, second = (fill.execution.execId for fill in trade.fills)
    assert (first[:-2], first[-2:], second[-2:]) == (second[:-2], "01", "02")


async def test_an_order_without_any_callback_is_still_worked(serve, join):
    desk = await join(await serve(Faults(no_callback_ratio=1.0)))
    trade = desk.place(MarketOrder("BUY", 100))
    await desk.until(desk.ib.positions)
    assert trade.orderStatus.status == "PendingSubmit"
    assert len(await desk.ib.reqExecutionsAsync()) == 1


def test_the_default_options_listen_on_the_gateways_own_port():
    assert (ServerOptions().host, ServerOptions().port) == ("127.0.0.1", 4002)
