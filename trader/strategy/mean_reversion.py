"""Mean reversion: sell what is far above its rolling mean, buy what is far below, leave near the mean.

The mid price that prevails at every ``sample_interval_s`` of the clock is a sample; the score is the distance of
the current mid from the mean of the last ``window`` samples, in standard deviations. Only a mid that changed is
looked at, so that feeds which repeat quotes and feeds which do not lead to the same decisions. Everything
restarts with each session. An example to run and measure, with no claim that it earns money in a real market.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated

import msgspec

from trader.contracts import ONE, ZERO, Instrument, Quote
from trader.strategy.api import MarketView, Target
from trader.strategy.rolling import RollingStatistics

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``position_ratio`` of the capital goes into one position; ``min_edge_ratio`` is the smallest distance
    from the mean, relative to the price, that is worth the costs."""

    window: Annotated[int, msgspec.Meta(ge=5, le=10_000)] = 120
    sample_interval_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 15.0
    entry_score: Annotated[float, msgspec.Meta(gt=0, le=20)] = 2.5
    exit_score: Annotated[float, msgspec.Meta(ge=0, le=20)] = 0.5
    min_edge_ratio: Annotated[float, msgspec.Meta(ge=0, le=0.1)] = 0.001
    position_ratio: Ratio = 0.2
    max_holding_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 3600.0


class _Track:
    """One instrument's window in one session."""

    __slots__ = ("entered_at", "mid", "next_sample_at", "session", "statistics")

    def __init__(self, window: int) -> None:
        self.statistics = RollingStatistics(window)
        self.session: datetime | None = None
        self.next_sample_at: datetime | None = None
        self.entered_at: datetime | None = None
        self.mid = 0.0


class MeanReversion:
    """The built-in ``mean_reversion``."""

    name = "mean_reversion"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._interval = timedelta(seconds=self.parameters.sample_interval_s)
        self._max_holding = timedelta(seconds=self.parameters.max_holding_s)
        self._tracks: dict[str, _Track] = {}

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        track = self._tracks.get(quote.symbol)
        if track is None:
            track = self._tracks[quote.symbol] = _Track(self.parameters.window)
        if track.session != view.session_closes_at:
            self._restart(track, view)
        mid = (quote.bid + quote.ask) / 2.0
        if mid == track.mid:
            return ()
        if track.next_sample_at is None:
            track.next_sample_at = self._grid_after(quote.at)
        elif quote.at >= track.next_sample_at:
            self._sample(track, quote.at)
        track.mid = mid
        if len(track.statistics) < self.parameters.window:
            return ()
        held = view.targets.get(quote.symbol, ZERO)
        return self._leave(track, quote, held) if held else self._enter(track, quote, view)

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        return ()

    def _restart(self, track: _Track, view: MarketView) -> None:
        track.statistics.clear()
        track.session = view.session_closes_at
        track.next_sample_at = track.entered_at = None
        track.mid = 0.0

    def _grid_after(self, moment: datetime) -> datetime:
        return moment + self._interval - (moment - EPOCH) % self._interval

    def _sample(self, track: _Track, now: datetime) -> None:
        """Add the mid that prevailed, once for every point of the grid that passed with it."""
        assert track.next_sample_at is not None
        passed = (now - track.next_sample_at) // self._interval + 1
        for _ in range(min(passed, self.parameters.window)):
            track.statistics.add(track.mid)
        track.next_sample_at = self._grid_after(now)

    def _enter(self, track: _Track, quote: Quote, view: MarketView) -> Iterable[Target]:
        mean, deviation = track.statistics.mean, track.statistics.deviation
        distance = track.mid - mean
        if abs(distance) < self.parameters.entry_score * deviation or deviation == 0.0:
            return ()
        if abs(distance) < self.parameters.min_edge_ratio * mean + (quote.ask - quote.bid):
            return ()
        quantity = self._quantity(track.mid, view.instruments[quote.symbol], view.capital)
        if quantity == 0:
            return ()
        track.entered_at = quote.at
        score = distance / deviation
        target = -quantity if distance > 0 else quantity
        return (Target(quote.symbol, target, f"{score:+.2f} deviations from the mean of {mean:.4f}"),)

    def _leave(self, track: _Track, quote: Quote, held: Decimal) -> Iterable[Target]:
        distance = (track.mid - track.statistics.mean) * (1 if held > 0 else -1)
        if distance >= -self.parameters.exit_score * track.statistics.deviation:
            return (Target(quote.symbol, ZERO, "back at the mean"),)
        if track.entered_at is None:
            track.entered_at = quote.at  # a restart in the middle of a trade: count from here
        if quote.at - track.entered_at >= self._max_holding:
            return (Target(quote.symbol, ZERO, "held long enough"),)
        return ()

    def _quantity(self, price: float, instrument: Instrument, capital: Decimal) -> Decimal:
        budget = capital * Decimal(repr(self.parameters.position_ratio))
        value = Decimal(repr(price)) * instrument.multiplier
        return (budget / value).quantize(ONE, rounding=ROUND_FLOOR)
