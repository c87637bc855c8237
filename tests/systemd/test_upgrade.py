"""From one release to another while the account holds something: refused, told to, done, and taken back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.lab.commands import Completed
from tests.lab.installed import WHEELS
from tests.lab.lab import Lab
from tests.systemd.account import HOME, Account
from tests.systemd.installation import ETC, PREFIX, one_sentence, run_installer
from tests.systemd.other_release import FAILS_AT_START, PROGRAM, WHY_IT_FAILS, other_release

Measured = Callable[[str, float, str], None]

HELD: Final = 10
WANTED: Final = 25
NEW, BROKEN = "0.2.0", "0.3.0"
OFFERED: Final = "/opt/lab/offered"
PROMPT: Final = {"execution": {"order_type": "LMT", "cross_ticks": 1}}
# Orders a dollar short of the far touch work for minutes, and none is refused for its price.
PATIENT: Final = {"execution": {"cross_ticks": -100, "cancel_after_s": 600}, "risk": {"price_collar_ratio": 0.05}}


class State(NamedTuple):
    """What an upgrade must leave alone, or go on with."""

    current: str
    previous: str
    invocation: str
    held: dict[str, int]
    journal: list[str]
    kept: str


def state_of(account: Account) -> State:
    lab = account.lab
    kept = lab.run(["/bin/sh", "-c", f"sha256sum {HOME}/config/* {ETC}/installed {ETC}/secrets/*"]).stdout
    return State(
        current=lab.run(["readlink", f"{PREFIX}/current"]).stdout.strip(),
        previous=lab.run(["readlink", f"{PREFIX}/previous"], check=False).stdout.strip(),
        invocation=account.unit_state(account.service)["InvocationID"],
        held=account.held(),
        journal=account.trader("journal", "export").stdout.splitlines(),
        kept=kept,
    )


def deployments(account: Account) -> float:
    return account.metric("trader_starts_total")['{reason="deploy"}']


def last_version(account: Account) -> str:
    """The release that was started last, by the journal's word."""
    starts = account.trader("journal", "export", "--kind", "ServiceStarted").stdout.splitlines()
    return str(json.loads(starts[-1])["version"])


@pytest.fixture(scope="module")
def account(installed: Lab) -> Account:
    """An account that holds something, with orders in the market that nobody fills."""
    account = Account(installed)
    account.trade(HELD)
    account.configure(PROMPT)
    account.systemctl("restart")
    account.await_held(HELD)
    account.configure(PATIENT)
    account.systemctl("reload")
    account.want(WANTED)
    installed.wait_until(lambda: account.status()["open_orders"], "orders that rest")
    return account


@pytest.fixture(scope="module", autouse=True)
def offered(account: Account) -> None:
    """Wheels of two other releases on the machine: one that works and one that fails at its start."""
    root = Path(f"/proc/{account.lab.leader_pid}/root")
    folder = root / OFFERED.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (wheel,) = (root / WHEELS.lstrip("/")).glob("ibkr_trading-*.whl")
    other_release(wheel, NEW, folder)
    other_release(wheel, BROKEN, folder, {PROGRAM: FAILS_AT_START})


def outage_s(account: Account) -> float:
    """From the end of the run before until the service was up again, by systemd's clock."""
    unit = account.service
    ended, up = (account.monotonic_us(unit, name) for name in ("ActiveExitTimestamp", "ActiveEnterTimestamp"))
    return (up - ended) / 1e6


def upgrade(account: Account, version: str, *options: str) -> Completed:
    return run_installer(account.lab, "--wheel", f"{OFFERED}/ibkr_trading-{version}-py3-none-any.whl", *options)


def test_an_upgrade_is_refused_in_session_while_orders_are_open(account: Account) -> None:
    before = state_of(account)
    said = one_sentence(upgrade(account, NEW))
    assert "in session with open orders" in said
    assert "--even-in-session" in said
    after = state_of(account)
    assert after._replace(journal=[]) == before._replace(journal=[])
    assert account.lab.run(["ls", f"{PREFIX}/releases"]).stdout.split() == [before.current.removeprefix("releases/")]
    assert account.status()["open_orders"]


def test_an_upgrade_is_done_when_told_and_the_books_go_on(account: Account, measured: Measured) -> None:
    before, count = state_of(account), deployments(account)
    done = upgrade(account, NEW, "--even-in-session")
    assert done.returncode == 0, done
    measured("down for an upgrade", outage_s(account), "s")
    after = state_of(account)
    assert after.current.startswith(f"releases/{NEW}-")
    assert after.previous == before.current
    assert after.invocation != before.invocation
    assert deployments(account) == count + 1
    assert last_version(account) == NEW
    assert after.kept == before.kept
    assert after.journal[: len(before.journal)] == before.journal
    measured("facts in the journal before the upgrade", len(before.journal), "")
    measured("facts in the journal after it", len(after.journal), "")
    account.want(HELD)
    account.await_held(HELD)
    account.lab.wait_until(lambda: not account.status()["open_orders"], "the end of the open orders")
    at_broker = account.at_broker()
    assert at_broker["positions"] == account.held()
    assert at_broker["orders"] == []


def test_a_release_that_does_not_start_is_taken_back(account: Account, measured: Measured) -> None:
    before = state_of(account)
    done = upgrade(account, BROKEN)
    said = one_sentence(done)
    assert f"release {BROKEN}-" in said
    assert before.current.removeprefix("releases/") in said
    assert WHY_IT_FAILS in done.stderr
    after = state_of(account)
    assert account.active_state(account.service) == "active"
    assert (after.current, after.previous) == (before.current, before.previous)
    assert last_version(account) == NEW
    assert after.kept == before.kept
    assert after.held == before.held == account.at_broker()["positions"]
    assert after.journal[: len(before.journal)] == before.journal
    measured("down for a release that was taken back", outage_s(account), "s")
