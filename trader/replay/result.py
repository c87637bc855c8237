"""What a replay gives back, and what it may not exceed."""

from datetime import datetime
from typing import Final

import msgspec

from trader.events import AnyFact
from trader.report.model import EquityPoint, PricePoint
from trader.settings import Settings
from trader.snapshot import Snapshot

FACTS_MAX: Final = 2_000_000


class ReplayError(Exception):
    """The replay cannot run as asked; the message is one sentence: what, where, what to do."""


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """One finished replay.

    ``started_at`` and ``ended_at`` are of the recording; ``wall_s`` is what the replay itself took. ``facts``
    are all that the engine reported, in order, without the market data and the timers that went in.
    ``equity`` is sampled each minute of virtual time, ``prices`` each quarter of one.
    """

    files: tuple[str, ...]
    settings: Settings
    started_at: datetime
    ended_at: datetime
    rows: int
    quotes: int
    trades: int
    wall_s: float
    facts: tuple[AnyFact, ...]
    equity: tuple[EquityPoint, ...]
    prices: dict[str, tuple[PricePoint, ...]]
    snapshot: Snapshot

    @property
    def quotes_per_s(self) -> float:
        return self.quotes / self.wall_s if self.wall_s > 0 else 0.0
