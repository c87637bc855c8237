"""The strategy that the service runs on the wire: an order on every marker, alternately in and out.

Named in the configuration as ``benchmarks.wire.strategy:OnMarker``. It counts nothing and keeps nothing: what it
costs is what any strategy costs.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from trader.contracts import ZERO, Quote
from trader.strategy.api import MarketView, Target

MARKER_ASK: Final = 101.0
QUANTITY: Final = Decimal(100)


class OnMarker:
    """Buys on an instrument's marker, and sells on its next."""

    name = "on_marker"

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        if quote.ask != MARKER_ASK:
            return ()
        held = view.targets.get(quote.symbol, ZERO)
        return (Target(quote.symbol, ZERO if held else QUANTITY, "a marker"),)

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        return ()
