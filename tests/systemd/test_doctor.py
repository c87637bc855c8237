"""The deployment checklist on a machine where it holds, and on one where somebody has been at work."""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from tests.lab.lab import Lab
from tests.systemd.installation import doctor, mend
from tests.systemd.trader_unit import TraderUnit

Measured = Callable[[str, float, str], None]

STAGES: Final = ("pre", "deployment", "post")
UNIT_FILE: Final = "/etc/systemd/system/ibkr-trading.service"


class Fault(NamedTuple):
    """What somebody does, and the check that sees it."""

    command: str
    check: str
    seen: str


FAULTS: Final = {
    "the service's user may become root": Fault("usermod --append --groups sudo trader", "groups", "sudo"),
    "a unit was edited": Fault(f"sed -i s/^MemoryMax=.*/MemoryMax=infinity/ {UNIT_FILE}", "units", "MemoryMax"),
    "nobody watches for the panic flag": Fault("systemctl stop ibkr-panic.path", "panic_path", "ibkr-panic.path"),
}


@pytest.fixture(scope="module")
def trader(installed: Lab) -> TraderUnit:
    trader = TraderUnit(installed)
    trader.await_ready()
    return trader


@pytest.fixture(scope="module")
def checks(trader: TraderUnit) -> list[dict[str, Any]]:
    """What the checklist says of the machine as it was installed."""
    code, found = doctor(trader.lab)
    assert code == 0, bad(found)
    return found


def bad(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [check for check in found if check["verdict"] == "failed"]


def test_nothing_fails_on_a_fresh_installation(checks: list[dict[str, Any]], measured: Measured) -> None:
    for verdict in ("ok", "warning", "not known", "failed"):
        measured(f"checks that are {verdict}", sum(check["verdict"] == verdict for check in checks), "")
    assert not bad(checks)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_of_the_plan_has_checks_that_are_ok(checks: list[dict[str, Any]], stage: str) -> None:
    verdicts = [check["verdict"] for check in checks if check["stage"] == stage]
    assert verdicts.count("ok") > len(verdicts) / 2, verdicts


def test_what_is_not_ok_on_a_fresh_installation_says_what_to_do(checks: list[dict[str, Any]]) -> None:
    warned = [check for check in checks if check["verdict"] == "warning"]
    assert all(check["seen"] and check["mend"] for check in warned), json.dumps(warned, indent=1)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_it_finds_what_somebody_did_and_its_mend_mends_it(trader: TraderUnit, fault: Fault) -> None:
    trader.lab.run(["/bin/sh", "-c", fault.command])
    code, found = doctor(trader.lab)
    failed = bad(found)
    assert code == 1
    assert failed[0]["key"] == fault.check, failed
    assert fault.seen in failed[0]["seen"]
    done = mend(trader.lab, failed[0]["mend"])
    assert done.returncode == 0, done
    code, found = doctor(trader.lab)
    assert code == 0, bad(found)
