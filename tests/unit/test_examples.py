"""The examples that come along work as they say."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trader.cli.check import check
from trader.events import FillBooked, SignalChanged
from trader.replay import ReplayResult, run_replay
from trader.settings import Settings, StrategySettings
from trader.settings_file import ConfigurationError
from trader.simulator.faults import load_faults
from trader.simulator.recorded import COLUMNS
from trader.strategy.loader import StrategyError, load_strategy

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
RECORDED_DAY = EXAMPLES / "recorded_day.yaml"
FAULTS = EXAMPLES / "faults.yaml"
OWN_STRATEGY = "own_strategy:OpeningRange"
OPENS_AT = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
# Bids in cents: what a minute is worth. The first two minutes are the opening range.
BREAKS_OUT_AND_FALLS_BACK = (10_000, 10_010, 10_005, 10_050, 10_060, 9_980, 9_980)
STAYS_IN_ITS_RANGE = (10_000, 10_010, 10_005, 10_009, 10_001, 10_008, 10_003)


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PYTHONPATH=examples does."""
    monkeypatch.syspath_prepend(EXAMPLES)


def rows(cents_by_minute: Iterable[int]) -> Iterable[str]:
    yield ",".join(COLUMNS)
    for minute, cents in enumerate(cents_by_minute):
        for second in range(0, 60, 5):
            at = OPENS_AT + timedelta(minutes=minute, seconds=second)
            yield f"{at:%Y-%m-%dT%H:%M:%SZ},SPY,{cents / 100:.2f},500,{(cents + 1) / 100:.2f},500,,"


def replay(path: Path, cents_by_minute: Iterable[int]) -> ReplayResult:
    path.write_text("\n".join(rows(cents_by_minute)) + "\n")
    strategy = {"name": OWN_STRATEGY, "capital": 50_000, "parameters": {"minutes": 2, "position_ratio": 0.2}}
    return run_replay([path], Settings.model_validate({"instruments": ["SPY"], "strategy": strategy}))


def test_the_own_strategy_buys_a_rise_above_the_opening_range_and_sells_a_fall_below_it(tmp_path: Path) -> None:
    result = replay(tmp_path / "day.csv", BREAKS_OUT_AND_FALLS_BACK)
    signals = [fact for fact in result.facts if isinstance(fact, SignalChanged)]
    assert [(signal.target, signal.reason) for signal in signals] == [
        (Decimal(99), "above the opening range's 100.105"),
        (Decimal(0), "below the opening range's 100.005"),
    ]
    assert sum(fact.line.quantity for fact in result.facts if isinstance(fact, FillBooked)) == 2 * 99
    assert not result.snapshot.positions


def test_the_own_strategy_leaves_a_market_inside_its_range_alone(tmp_path: Path) -> None:
    result = replay(tmp_path / "day.csv", STAYS_IN_ITS_RANGE)
    assert not [fact for fact in result.facts if isinstance(fact, SignalChanged)]


@pytest.mark.parametrize("parameters", [{"minutes": 0}, {"position_ratio": 2}, {"minuts": 5}])
def test_the_own_strategy_refuses_parameters_that_make_no_sense(parameters: dict[str, float]) -> None:
    with pytest.raises(StrategyError, match="does not accept its parameters"):
        load_strategy(StrategySettings(name=OWN_STRATEGY, parameters=parameters), ["SPY"])


def test_the_example_configuration_can_be_used() -> None:
    try:
        check(RECORDED_DAY)
    except ConfigurationError as error:
        pytest.fail(str(error))


def test_the_example_of_faults_can_be_used() -> None:
    faults = load_faults(FAULTS)
    assert [item.kind for item in faults.link] == ["upstream_lost", "stall", "restart"]
    assert faults.reject_ratio > 0


def test_every_file_of_the_examples_is_tried_here() -> None:
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == {
        RECORDED_DAY.name,
        FAULTS.name,
        "own_strategy.py",
    }
