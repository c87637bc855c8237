"""A strategy of one's own: buy what rises above its opening range, sell it when it falls below.

    strategy:
      name: own_strategy:OpeningRange       # PYTHONPATH=examples, so that Python finds this module
      parameters: {minutes: 30, position_ratio: 0.2}

Rules: pure. It keeps the range of each instrument and says which position it wants; orders, limits and the flat
close are the service's. After a restart in mid-session the range is that of the first minutes after the restart.
An example to start from, with no claim that it earns money.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from trader.contracts import ONE, ZERO, Quote
from trader.strategy.api import MarketView, Target


@dataclass
class Range:
    session: datetime | None
    complete_at: datetime
    low: float
    high: float


class OpeningRange:
    name = "opening_range"

    def __init__(self, minutes: float = 30, position_ratio: float = 0.2) -> None:
        if minutes <= 0 or not 0 < position_ratio <= 1:
            raise ValueError("minutes must be positive, and position_ratio above 0 and at most 1")
        self._length, self._ratio = timedelta(minutes=minutes), Decimal(str(position_ratio))
        self._ranges: dict[str, Range] = {}

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        seen = self._ranges.get(quote.symbol)
        if seen is None or seen.session != view.session_closes_at:
            complete_at = quote.at + self._length
            self._ranges[quote.symbol] = Range(view.session_closes_at, complete_at, quote.mid, quote.mid)
        elif quote.at < seen.complete_at:
            seen.low, seen.high = min(seen.low, quote.mid), max(seen.high, quote.mid)
        elif quote.mid > seen.high and not view.targets.get(quote.symbol):
            value = Decimal(str(quote.mid)) * view.instruments[quote.symbol].multiplier
            quantity = (view.capital * self._ratio / value).quantize(ONE, rounding=ROUND_FLOOR)
            return [Target(quote.symbol, quantity, f"above the opening range's {seen.high:.3f}")]
        elif quote.mid < seen.low and view.targets.get(quote.symbol):
            return [Target(quote.symbol, ZERO, f"below the opening range's {seen.low:.3f}")]
        return ()

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        return ()
