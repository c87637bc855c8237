"""Observe: watches the market and never trades. For recording a day, or for trying a connection."""

from collections.abc import Iterable

from trader.contracts import Quote
from trader.strategy.api import MarketView, Target


class Observe:
    """The built-in ``observe``."""

    name = "observe"

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        return ()

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        return ()
