"""Finding the strategy that the configuration names, and one sentence for everything that can be wrong with it."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from trader.settings import StrategySettings
from trader.strategy.loader import StrategyError, load_strategy
from trader.strategy.mean_reversion import MeanReversion
from trader.strategy.target_weights import TargetWeights

OWN = """
class Own:
    name = "own"
    def __init__(self, size=1):
        if size < 0:
            raise ValueError("size is negative")
        if size > 100:
            raise RuntimeError("size breaks everything")
        self.size = size
    def on_quote(self, quote, view):
        return ()
    def on_schedule(self, view):
        return ()

class Lacking:
    def on_quote(self, quote, view):
        return ()

number = 7
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with strategies of somebody's own."""
    name = f"own_strategies_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / f"{name}_broken.py").write_text("raise RuntimeError('no luck')")
    (tmp_path / f"{name}_typo.py").write_text("def f(:")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name  # type: ignore[misc]
    for module in (name, f"{name}_broken", f"{name}_typo"):
        sys.modules.pop(module, None)


def load(name: str, schedule: str | None = None, **parameters: Any) -> Any:
    return load_strategy(StrategySettings(name=name, parameters=parameters, schedule=schedule), ("AAPL", "MSFT"))


def test_it_builds_what_is_built_in_with_its_parameters() -> None:
    strategy = load("mean_reversion", window=20, entry_score=2)
    assert isinstance(strategy, MeanReversion)
    assert (strategy.parameters.window, strategy.parameters.entry_score) == (20, 2.0)
    assert isinstance(load("target_weights", "35 9 * * mon-fri", weights={"AAPL": 0.5}), TargetWeights)
    assert load("observe").name == "observe"


def test_it_builds_a_strategy_of_ones_own(own: str) -> None:
    strategy = load(f"{own}:Own", size=5)
    assert (strategy.name, strategy.size) == ("own", 5)


PROBLEMS = {
    "no such strategy": ("nope", {}, None, "there is no strategy 'nope'; built in are mean_reversion, observe"),
    "no such parameter": ("mean_reversion", {"widow": 3}, None, "widow.*known: window, sample_interval_s"),
    "a bad value": ("mean_reversion", {"window": 1}, None, "strategy.parameters of mean_reversion: .*>= 5"),
    "weights of the unknown": ("target_weights", {"weights": {"X": 0.1}}, "0 9 * * *", "X, not among the instruments"),
    "weights without a schedule": ("target_weights", {"weights": {}}, None, "needs a schedule"),
    "no such module": ("not_there_at_all:Own", {}, None, "cannot be imported .*not_there_at_all"),
    "no such class": ("{own}:Other", {}, None, "has no Other"),
    "a module that raises": ("{own}_broken:Own", {}, None, "cannot be imported .*no luck"),
    "a module with a typo": ("{own}_typo:Own", {}, None, "cannot be imported"),
    "not its parameters": ("{own}:Own", {"sighs": 1}, None, "does not accept its parameters: .*sighs"),
    "a value it refuses": ("{own}:Own", {"size": -1}, None, "does not accept its parameters: size is negative"),
    "it breaks": ("{own}:Own", {"size": 101}, None, "size breaks everything"),
    "not a strategy": ("{own}:Lacking", {}, None, "lacks on_schedule, name"),
    "not even a class": ("{own}:number", {}, None, "does not accept its parameters"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_wrong_is_one_sentence(own: str, name: str) -> None:
    strategy, parameters, schedule, sentence = PROBLEMS[name]
    with pytest.raises(StrategyError) as caught:
        load(strategy.replace("{own}", own), schedule, **parameters)
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
