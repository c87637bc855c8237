"""The emergency drills, held: they end well within their bounds, and one that fails says so."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trader.drills.emergency import EMERGENCIES, EmergencyOptions, emergencies_of, play_emergency
from trader.drills.pair import Pair

pytestmark = pytest.mark.e2e


def test_a_person_holds_every_drill_and_it_counts(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "textfile").mkdir()
    rig.configure(maintenance={"textfile_folder": str(tmp_path / "textfile")})

    done = rig.command("drill", "emergency", "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert [drill["name"] for drill in answer["drills"]] == [drill.name for drill in EMERGENCIES]
    assert all(drill["met"] and 0 < drill["duration_s"] <= drill["bound_s"] for drill in answer["drills"])
    assert "the panic drill is recorded as held" in answer["notes"]
    published = (tmp_path / "textfile" / "ibkr-drills.prom").read_text()
    for drill in EMERGENCIES:
        assert f'trader_drill_bound_seconds{{drill="{drill.name}"}} {drill.bound_s}' in published
        assert f'trader_drill_duration_seconds{{drill="{drill.name}"}} ' in published
    weekly = (tmp_path / "textfile" / "ibkr-maintenance-weekly.prom").read_text()
    assert 'trader_task_last_success_timestamp_seconds{task="panic_drill"}' in weekly
    assert not (rig.folder / "panic.flag").exists()
    assert not (rig.folder / "state" / "journal.db").exists()


def test_a_mistake_in_the_configuration_keeps_every_drill_from_being_held(rig: Any) -> None:
    rig.config.write_text(yaml.safe_dump({"mode": "simulated", "instruments": []}))
    done = rig.command("drill", "emergency")
    assert done.returncode == 2
    assert "no drill was held" in done.stderr


async def test_a_panic_that_does_not_get_flat_is_no_success(tmp_path: Path) -> None:
    (drill,) = emergencies_of(["panic_service_down"])

    async def without_gateway(pair: Pair) -> None:
        await drill.prepare(pair)
        await pair.stop_simulator()

    broken = drill._replace(prepare=without_gateway, bound_s=2.0)
    result = await play_emergency(EmergencyOptions(folder=tmp_path), broken)

    assert result.tried
    assert result.duration_s is None
    assert not result.met
    assert "trader panic" in result.problem


async def test_a_bound_that_is_not_kept_is_unmet_with_its_time(tmp_path: Path) -> None:
    (drill,) = emergencies_of(["stop_under_load"])
    result = await play_emergency(EmergencyOptions(folder=tmp_path), drill._replace(bound_s=0.001, act=_slowly(drill)))
    assert result.tried
    assert not result.met
    assert result.duration_s is not None
    assert "may take 0.001 s" in result.problem


def _slowly(drill: Any) -> Any:
    async def act(pair: Pair, patience_s: float) -> None:
        await drill.act(pair, 30.0)

    return act
