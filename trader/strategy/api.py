"""What a strategy is.

Rules: a strategy is pure. It sees market data and says which position it wants; it sends nothing, reads no
clock, no file, no account. The engine compares the wanted position with what is held and working, and asks
risk. Because a target depends on market data alone, a live run and a replay of the same data agree.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import msgspec

from trader.contracts import Instrument, Quote


class Target(msgspec.Struct, frozen=True, gc=False):
    """The position wanted in ``symbol``: signed units, 0 is flat. ``reason`` is for people, one line."""

    symbol: str
    quantity: Decimal
    reason: str


class MarketView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a strategy may look at.

    ``quotes`` holds the last good quote of each instrument that has one; ``targets`` what this strategy
    wanted last, by symbol. ``session_closes_at`` is None when the session is closed. ``capital`` is the
    configured amount to trade with, in the base currency.
    """

    at: datetime
    quotes: Mapping[str, Quote]
    instruments: Mapping[str, Instrument]
    targets: Mapping[str, Decimal]
    session_closes_at: datetime | None
    capital: Decimal


class Strategy(Protocol):
    """A strategy. Both methods return the targets that change; an empty result means "hold"."""

    name: str

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        """A good quote came, in session. Called for every one: keep it incremental."""
        ...

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        """The strategy's cron schedule came due (settings ``strategy.schedule``)."""
        ...
