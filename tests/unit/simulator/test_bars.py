"""Bars of the exchange's own history."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from trader.simulator.bars import MAX_PENDING_EVENTS, BarHistory
from trader.simulator.model import MarketEvent

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def trade(seconds, price, size=100):
    return MarketEvent(at=at(seconds), symbol="SPY", last=Decimal(str(price)), last_size=Decimal(size))


def quote(seconds, bid, ask):
    sizes = {"bid_size": Decimal(1), "ask_size": Decimal(1)}
    return MarketEvent(at=at(seconds), symbol="SPY", bid=Decimal(str(bid)), ask=Decimal(str(ask)), **sizes)


def history(*events, max_bars=1000):
    made = BarHistory(max_bars)
    for event in events:
        made.add(event)
    return made


def test_a_bar_has_open_high_low_close_volume_and_average_of_its_trades():
    [bar] = history(trade(0, 10), trade(1, 12, 300), trade(3.5, 9), trade(4.9, 11)).bars(at(5), 5, 5, "TRADES")
    assert (bar.at, bar.open, bar.high, bar.low, bar.close) == (NOON, 10, 12, 9, 11)
    assert (bar.volume, bar.average, bar.count) == (600, Decimal(11), 4)


def test_bars_are_aligned_and_what_is_outside_is_left_out():
    made = history(*(trade(second, 10 + second) for second in range(20)))
    bars = made.bars(at(15), 10, 5, "TRADES")
    assert [(bar.at, bar.open, bar.close) for bar in bars] == [(at(5), 15, 19), (at(10), 20, 24)]


def test_seconds_without_news_have_no_bar():
    bars = history(trade(0, 10), trade(60, 11)).bars(at(120), 120, 5, "TRADES")
    assert [bar.at for bar in bars] == [at(0), at(60)]


def test_the_midpoint_uses_both_sides_of_the_last_quote():
    made = history(quote(0, 10, 11), MarketEvent(at=at(1), symbol="SPY", bid=Decimal(12), bid_size=Decimal(1)))
    [bar] = made.bars(at(5), 5, 5, "MIDPOINT")
    assert (bar.open, bar.close, bar.volume) == (Decimal("10.5"), Decimal("11.5"), -1)
    [bar] = made.bars(at(5), 5, 5, "BID")
    assert (bar.low, bar.high) == (10, 12)
    [bar] = made.bars(at(5), 5, 5, "ASK")
    assert bar.close == 11


def test_prices_that_are_no_quote_are_left_out():
    assert history(quote(0, -1, -1)).bars(at(5), 5, 5, "MIDPOINT") == ()


def test_there_are_no_bars_of_a_kind_that_did_not_happen():
    assert history(quote(0, 10, 11)).bars(at(5), 5, 5, "TRADES") == ()


def test_the_history_is_bounded_and_forgets_the_oldest():
    made = history(*(trade(second, 10) for second in range(50)), max_bars=10)
    assert [bar.at for bar in made.bars(at(50), 50, 1, "TRADES")] == [at(second) for second in range(40, 50)]


def test_a_long_run_is_folded_on_the_way():
    made = history(*(trade(second / 100, 10) for second in range(MAX_PENDING_EVENTS * 2 + 5)))
    bars = made.bars(at(3600), 3600, 3600, "TRADES")
    assert bars[0].count == MAX_PENDING_EVENTS * 2 + 5


def test_the_exchange_serves_bars_and_can_do_without(floor, make_floor):
    floor.trade(100)
    bars = floor.exchange.bars(floor.con_id("SPY"), floor.exchange.now + timedelta(seconds=1), 60, 5)
    assert [bar.close for bar in bars] == [100]
    assert floor.exchange.bars(1, floor.exchange.now, 60, 5) == ()
    without = make_floor(history_bars=0)
    without.trade(100)
    assert without.exchange.bars(without.con_id("SPY"), without.exchange.now, 60, 5) == ()
