"""Quotes out of raw ticks."""

from datetime import UTC, datetime

import pytest

from trader.events import (
    BadTickDropped,
    BadTickReason,
    MarketDataMode,
    MarketDataModeReceived,
    QuoteReceived,
    TradeReceived,
)
from trader.gateway.quotes import QuoteStream

AT = datetime(2013, 10, 7, 13, 31, tzinfo=UTC)
REQUEST = 1_500_000_001


class Stream:
    def __init__(self, *, quotes: bool = True, allow_delayed: bool = False) -> None:
        self.facts: list[object] = []
        self.first: list[int] = []
        self.stream = QuoteStream(self.facts.append, self.first.append, allow_delayed=allow_delayed, conflate=True)
        self.stream.add(REQUEST, "AAPL", quotes=quotes)

    def batch(self, *ticks: tuple[str, ...]) -> list[object]:
        """Feed one read: ``("1", price, size)`` is a price tick of type 1, ``("0", size)`` a size tick."""
        before = len(self.facts)
        self.stream.begin(AT, 42, 100)
        for kind, *values in ticks:
            if len(values) == 2:
                self.stream.price(["1", "6", str(REQUEST), kind, *values, "0"])
            else:
                self.stream.size(["2", "6", str(REQUEST), kind, *values])
        self.stream.end()
        return self.facts[before:]


def row(bid: str, ask: str, bid_size: str = "100", ask_size: str = "200") -> list[tuple[str, ...]]:
    """A row of the market as the broker sends it: each price with its size, and each size once more."""
    return [("1", bid, bid_size), ("0", bid_size), ("2", ask, ask_size), ("3", ask_size)]


def prices(facts: list[object]) -> list[tuple[float, float]]:
    return [(fact.quote.bid, fact.quote.ask) for fact in facts if isinstance(fact, QuoteReceived)]


def test_the_pieces_of_one_read_are_one_quote() -> None:
    (fact,) = Stream().batch(*row("10.00", "10.02"))
    assert isinstance(fact, QuoteReceived)
    quote = fact.quote
    assert (quote.symbol, quote.bid, quote.bid_size, quote.ask, quote.ask_size) == ("AAPL", 10.0, 100.0, 10.02, 200.0)
    assert quote.at == AT
    assert fact.received_ns == 42


def test_no_row_is_lost_when_many_come_in_one_read() -> None:
    rows = [(10.0 + step / 100, 10.02 + step / 100) for step in range(50)]
    ticks = [tick for bid, ask in rows for tick in row(f"{bid:.2f}", f"{ask:.2f}")]
    assert prices(Stream().batch(*ticks)) == [(round(bid, 2), round(ask, 2)) for bid, ask in rows]


def test_rows_of_which_only_a_part_changed_stay_apart_in_one_read() -> None:
    stream = Stream()
    stream.batch(*row("10.00", "10.02"))
    facts = stream.batch(("2", "10.03", "200"), ("3", "200"), ("1", "10.01", "100"), ("0", "100"), ("1", "10.02", "5"))
    assert prices(facts) == [(10.0, 10.03), (10.01, 10.03), (10.02, 10.03)]


def test_prices_before_sizes_are_one_quote() -> None:
    pieces = [("1", "10.00", "100"), ("2", "10.02", "200"), ("0", "100"), ("3", "200")]
    assert prices(Stream().batch(*pieces)) == [(10.0, 10.02)]


def test_a_side_alone_makes_no_quote() -> None:
    stream = Stream()
    assert stream.batch(("1", "10.00", "100")) == []
    assert prices(stream.batch(("2", "10.02", "100"))) == [(10.0, 10.02)]


def test_a_change_of_one_side_keeps_the_other() -> None:
    stream = Stream()
    stream.batch(*row("10.00", "10.02"))
    assert prices(stream.batch(("2", "10.05", "100"))) == [(10.0, 10.05)]


def test_a_size_that_only_repeats_is_no_news_and_one_that_changes_is() -> None:
    stream = Stream()
    stream.batch(*row("10.00", "10.02"))
    assert stream.batch(("0", "100")) == []
    (fact,) = stream.batch(("0", "700"))
    assert isinstance(fact, QuoteReceived)
    assert fact.quote.bid_size == 700


@pytest.mark.parametrize(
    ("bid", "ask", "bid_size", "reason"),
    [
        ("-1", "10.02", "0", BadTickReason.NOT_POSITIVE),
        ("0", "10.02", "0", BadTickReason.NOT_POSITIVE),
        ("10.00", "10.02", "0", BadTickReason.NOT_POSITIVE),
        ("nan", "10.02", "100", BadTickReason.NOT_FINITE),
        ("10.00", "inf", "100", BadTickReason.NOT_FINITE),
        ("1.7976931348623157e308", "10.02", "100", BadTickReason.NOT_FINITE),
        ("10.00", "10.02", "1.7976931348623157e308", BadTickReason.NOT_FINITE),
        ("10.03", "10.02", "100", BadTickReason.CROSSED),
    ],
)
def test_a_bad_quote_is_dropped_and_counted(bid: str, ask: str, bid_size: str, reason: BadTickReason) -> None:
    (fact,) = Stream().batch(*row(bid, ask, bid_size))
    assert fact == BadTickDropped(at=AT, symbol="AAPL", reason=reason)


def test_a_locked_market_is_a_quote() -> None:
    assert prices(Stream().batch(*row("10.02", "10.02"))) == [(10.02, 10.02)]


def test_after_no_quote_on_a_side_its_old_price_is_not_used() -> None:
    stream = Stream()
    stream.batch(*row("10.00", "10.02"))
    stream.batch(("1", "-1", "0"))
    assert prices(stream.batch(("2", "10.05", "100"))) == []
    assert prices(stream.batch(("1", "10.01", "100"))) == [(10.01, 10.05)]


def test_a_trade_comes_with_its_size_once() -> None:
    (fact,) = Stream().batch(("4", "10.01", "300"), ("5", "300"))
    assert fact == TradeReceived(at=AT, symbol="AAPL", price=10.01, size=300.0, received_ns=42)


def test_a_further_trade_at_the_same_price_is_a_trade() -> None:
    stream = Stream()
    stream.batch(("4", "10.01", "300"))
    (fact,) = stream.batch(("5", "200"))
    assert isinstance(fact, TradeReceived)
    assert (fact.price, fact.size) == (10.01, 200.0)


def test_a_trade_without_a_price_is_dropped() -> None:
    assert Stream().batch(("4", "-1", "300")) == [
        BadTickDropped(at=AT, symbol="AAPL", reason=BadTickReason.NOT_POSITIVE)
    ]


def test_a_feed_of_trades_brings_no_quotes() -> None:
    facts = Stream(quotes=False).batch(*row("10.00", "10.02"), ("4", "10.01", "300"))
    assert [type(fact) for fact in facts] == [TradeReceived]


def test_delayed_prices_are_not_used_unless_that_is_allowed() -> None:
    assert Stream().batch(("66", "10.00", "100"), ("67", "10.02", "100")) == [
        MarketDataModeReceived(at=AT, symbol="AAPL", mode=MarketDataMode.DELAYED)
    ]


def test_delayed_prices_are_used_where_that_is_allowed() -> None:
    facts = Stream(allow_delayed=True).batch(("66", "10.00", "100"), ("67", "10.02", "100"), ("68", "10.01", "5"))
    assert prices(facts) == [(10.0, 10.02)]
    assert [type(fact) for fact in facts].count(MarketDataModeReceived) == 1
    assert [type(fact) for fact in facts].count(TradeReceived) == 1


def test_the_mode_is_news_when_it_changes() -> None:
    stream = Stream()
    for kind in ("1", "2", "2", "3", "1"):
        stream.stream.mode(["58", "1", str(REQUEST), kind])
    modes = [fact.mode for fact in stream.facts if isinstance(fact, MarketDataModeReceived)]
    assert modes == [MarketDataMode.LIVE, MarketDataMode.FROZEN, MarketDataMode.DELAYED, MarketDataMode.LIVE]


def test_a_tick_by_tick_quote_is_one_message_with_the_exchanges_time() -> None:
    stream = Stream()
    stream.stream.begin(AT, 42, 100)
    for second in (0, 0, 1):
        stream.stream.bid_ask(["99", str(REQUEST), "3", str(1_381_152_660 + second), "10", "10.02", "1", "2", "0"])
    stream.stream.end()
    times = [fact.quote.at for fact in stream.facts if isinstance(fact, QuoteReceived)]
    assert times == [AT, AT, AT.replace(second=1)]


def test_ticks_of_a_subscription_that_is_gone_are_ignored() -> None:
    stream = Stream()
    stream.stream.remove(REQUEST)
    assert stream.batch(*row("10.00", "10.02")) == []


def test_the_first_price_of_a_subscription_confirms_it_once() -> None:
    stream = Stream()
    stream.batch(*row("10.00", "10.02"))
    stream.batch(*row("10.00", "10.03"))
    assert stream.first == [REQUEST]


def test_other_kinds_of_ticks_are_ignored() -> None:
    assert Stream().batch(("9", "10.00", "0"), ("8", "1000"), ("6", "11", "0")) == []


def test_a_quote_that_comes_before_it_was_made_is_none() -> None:
    stream = Stream()
    stream.stream.begin(AT, 42, 100)
    fields = ["99", str(REQUEST), "3", "4102444800", "10.0", "10.1", "100", "100", "0"]
    with pytest.raises(ValueError, match="comes before it was made"):
        stream.stream.bid_ask(fields)
    stream.stream.end()
    assert not prices(stream.facts)
