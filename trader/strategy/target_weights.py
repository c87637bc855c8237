"""Target weights: hold fixed shares of the capital in each instrument, rebalanced on a schedule.

The schedule is a cron expression in ``strategy.schedule``. A position is left alone while its distance from
the target is below ``min_trade_ratio`` of the capital, because small corrections cost more than they mend.
"""

from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal
from typing import Annotated

import msgspec

from trader.contracts import ONE, ZERO, Quote
from trader.strategy.api import MarketView, Target


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``weights`` by symbol: shares of the capital, negative for short."""

    weights: dict[str, Annotated[float, msgspec.Meta(ge=-1, le=1)]]
    min_trade_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01


class TargetWeights:
    """The built-in ``target_weights``."""

    name = "target_weights"

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        return ()

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        targets = (self._target(symbol, weight, view) for symbol, weight in self.parameters.weights.items())
        return [target for target in targets if target is not None]

    def _target(self, symbol: str, weight: float, view: MarketView) -> Target | None:
        quote = view.quotes.get(symbol)
        if quote is None:
            return None
        value = Decimal(repr(quote.mid)) * view.instruments[symbol].multiplier
        wanted = (view.capital * Decimal(repr(weight)) / value).quantize(ONE, rounding=ROUND_DOWN)
        change = abs(wanted - view.targets.get(symbol, ZERO)) * value
        if change < view.capital * Decimal(repr(self.parameters.min_trade_ratio)):
            return None
        return Target(symbol, wanted, f"weight {weight:g}")
