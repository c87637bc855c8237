"""A strategy that keeps wanting something else: what the simulation trades when it is given no configuration.

Rules: what it wants in a slot of time is a function of the seed, the instrument and the slot, so it wants the same
again after a restart.
"""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from trader.contracts import ZERO, Quote
from trader.strategy.api import MarketView, Target

# In units of ``UNIT_VALUE``; the largest is more than the limits of the simulation's configuration allow.
WANTED: Final = (-3, -2, -1, 0, 0, 1, 2, 3, 6)
UNIT_VALUE: Final = 12_000


class Restless:
    """Wants a position out of ``WANTED`` for every slot of ``period_s`` seconds."""

    name = "restless"

    def __init__(self, seed: int, period_s: float) -> None:
        self._seed = seed
        self._period_s = period_s
        self._slots: dict[str, int] = {}

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        slot = int(quote.at.timestamp() / self._period_s)
        if self._slots.get(quote.symbol) == slot:
            return ()
        self._slots[quote.symbol] = slot
        quantity = self._wanted(quote.symbol, slot) * max(1, round(UNIT_VALUE / quote.mid))
        if quantity == view.targets.get(quote.symbol, ZERO):
            return ()
        return (Target(quote.symbol, Decimal(quantity), f"slot {slot}"),)

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        return ()

    def _wanted(self, symbol: str, slot: int) -> int:
        digest = blake2b(f"{self._seed}/{symbol}/{slot}".encode(), digest_size=2).digest()
        return WANTED[int.from_bytes(digest, "big") % len(WANTED)]
