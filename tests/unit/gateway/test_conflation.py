"""Which quotes go on while the service is behind."""

from datetime import UTC, datetime
from typing import Any

from trader.contracts import Quote
from trader.events import (
    BadTickDropped,
    BadTickReason,
    MarketDataMode,
    MarketDataModeReceived,
    QuoteReceived,
    QuotesConflated,
    TradeReceived,
)
from trader.gateway.conflation import BEHIND_FROM_BYTES, LatestQuotes
from trader.gateway.quotes import QuoteStream

AT = datetime(2013, 10, 7, 13, 31, tzinfo=UTC)
REQUESTS = {"AAPL": "1500000001", "MSFT": "1500000002"}
Row = tuple[str, str, str]  # symbol, bid, ask


def row_ticks(row: Row) -> list[tuple[str, list[str]]]:
    symbol, bid, ask = row
    request = REQUESTS[symbol]
    return [
        ("price", ["1", "6", request, "1", bid, "100", "0"]),
        ("size", ["2", "6", request, "0", "100"]),
        ("price", ["1", "6", request, "2", ask, "200", "0"]),
        ("size", ["2", "6", request, "3", "200"]),
    ]


class Stream:
    def __init__(self, *, conflate: bool = True) -> None:
        self.facts: list[Any] = []
        self.stream = QuoteStream(self.facts.append, lambda _: None, allow_delayed=False, conflate=conflate)
        for symbol, request in REQUESTS.items():
            self.stream.add(int(request), symbol, quotes=True)

    def read(self, *rows: Row, read_bytes: int = BEHIND_FROM_BYTES) -> list[Any]:
        """The facts of one read that brought ``rows`` and was so long."""
        before = len(self.facts)
        self.stream.begin(AT, 42, read_bytes)
        self.take(*rows)
        self.stream.end()
        return self.facts[before:]

    def take(self, *rows: Row) -> None:
        for row in rows:
            for kind, fields in row_ticks(row):
                getattr(self.stream, kind)(fields)


def seen(facts: list[Any]) -> list[tuple[str, float] | int]:
    """Symbol and bid of each quote, and the number of superseded ones where that is told."""
    return [
        fact.superseded if isinstance(fact, QuotesConflated) else (fact.quote.symbol, fact.quote.bid) for fact in facts
    ]


THREE = (("AAPL", "10.00", "10.02"), ("AAPL", "10.01", "10.03"), ("AAPL", "10.02", "10.04"))


def test_only_the_latest_quote_of_a_long_read_goes_on_and_the_others_are_counted() -> None:
    facts = Stream().read(*THREE)
    assert facts == [
        QuoteReceived(at=AT, quote=Quote("AAPL", 10.02, 100.0, 10.04, 200.0, AT), received_ns=42),
        QuotesConflated(at=AT, superseded=2),
    ]


def test_every_quote_of_a_read_that_is_not_long_goes_on() -> None:
    assert seen(Stream().read(*THREE, read_bytes=BEHIND_FROM_BYTES - 1)) == [
        ("AAPL", 10.00),
        ("AAPL", 10.01),
        ("AAPL", 10.02),
    ]


def test_every_quote_of_a_long_read_goes_on_where_that_is_wanted() -> None:
    assert len(seen(Stream(conflate=False).read(*THREE))) == 3


def test_nothing_is_told_of_a_long_read_that_superseded_nothing() -> None:
    assert seen(Stream().read(("AAPL", "10.00", "10.02"), ("MSFT", "30.00", "30.02"))) == [
        ("AAPL", 10.00),
        ("MSFT", 30.00),
    ]


def test_the_next_read_that_is_not_long_brings_every_quote_again() -> None:
    stream = Stream()
    stream.read(*THREE)
    assert len(stream.read(*THREE, read_bytes=100)) == 3


def test_what_goes_on_keeps_the_order_in_which_it_came() -> None:
    facts: list[Any] = []
    latest = LatestQuotes(facts.append)
    for symbol, bid in (("AAPL", 10.0), ("MSFT", 30.0), ("AAPL", 10.01)):
        latest.add(Quote(symbol, bid, 1.0, 40.0, 1.0, AT))
    latest.end(AT, 1)
    assert seen(facts) == [("MSFT", 30.0), ("AAPL", 10.01), 1]


def test_a_bad_quote_supersedes_no_good_one_and_is_counted_as_bad() -> None:
    facts = Stream().read(("AAPL", "10.00", "10.02"), ("AAPL", "10.05", "10.03"))
    assert facts[0] == BadTickDropped(at=AT, symbol="AAPL", reason=BadTickReason.CROSSED)
    assert seen(facts[1:]) == [("AAPL", 10.00)]


def test_no_trade_is_superseded() -> None:
    stream = Stream()
    stream.stream.begin(AT, 42, BEHIND_FROM_BYTES)
    for price in ("10.01", "10.01", "10.02"):
        stream.take(("AAPL", "10.00", "10.02"))
        stream.stream.price(["1", "6", REQUESTS["AAPL"], "4", price, "300", "0"])
    stream.stream.end()
    assert [fact.price for fact in stream.facts if isinstance(fact, TradeReceived)] == [10.01, 10.01, 10.02]


def test_a_change_of_the_datas_kind_follows_the_quotes_before_it() -> None:
    stream = Stream()
    stream.stream.begin(AT, 42, BEHIND_FROM_BYTES)
    stream.take(*THREE, ("MSFT", "30.00", "30.02"))
    stream.stream.mode(["58", "1", REQUESTS["AAPL"], "3"])
    stream.stream.end()
    # The last row of each instrument may still be under way, as in any read: it leaves when the read ends.
    assert [type(fact) for fact in stream.facts[:2]] == [QuoteReceived, MarketDataModeReceived]
    assert stream.facts[1].mode is MarketDataMode.DELAYED
    assert seen([stream.facts[0], *stream.facts[2:]]) == [("AAPL", 10.01), ("AAPL", 10.02), ("MSFT", 30.00), 1]


def test_what_waits_can_be_let_go_at_any_time_and_is_let_go_once() -> None:
    facts: list[Any] = []
    latest = LatestQuotes(facts.append)
    for bid in (10.0, 11.0):
        latest.add(Quote("AAPL", bid, 1.0, 12.0, 1.0, AT))
    latest.release(AT, 1)
    latest.add(Quote("AAPL", 11.5, 1.0, 12.0, 1.0, AT))
    latest.end(AT, 1)
    latest.end(AT, 1)
    assert seen(facts) == [("AAPL", 11.0), ("AAPL", 11.5), 1]
