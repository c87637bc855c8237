"""The built-in strategies: what they want, and when."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import Instrument, Quote
from trader.strategy.api import MarketView, Target
from trader.strategy.mean_reversion import MeanReversion, Parameters
from trader.strategy.observe import Observe
from trader.strategy.target_weights import Parameters as Weights
from trader.strategy.target_weights import TargetWeights

OPEN = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
CLOSE = datetime(2013, 10, 7, 20, 0, tzinfo=UTC)
D = Decimal
INSTRUMENTS = {"AAPL": Instrument(symbol="AAPL"), "ES": Instrument(symbol="ES", multiplier=D(50))}


def quote(mid: float, seconds: float = 0.0, spread: float = 0.02, symbol: str = "AAPL") -> Quote:
    return Quote(symbol, mid - spread / 2, 1.0, mid + spread / 2, 1.0, OPEN + timedelta(seconds=seconds))


def view(
    targets: Mapping[str, Decimal] | None = None, closes: datetime = CLOSE, quotes: Mapping[str, Quote] | None = None
) -> MarketView:
    return MarketView(
        at=OPEN,
        quotes=quotes or {},
        instruments=INSTRUMENTS,
        targets=targets or {},
        session_closes_at=closes,
        capital=D(100_000),
    )


class Played:
    """Mean reversion over a list of mids, one a sample, with what it wants fed back to it."""

    def __init__(self, **parameters: Any) -> None:
        self.strategy = MeanReversion(Parameters(**{"window": 5, "sample_interval_s": 1.0, **parameters}))
        self.targets: dict[str, Decimal] = {}
        self.seconds = 0.0

    def see(self, mid: float, spread: float = 0.02, after_s: float = 1.0, closes: datetime = CLOSE) -> list[Target]:
        self.seconds += after_s
        wanted = list(self.strategy.on_quote(quote(mid, self.seconds, spread), view(self.targets, closes)))
        self.targets.update({target.symbol: target.quantity for target in wanted})
        return wanted

    def warm(self, *mids: float) -> "Played":
        for mid in mids or (100.0, 100.1, 99.9, 100.1, 99.9):
            assert self.see(mid) == []
        return self


def test_mean_reversion_wants_nothing_before_its_window_is_full() -> None:
    played = Played()
    for _ in range(4):
        assert played.see(100.0) == []
    assert played.see(200.0) == []


@pytest.mark.parametrize(("mid", "quantity"), [(98.0, 204), (102.0, -196)])
def test_mean_reversion_buys_far_below_and_sells_far_above_the_mean(mid: float, quantity: int) -> None:
    played = Played(entry_score=1.5).warm()
    (target,) = played.see(mid)
    assert (target.symbol, target.quantity) == ("AAPL", quantity)
    assert "deviations from the mean" in target.reason


def test_mean_reversion_leaves_near_the_mean() -> None:
    played = Played(entry_score=1.5).warm()
    played.see(98.0)
    assert played.see(98.0) == []
    (target,) = played.see(100.0)
    assert (target.quantity, target.reason) == (0, "back at the mean")


def test_mean_reversion_leaves_what_it_held_long_enough() -> None:
    played = Played(entry_score=1.5, max_holding_s=10.0, exit_score=0.0).warm()
    played.see(98.0)
    wanted = [played.see(98.0 - number) for number in range(1, 11)]
    assert [len(targets) for targets in wanted] == [0] * 9 + [1]
    assert wanted[-1][0].reason == "held long enough"


@pytest.mark.parametrize(("min_edge", "spread"), [(0.05, 0.02), (0.0, 3.0)])
def test_mean_reversion_ignores_a_distance_that_is_not_worth_the_costs(min_edge: float, spread: float) -> None:
    played = Played(entry_score=1.5, min_edge_ratio=min_edge).warm()
    assert played.see(98.0, spread) == []


def test_mean_reversion_wants_nothing_in_a_market_that_stands_still() -> None:
    played = Played().warm(100.0, 100.0, 100.0, 100.0, 100.0)
    assert played.see(100.0) == []


def test_mean_reversion_samples_at_most_once_an_interval() -> None:
    played = Played(sample_interval_s=10.0)
    for number in range(30):
        assert played.see(100.0 + number % 2, after_s=1.0) == []
    assert len(played.strategy._tracks["AAPL"].statistics) == 3


def test_mean_reversion_samples_what_prevailed_through_a_silence() -> None:
    played = Played(window=50)
    for mid, after_s in ((100.0, 1.0), (101.0, 10.0), (102.0, 10.0)):
        played.see(mid, after_s=after_s)
    assert len(played.strategy._tracks["AAPL"].statistics) == 20
    assert played.strategy._tracks["AAPL"].statistics.mean == 100.5


def test_mean_reversion_starts_again_with_each_session() -> None:
    played = Played(entry_score=1.5).warm()
    assert played.see(98.0, closes=CLOSE + timedelta(days=1)) == []


def test_mean_reversion_counts_a_futures_multiplier() -> None:
    strategy = MeanReversion(Parameters(window=5, sample_interval_s=1.0, entry_score=1.5))
    wanted: list[Target] = []
    for number, mid in enumerate((100.0, 100.1, 99.9, 100.1, 99.9, 98.0)):
        wanted = list(strategy.on_quote(quote(mid, number, symbol="ES"), view()))
    assert wanted[0].quantity == 4


def test_target_weights_holds_shares_of_the_capital() -> None:
    strategy = TargetWeights(Weights(weights={"AAPL": 0.5, "ES": -0.25, "MSFT": 0.1}))
    quotes = {"AAPL": quote(100.0), "ES": quote(100.0, symbol="ES")}
    targets = {target.symbol: target.quantity for target in strategy.on_schedule(view(quotes=quotes))}
    assert targets == {"AAPL": 500, "ES": -5}, "an instrument without a quote is left alone"


def test_target_weights_leaves_small_corrections_alone() -> None:
    strategy = TargetWeights(Weights(weights={"AAPL": 0.5}, min_trade_ratio=0.01))
    quotes = {"AAPL": quote(100.0)}
    assert list(strategy.on_schedule(view({"AAPL": D(491)}, quotes=quotes))) == []
    assert next(iter(strategy.on_schedule(view({"AAPL": D(490)}, quotes=quotes)))).quantity == 500


def test_target_weights_and_observe_want_nothing_on_a_quote() -> None:
    assert list(TargetWeights(Weights(weights={"AAPL": 1.0})).on_quote(quote(100.0), view())) == []
    assert list(Observe().on_quote(quote(100.0), view())) == []
    assert list(Observe().on_schedule(view())) == []
