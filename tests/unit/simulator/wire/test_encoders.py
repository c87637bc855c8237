"""Messages to clients, decoded by ib_async's own decoder at every version it speaks."""

import logging
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from ib_async.decoder import Decoder

from trader.contracts import OrderType, Side
from trader.simulator.bars import Bar
from trader.simulator.contract_book import ContractBook
from trader.simulator.model import CommissionReported, Execution, OrderRequest, OrderView, PositionRecord
from trader.simulator.wire import encode_account, encode_market, encode_orders, encode_reference
from trader.simulator.wire.codec import FrameReader
from trader.simulator.wire.requests import GROUP_SEPARATOR

VERSIONS = [157, 159, 163, 164, 166, 170, 174, 176, 177, 178]
AT = datetime(2013, 10, 7, 13, 30, 5, tzinfo=UTC)
ZONE = "US/Eastern"
BOOK = ContractBook(("AAPL",))
AAPL, EURO = BOOK.by_key("AAPL"), BOOK.by_key("EUR.USD")
FUTURE = BOOK.find(symbol="ES")[0]


class Heard:
    """Stands where the client's wrapper would be: every call is kept as (name, arguments)."""

    def __init__(self):
        self.calls = []
        self.ib = type("Ib", (), {"TimezoneTWS": "US/Eastern"})()
        self.defaultTimezone = UTC

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, arguments))


@pytest.fixture
def decode(caplog):
    """The wrapper call that a frame becomes; a complaint of the decoder fails the test."""

    def to(data, version):
        reader, heard = FrameReader(), Heard()
        reader.feed(data)
        decoder = Decoder(heard, version)
        with caplog.at_level(logging.ERROR):
            for fields in reader.frames():
                decoder.interpret(fields)
        assert not caplog.records, caplog.text
        return heard.calls[0][1] if len(heard.calls) == 1 else heard.calls

    return to


def view(raw=None, **values):
    request = OrderRequest(
        client_id=3,
        order_id=7,
        con_id=AAPL.con_id,
        side=Side.BUY,
        quantity=Decimal(100),
        order_type=OrderType.LIMIT,
        limit_price=Decimal("69.52"),
        order_ref="ref",
        oca_group="group",
        raw=raw or {},
    )
    return OrderView(
        request=msgspec.structs.replace(request, **values),
        contract=AAPL,
        perm_id=12345,
        status="Submitted",
        filled=Decimal(40),
        remaining=Decimal(60),
        average_price=Decimal("69.51"),
        last_fill_price=Decimal("69.51"),
        completed_at=AT,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_an_open_order_is_understood_at_every_version(decode, version):
    order_id, contract, order, state = decode(encode_orders.open_order(view(), version, "DU1"), version)
    assert (order_id, order.permId, order.clientId) == (7, 12345, 3)
    assert (contract.conId, contract.symbol, contract.exchange) == (AAPL.con_id, "AAPL", "SMART")
    assert (order.totalQuantity, order.lmtPrice, order.orderRef, order.ocaGroup) == (100, 69.52, "ref", "group")
    assert (order.account, state.status, order.conditions) == ("DU1", "Submitted", [])


RICH = {
    "algo_strategy": "Adaptive",
    "algo_parameters": GROUP_SEPARATOR.join(("adaptivePriority", "Normal")),
    "conditions": GROUP_SEPARATOR.join(("1", "a", "1", "5.0", "9", "SMART", "0", "3", "o", "1", "20131007 15:00:00")),
    "conditions_cancel": "1",
    "hedge_type": "D",
    "hedge_parameter": "x",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_client_sent_is_echoed(decode, version):
    _, _, order, _ = decode(encode_orders.open_order(view(RICH), version, "DU1"), version)
    assert [(item.tag, item.value) for item in order.algoParams] == [("adaptivePriority", "Normal")]
    assert [item.condType for item in order.conditions] == [1, 3]
    assert (order.conditionsCancelOrder, order.hedgeParam) == (True, "x")
    completed = decode(encode_orders.completed_order(view(RICH), version, "DU1", ZONE), version)
    assert [item.condType for item in completed[1].conditions] == [1, 3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_completed_order_is_understood_at_every_version(decode, version):
    contract, order, state = decode(encode_orders.completed_order(view(), version, "DU1", ZONE), version)
    assert (contract.symbol, order.permId, order.filledQuantity) == ("AAPL", 12345, 40)
    assert state.completedTime.startswith("20131007")


def test_a_trailing_stop_tells_its_trail(decode):
    order = view(order_type=OrderType.TRAIL, trailing_percent=Decimal("1.5"), trail_stop_price=Decimal("68.5"))
    decoded = decode(encode_orders.open_order(order, 178, "DU1"), 178)[2]
    assert (decoded.trailingPercent, decoded.trailStopPrice) == (1.5, 68.5)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_execution_carries_its_time_at_every_version(decode, version):
    execution = Execution(
        exec_id="a.01",
        order=view(),
        at=AT,
        side=Side.SELL,
        quantity=Decimal(40),
        price=Decimal("69.51"),
        cumulative=Decimal(40),
        average_price=Decimal("69.51"),
        exchange="NASDAQ",
        liquidity=2,
    )
    data = encode_orders.execution_details(execution, version, "DU1", ZONE)
    request_id, contract, decoded = decode(data, version)
    assert (request_id, contract.symbol, decoded.side, decoded.shares) == (-1, "AAPL", "SLD", 40)
    assert (decoded.time, decoded.execId, decoded.lastLiquidity) == (AT, "a.01", 2)


def test_a_commission_without_a_realized_profit_leaves_it_unset(decode):
    (report,) = decode(encode_orders.commission_report(CommissionReported("a.01", 3, Decimal(1), "USD", None)), 178)
    assert (report.commission, report.realizedPNL) == (1.0, 1.7976931348623157e308)


@pytest.mark.parametrize("contract", [AAPL, EURO, FUTURE], ids=lambda item: item.symbol)
@pytest.mark.parametrize("version", VERSIONS)
def test_contract_details_are_understood_at_every_version(decode, version, contract):
    data = encode_reference.contract_details(4, contract, ("20131007:CLOSED", "20131007:CLOSED"), version)
    request_id, details = decode(data, version)
    assert (request_id, details.contract.conId, details.minTick) == (4, contract.con_id, float(contract.tick_size))
    assert (details.timeZoneId, details.liquidHours) == (contract.time_zone, "20131007:CLOSED")
    assert details.contract.lastTradeDateOrContractMonth == contract.expiry


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_has_its_rejection_only_where_it_is_read(decode, version):
    assert decode(encode_reference.error(7, 201, "no", version, "{}"), version) == (
        7,
        201,
        "no",
        "{}" if version >= 166 else "",
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_positions_tell_the_cost_with_the_multiplier(decode, version):
    record = PositionRecord(
        contract=FUTURE,
        quantity=Decimal(-2),
        average_cost=Decimal("6000.5"),
        realized=Decimal(5),
        market_price=Decimal(6001),
        unrealized=Decimal(-50),
    )
    account, contract, quantity, cost = decode(encode_account.position(record, "DU1", version), version)
    assert (account, contract.multiplier, quantity, cost) == ("DU1", "50", -2, 300025.0)
    portfolio = decode(encode_account.portfolio_value(record, "DU1", version), version)
    assert portfolio[1:] == (-2, 6001.0, -600100.0, 300025.0, -50.0, 5.0, "DU1")


BAR = Bar(
    at=AT,
    open=Decimal(1),
    high=Decimal(4),
    low=Decimal("0.5"),
    close=Decimal(2),
    volume=Decimal(300),
    average=Decimal("1.5"),
    count=3,
)


@pytest.mark.parametrize("version", VERSIONS)
def test_bars_are_understood_in_each_of_their_messages(decode, version):
    date = encode_market.bar_date(AT, 5, 1, version, ZONE)
    calls = decode(encode_market.historical_data(9, [(date, BAR)], AT, AT, version, ZONE), version)
    assert [name for name, _ in calls] == ["historicalData", "historicalDataEnd"]
    bar = calls[0][1][1]
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.barCount) == (1, 4, 0.5, 2, 300, 3)
    update = decode(encode_market.historical_update(9, date, BAR, version), version)[1]
    assert (update.open, update.high, update.low, update.close) == (1, 4, 0.5, 2)
    assert decode(encode_market.real_time_bar(9, BAR, version), version)[1:6] == (int(AT.timestamp()), 1, 4, 0.5, 2)


def test_daily_bars_have_a_date_and_others_a_time():
    assert encode_market.bar_date(AT, 86_400, 1, 178, ZONE) == "20131007"
    assert encode_market.bar_date(AT, 60, 1, 178, ZONE) == "20131007 09:30:05 US/Eastern"
    assert encode_market.bar_date(AT, 60, 1, 157, ZONE) == "20131007  09:30:05"
    assert encode_market.bar_date(AT, 60, 2, 178, ZONE) == str(int(AT.timestamp()))


SUMMARIES = {
    "NetLiquidation": [("NetLiquidation", "5", "USD")],
    "All": [("NetLiquidation", "5", "USD")],
    "$LEDGER": [("CashBalance", "1", "BASE"), ("CashBalance", "2", "USD")],
    "$LEDGER:EUR": [("CashBalance", "3", "EUR")],
    "$LEDGER:ALL": [("CashBalance", "1", "BASE"), ("CashBalance", "2", "USD"), ("CashBalance", "3", "EUR")],
    "Nothing": [],
}


@pytest.mark.parametrize("tags", SUMMARIES)
def test_a_summary_gives_the_tags_it_is_asked_for(tags):
    values = [
        ("NetLiquidation", "5", "USD"),
        ("CashBalance", "1", "BASE"),
        ("CashBalance", "2", "USD"),
        ("CashBalance", "3", "EUR"),
    ]
    assert encode_account.select_summary(values, tags, "USD") == SUMMARIES[tags]
