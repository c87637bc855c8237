"""Subscriptions: made, confirmed, refused, made again."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from trader.clock import ManualClock
from trader.contracts import Instrument, SecurityType
from trader.events import (
    MarketDataMode,
    MarketDataModeReceived,
    RequestFinished,
    RequestOutcome,
    SubscriptionChangedReceived,
    SubscriptionStatus,
)
from trader.gateway.ib.market_data import MarketData
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.pacer import Pacer
from trader.gateway.subscriptions import served_by
from trader.gateway.timers import ManualTimers
from trader.settings import MarketDataSettings

AAPL = Instrument(symbol="AAPL", con_id=1)
EUR = Instrument(symbol="EUR.USD", ib_symbol="EUR", security_type=SecurityType.CASH, con_id=2)
ES = Instrument(symbol="ES", security_type=SecurityType.FUTURE, con_id=3, multiplier=Decimal(50))


class Encoder:
    """Notes what would be sent: the request's name and its id."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.connected = True

    def isConnected(self) -> bool:  # noqa: N802 - ib_async's name
        return self.connected

    def __getattr__(self, name: str) -> Any:
        return lambda first, *_: self.sent.append((name, first))


class Bench:
    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
        self.timers = ManualTimers(self.clock)
        self.encoder = Encoder()
        self.facts: list[Any] = []
        ids = count(100)
        self.data = MarketData(
            settings=MarketDataSettings(**settings),
            encoder=self.encoder,
            pacer=Pacer(45, self.clock, self.timers, lambda *_: None),
            index=InstrumentIndex({item.symbol: item for item in (AAPL, EUR, ES)}),
            clock=self.clock,
            timers=self.timers,
            deliver=self.facts.append,
            next_id=lambda: next(ids),
        )

    def changes(self) -> list[tuple[str, SubscriptionStatus]]:
        return [(fact.symbol, fact.status) for fact in self.facts if isinstance(fact, SubscriptionChangedReceived)]

    def outcomes(self) -> list[RequestOutcome]:
        return [fact.outcome for fact in self.facts if isinstance(fact, RequestFinished)]

    def taken(self) -> list[tuple[str, int]]:
        """What was sent since the last look."""
        sent, self.encoder.sent = self.encoder.sent, []
        return sent


def test_streaming_is_one_request_an_instrument() -> None:
    bench = Bench()
    bench.data.subscribe()
    assert bench.taken() == [("reqMktData", 100), ("reqMktData", 101), ("reqMktData", 102)]


def test_tick_by_tick_is_quotes_from_one_request_and_trades_from_another() -> None:
    bench = Bench(feed="tick_by_tick")
    bench.data.subscribe(["AAPL"])
    assert bench.taken() == [("reqTickByTickData", 100), ("reqMktData", 101)]


@pytest.mark.parametrize(("allowed", "kind"), [(False, 1), (True, 3)])
def test_delayed_data_is_asked_for_only_where_it_is_allowed(allowed: bool, kind: int) -> None:
    bench = Bench(allow_delayed=allowed)
    bench.data.choose_type()
    assert bench.taken() == [("reqMarketDataType", kind)]


def test_a_subscription_that_is_made_again_is_cancelled_and_gets_a_new_id() -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    bench.taken()
    bench.data.subscribe(["AAPL"])
    assert bench.taken() == [("cancelMktData", 100), ("reqMktData", 101)]
    bench.data.confirm(100)
    assert bench.changes() == []


def test_its_first_word_confirms_a_subscription_once() -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    bench.data.confirm(100)
    bench.data.confirm(100)
    assert bench.changes() == [("AAPL", SubscriptionStatus.SUBSCRIBED)]
    assert bench.outcomes() == [RequestOutcome.OK]


@pytest.mark.parametrize("code", [354, 101, 200, 10090, 10168])
def test_a_refusal_is_told_and_not_asked_again(code: int) -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    bench.taken()
    assert bench.data.error(100, code, "no")
    assert bench.changes() == [("AAPL", SubscriptionStatus.REFUSED)]
    assert bench.outcomes() == [RequestOutcome.ERROR]
    bench.timers.advance(300)
    bench.data.retry_lost()
    assert bench.taken() == []


@pytest.mark.parametrize("code", [10182, 10225])
def test_a_feed_that_asks_for_it_is_made_again_once_and_not_at_once(code: int) -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    bench.data.confirm(100)
    bench.taken()
    bench.data.error(100, code, "again please")
    bench.data.error(100, code, "again please")
    assert bench.taken() == []
    bench.timers.advance(5)
    assert bench.taken() == [("cancelMktData", 100), ("reqMktData", 101)]


def test_what_a_competing_session_took_is_asked_for_again_later() -> None:
    bench = Bench()
    bench.data.subscribe()
    bench.data.confirm(100)
    bench.data.error(100, 10197, "competing session")
    bench.taken()
    bench.data.retry_lost()
    assert bench.taken() == []
    bench.timers.advance(60)
    bench.data.retry_lost()
    assert bench.taken() == [("cancelMktData", 100), ("reqMktData", 103)]
    assert bench.changes()[-1] == ("AAPL", SubscriptionStatus.LOST)


def test_a_subscription_that_goes_on_by_itself_is_subscribed_again() -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    price = ["1", "6", "100", "1", "10.00", "5", "0"]
    bench.data.quotes.price(price)
    bench.data.error(100, 10197, "competing session")
    bench.data.quotes.price(price)
    assert bench.changes() == [
        ("AAPL", SubscriptionStatus.SUBSCRIBED),
        ("AAPL", SubscriptionStatus.LOST),
        ("AAPL", SubscriptionStatus.SUBSCRIBED),
    ]


def test_delayed_instead_of_live_is_a_mode_and_no_refusal() -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    assert bench.data.error(100, 10167, "delayed")
    (fact,) = bench.facts
    assert isinstance(fact, MarketDataModeReceived)
    assert fact.mode is MarketDataMode.DELAYED


def test_a_notice_about_a_subscription_changes_nothing() -> None:
    bench = Bench()
    bench.data.subscribe(["AAPL"])
    assert bench.data.error(100, 2100, "notice")
    assert bench.facts == []


def test_an_error_of_another_request_is_not_taken() -> None:
    assert not Bench().data.error(100, 354, "no")


def test_without_a_connection_a_subscription_is_dropped_and_said_to_be() -> None:
    bench = Bench()
    bench.encoder.connected = False
    bench.data.subscribe(["AAPL"])
    assert bench.taken() == []
    assert bench.outcomes() == [RequestOutcome.DROPPED]


@pytest.mark.parametrize(
    ("farm", "symbols"),
    [
        ("cashfarm", ("EUR.USD",)),
        ("usfuture", ("ES",)),
        ("usfarm", ("AAPL",)),
        ("usfarm.nj", ("AAPL",)),
        ("euronextfarm", ("AAPL", "EUR.USD", "ES")),
        ("unknown", ("AAPL", "EUR.USD", "ES")),
    ],
)
def test_a_farm_serves_its_kind_of_instrument_or_all_when_its_name_says_nothing(
    farm: str, symbols: tuple[str, ...]
) -> None:
    assert served_by(farm, (AAPL, EUR, ES)) == symbols
    bench = Bench()
    bench.data.farm_restored(farm)
    assert len(bench.taken()) == len(symbols)
