"""A drill is refused when its configuration could reach the live service."""

from pathlib import Path
from typing import Any

import pytest

from trader.contracts import TradingMode
from trader.drills.errors import DrillError
from trader.drills.isolation import free_client_ids, require_isolated
from trader.drills.pair import Pair
from trader.settings import Settings
from trader.settings_file import load_settings


def settings(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "instruments": ["SPY"],
        "gateway": {"port": 45_001, "client_id": 701, "panic_client_id": 702},
        "journal": {"url": f"sqlite:///{folder / 'journal.db'}"},
        "panic": {"flag": folder / "panic.flag"},
        "control": {"socket": folder / "control.sock"},
        "metrics": {"port": 45_002},
    }
    for section, change in changes.items():
        values[section] = {**values[section], **change} if isinstance(change, dict) and section in values else change
    return Settings.model_validate(values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drill").mkdir()
    return tmp_path / "drill"


@pytest.fixture
def live(tmp_path: Path) -> Settings:
    (tmp_path / "live").mkdir()
    return settings(
        tmp_path / "live",
        gateway={"port": 40_123, "client_id": 1, "panic_client_id": 999},
        metrics={"port": 9464},
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "live mode": ({"mode": "live", "account": "U123"}, "its mode is live"),
    "paper mode": ({"mode": "paper"}, "its mode is paper"),
    "an account": ({"account": "DU123"}, "it names the account DU123"),
    "IB Gateway live": ({"gateway": {"port": 4001}}, "port 4001 is where a real gateway listens"),
    "IB Gateway paper": ({"gateway": {"port": 4002}}, "port 4002 is where a real gateway listens"),
    "TWS live": ({"gateway": {"port": 7496}}, "port 7496 is where a real gateway listens"),
    "TWS paper": ({"gateway": {"port": 7497}}, "port 7497 is where a real gateway listens"),
    "PostgreSQL": ({"journal": {"url": "postgresql://trader@localhost/books"}}, "its journal is not a file"),
    "a policy token": ({"policy": {"token_file": Path("/token")}}, "it has a policy token"),
    "a flag elsewhere": ({"panic": {"flag": Path("/elsewhere/panic.flag")}}, "panic flag /elsewhere/panic.flag is out"),
    "a socket elsewhere": ({"control": {"socket": Path("/run/control.sock")}}, "control socket /run/control.sock is"),
    "a journal elsewhere": ({"journal": {"url": "sqlite:////srv/journal.db"}}, "journal /srv/journal.db is outside"),
    "recordings elsewhere": ({"recorder": {"directory": Path("/srv/ticks")}}, "recordings /srv/ticks is outside"),
    "the live gateway's port": ({"gateway": {"port": 40_123}}, "port 40123 is the live gateway's"),
    "the live client": ({"gateway": {"client_id": 1}}, "clientId 1 is the live service's"),
    "the live panic's client": ({"gateway": {"panic_client_id": 999}}, "clientId 999 is the live service's"),
    "the live metrics": ({"metrics": {"port": 9464}}, "port 9464 is where the live service's metrics are"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_could_reach_the_live_service(name: str, folder: Path, live: Settings) -> None:
    changes, why = REFUSED[name]

    with pytest.raises(DrillError, match="could reach the live service") as refused:
        require_isolated(settings(folder, **changes), live, folder)

    assert why in str(refused.value)


def test_it_lets_a_drill_of_its_own_pass(folder: Path, live: Settings) -> None:
    require_isolated(settings(folder), live, folder)
    require_isolated(settings(folder), None, folder)


def test_it_refuses_the_live_service_itself(tmp_path: Path, live: Settings) -> None:
    with pytest.raises(DrillError) as refused:
        require_isolated(live, live, tmp_path / "live")
    for part in (
        "the live gateway's",
        "clientId 1 ",
        "clientId 999 ",
        "its journal is the live one",
        "live panic flag",
    ):
        assert part in str(refused.value)


def test_it_refuses_a_link_that_leads_out_of_the_folder(folder: Path, live: Settings, tmp_path: Path) -> None:
    (folder / "journal.db").symlink_to(tmp_path / "live" / "journal.db")
    with pytest.raises(DrillError, match=r"its journal .* is outside of its folder"):
        require_isolated(settings(folder), live, folder)


def test_it_takes_client_ids_that_the_live_service_does_not_have(live: Settings) -> None:
    assert free_client_ids(None) == (701, 702, 703)
    gateway = live.gateway.model_copy(update={"client_id": 702, "panic_client_id": 703})
    assert free_client_ids(live.model_copy(update={"gateway": gateway})) == (701, 704, 705)


async def test_a_drill_that_could_reach_the_live_gateway_starts_nothing(folder: Path) -> None:
    own = Pair(folder / "first")
    own.folder.mkdir()
    own.configure()
    seen_as_live = load_settings(own.config_file)
    assert seen_as_live.mode is TradingMode.SIMULATED
    pair = Pair(folder / "second", {"gateway": {"port": seen_as_live.gateway.port}}, live=seen_as_live)

    with pytest.raises(DrillError, match="is the live gateway's"):
        await pair.start()

    assert not (folder / "second" / "gateway.log").exists()
    assert not (folder / "second" / "service.log").exists()
    await pair.stop()
