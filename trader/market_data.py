"""The last good quote of each instrument, and which of them are stale.

Rules: a bad quote (not finite, not positive, crossed, far from the last one) never replaces a good one and
is counted. Staleness is per subscription: one silent instrument is stale although the others tick.
"""

import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from trader.contracts import Quote
from trader.events import BadTickReason, MarketDataMode, SubscriptionStatus
from trader.settings import MarketDataSettings

# After a real gap (a halt, an opening auction) every quote looks like an outlier; so many in a row are the
# market's new level.
OUTLIERS_BELIEVED: Final = 5
# An unset price is 1.797e308 on the wire; nothing real comes near this.
PRICE_MAX: Final = 1e12


class MarketData:
    """Quotes by symbol; ``quotes`` is what strategies and risk look at."""

    def __init__(self, settings: MarketDataSettings) -> None:
        self.settings = settings
        self.quotes: dict[str, Quote] = {}
        self.subscriptions: dict[str, SubscriptionStatus] = {}
        self.subscribed_at: dict[str, datetime] = {}
        self.modes: dict[str, MarketDataMode] = {}
        self.stale: set[str] = set()
        self.ticks = 0
        self.last_tick_at: datetime | None = None
        self._outliers: dict[str, int] = {}

    def accept(self, quote: Quote) -> BadTickReason | None:
        """Take ``quote`` as the last good one, or say why not."""
        self.ticks += 1
        bid, ask = quote.bid, quote.ask
        if not 0.0 < bid <= ask <= PRICE_MAX:
            return _what_is_wrong(bid, ask)
        symbol = quote.symbol
        last = self.quotes.get(symbol)
        if last is not None and self._is_outlier(last, bid + ask):
            self._outliers[symbol] = self._outliers.get(symbol, 0) + 1
            if self._outliers[symbol] < OUTLIERS_BELIEVED:
                return BadTickReason.OUTLIER
        if self._outliers:
            self._outliers.pop(symbol, None)
        self.quotes[symbol] = quote
        self.last_tick_at = quote.at
        return None

    def _is_outlier(self, last: Quote, twice_mid: float) -> bool:
        before = last.bid + last.ask
        return abs(twice_mid - before) > self.settings.outlier_ratio * before

    def subscribe(self, symbol: str, status: SubscriptionStatus, at: datetime) -> None:
        """Note what became of a subscription."""
        self.subscriptions[symbol] = status
        self.subscribed_at[symbol] = at

    def lose_subscriptions(self) -> None:
        """The link is gone: nothing ticks any more, and what is expected to is silent."""
        self.subscriptions = dict.fromkeys(self.subscriptions, SubscriptionStatus.LOST)

    def silent(self, now: datetime) -> set[str]:
        """The subscribed instruments that ought to have ticked by now and did not."""
        patience = timedelta(seconds=self.settings.stale_after_s)
        return {
            symbol
            for symbol in self.subscriptions
            if self.is_stale(symbol, now) and now - self.subscribed_at[symbol] > patience
        }

    def age_s(self, symbol: str, now: datetime) -> float | None:
        """Seconds since the last good quote; None when there is none."""
        quote = self.quotes.get(symbol)
        return (now - quote.at).total_seconds() if quote else None

    def is_stale(self, symbol: str, now: datetime) -> bool:
        """Whether the instrument has no quote young enough to trade on."""
        quote = self.quotes.get(symbol)
        # Far ahead is as bad as far behind: it would stay fresh until its time has come.
        return quote is None or abs(now - quote.at) > timedelta(seconds=self.settings.stale_after_s)

    def mark(self, symbol: str, tick_size: Decimal) -> Decimal | None:
        """The mid price, to a tenth of a tick; None when there is no good quote."""
        quote = self.quotes.get(symbol)
        if quote is None:
            return None
        return Decimal(repr(quote.mid)).quantize(tick_size / 10)

    @property
    def mode(self) -> MarketDataMode:
        """The worst mode of any subscription."""
        for mode in (MarketDataMode.FROZEN, MarketDataMode.DELAYED):
            if mode in self.modes.values():
                return mode
        return MarketDataMode.LIVE

    def subscribed(self) -> int:
        return sum(1 for status in self.subscriptions.values() if status is SubscriptionStatus.SUBSCRIBED)


def _what_is_wrong(bid: float, ask: float) -> BadTickReason:
    if not (math.isfinite(bid) and math.isfinite(ask)) or max(bid, ask) > PRICE_MAX:
        return BadTickReason.NOT_FINITE
    return BadTickReason.NOT_POSITIVE if min(bid, ask) <= 0.0 else BadTickReason.CROSSED
