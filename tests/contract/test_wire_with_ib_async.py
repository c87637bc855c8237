"""The simulated gateway as ib_async, unmodified and over a real socket, sees it."""

import asyncio
from datetime import UTC, datetime

import pytest
from ib_async import IB, Forex, Future, LimitOrder, MarketOrder, Order, Stock, StopOrder

pytestmark = pytest.mark.e2e
START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
WAIT_S = 60.0


async def test_a_client_connects_with_every_list_answered(desk):
    assert desk.ib.client.serverVersion() == 178
    assert desk.ib.managedAccounts() == ["DU1234567"]
    assert desk.ib.positions() == []
    assert {value.tag for value in desk.ib.accountValues()} >= {"NetLiquidation", "SimulatorTime", "SimulatorSpeed"}
    assert desk.stock.conId == 265598


async def test_contracts_of_every_kind_are_found_and_others_are_not(desk):
    euro, mini = Forex("EURUSD"), Future("ES", "201312", "CME")
    await desk.ib.qualifyContractsAsync(euro, mini)
    assert (euro.localSymbol, mini.localSymbol, mini.multiplier) == ("EUR.USD", "ESZ3", "50")
    assert await desk.ib.reqContractDetailsAsync(Stock("NOSUCH", "SMART", "USD")) == []
    assert 200 in desk.codes
    details = (await desk.ib.reqContractDetailsAsync(Stock("SPY", "SMART", "USD")))[0]
    assert (details.minTick, details.timeZoneId) == (0.01, "America/New_York")
    rule = await desk.ib.reqMarketRuleAsync(int(details.marketRuleIds))
    assert rule is not None
    assert [step.increment for step in rule] == [0.01]
    samples = await desk.ib.reqMatchingSymbolsAsync("APP")
    assert samples is not None
    assert [sample.contract.symbol for sample in samples] == ["AAPL"]


async def test_streaming_data_begins_with_what_is_known_and_goes_on_with_changes(desk):
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(ticker.hasBidAsk)
    assert (ticker.bid, ticker.ask, ticker.bidSize) == (69.5, 69.52, 1000)
    desk.move(69.60, 69.61, 300, last=69.61)
    await desk.until(lambda: ticker.last == 69.61)
    assert (ticker.bid, ticker.ask, ticker.bidSize, ticker.lastSize, ticker.volume) == (69.6, 69.61, 300, 200, 200)


async def test_all_ticks_of_one_market_event_arrive_together(desk):
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(ticker.hasBidAsk)
    updates: list[tuple[float, float, float]] = []
    ticker.updateEvent += lambda t: updates.append((t.bid, t.ask, t.last))
    desk.move(70.00, 70.01, last=70.01)
    await desk.until(lambda: updates)
    assert updates == [(70.0, 70.01, 70.01)]


async def test_delayed_data_uses_the_delayed_tick_types(desk):
    desk.ib.reqMarketDataType(3)
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(lambda: ticker.delayedBid if hasattr(ticker, "delayedBid") else ticker.bid == 69.5)
    assert ticker.marketDataType == 3


async def test_one_row_is_one_tick_by_tick_message_with_the_exchange_time(desk):
    ticker = desk.ib.reqTickByTickData(desk.stock, "BidAsk")
    trades = desk.ib.reqTickByTickData(Stock(conId=756733, exchange="SMART"), "AllLast")
    ticks: list[object] = []
    ticker.updateEvent += lambda t: ticks.extend(t.tickByTicks)
    await desk.ib.reqCurrentTimeAsync()
    moment = datetime(2013, 10, 7, 14, 30, 7, 250_000, tzinfo=UTC)
    desk.move(70.00, 70.01, 400, last=70.01, at=moment)
    desk.move(167.0, 167.1, last=167.05, symbol="SPY", at=moment)
    await desk.until(lambda: trades.tickByTicks)
    assert [(tick.bidPrice, tick.askPrice, tick.bidSize) for tick in ticks] == [(70.0, 70.01, 400)]
    assert trades.tickByTicks[0].price == 167.05
    assert (await desk.ib.reqCurrentTimeAsync()).replace(tzinfo=UTC) >= moment.replace(microsecond=0)


async def test_a_snapshot_ends_by_itself(desk):
    (ticker,) = await desk.ib.reqTickersAsync(desk.stock)
    assert (ticker.bid, ticker.ask) == (69.5, 69.52)


async def test_a_market_order_fills_with_execution_commission_and_position(desk):
    order = MarketOrder("BUY", 100, orderRef="first")
    trade = desk.place(order)
    await desk.until(lambda: trade.fills and trade.fills[0].commissionReport.execId)
    fill = trade.fills[0]
    assert trade.orderStatus.status == "Filled"
    assert (fill.execution.price, fill.execution.shares, fill.execution.orderRef) == (69.52, 100, "first")
    assert fill.execution.time >= START
    assert (fill.commissionReport.commission, fill.commissionReport.currency) == (1.0, "USD")
    await desk.until(desk.ib.positions)
    (position,) = desk.ib.positions()
    assert (position.contract.conId, position.position, position.avgCost) == (desk.stock.conId, 100, 69.53)


async def test_executions_and_completed_orders_are_listed_for_who_asks_later(desk, join):
    await desk.reaches(desk.place(MarketOrder("BUY", 10)), "Filled")
    await desk.reaches(desk.place(MarketOrder("SELL", 10)), "Filled")
    other = await join(desk.server, 2)
    fills = await other.ib.reqExecutionsAsync()
    assert [(fill.execution.side, fill.execution.clientId) for fill in fills] == [("BOT", 1), ("SLD", 1)]
    completed = await other.ib.reqCompletedOrdersAsync(False)
    assert [(trade.order.action, trade.orderStatus.status) for trade in completed] == [
        ("BUY", "Filled"),
        ("SELL", "Filled"),
    ]
    assert other.ib.positions() == []


async def test_a_limit_order_is_modified_and_cancelled(desk):
    order = LimitOrder("BUY", 100, 60.0)
    trade = desk.place(order)
    await desk.reaches(trade, "Submitted")
    order.lmtPrice = 61.0
    desk.place(order)
    await desk.until(lambda: any(entry.message == "Modified" for entry in trade.log))
    (open_trade,) = await desk.ib.reqAllOpenOrdersAsync()
    assert open_trade.order.lmtPrice == 61.0
    desk.ib.cancelOrder(order)
    await desk.reaches(trade, "Cancelled")
    await desk.until(lambda: 202 in desk.codes)
    assert await desk.ib.reqAllOpenOrdersAsync() == []


async def test_a_stop_waits_for_its_trigger_and_then_fills(desk):
    trade = desk.place(StopOrder("SELL", 50, 69.0))
    await desk.reaches(trade, "PreSubmitted")
    assert trade.orderStatus.whyHeld == "trigger"
    desk.move(68.90, 68.92, last=68.95)
    await desk.reaches(trade, "Filled")
    assert trade.fills[0].execution.price == 68.9


async def test_a_bracket_fills_its_entry_and_cancels_the_other_exit(desk):
    bracket = desk.ib.bracketOrder("BUY", 100, 69.52, 71.0, 68.0)
    entry, profit, loss = [desk.place(order) for order in bracket]
    await desk.reaches(entry, "Filled")
    await desk.reaches(profit, "Submitted")
    desk.move(71.10, 71.12)
    await desk.reaches(profit, "Filled")
    await desk.reaches(loss, "Cancelled")


async def test_an_order_fills_in_parts_as_size_is_displayed(desk):
    trade = desk.place(LimitOrder("BUY", 1500, 69.52))
    await desk.until(lambda: trade.orderStatus.filled == 1000)
    desk.move(69.50, 69.52)
    await desk.reaches(trade, "Filled")
    assert [fill.execution.cumQty for fill in trade.fills] == [1000, 1500]


async def test_a_global_cancel_ends_every_order_of_every_client(desk, join):
    other = await join(desk.server, 2)
    mine = desk.place(LimitOrder("BUY", 1, 60.0))
    theirs = other.place(LimitOrder("BUY", 1, 61.0))
    await desk.reaches(mine, "Submitted")
    await other.reaches(theirs, "Submitted")
    desk.ib.reqGlobalCancel()
    await desk.reaches(mine, "Cancelled")
    await other.reaches(theirs, "Cancelled")


async def test_a_what_if_order_tells_margin_and_commission_and_leaves_nothing(desk):
    state = await desk.ib.whatIfOrderAsync(desk.stock, LimitOrder("BUY", 100, 69.5))
    assert state.commission == 1.0
    assert float(state.initMarginChange) > 0
    assert await desk.ib.reqAllOpenOrdersAsync() == []


REFUSED: dict[str, tuple[Order, int]] = {
    "off the tick": (LimitOrder("BUY", 1, 69.505), 110),
    "no quantity": (LimitOrder("BUY", 0, 69.5), 434),
    "unknown type": (Order(action="BUY", totalQuantity=1, orderType="PEG MID"), 321),
    "too expensive": (LimitOrder("BUY", 10_000_000, 69.5), 201),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_order_that_cannot_be_is_refused_with_its_code(desk, name):
    order, code = REFUSED[name]
    desk.place(order)
    await desk.until(lambda: code in desk.codes)


async def test_account_summary_and_profit_and_loss_follow_a_fill(desk):
    await desk.reaches(desk.place(MarketOrder("BUY", 100)), "Filled")
    summary = {(item.tag, item.currency): item.value for item in await desk.ib.accountSummaryAsync()}
    # Bought at the ask, marked at the middle, commission paid.
    assert summary["NetLiquidation", "USD"] == "999998.00"
    assert ("CashBalance", "BASE") in summary
    pnl, single = desk.ib.reqPnL("DU1234567"), desk.ib.reqPnLSingle("DU1234567", "", desk.stock.conId)
    await desk.until(lambda: single.position == 100 and pnl.dailyPnL == pnl.dailyPnL)
    assert (pnl.dailyPnL, single.unrealizedPnL) == (-2.0, -2.0)


async def test_bars_come_from_what_the_market_did(desk):
    moment = datetime(2013, 10, 7, 14, 31, 1, tzinfo=UTC)
    for step in range(3):
        price = 69.6 + step
        at = moment.replace(second=1 + step)
        desk.move(price, price + 1, last=price, at=at)
    bars = await desk.ib.reqHistoricalDataAsync(desk.stock, "", "60 S", "1 min", "TRADES", useRTH=False, formatDate=2)
    (bar,) = bars
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (69.6, 71.6, 69.6, 71.6, 600)
    assert bar.date == moment.replace(second=0)


async def test_five_second_bars_come_as_time_passes(desk):
    bars = desk.ib.reqRealTimeBars(desk.stock, 5, "TRADES", False)
    await desk.ib.reqCurrentTimeAsync()
    moment = datetime(2013, 10, 7, 14, 40, 1, tzinfo=UTC)
    desk.move(70.0, 70.1, last=70.1, at=moment)
    desk.move(70.2, 70.3, last=70.3, at=moment.replace(second=4))
    desk.move(70.2, 70.3, at=moment.replace(second=11))
    await desk.until(lambda: len(bars) >= 2)
    first, second = bars[:2]
    assert (first.time, first.open_, first.close, first.volume) == (moment.replace(second=0), 70.1, 70.3, 400)
    assert (second.time, second.open_, second.close, second.volume) == (moment.replace(second=5), 70.3, 70.3, 0)


async def test_bars_that_are_kept_up_to_date_grow(desk):
    moment = datetime(2013, 10, 7, 14, 40, 1, tzinfo=UTC)
    desk.move(70.0, 70.1, last=70.1, at=moment)
    bars = await desk.ib.reqHistoricalDataAsync(
        desk.stock, "", "300 S", "1 min", "TRADES", useRTH=False, formatDate=2, keepUpToDate=True
    )
    assert [bar.close for bar in bars] == [70.1]
    desk.move(70.4, 70.5, last=70.5, at=moment.replace(second=20))
    desk.move(70.4, 70.5, at=moment.replace(second=26))
    await desk.until(lambda: bars[-1].close == 70.5)
    desk.move(70.6, 70.7, last=70.7, at=moment.replace(minute=41))
    desk.move(70.6, 70.7, at=moment.replace(minute=41, second=6))
    await desk.until(lambda: len(bars) == 2 and bars[-1].close == 70.7)


async def test_a_busy_client_id_is_refused_with_326(serve, join):
    server = await serve()
    await join(server, 5)
    second = IB()
    codes = []
    second.errorEvent += lambda request_id, code, text, contract: codes.append(code)
    with pytest.raises((TimeoutError, ConnectionError)):
        await second.connectAsync("127.0.0.1", server.port, 5, timeout=1)
    assert codes == [326]


async def test_messages_above_the_pace_are_dropped_with_error_100(serve, join):
    server = await serve(messages_per_s=30)
    desk = await join(server)
    desk.ib.client.MaxRequests = 0
    for _ in range(40):
        desk.ib.client.reqIds(1)
    await desk.until(lambda: 100 in desk.codes)
    assert desk.ib.isConnected()


async def test_two_clients_have_ids_and_orders_of_their_own(desk, join):
    other = await join(desk.server, 2)
    trade = desk.place(LimitOrder("BUY", 1, 60.0))
    await desk.reaches(trade, "Submitted")
    assert await other.ib.reqOpenOrdersAsync() == []
    (seen,) = await other.ib.reqAllOpenOrdersAsync()
    assert (seen.order.clientId, seen.order.permId) == (1, trade.order.permId)


async def test_unknown_requests_get_an_answer_and_do_no_harm(desk):
    desk.codes.clear()
    desk.ib.client.send(250, 1, 2)
    desk.ib.client.send("rubbish")
    desk.ib.client.send(3, 17, "short")
    await desk.until(lambda: len(desk.codes) >= 3)
    assert desk.codes == [320, 321, 321]
    assert await desk.ib.reqCurrentTimeAsync()


async def test_the_clock_can_wait_for_the_first_subscription(serve, join):
    server = await serve(clock_start="subscribed", speed=1000.0)
    desk = await join(server)
    assert (await desk.ib.reqCurrentTimeAsync()).replace(tzinfo=UTC) == START
    ticker = desk.ib.reqMktData(desk.stock)
    await desk.until(ticker.hasBidAsk)
    values = {value.tag: value.value for value in desk.ib.accountValues()}
    assert float(values["SimulatorSpeed"]) in (1e-9, 1000.0)


async def _raw(port, *chunks):
    """What the server answers to bytes that no client library would send, until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.close()
    return answer


HOSTILE: dict[str, tuple[bytes, ...]] = {
    "no greeting": (b"GET / HTTP/1.1\r\n\r\n",),
    "a huge frame": (b"API\0\0\0\0\x09v100..187", b"\xff\xff\xff\xff"),
    "no version in common": (b"API\0\0\0\0\x08v300..310"[:8] + b"v300..31",),
    "no version at all": (b"API\0\0\0\0\x05hello",),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_stream_that_is_not_the_protocol_is_hung_up_on(desk, name):
    await _raw(desk.server.port, *HOSTILE[name])
    assert await desk.ib.reqCurrentTimeAsync()


async def test_nothing_is_sent_between_the_handshake_and_start_api(serve):
    reader, writer = await asyncio.open_connection("127.0.0.1", (await serve()).port)
    writer.write(b"API\0\0\0\0\x09v100..158")
    async with asyncio.timeout(WAIT_S):
        length = int.from_bytes(await reader.readexactly(4), "big")
        version = (await reader.readexactly(length)).split(b"\0")[0]
        # A request before startApi is answered with an error, which is the next thing on the wire.
        writer.write(b"\0\0\0\x05" + b"49\0" + b"1\0")
        length = int.from_bytes(await reader.readexactly(4), "big")
        answer = (await reader.readexactly(length)).split(b"\0")
    writer.close()
    # 158 is never spoken: libraries disagree on its layout.
    assert (version, answer[0], answer[3]) == (b"157", b"4", b"321")
