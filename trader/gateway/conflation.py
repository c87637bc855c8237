"""The latest quote of each instrument, while the service is behind.

Rules: a read of the socket that is this long says that its bytes came while the service was busy with what came
before. Then a quote waits until its read ends, and one of the same instrument that comes meanwhile takes its place
and is counted. What waits leaves in the order in which it came, so that what goes on is what would have gone on,
with gaps. Before any message that is not a tick everything that waits leaves, so that it stands where it would have
among the facts of orders. Prints of trades do overtake waiting quotes; they are the market's, not ours, and everything
of one read has one time.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from trader.contracts import Quote
from trader.events import QuoteReceived, QuotesConflated

# At 4,000 quotes a second so much comes in about 0.1 s, and is a few milliseconds' work. asyncio reads 256 KiB at most.
BEHIND_FROM_BYTES: Final = 65_536


class LatestQuotes:
    """Quotes that wait for the end of one read."""

    __slots__ = ("_emit", "_superseded", "_waiting")

    def __init__(self, emit: Callable[[QuoteReceived | QuotesConflated], None]) -> None:
        self._emit = emit
        self._waiting: dict[str, Quote] = {}
        self._superseded = 0

    def add(self, quote: Quote) -> None:
        """Let ``quote`` wait, behind all others, instead of an older one of its instrument."""
        if self._waiting.pop(quote.symbol, None) is not None:
            self._superseded += 1
        self._waiting[quote.symbol] = quote

    def release(self, at: datetime, received_ns: int) -> None:
        """Let everything that waits go on, as received at ``at``."""
        waiting, self._waiting = self._waiting, {}
        for quote in waiting.values():
            self._emit(QuoteReceived(at=at, quote=quote, received_ns=received_ns))

    def end(self, at: datetime, received_ns: int) -> None:
        """The read has ended: let go on what waits, and tell how many were superseded."""
        self.release(at, received_ns)
        superseded, self._superseded = self._superseded, 0
        if superseded:
            self._emit(QuotesConflated(at=at, superseded=superseded))
