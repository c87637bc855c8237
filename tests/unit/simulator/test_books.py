"""Positions, cash, commissions, corrections and what the account is worth."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from trader.simulator.commissions import FIXED, TIERED, order_commission
from trader.simulator.contract_book import ContractBook

ONE = Decimal(1)


@pytest.mark.parametrize(
    ("plan", "key", "filled", "price", "expected"),
    [
        (FIXED, "SPY", 100, 100, "1.00"),
        (FIXED, "SPY", 1000, 100, "5.00"),
        (FIXED, "SPY", 10, 1, "0.10"),
        (TIERED, "SPY", 50, 100, "0.35"),
        (TIERED, "SPY", 1000, 100, "3.50"),
        (FIXED, "ESH6", 2, 6000, "4.50"),
        (FIXED, "EUR.USD", 20_000, "1.1", "2.00"),
        (FIXED, "EUR.USD", 1_000_000, "1.1", "22.00"),
        (FIXED, "SPY", 0, 0, "0"),
    ],
)
def test_an_orders_commission_follows_the_price_list(plan, key, filled, price, expected):
    contract = ContractBook().by_key(key)
    value = Decimal(filled) * Decimal(price)
    assert order_commission(plan, contract, Decimal(filled), value, ONE) == Decimal(expected)


def test_a_cash_minimum_is_converted_to_the_pairs_currency():
    contract = ContractBook().by_key("USD.JPY")
    commission = order_commission(FIXED, contract, Decimal(1000), Decimal(150_000), Decimal("0.0067"))
    assert commission == Decimal("298.51")


def test_the_minimum_is_charged_once_for_all_fills_of_an_order(floor):
    floor.quote(ask="100.02", size=100)
    floor.buy(400)
    for _ in range(3):
        floor.quote(ask="100.02", size=100)
    assert [line for line in floor.heard() if line.startswith("commission")] == [
        "commission 1.00",
        "commission 0.00",
        "commission 0.50",
        "commission 0.50",
    ]


def test_costs_and_realized_profit_contain_commissions(floor):
    floor.buy(100)
    [record] = floor.exchange.positions()
    assert record.average_cost == Decimal("100.03")
    floor.quote("101.00", "101.02")
    floor.sell(40)
    record = floor.exchange.pnl_single(floor.con_id("SPY"))
    assert record.quantity == 60
    assert record.realized == Decimal("37.80")
    assert floor.exchange.commission(floor.exchange.executions()[0].exec_id).realized is None
    assert floor.exchange.commission(floor.exchange.executions()[1].exec_id).realized == Decimal("37.80")


def test_a_short_position_has_a_positive_average_cost_and_profits_from_a_fall(floor):
    floor.sell(100)
    floor.quote("99.00", "99.02")
    [record] = floor.exchange.positions()
    assert (record.quantity, record.average_cost) == (-100, Decimal("99.99"))
    assert record.unrealized == Decimal("98.00")


def test_an_order_through_zero_closes_and_opens(floor):
    floor.buy(100)
    floor.quote("100.52", "100.54")
    floor.sell(300)
    record = floor.exchange.pnl_single(floor.con_id("SPY"))
    assert record.quantity == -200
    assert record.realized == Decimal("52") - Decimal("101") + Decimal("98") - Decimal("0.5")
    assert record.average_cost == Decimal("100.52") - Decimal("0.005")


def test_a_flat_position_costs_nothing_and_is_not_listed(floor):
    floor.buy(100)
    floor.sell(100)
    assert floor.exchange.positions() == ()
    record = floor.exchange.pnl_single(floor.con_id("SPY"))
    assert (record.average_cost, record.unrealized, record.realized) == (0, 0, Decimal("-4.00"))


def test_equity_falls_by_spread_and_commission_only(floor):
    floor.buy(100)
    assert floor.value("NetLiquidation") == Decimal(1_000_000) - 1 - 1
    assert floor.value("CashBalance") == Decimal(1_000_000) - 10_002 - 1
    daily, unrealized, realized = floor.exchange.pnl()
    assert (daily, unrealized, realized) == (-2, -2, 0)


def test_a_future_moves_cash_only_by_what_is_realized(make_floor):
    floor = make_floor()
    floor.quote(6000, "6000.25", 50, "ESH6")
    floor.buy(1, key="ESH6")
    assert floor.value("CashBalance") == Decimal("999997.75")
    floor.quote(6010, "6010.25", 50, "ESH6")
    assert floor.value("NetLiquidation") == Decimal("999997.75") + Decimal("9.875") * 50
    floor.sell(1, key="ESH6")
    assert floor.value("CashBalance") == Decimal(1_000_000) + Decimal("487.50") - Decimal("4.50")
    [first, second] = [floor.exchange.commission(item.exec_id) for item in floor.exchange.executions()]
    assert (first.realized, second.realized) == (None, Decimal("483.00"))


def test_a_currency_pair_moves_the_cash_of_both_currencies(make_floor):
    floor = make_floor()
    floor.quote("1.10000", "1.10005", 5_000_000, "EUR.USD")
    floor.buy(20_000, key="EUR.USD")
    assert floor.value("CashBalance", "EUR") == 20_000
    assert floor.value("CashBalance", "USD") == Decimal("1000000") - Decimal("22001") - 2
    assert floor.value("NetLiquidation") == Decimal("1000000") - 2 - Decimal("0.50")
    assert floor.value("ExchangeRate", "EUR") == Decimal("1.1000250")


def test_a_pair_quoted_the_other_way_round_gives_the_rate_too(make_floor):
    floor = make_floor()
    floor.quote(150, "150.010", 5_000_000, "USD.JPY")
    floor.buy(10_000, key="USD.JPY")
    assert floor.value("CashBalance", "JPY") == Decimal("-1500100") - Decimal("300.01")
    assert abs(floor.value("NetLiquidation") - (1_000_000 - Decimal("2.33"))) < Decimal("0.05")


def test_the_ledger_of_base_sums_all_currencies(make_floor):
    floor = make_floor()
    floor.quote("1.10000", "1.10000", 5_000_000, "EUR.USD")
    floor.buy(20_000, key="EUR.USD")
    assert floor.value("CashBalance", "BASE") == 1_000_000 - 2
    assert floor.value("NetLiquidationByCurrency", "BASE") == floor.value("NetLiquidation")


def test_a_correction_is_a_new_revision_that_replaces_the_execution(floor):
    floor.buy(100)
    floor.sell(100)
    floor.heard()
    [first, second] = floor.exchange.executions()
    corrected = floor.exchange.correct_execution(first.exec_id, price=Decimal("100.50"))
    assert first.exec_id.endswith(".01.01")
    assert corrected.exec_id == first.exec_id[:-2] + "02"
    assert floor.heard() == ["execution 1 BUY 100@100.50", "commission 1.00", "position 0"]
    assert [item.exec_id for item in floor.exchange.executions()] == [corrected.exec_id, second.exec_id]
    assert floor.exchange.pnl()[2] == -2 - 50
    assert floor.value("NetLiquidation") == 1_000_000 - 52


def test_a_correction_of_the_quantity_corrects_the_position(floor):
    floor.buy(100)
    [execution] = floor.exchange.executions()
    corrected = floor.exchange.correct_execution(execution.exec_id, quantity=Decimal(60))
    assert floor.position() == 60
    assert (corrected.cumulative, corrected.average_price) == (60, Decimal("100.02"))
    floor.exchange.correct_execution(corrected.exec_id, quantity=Decimal(0))
    assert floor.position() == 0


def test_a_correction_keeps_what_the_day_began_with(floor):
    floor.buy(100)
    floor.exchange.advance_to(floor.exchange.now + timedelta(days=1))
    floor.quote(100, "100.02")
    floor.buy(100)
    [execution] = floor.exchange.executions()
    floor.exchange.correct_execution(execution.exec_id, quantity=Decimal(50))
    assert floor.position() == 150


def test_what_can_not_be_corrected_is_left_alone(floor):
    floor.buy(100)
    [execution] = floor.exchange.executions()
    assert floor.exchange.correct_execution("0000e0d5.00000000.01.01", price=ONE) is None
    with pytest.raises(ValueError, match="cannot be corrected"):
        floor.exchange.correct_execution(execution.exec_id, price=Decimal(0))
    floor.exchange.advance_to(floor.exchange.now + timedelta(days=1))
    assert floor.exchange.correct_execution(execution.exec_id, price=ONE) is None


def test_executions_are_those_of_the_current_day_unless_asked_since(floor):
    floor.buy(100)
    floor.exchange.advance_to(datetime(2026, 1, 6, 4, 59, 59, tzinfo=UTC))
    assert len(floor.exchange.executions()) == 1
    floor.exchange.advance_to(datetime(2026, 1, 6, 5, 0, tzinfo=UTC))
    assert floor.exchange.executions() == ()
    assert floor.exchange.completed_orders() == ()
    assert len(floor.exchange.executions(since=datetime(2026, 1, 5, tzinfo=UTC))) == 1


def test_executions_are_filtered(floor):
    floor.quote(50, "50.02", key="ZZZ")
    floor.buy(100)
    floor.sell(10, key="ZZZ", client_id=2, order_id=1)
    found = floor.exchange.executions
    assert len(found()) == 2
    assert [item.order.contract.symbol for item in found(client_id=2)] == ["ZZZ"]
    assert [item.order.contract.symbol for item in found(symbol="SPY")] == ["SPY"]
    assert len(found(side="SELL")) == 1
    assert len(found(security_type="STK")) == 2
    assert found(security_type="FUT") == ()
    assert found(since=floor.exchange.now + timedelta(seconds=1)) == ()


def test_a_new_day_starts_daily_figures_over_and_keeps_the_position(floor):
    floor.buy(200)
    floor.trade("100.50")
    floor.sell(100)
    floor.exchange.advance_to(datetime(2026, 1, 6, 5, 0, tzinfo=UTC))
    daily, unrealized, realized = floor.exchange.pnl()
    assert (daily, realized) == (0, 0)
    assert unrealized != 0
    assert floor.position() == 100
    top = floor.exchange.quote(floor.con_id("SPY"))
    assert (top.close, top.volume, top.open) == (Decimal("100.50"), 0, None)


def test_the_quote_carries_the_days_figures(floor):
    for price, size in ((100, 200), ("101.50", 100), (99, 50)):
        floor.trade(price, size)
    top = floor.exchange.quote(floor.con_id("SPY"))
    assert (top.open, top.high, top.low, top.last, top.volume) == (100, Decimal("101.50"), 99, 99, 350)
    assert (top.bid, top.ask, top.bid_size) == (100, Decimal("100.02"), 1000)
    assert floor.exchange.quote(floor.con_id("ZZZ")) is None


def test_an_unknown_currency_needs_a_rate(make_floor):
    floor = make_floor(rates={})
    floor.quote(100, "100.02")
    with pytest.raises(ValueError, match="no exchange rate of JPY to USD"):
        floor.buy(1000, "LMT", 150, key="USD.JPY")


def test_the_tiered_plan_is_charged_when_it_is_chosen(make_floor):
    floor = make_floor(commission=TIERED)
    floor.quote(100, "100.02")
    floor.buy(50)
    assert "commission 0.35" in floor.heard()
