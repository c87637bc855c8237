"""The simulation itself: the same seed gives the same history, many worlds hold, and the command says what it did."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trader.cli import app
from trader.drills.simulation import Campaign, run_campaign, run_world, scenario_of
from trader.drills.simulation.model import Point
from trader.drills.simulation.run import chosen_points, dying_at

HISTORY = "from trader.drills.simulation import *; print(run_world(scenario_of(7))[0].history_hash)"
OWN = """
mode: paper
instruments: [SPY, AAPL]
strategy:
  name: "always_invested:Always"
risk: {max_order_quantity: 50}
"""
OWN_STRATEGY = """
from decimal import Decimal
from trader.strategy.api import Target

class Always:
    name = "always"
    def on_quote(self, quote, view):
        return (Target(quote.symbol, Decimal(10), "always"),)
    def on_schedule(self, view):
        return ()
"""


def test_many_worlds_hold_and_die_at_many_points() -> None:
    result = run_campaign(Campaign(first=0, end=30, crash_points=3, jobs=1))
    assert result.violations == []
    assert (result.seeds, result.worlds, result.crash_points) == (30, 120, 90)
    assert result.orders > 500
    assert result.fills > 300
    assert result.deaths > 90


def test_the_same_seed_gives_the_same_history() -> None:
    first, again = (run_world(scenario_of(11))[0] for _ in range(2))
    assert first == again
    assert run_world(scenario_of(12))[0].history_hash != first.history_hash


def test_the_history_is_the_same_in_every_process() -> None:
    def history(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", HISTORY], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert history("1") == history("2") == run_world(scenario_of(7))[0].history_hash


def test_a_history_that_is_told_is_the_same_as_one_that_is_not() -> None:
    told, trace = run_world(scenario_of(5), trace=True)
    assert told == run_world(scenario_of(5))[0]
    assert any(line.source == "command" for line in trace.lines)


def test_a_world_dies_at_points_of_every_kind() -> None:
    scenario = scenario_of(5)
    reference = run_world(scenario)[0]
    points = chosen_points(reference, 12)
    assert {reference.points[number] for number in points} == set(Point)
    for number in points:
        result = run_world(dying_at(scenario, number), number)[0]
        assert result.points[: number + 1] == reference.points[: number + 1], "the same until it dies"
        assert result.deaths > 0
        assert result.violation is None


def test_workers_find_what_one_process_finds() -> None:
    campaign = Campaign(first=0, end=6, crash_points=1, jobs=1)
    alone = run_campaign(campaign)
    assert run_campaign(Campaign(first=0, end=6, crash_points=1, jobs=2)) == alone


# -- the command


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["drill", "faults", *arguments])
    return result.exit_code, result.output


def test_the_command_says_what_was_tried() -> None:
    code, output = invoke("--seeds", "0:2", "--crash-points", "1", "--jobs", "1", "--json")
    values = json.loads(output[output.index("{") :])
    assert (code, values["passed"], values["totals"]["worlds"]) == (0, True, 4)


def test_it_prints_the_history_of_one_world() -> None:
    code, output = invoke("--seed", "5", "--trace")
    assert code == 0
    assert "PlaceOrder" in output
    assert "0 violations" in output


@pytest.mark.parametrize("seeds", ["5:5", "a:b", "7", "0:9999999"])
def test_seeds_that_are_no_range_are_refused_with_a_sentence(seeds: str) -> None:
    code, output = invoke("--seeds", seeds)
    assert code == 2
    assert "--seeds" in output
    assert "Traceback" not in output


def test_a_history_needs_a_seed() -> None:
    assert invoke("--trace")[0] == 2


def test_a_strategy_and_a_configuration_of_ones_own_are_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "always_invested.py").write_text(OWN_STRATEGY)
    (tmp_path / "config.yaml").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    code, output = invoke("--config", str(tmp_path / "config.yaml"), "--seeds", "0:4", "--jobs", "1", "--json")
    values = json.loads(output[output.index("{") :])
    assert (code, values["totals"]["violated"]) == (0, 0), output
    assert values["totals"]["orders"] > 0


def test_a_strategy_that_cannot_be_built_is_told_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("instruments: [SPY]\nstrategy: {name: no_such_strategy}\n")
    code, output = invoke("--config", str(tmp_path / "config.yaml"))
    assert code == 2
    assert "no_such_strategy" in output
    assert "Traceback" not in output
