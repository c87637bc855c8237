"""The synthetic market."""

from datetime import UTC, datetime
from itertools import islice
from statistics import correlation, fmean, pstdev

import pytest

from trader.simulator.contract_book import ContractBook
from trader.simulator.hours import US_STOCK_HOURS
from trader.simulator.market import SYNTHETIC_START, SyntheticMarket

KEYS = ("SPY", "ESH6", "EUR.USD", "ZZZ")


def events(count, keys=KEYS, seed=1, **options):
    return list(islice(SyntheticMarket(keys, seed, **options).events(), count))


def middles(seed, count=40_000):
    return [float(item.bid + item.ask) / 2 for item in events(count, ("SPY",), seed, interval_s=1.0)]


def test_a_seed_gives_the_same_market_every_time():
    assert events(500) == events(500)
    assert events(500) != events(500, seed=2)


def test_a_contracts_events_do_not_depend_on_the_others():
    alone = [(item.bid, item.ask, item.last) for item in events(100, ("SPY",))]
    among = [(item.bid, item.ask, item.last) for item in events(400) if item.symbol == "SPY"]
    assert alone == among


def test_a_market_can_be_read_again_from_its_start():
    market = SyntheticMarket(KEYS, 1)
    assert list(islice(market.events(), 50)) == list(islice(market.events(), 50))


def test_time_starts_at_the_start_and_never_goes_back():
    times = [item.at for item in events(1000)]
    assert times[0] == SYNTHETIC_START
    assert times == sorted(times)
    assert (times[400] - times[0]).total_seconds() == pytest.approx(25)


def test_quotes_have_spreads_on_the_tick_grid_sizes_and_sometimes_trades():
    book = ContractBook(KEYS)
    found = events(4000)
    for item in found:
        tick = book.by_key(item.symbol).tick_size
        assert 0 < item.bid < item.ask
        assert item.bid % tick == item.ask % tick == 0
        assert item.bid_size > 0 < item.ask_size
        assert item.last in (None, item.bid, item.ask)
    traded = sum(1 for item in found if item.last is not None)
    assert 0.2 < traded / len(found) < 0.4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_middle_returns_to_its_mean_as_documented(seed):
    prices = middles(seed)
    window = 300
    away, change = [], []
    for index in range(window, len(prices) - 120, 60):
        away.append(prices[index] - fmean(prices[index - window : index]))
        change.append(prices[index + 120] - prices[index])
    assert correlation(away, change) < -0.3, f"seed {seed}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_deviation_has_the_documented_size(seed):
    prices = middles(seed)
    spreads = [pstdev(prices[start : start + 600]) / prices[start] for start in range(0, len(prices) - 600, 600)]
    assert 0.0008 < fmean(spreads) < 0.0022, f"seed {seed}"


def test_with_hours_there_are_events_in_sessions_only():
    start = datetime(2026, 1, 9, 20, 59, 50, tzinfo=UTC)
    found = events(100, ("SPY",), start=start, hours=US_STOCK_HOURS)
    assert found[0].at == start
    assert found[-1].at.date() == datetime(2026, 1, 12, tzinfo=UTC).date()
    assert all(US_STOCK_HOURS.is_regular(item.at) for item in found)


def test_without_hours_it_never_closes():
    sunday = datetime(2026, 1, 4, 3, tzinfo=UTC)
    assert events(10, ("SPY",), start=sunday)[0].at == sunday


def test_what_can_not_be_a_market_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        SyntheticMarket((), 1)
    with pytest.raises(ValueError, match="interval_s"):
        SyntheticMarket(("SPY",), 1, interval_s=0)
    with pytest.raises(ValueError, match="time zone"):
        SyntheticMarket(("SPY",), 1, start=datetime(2026, 1, 5))  # noqa: DTZ001
