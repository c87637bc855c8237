"""Bars from the exchange's own, bounded history.

Rules: the hot path only appends events to a list; they are folded into one-second bars when the list is
long or somebody asks. A bar covers [start, start + size) and seconds without news have no bar. Prices of
kind MIDPOINT are exact halves.
"""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import msgspec

from trader.contracts import ZERO
from trader.simulator.model import MarketEvent

What = Literal["TRADES", "MIDPOINT", "BID", "ASK"]
MAX_PENDING_EVENTS: Final = 4_096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TWO: Final = Decimal(2)


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` is the bar's start. ``volume`` in units and ``average`` (VWAP) are of trades, else −1 and the close."""

    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    average: Decimal
    count: int


class _Second:
    """One second of one contract: open, high, low, close of each price, and the trades' sums."""

    __slots__ = ("ask", "bid", "count", "midpoint", "second", "trades", "value", "volume")

    def __init__(self, second: int) -> None:
        self.second = second
        self.trades: list[Decimal] | None = None
        self.bid: list[Decimal] | None = None
        self.ask: list[Decimal] | None = None
        self.midpoint: list[Decimal] | None = None
        self.volume = ZERO
        self.value = ZERO
        self.count = 0


def _extend(prices: list[Decimal] | None, price: Decimal) -> list[Decimal]:
    """Add ``price`` to [open, high, low, close]."""
    if prices is None:
        return [price, price, price, price]
    if price > prices[1]:
        prices[1] = price
    elif price < prices[2]:
        prices[2] = price
    prices[3] = price
    return prices


class BarHistory:
    """The last ``max_bars`` seconds with news of one contract."""

    def __init__(self, max_bars: int) -> None:
        self._pending: list[MarketEvent] = []
        self._seconds: deque[_Second] = deque(maxlen=max_bars)
        self._bid: Decimal | None = None
        self._ask: Decimal | None = None

    def add(self, event: MarketEvent) -> None:
        self._pending.append(event)
        if len(self._pending) >= MAX_PENDING_EVENTS:
            self._fold()

    def bars(self, end: datetime, duration_s: float, bar_size_s: float, what: What) -> tuple[Bar, ...]:
        """Bars of ``bar_size_s`` (at least 1) seconds that start in the ``duration_s`` before ``end``."""
        self._fold()
        end_s = (end - _EPOCH).total_seconds()
        size = max(1, int(bar_size_s))
        buckets: dict[int, list[_Second]] = {}
        for item in self._between(end_s - duration_s, end_s):
            buckets.setdefault(item.second - item.second % size, []).append(item)
        made = (_merge(start, items, what) for start, items in buckets.items())
        return tuple(bar for bar in made if bar is not None)

    def _between(self, start_s: float, end_s: float) -> list[_Second]:
        """Seconds in [start, end), oldest first; the newest are found fastest."""
        found = []
        for item in reversed(self._seconds):
            if item.second < start_s:
                break
            if item.second < end_s:
                found.append(item)
        found.reverse()
        return found

    def _fold(self) -> None:
        for event in self._pending:
            second = int(event.at.timestamp())
            if not self._seconds or self._seconds[-1].second != second:
                self._seconds.append(_Second(second))
            self._fold_one(self._seconds[-1], event)
        self._pending.clear()

    def _fold_one(self, item: _Second, event: MarketEvent) -> None:
        if event.bid is not None and event.bid > 0:
            self._bid = event.bid
            item.bid = _extend(item.bid, event.bid)
        if event.ask is not None and event.ask > 0:
            self._ask = event.ask
            item.ask = _extend(item.ask, event.ask)
        if (event.bid is not None or event.ask is not None) and self._bid is not None and self._ask is not None:
            item.midpoint = _extend(item.midpoint, (self._bid + self._ask) / _TWO)
        if event.last is not None:
            size = event.last_size or ZERO
            item.trades = _extend(item.trades, event.last)
            item.volume += size
            item.value += event.last * size
            item.count += 1


def _merge(start: int, items: Iterable[_Second], what: What) -> Bar | None:
    """One bar out of the seconds it covers; None when none of them has a price of this kind."""
    kind = what.lower()
    prices: list[list[Decimal]] = []
    volume, value, count = ZERO, ZERO, 0
    for item in items:
        own: list[Decimal] | None = getattr(item, kind)
        if own is not None:
            prices.append(own)
        volume, value, count = volume + item.volume, value + item.value, count + item.count
    if not prices:
        return None
    close = prices[-1][3]
    of_trades = what == "TRADES"
    return Bar(
        at=_EPOCH + timedelta(seconds=start),
        open=prices[0][0],
        high=max(item[1] for item in prices),
        low=min(item[2] for item in prices),
        close=close,
        volume=volume if of_trades else Decimal(-1),
        average=value / volume if of_trades and volume else close,
        count=count if of_trades else -1,
    )
