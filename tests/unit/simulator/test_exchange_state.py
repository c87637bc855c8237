"""Order ids, restarts, and what outlives the process."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.options import ExchangeOptions


def test_ids_count_per_client_from_the_highest_used(floor):
    assert floor.exchange.next_order_id(1) == 1
    floor.buy(1, order_id=40)
    assert floor.exchange.next_order_id(1) == 41
    assert floor.exchange.next_order_id(2) == 1


def test_perm_ids_are_unique_over_clients_and_do_not_change(floor):
    floor.buy(1, "LMT", 99, order_id=1)
    floor.buy(1, "LMT", 99, client_id=2, order_id=1)
    before = [view.perm_id for view in floor.exchange.open_orders()]
    floor.buy(2, "LMT", 99, order_id=1)
    assert len(set(before)) == 2
    assert [view.perm_id for view in floor.exchange.open_orders()] == before


def test_open_orders_are_one_clients_or_everybodys(floor):
    floor.buy(1, "LMT", 99)
    floor.buy(1, "LMT", 99, client_id=2, order_id=1)
    assert len(floor.exchange.open_orders()) == 2
    assert [view.request.client_id for view in floor.exchange.open_orders(2)] == [2]
    assert floor.exchange.open_orders(3) == ()


def test_a_restart_rolls_ids_back_and_lets_finished_ones_be_used_again(floor):
    for _ in range(5):
        floor.buy(1)
    floor.exchange.restart(roll_back_ids=2)
    assert floor.exchange.next_order_id(1) == 4
    floor.heard()
    floor.buy(1, order_id=4)
    assert "order 4 Filled 1+0" in floor.heard()


def test_a_rolled_back_id_of_a_live_order_still_means_that_order(floor):
    floor.buy(100, "LMT", 99)
    floor.exchange.restart(roll_back_ids=1)
    floor.heard()
    floor.sell(100, "LMT", 101, order_id=1)
    assert floor.heard() == ["error 1 105"]


def test_ids_never_roll_back_below_the_first(floor):
    floor.buy(1)
    floor.exchange.restart(roll_back_ids=100)
    assert floor.exchange.next_order_id(1) == 1


def test_orders_of_the_restarts_last_moment_vanish_without_a_word(floor):
    floor.buy(100, "LMT", 99)
    floor.quote(100, "100.02", after_s=10)
    floor.buy(100, "LMT", "99.50")
    floor.heard()
    floor.exchange.restart(roll_back_ids=1, lose_orders_ms=1000)
    assert floor.heard() == []
    assert [view.request.order_id for view in floor.exchange.open_orders()] == [1]
    assert floor.exchange.next_order_id(1) == 2
    floor.quote(ask=90)
    assert floor.position() == 100


def test_an_order_that_has_traded_does_not_vanish(floor):
    floor.buy(1500, "LMT", "100.02")
    floor.exchange.restart(lose_orders_ms=60_000)
    assert len(floor.exchange.open_orders()) == 1


@pytest.fixture
def busy(floor):
    """A floor with a position, a bracket, a triggered stop and used ids."""
    floor.buy(300)
    floor.trade("100.01")
    parent = floor.buy(100, "LMT", 99, transmit=False)
    floor.sell(100, "STP", aux=98, parent_id=parent)
    floor.sell(50, "TRAIL", aux=1, tif="GTC")
    floor.buy(1500, "LMT", "100.02")
    return floor


def reloaded(floor, start=None):
    state = json.loads(json.dumps(floor.exchange.dump_state()))
    reports = []
    exchange = Exchange(floor.book, ExchangeOptions(), start or floor.exchange.now, 1, reports.append)
    exchange.load_state(state)
    return exchange, reports


def test_a_dumped_state_comes_back_whole(busy):
    exchange, _ = reloaded(busy)
    assert exchange.open_orders() == busy.exchange.open_orders()
    assert exchange.positions() == busy.exchange.positions()
    assert exchange.executions() == busy.exchange.executions()
    assert exchange.account_values() == busy.exchange.account_values()
    assert exchange.pnl() == busy.exchange.pnl()
    assert exchange.next_order_id(1) == busy.exchange.next_order_id(1)
    assert exchange.dump_state() == busy.exchange.dump_state()


def test_a_reloaded_exchange_goes_on_as_the_old_one_would_have(busy):
    exchange, reports = reloaded(busy)
    busy.reports.clear()
    busy.quote("98.90", "98.95")
    busy.trade("97.90")
    for report in [item for item in busy.reports if type(item).__name__ == "QuoteReported"]:
        exchange.apply(report.event)
    assert len(reports) > 2
    assert reports == busy.reports


def test_a_corrected_fill_of_the_day_can_be_corrected_after_a_reload(busy):
    exchange, _ = reloaded(busy)
    first = exchange.executions()[0]
    assert exchange.correct_execution(first.exec_id, price=Decimal(100)) is not None


def test_a_state_of_yesterday_begins_a_new_day(busy):
    exchange, reports = reloaded(busy, start=busy.exchange.now + timedelta(days=1))
    assert exchange.executions() == ()
    assert exchange.pnl()[0] == 0
    assert [view.request.order_id for view in exchange.open_orders()] == [4]
    assert sum(1 for report in reports if getattr(report, "code", 0) == 202) == 3


def test_a_state_that_does_not_fit_is_refused_with_a_sentence(busy):
    state = busy.exchange.dump_state()
    other = Exchange(ContractBook(), ExchangeOptions(), datetime(2026, 1, 5, tzinfo=UTC), 1, lambda report: None)
    busy.quote(10, 11, key="ZZZ")
    with pytest.raises(ValueError, match="trades ZZZ"):
        other.load_state(busy.exchange.dump_state())
    with pytest.raises(ValueError, match="version is 7"):
        other.load_state({**state, "version": 7})
    with pytest.raises(ValueError, match="cannot be read"):
        other.load_state({**state, "orders": [{"request": 1}]})


def test_the_listener_can_be_replaced(floor):
    heard = []
    floor.exchange.listener = heard.append
    floor.quote(100, "100.02")
    assert len(heard) == 1
    assert floor.exchange.listener == heard.append


def test_the_same_calls_give_the_same_reports(make_floor):
    def play(floor):
        floor.quote(100, "100.02")
        floor.buy(1500)
        floor.sell(100, "LMT", "100.10")
        floor.quote("100.12", "100.14")
        return floor.reports

    assert play(make_floor(seed=3)) == play(make_floor(seed=3))


def test_memory_of_finished_orders_and_executions_is_bounded(make_floor):
    floor = make_floor(completed_kept=3, executions_kept=2)
    floor.quote(100, "100.02")
    for _ in range(5):
        floor.buy(1)
    assert len(floor.exchange.completed_orders()) == 3
    assert [item.order.request.order_id for item in floor.exchange.executions()] == [4, 5]
    assert floor.position() == 5
