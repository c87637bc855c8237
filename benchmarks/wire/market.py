"""The market of the wire benchmarks: a still exchange to trade at, and encoded ticks to look at.

Rules: a tick is one message with a changed ask, which is one quote of an instrument. The bid stands still. A client
buys or sells on a *marker*: a tick at ``MARKER_ASK``, at which no other tick ever is. The exchange's own quote stands
still inside of all of them, so that every order is filled at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Final

from trader.simulator.market import MarketSource
from trader.simulator.model import MarketEvent
from trader.simulator.wire.encode_market import LIVE_TICKS, tick_price

SYMBOLS: Final = tuple(f"T{number:02}" for number in range(50))
BID: Final = Decimal("100.00")
ASK: Final = Decimal("100.01")
MARKER_ASK: Final = Decimal("101.00")
TICK_SIZE: Final = Decimal("0.01")
SIZE: Final = Decimal(500)
DEPTH: Final = Decimal(10**9)
ASKS: Final = tuple(ASK + TICK_SIZE * step for step in range(1, 33))


class StillMarket(MarketSource):
    """One quote of every symbol, and then nothing."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = tuple(symbols)
        self._start = datetime.now(UTC)

    @property
    def contracts(self) -> tuple[str, ...]:
        return self._symbols

    @property
    def start(self) -> datetime:
        return self._start

    def events(self) -> Iterator[MarketEvent]:
        for symbol in self._symbols:
            yield MarketEvent(at=self._start, symbol=symbol, bid=BID, bid_size=DEPTH, ask=ASK, ask_size=DEPTH)


class Ticks:
    """Encoded ticks for one client. ``requests`` are its request ids by contract id; ``rng`` picks who ticks."""

    def __init__(self, requests: Mapping[int, int], version: int, rng: Random) -> None:
        self._con_ids = tuple(requests)
        self._frames = [tuple(_ask(number, ask, version) for ask in ASKS) for number in requests.values()]
        self._markers = [_ask(number, MARKER_ASK, version) for number in requests.values()]
        self._next = [0] * len(self._frames)
        self._rng = rng
        self._marked = 0

    def tick(self) -> bytes:
        """The next tick of any one instrument; its ask is another one than that of its last."""
        which = int(self._rng.random() * len(self._frames))
        step = self._next[which] = (self._next[which] + 1) % len(ASKS)
        return self._frames[which][step]

    def ticks(self, count: int) -> bytes:
        """So many ticks one after the other."""
        return b"".join(self.tick() for _ in range(count))

    def marker(self) -> tuple[int, bytes]:
        """The next instrument's contract id, and the tick on which its order is to come."""
        which = self._marked = (self._marked + 1) % len(self._markers)
        return self._con_ids[which], self._markers[which]


def _ask(request_id: int, ask: Decimal, version: int) -> bytes:
    return tick_price(request_id, LIVE_TICKS.ask, ask, SIZE, version, "1")
