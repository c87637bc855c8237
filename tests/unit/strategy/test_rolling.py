"""Rolling mean and deviation against the textbook."""

import random
import statistics

import pytest

from trader.strategy.rolling import RollingStatistics


def test_it_agrees_with_the_textbook_over_any_window(seed: int) -> None:
    dice = random.Random(seed)
    window = dice.randint(2, 60)
    rolling, samples = RollingStatistics(window), []
    for _ in range(500):
        samples.append(10_000 + dice.gauss(0, 0.05))
        rolling.add(samples[-1])
        seen = samples[-window:]
        assert len(rolling) == len(seen)
        assert rolling.mean == pytest.approx(statistics.fmean(seen), abs=1e-9)
        assert rolling.deviation == pytest.approx(statistics.pstdev(seen), abs=1e-6)


def test_equal_samples_do_not_deviate() -> None:
    rolling = RollingStatistics(3)
    for _ in range(10):
        rolling.add(0.1)
    assert rolling.deviation == 0.0


def test_it_can_start_again() -> None:
    rolling = RollingStatistics(3)
    rolling.add(100.0)
    rolling.clear()
    rolling.add(1.0)
    assert (len(rolling), rolling.mean, rolling.deviation) == (1, 1.0, 0.0)


def test_a_window_needs_two_samples() -> None:
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        RollingStatistics(1)
