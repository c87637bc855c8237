"""What a client finds again after the simulated gateway was ended and started from its saved state."""

import pytest
from ib_async import LimitOrder, MarketOrder

from trader.simulator.wire import ServerRefused
from trader.simulator.wire.state import read_state, restore, save_state

pytestmark = pytest.mark.e2e


async def test_positions_orders_executions_and_ids_survive(serve, join, tmp_path):
    path = tmp_path / "state.json"
    desk = await join(await serve())
    await desk.reaches(desk.place(MarketOrder("BUY", 100)), "Filled")
    resting = desk.place(LimitOrder("SELL", 100, 75.0, tif="GTC", orderRef="exit"))
    await desk.reaches(resting, "Submitted")
    save_state(desk.server.exchange, path)

    server = await serve()
    restore(server.exchange, read_state(path), path)
    again = await join(server, 1)
    assert [(item.contract.symbol, item.position, item.avgCost) for item in again.ib.positions()] == [
        ("AAPL", 100, 69.53)
    ]
    (trade,) = again.ib.openTrades()
    assert (trade.order.permId, trade.order.orderRef) == (resting.order.permId, "exit")
    assert [fill.execution.shares for fill in again.ib.fills()] == [100]
    assert again.ib.client.getReqId() > resting.order.orderId
    again.ib.cancelOrder(trade.order)
    await again.reaches(trade, "Cancelled")


def test_a_missing_state_is_a_new_start_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "state.json"
    assert read_state(path) is None
    path.write_text('{"at": ')
    with pytest.raises(ServerRefused, match="is damaged"):
        read_state(path)


async def test_a_state_that_cannot_be_written_is_said_and_the_old_one_stays(serve, tmp_path):
    path = tmp_path / "state.json"
    path.write_text("old")
    (tmp_path / "state.json.part").mkdir()
    with pytest.raises(ServerRefused, match="cannot be written"):
        save_state((await serve()).exchange, path)
    assert path.read_text() == "old"
