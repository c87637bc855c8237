"""How single orders live and trade, told as the reports a client hears."""

from decimal import Decimal

import pytest


def test_a_market_order_is_acknowledged_executed_filled_and_charged_in_that_order(floor):
    floor.buy(100)
    assert floor.heard() == [
        "order 1 PreSubmitted 0+100",
        "execution 1 BUY 100@100.02",
        "order 1 Filled 100+0",
        "commission 1.00",
        "position 100",
    ]


def test_a_market_order_takes_displayed_size_and_the_rest_from_the_next_quote(floor):
    floor.buy(1500)
    assert floor.heard() == [
        "order 1 PreSubmitted 0+1500",
        "execution 1 BUY 1000@100.02",
        "order 1 Submitted 1000+500",
        "commission 5.00",
        "position 1000",
    ]
    floor.quote(bid="100.01")
    assert floor.heard() == []
    floor.quote(ask="100.03", size=800)
    assert floor.heard() == [
        "execution 1 BUY 500@100.03",
        "order 1 Filled 1500+0",
        "commission 2.50",
        "position 1500",
    ]


def test_two_orders_share_one_displayed_size(floor):
    floor.buy(600)
    floor.buy(600)
    assert floor.position() == 1000
    assert floor.status(2) == "Submitted"


def test_a_market_order_waits_for_the_first_quote(make_floor):
    floor = make_floor()
    floor.buy(100)
    assert floor.heard() == ["order 1 PreSubmitted 0+100", "order 1 Submitted 0+100"]
    floor.quote(100, "100.02")
    assert floor.position() == 100


def test_a_quote_of_minus_one_and_size_zero_is_no_quote(floor):
    floor.quote(ask=-1, size=0)
    floor.buy(100)
    assert floor.position() == 0
    floor.quote(ask="100.02", size=0)
    assert floor.position() == 0


def test_a_marketable_limit_order_trades_at_the_quote(floor):
    floor.buy(100, "LMT", "100.05")
    assert "execution 1 BUY 100@100.02" in floor.heard()


def test_a_marketable_limit_order_that_waits_for_size_goes_on_at_the_quote(floor):
    floor.buy(1100, "LMT", "100.05")
    floor.heard()
    floor.quote(ask="100.01")
    assert "execution 1 BUY 100@100.01" in floor.heard()


def test_a_resting_limit_order_trades_at_its_price_when_the_quote_crosses_it(floor):
    floor.buy(100, "LMT", "99.90")
    assert floor.heard() == ["order 1 PreSubmitted 0+100", "order 1 Submitted 0+100"]
    floor.quote(ask="99.85")
    assert floor.heard()[0] == "execution 1 BUY 100@99.90"
    [execution] = floor.exchange.executions()
    assert execution.liquidity == 1


def test_a_resting_limit_order_trades_when_a_print_goes_through_it_but_not_at_it(floor):
    floor.sell(100, "LMT", "100.10")
    floor.trade("100.10", 5000)
    assert floor.position() == 0
    floor.trade("100.11", 60)
    assert floor.position() == -60
    floor.trade("100.11", 60)
    assert floor.position() == -100


def test_one_print_is_shared_by_the_orders_it_goes_through_oldest_first(floor):
    floor.sell(100, "LMT", "100.10")
    floor.sell(100, "LMT", "100.10")
    floor.trade("100.20", 150)
    orders = floor.exchange.open_orders()
    assert [(item.request.order_id, item.filled) for item in orders] == [(2, Decimal(50))]


def test_a_sell_stop_waits_for_a_trade_at_its_price_and_then_takes_the_bid(floor):
    floor.trade("100.01")
    floor.sell(100, "STP", aux="99.50")
    assert floor.heard() == ["order 1 PreSubmitted 0+100 (trigger)"]
    floor.quote("99.40", "99.45")
    assert floor.heard() == []
    floor.trade("99.50")
    assert floor.heard()[:2] == ["order 1 Submitted 0+100", "execution 1 SELL 100@99.40"]


def test_a_stop_on_the_wrong_side_of_the_market_triggers_at_once(floor):
    floor.trade("100.01")
    floor.buy(100, "STP", aux="99")
    assert floor.heard()[:3] == [
        "order 1 PreSubmitted 0+100 (trigger)",
        "order 1 Submitted 0+100",
        "execution 1 BUY 100@100.02",
    ]


def test_stops_watch_the_quote_where_there_are_no_trades(make_floor):
    floor = make_floor()
    floor.quote("1.10000", "1.10005", 5_000_000, "EUR.USD")
    floor.sell(20_000, "STP", aux="1.09900", key="EUR.USD")
    floor.quote("1.09900", "1.09905", 5_000_000, "EUR.USD")
    assert floor.position("EUR.USD") == -20_000


def test_a_stop_limit_rests_at_its_limit_once_triggered(floor):
    floor.trade("100.01")
    floor.buy(100, "STP LMT", "100.60", "100.50")
    floor.quote("100.68", "100.70")
    floor.trade("100.70")
    assert floor.heard() == ["order 1 PreSubmitted 0+100 (trigger)", "order 1 Submitted 0+100"]
    floor.quote("100.50", "100.55")
    assert floor.heard()[0] == "execution 1 BUY 100@100.60"


def test_a_trailing_stop_follows_the_market_up_and_never_down(floor):
    floor.trade("100.00")
    floor.sell(100, "TRAIL", aux="0.50")
    floor.trade("101.00")
    floor.trade("100.70")
    [view] = floor.exchange.open_orders()
    assert view.request.trail_stop_price == Decimal("100.50")
    floor.quote("100.48", "100.52")
    floor.trade("100.50")
    assert floor.position() == -100


def test_a_trailing_percentage_is_put_on_the_tick_grid(floor):
    floor.trade("100.00")
    floor.buy(100, "TRAIL", trailing_percent=Decimal("0.333"))
    [view] = floor.exchange.open_orders()
    assert view.request.trail_stop_price == Decimal("100.34")
    floor.trade("99.00")
    floor.trade("99.33")
    assert floor.position() == 100


def test_a_trail_starts_from_the_stop_it_is_given(floor):
    floor.trade("100.00")
    floor.sell(100, "TRAIL", aux="5", trail_stop_price=Decimal("99"))
    floor.trade("99.00")
    assert floor.position() == -100


def test_what_an_ioc_order_leaves_over_is_cancelled_without_a_202(floor):
    floor.buy(1500, "LMT", "100.02", tif="IOC")
    assert floor.heard()[-3:] == ["position 1000", "status 1 PendingCancel 1000+500", "status 1 Cancelled 1000+500"]


def test_an_ioc_order_that_meets_nothing_is_cancelled(floor):
    floor.buy(100, "LMT", "99", tif="IOC")
    assert floor.heard() == [
        "order 1 PreSubmitted 0+100",
        "status 1 PendingCancel 0+100",
        "status 1 Cancelled 0+100",
    ]


def test_a_fok_order_fills_whole_or_becomes_inactive(floor):
    floor.buy(1001, "LMT", "100.02", tif="FOK")
    assert floor.heard() == ["order 1 PreSubmitted 0+1001", "status 1 Inactive 0+1001"]
    floor.buy(1000, "LMT", "100.02", tif="FOK")
    assert "order 2 Filled 1000+0" in floor.heard()


def test_an_immediate_stop_waits_for_its_trigger_first(floor):
    floor.trade("100.01")
    floor.sell(100, "STP", aux="99", tif="IOC")
    assert floor.status(1) == "PreSubmitted"
    floor.quote(bid=-1, size=0)
    floor.trade("99")
    assert floor.status(1) == "Cancelled"


def test_a_cancel_is_answered_by_the_status_and_202(floor):
    floor.buy(100, "LMT", "99")
    floor.heard()
    floor.exchange.cancel(1, 1)
    assert floor.heard() == ["status 1 Cancelled 0+100", "error 1 202"]


def test_a_cancel_of_an_unknown_a_foreign_or_a_finished_order_is_refused(floor):
    floor.buy(100)
    floor.buy(100, "LMT", "99", client_id=2, order_id=7)
    floor.heard()
    floor.exchange.cancel(1, 99)
    floor.exchange.cancel(1, 7)
    floor.exchange.cancel(1, 1)
    assert floor.heard() == ["error 99 10147", "error 7 10147", "error 1 10148"]
    assert floor.status(7, client_id=2) == "Submitted"


def test_a_global_cancel_takes_the_orders_of_all_clients(floor):
    floor.buy(100, "LMT", "99")
    floor.buy(100, "LMT", "98", client_id=2, order_id=1)
    floor.exchange.cancel_all()
    assert floor.exchange.open_orders() == ()
    assert len(floor.exchange.completed_orders()) == 2


def test_a_modified_order_trades_on_its_new_terms(floor):
    floor.buy(100, "LMT", "99")
    floor.heard()
    floor.buy(200, "LMT", "100.02", order_id=1)
    assert floor.heard()[:2] == ["order 1 Submitted 0+200", "execution 1 BUY 200@100.02"]


def test_a_modified_order_keeps_its_fills_and_its_perm_id(floor):
    floor.buy(1500, "LMT", "100.02")
    [before] = floor.exchange.open_orders()
    floor.buy(1200, "LMT", "100.02", order_id=1)
    [after] = floor.exchange.open_orders()
    assert (after.perm_id, after.filled, after.remaining) == (before.perm_id, Decimal(1000), Decimal(200))


def test_modifications_that_make_no_sense_leave_the_order_as_it_is(floor):
    floor.buy(1500, "LMT", "100.02")
    floor.heard()
    floor.sell(1500, "LMT", "100.02", order_id=1)
    floor.buy(1500, "MKT", order_id=1)
    floor.buy(1000, "LMT", "100.02", order_id=1)
    floor.buy(1500, "LMT", "100.025", order_id=1)
    assert floor.heard() == ["error 1 105", "error 1 105", "error 1 104", "error 1 110"]
    [view] = floor.exchange.open_orders()
    assert (view.remaining, view.request.limit_price) == (Decimal(500), Decimal("100.02"))


def test_a_finished_order_can_not_be_modified_and_its_id_not_reused(floor):
    floor.buy(100)
    floor.buy(100, "LMT", "99")
    floor.exchange.cancel(1, 2)
    floor.heard()
    floor.buy(100, order_id=1)
    floor.buy(100, "LMT", "99", order_id=2)
    assert floor.heard() == ["error 1 104", "error 2 103"]


def test_what_makes_no_order_is_refused_with_its_code(floor):
    floor.buy(0)
    floor.buy("1.5")
    floor.buy(100, con_id=1)
    floor.buy(100, "LMT")
    floor.buy(100, "STP")
    floor.buy(100, "TRAIL")
    floor.buy(100, "LMT", "100.001")
    floor.buy(100, "LMT", "-5")
    floor.buy(100, account="DU999")
    floor.buy(100, parent_id=77)
    floor.buy("NaN")
    codes = [int(line.split()[-1]) for line in floor.heard()]
    assert codes == [434, 10243, 200, 321, 321, 321, 110, 110, 321, 135, 321]
    assert floor.exchange.open_orders() == floor.exchange.completed_orders() == ()


def test_an_order_beyond_the_accounts_means_is_rejected_and_inactive(floor):
    floor.buy(100_000)
    assert floor.heard() == ["error 1 201", "status 1 Inactive 0+100000"]
    assert floor.position() == 0


def test_an_order_that_reduces_is_let_in_whatever_the_margin(make_floor):
    floor = make_floor(starting_cash=Decimal(10_000))
    floor.quote(100, "100.02")
    floor.buy(390)
    floor.quote(60, "60.02")
    assert floor.exchange.pnl()[0] < -10_000
    floor.sell(390)
    assert floor.position() == 0


def test_too_many_orders_on_one_side_are_rejected(make_floor):
    floor = make_floor(max_orders_per_side=2)
    floor.quote(100, "100.02")
    for _ in range(3):
        floor.buy(1, "LMT", "99")
    floor.sell(1, "LMT", "101")
    assert [floor.status(order_id) for order_id in (1, 2, 3, 4)] == ["Submitted", "Submitted", "Inactive", "Submitted"]


def test_a_what_if_order_answers_with_margin_and_commission_and_does_nothing(floor):
    floor.buy(100, "LMT", "100", what_if=True)
    [report] = floor.reports[1:]
    assert report.order.preview.commission == Decimal("1.00")
    assert report.order.preview.margin_after == Decimal("2500.2500")
    assert floor.exchange.open_orders() == ()
    assert floor.exchange.next_order_id(1) == 1


def test_a_market_that_is_not_listed_is_named(floor):
    with pytest.raises(ValueError, match="'NOPE'"):
        floor.quote(1, 2, key="NOPE")
