"""Quotes and trades out of raw ticks.

Rules: the broker sends what changed of a quote in pieces (bid with size, bid size again, ask with size, ask
size again), so a quote leaves when the read batch ends, before a piece comes a second time, and before a bid
that follows an ask. So rows of the market stay apart however many arrive in one read, but for a bid that
changed alone just before an ask that did: only tick-by-tick data tells those from one row. A quote with a bad
side is dropped and counted, and the side counts as absent until a good one comes. This is the hot path: text
is compared, not parsed, until it is needed. While the service is behind, only the latest good quote of each
instrument goes on (``conflation.py``).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

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

Emit = Callable[[QuoteReceived | QuotesConflated | TradeReceived | BadTickDropped | MarketDataModeReceived], None]

BID: Final = 1
BID_SIZE: Final = 2
ASK: Final = 4
ASK_SIZE: Final = 8
LAST: Final = 16
LAST_SIZE: Final = 32
DELAYED: Final = 64

# The pieces that a further piece does not go with: itself, and for a bid also the ask that ended the row before.
BEGUN_BY: Final = {
    BID: BID | ASK | ASK_SIZE,
    BID_SIZE: BID_SIZE | ASK | ASK_SIZE,
    ASK: ASK,
    ASK_SIZE: ASK_SIZE,
}

# Tick types by their wire text: live, then delayed.
PRICE_TICKS: Final = {"1": BID, "2": ASK, "4": LAST, "66": BID | DELAYED, "67": ASK | DELAYED, "68": LAST | DELAYED}
SIZE_TICKS: Final = {
    "0": BID_SIZE,
    "3": ASK_SIZE,
    "5": LAST_SIZE,
    "69": BID_SIZE | DELAYED,
    "70": ASK_SIZE | DELAYED,
    "71": LAST_SIZE | DELAYED,
}
MODES: Final = {
    "1": MarketDataMode.LIVE,
    "2": MarketDataMode.FROZEN,
    "3": MarketDataMode.DELAYED,
    "4": MarketDataMode.DELAYED,
}
UNSET_FROM: Final = 1e300
# A quote may come late, but not before it was made; the rest is how far clocks of a fast simulated day differ.
AHEAD_MAX: Final = timedelta(days=1)


class QuoteBook:
    """What one subscription has said. ``quotes`` is False for a feed that brings trades only."""

    __slots__ = (
        "ask",
        "ask_size",
        "bid",
        "bid_size",
        "dirty",
        "heard",
        "last",
        "last_size",
        "mode",
        "pending",
        "quotes",
        "symbol",
    )

    def __init__(self, symbol: str, *, quotes: bool) -> None:
        self.symbol = symbol
        self.quotes = quotes
        self.mode: MarketDataMode | None = None  # not told yet; the one before it may have been another
        self.pending = 0
        self.heard = False
        self.dirty = False
        self.bid: float | None = None
        self.ask: float | None = None
        self.bid_size = self.ask_size = 0.0
        self.last = self.last_size = 0.0


def fault_of(bid: float, bid_size: float, ask: float, ask_size: float) -> BadTickReason | None:
    """Why these are no quote; None when they are one. A locked market (bid = ask) is one."""
    if bid > 0.0 and ask > 0.0 and bid_size > 0.0 and ask_size > 0.0 and bid < UNSET_FROM and ask < UNSET_FROM:
        if bid > ask:
            return BadTickReason.CROSSED
        return None if bid_size < UNSET_FROM and ask_size < UNSET_FROM else BadTickReason.NOT_FINITE
    if all(isfinite(value) and value < UNSET_FROM for value in (bid, bid_size, ask, ask_size)):
        return BadTickReason.NOT_POSITIVE
    return BadTickReason.NOT_FINITE


class QuoteStream:
    """Books by request id (as text); ``begin`` and ``end`` frame a read batch.

    ``on_first(request_id)`` is called with the first price of a subscription. ``conflate`` lets quotes of one read
    that the service is behind with be superseded by later ones of their instruments.
    """

    def __init__(self, emit: Emit, on_first: Callable[[int], None], *, allow_delayed: bool, conflate: bool) -> None:
        self._emit = emit
        self._on_first = on_first
        self._allow_delayed = allow_delayed
        self._conflate = conflate
        self._behind = False
        self._latest = LatestQuotes(emit)
        self._books: dict[str, QuoteBook] = {}
        self._dirty: list[QuoteBook] = []
        self._at = datetime.fromtimestamp(0, UTC)
        self._received_ns = 0

    def add(self, request_id: int, symbol: str, *, quotes: bool) -> None:
        self._books[str(request_id)] = QuoteBook(symbol, quotes=quotes)

    def remove(self, request_id: int) -> None:
        self._books.pop(str(request_id), None)

    def forget_first(self, request_id: int) -> None:
        """The subscription ended; should it go on by itself, its next price counts as its first."""
        book = self._books.get(str(request_id))
        if book is not None:
            book.heard = False

    def begin(self, at: datetime, received_ns: int, read_bytes: int) -> None:
        self._at = at
        self._received_ns = received_ns
        self._behind = self._conflate and read_bytes >= BEHIND_FROM_BYTES

    def release(self) -> None:
        """Let quotes go on that wait for later ones: something comes that none of them may follow."""
        if self._behind:
            self._latest.release(self._at, self._received_ns)

    def end(self) -> None:
        for book in self._dirty:
            book.dirty = False
            if book.pending:
                self._flush(book)
        self._dirty.clear()
        if self._behind:
            self._latest.end(self._at, self._received_ns)

    def price(self, fields: list[str]) -> None:
        """tickPrice: kind, version, request, type, price, size, mask."""
        book = self._books.get(fields[2])
        piece = PRICE_TICKS.get(fields[3])
        if book is None or piece is None or not fields[4]:
            return
        if not book.heard:
            book.heard = True
            self._on_first(int(fields[2]))
        if piece & DELAYED:
            if not self._accept_delayed(book):
                return
            piece &= ~DELAYED
        price = float(fields[4])
        size = float(fields[5] or 0)
        if piece == LAST:
            self._trade(book, price, size)
            return
        if not book.quotes:
            return
        self._piece(book, piece)
        if piece == BID:
            book.bid, book.bid_size = price, size
        else:
            book.ask, book.ask_size = price, size

    def size(self, fields: list[str]) -> None:
        """tickSize: kind, version, request, type, size. The one that repeats a price's size is no news."""
        book = self._books.get(fields[2])
        piece = SIZE_TICKS.get(fields[3])
        if book is None or piece is None:
            return
        if piece & DELAYED:
            if not self._accept_delayed(book):
                return
            piece &= ~DELAYED
        size = float(fields[4] or 0)
        if piece == LAST_SIZE:
            if size != book.last_size:
                self._trade(book, book.last, size)
        elif book.quotes and size != (book.bid_size if piece == BID_SIZE else book.ask_size):
            self._piece(book, piece)
            if piece == BID_SIZE:
                book.bid_size = size
            else:
                book.ask_size = size

    def bid_ask(self, fields: list[str]) -> None:
        """tickByTick, kind 3: kind, request, 3, seconds, bid, ask, bidSize, askSize, mask; one message, one quote."""
        book = self._books.get(fields[1])
        if book is None or fields[2] != "3":
            return
        quoted_at = datetime.fromtimestamp(int(fields[3]), UTC)
        if quoted_at - self._at > AHEAD_MAX:
            raise ValueError(f"a quote of {quoted_at} comes before it was made")
        bid, ask, bid_size, ask_size = (float(field) for field in fields[4:8])
        book.bid, book.ask, book.bid_size, book.ask_size = bid, ask, bid_size, ask_size
        book.pending = BID | ASK
        self._flush(book, quoted_at)

    def mode(self, fields: list[str]) -> None:
        """marketDataType: kind, version, request, type."""
        book = self._books.get(fields[2])
        mode = MODES.get(fields[3])
        if book is not None and mode is not None:
            self._set_mode(book, mode)

    def _piece(self, book: QuoteBook, piece: int) -> None:
        if book.pending & BEGUN_BY[piece]:
            self._flush(book)
        if not book.dirty:
            book.dirty = True
            self._dirty.append(book)
        book.pending |= piece

    def _flush(self, book: QuoteBook, quoted_at: datetime | None = None) -> None:
        book.pending = 0
        if book.bid is None or book.ask is None:
            return
        fault = fault_of(book.bid, book.bid_size, book.ask, book.ask_size)
        if fault is not None:
            self._emit(BadTickDropped(at=self._at, symbol=book.symbol, reason=fault))
            return
        quote = Quote(book.symbol, book.bid, book.bid_size, book.ask, book.ask_size, quoted_at or self._at)
        if self._behind:
            self._latest.add(quote)
            return
        self._emit(QuoteReceived(at=self._at, quote=quote, received_ns=self._received_ns))

    def _trade(self, book: QuoteBook, price: float, size: float) -> None:
        book.last, book.last_size = price, size
        if not (0.0 < price < UNSET_FROM and 0.0 < size < UNSET_FROM):
            finite = isfinite(price) and isfinite(size) and max(price, size) < UNSET_FROM
            reason = BadTickReason.NOT_POSITIVE if finite else BadTickReason.NOT_FINITE
            self._emit(BadTickDropped(at=self._at, symbol=book.symbol, reason=reason))
            return
        self._emit(
            TradeReceived(at=self._at, symbol=book.symbol, price=price, size=size, received_ns=self._received_ns)
        )

    def _accept_delayed(self, book: QuoteBook) -> bool:
        # Delayed prices look like live ones; without leave to use them they only change the mode.
        self._set_mode(book, MarketDataMode.DELAYED)
        return self._allow_delayed

    def _set_mode(self, book: QuoteBook, mode: MarketDataMode) -> None:
        if book.mode is not mode:
            book.mode = mode
            self.release()
            self._emit(MarketDataModeReceived(at=self._at, symbol=book.symbol, mode=mode))
