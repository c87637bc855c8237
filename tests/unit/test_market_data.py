"""Which quotes are good, and when the last good one is too old."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from trader.contracts import Quote
from trader.events import BadTickReason, MarketDataMode, SubscriptionStatus
from trader.market_data import OUTLIERS_BELIEVED, MarketData
from trader.settings import MarketDataSettings

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)


def quote(bid: float, ask: float, symbol: str = "AAPL", at: datetime = NOW) -> Quote:
    return Quote(symbol, bid, 1.0, ask, 1.0, at)


def test_a_quote_from_the_future_does_not_stay_fresh_for_ever(data: MarketData) -> None:
    data.accept(quote(100.0, 100.1, at=NOW + timedelta(hours=1)))
    assert data.is_stale("AAPL", NOW)


@pytest.fixture
def data() -> MarketData:
    return MarketData(MarketDataSettings(stale_after_s=15, outlier_ratio=0.2))


BAD = {
    "crossed": (100.1, 100.0, BadTickReason.CROSSED),
    "zero bid": (0.0, 100.0, BadTickReason.NOT_POSITIVE),
    "absent ask": (100.0, -1.0, BadTickReason.NOT_POSITIVE),
    "not a number": (math.nan, 100.0, BadTickReason.NOT_FINITE),
    "not a number either": (100.0, math.nan, BadTickReason.NOT_FINITE),
    "infinite": (100.0, math.inf, BadTickReason.NOT_FINITE),
    "unset": (1.7976931348623157e308, 1.7976931348623157e308, BadTickReason.NOT_FINITE),
    "an unset ask": (100.0, 1.7976931348623157e308, BadTickReason.NOT_FINITE),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("first", [False, True])
def test_a_bad_quote_never_replaces_a_good_one(data: MarketData, name: str, first: bool) -> None:
    bid, ask, reason = BAD[name]
    if not first:
        data.accept(quote(100.0, 100.1))
    before = dict(data.quotes)
    assert data.accept(quote(bid, ask)) is reason
    assert data.quotes == before


def test_a_locked_quote_is_good(data: MarketData) -> None:
    assert data.accept(quote(100.0, 100.0)) is None


@pytest.mark.parametrize(
    ("bid", "reason"), [(119.0, None), (121.0, BadTickReason.OUTLIER), (79.0, BadTickReason.OUTLIER)]
)
def test_a_quote_far_from_the_last_one_is_an_outlier(
    data: MarketData, bid: float, reason: BadTickReason | None
) -> None:
    data.accept(quote(100.0, 100.0))
    assert data.accept(quote(bid, bid)) is reason


def test_so_many_outliers_in_a_row_are_the_markets_new_level(data: MarketData) -> None:
    data.accept(quote(100.0, 100.0))
    answers = [data.accept(quote(150.0, 150.0)) for _ in range(OUTLIERS_BELIEVED)]
    assert answers == [BadTickReason.OUTLIER] * (OUTLIERS_BELIEVED - 1) + [None]
    assert data.quotes["AAPL"].bid == 150.0


def test_a_good_quote_between_them_starts_the_count_again(data: MarketData) -> None:
    data.accept(quote(100.0, 100.0))
    for _ in range(3):
        for _ in range(OUTLIERS_BELIEVED - 1):
            assert data.accept(quote(150.0, 150.0)) is BadTickReason.OUTLIER
        assert data.accept(quote(101.0, 101.0)) is None


def test_outliers_are_counted_for_each_instrument(data: MarketData) -> None:
    for symbol in ("AAPL", "MSFT"):
        data.accept(quote(100.0, 100.0, symbol))
    for number in range(2 * OUTLIERS_BELIEVED - 2):
        assert data.accept(quote(150.0, 150.0, ("AAPL", "MSFT")[number % 2])) is BadTickReason.OUTLIER


def test_a_quote_is_stale_after_its_time_and_without_any(data: MarketData) -> None:
    assert data.is_stale("AAPL", NOW)
    data.accept(quote(100.0, 100.0))
    assert not data.is_stale("AAPL", NOW + timedelta(seconds=15))
    assert data.is_stale("AAPL", NOW + timedelta(seconds=15, microseconds=1))
    assert (data.age_s("AAPL", NOW + timedelta(seconds=3)), data.age_s("MSFT", NOW)) == (3.0, None)


def test_one_silent_instrument_is_silent_although_the_others_tick(data: MarketData) -> None:
    for symbol in ("AAPL", "MSFT"):
        data.subscribe(symbol, SubscriptionStatus.SUBSCRIBED, NOW)
    later = NOW + timedelta(seconds=16)
    data.accept(quote(100.0, 100.0, at=later))
    assert data.silent(NOW + timedelta(seconds=14)) == set()
    assert data.silent(later) == {"MSFT"}


def test_without_a_link_everything_that_was_subscribed_falls_silent(data: MarketData) -> None:
    data.subscribe("AAPL", SubscriptionStatus.SUBSCRIBED, NOW)
    data.accept(quote(100.0, 100.0))
    data.lose_subscriptions()
    assert data.subscribed() == 0
    assert data.silent(NOW + timedelta(seconds=16)) == {"AAPL"}


def test_a_mark_is_the_mid_to_a_tenth_of_a_tick(data: MarketData) -> None:
    assert data.mark("AAPL", Decimal("0.01")) is None
    data.accept(quote(100.0, 100.015))
    assert data.mark("AAPL", Decimal("0.01")) == Decimal("100.008")


def test_the_mode_is_the_worst_of_all(data: MarketData) -> None:
    assert data.mode is MarketDataMode.LIVE
    data.modes = {"AAPL": MarketDataMode.LIVE, "MSFT": MarketDataMode.DELAYED}
    assert data.mode is MarketDataMode.DELAYED
    data.modes["IBM"] = MarketDataMode.FROZEN
    assert data.mode is MarketDataMode.FROZEN
