"""The panic flag on a booted systemd: whatever the trader does or does not, the account is flat by the broker's word.

Rules: every test begins with a trader that holds a position in each symbol, made on the simulated gateway, and leaves
one. Times are from the flag until systemd was told that the account is flat, by the machine's own clock.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.lab.lab import Lab
from tests.systemd.account import Account

Measured = Callable[[str, float, str], None]

HELD: Final = 5
FAR_BELOW: Final = 100  # of what the shares cost
SECRET: Final = "/etc/ibkr-trading/secrets/policy-token"
METRICS_FOLDER: Final = "/var/lib/prometheus/node-exporter"
TICKS: Final = 30
TRIES: Final = 3


@dataclass(frozen=True)
class Scenario:
    """What the host is like when the flag is raised, what happens after that, and how soon the account is flat."""

    name: str
    before: Callable[[Account], object]
    within_s: float
    after: Callable[[Account], object] = lambda account: None


def _work_an_order(account: Account) -> None:
    """The trader runs, and somebody's order rests at the broker."""
    assert account.buy_by_hand(FAR_BELOW) == "Submitted"
    assert account.at_broker()["orders"] == ["by hand"]


def _stop(account: Account) -> None:
    _work_an_order(account)
    account.systemctl("stop")


def _kill(account: Account) -> None:
    """The trader is dead, and its restart is pending."""
    account.signal_trader("KILL")
    account.await_unit(account.service, "activating")


def _hang(account: Account) -> None:
    account.signal_trader("STOP")


def _lose_gateway(account: Account) -> None:
    account.lab.systemctl("stop", account.simulator)
    account.lab.wait_until(lambda: account.status()["ready"] is False, "a trader that is not ready")


def _regain_gateway(account: Account) -> None:
    """The gateway comes back once the panic has begun."""
    account.await_unit(account.panic, "activating")
    account.lab.systemctl("start", account.simulator)


def _lose_gateway_and_trader(account: Account) -> None:
    account.lab.systemctl("stop", account.service, account.simulator)


def _lose_secrets(account: Account) -> None:
    account.systemctl("stop")
    account.lab.remove(SECRET)


def _break_configuration(account: Account) -> None:
    """A mistake in what a panic does not need, which keeps the trader from starting."""
    account.systemctl("stop")
    account.configure({"risk": {"daily_loss_limit": "a lot"}})


SCENARIOS: Final = (
    Scenario("running", _work_an_order, 10),
    Scenario("stopped", _stop, 10),
    Scenario("killed", _kill, 10),
    Scenario("hung", _hang, 30),
    Scenario("not connected", _lose_gateway, 45, _regain_gateway),
    Scenario("stopped and the gateway gone", _lose_gateway_and_trader, 20, _regain_gateway),
    Scenario("stopped and the secrets lost", _lose_secrets, 10),
    Scenario("stopped and the configuration damaged", _break_configuration, 10),
)


@pytest.fixture(scope="module")
def machine(installed: Lab) -> Account:
    """An account whose trader holds a position in each symbol as long as it may."""
    account = Account(installed)
    account.trade(HELD)
    account.systemctl("restart")
    return account


@pytest.fixture
def account(machine: Account) -> Iterator[Account]:
    """The account with its positions held; afterwards everything is mended and the panic is over."""
    machine.await_held(HELD)
    config, secret = machine.lab.read(machine.config), machine.lab.read(SECRET)
    yield machine
    machine.lab.write(machine.config, config)
    if not machine.lab.exists(SECRET):
        machine.lab.write(SECRET, secret, mode=0o600)
    if machine.active_state(machine.service) == "activating":
        machine.systemctl("stop")  # ends the wait for its restart
    # Starts by hand count towards the limit of four a minute, too.
    machine.lab.systemctl("reset-failed", machine.service)
    machine.lab.systemctl("start", machine.simulator, machine.panic_path, machine.service)
    if machine.trading_state() == "panic":
        machine.resume()
    machine.lab.remove(machine.flag)
    machine.await_unit(machine.panic, "inactive")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_a_raised_flag_flattens_the_account_with_the_trader(
    account: Account, scenario: Scenario, measured: Measured
) -> None:
    assert set(account.at_broker()["positions"].values()) == {HELD}
    scenario.before(account)
    raised_us = account.raise_flag()
    scenario.after(account)
    account.await_unit(account.panic, "active", scenario.within_s * 2)
    took_s = (account.monotonic_us(account.panic, "ActiveEnterTimestamp") - raised_us) / 1e6
    measured(f"flat with the trader {scenario.name}", took_s, "s")
    assert account.is_flat()
    assert took_s < scenario.within_s
    assert account.lab.exists(account.flag)


def test_the_path_sees_the_flag_at_once(account: Account, measured: Measured) -> None:
    raised_us = account.raise_flag()
    account.await_unit(account.panic, "active")
    took_s = (account.monotonic_us(account.panic, "InactiveExitTimestamp") - raised_us) / 1e6
    measured("panic unit started after the flag", took_s, "s")
    assert took_s < 1


def test_a_flag_that_was_raised_before_anybody_watched_counts(account: Account) -> None:
    account.lab.systemctl("stop", account.panic_path, account.service)
    account.raise_flag()
    account.lab.systemctl("start", account.panic_path)
    account.await_unit(account.panic, "active")
    assert account.is_flat()


def test_a_trader_that_is_started_under_the_flag_does_not_trade_until_it_is_resumed(account: Account) -> None:
    account.systemctl("stop")
    account.raise_flag()
    account.await_unit(account.panic, "active")
    before, executed = account.panic_units(), account.at_broker()["executed"]
    account.systemctl("start")
    account.await_state("panic")
    account.lab.wait_until(lambda: account.status()["activity"]["ticks"] > TICKS, "quotes that it could trade on")
    assert account.at_broker() == {"orders": [], "executed": executed, "positions": {}}
    assert account.panic_units() == before
    account.resume()
    assert not account.lab.exists(account.flag)
    account.await_unit(account.panic, "inactive")
    assert account.lab.show(account.panic, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert account.lab.show(account.panic_path, "SubState")["SubState"] == "waiting"
    account.await_held(HELD)


def test_a_second_panic_flattens_again(account: Account, measured: Measured) -> None:
    runs = set()
    for number in ("first", "second"):
        raised_us = account.raise_flag()
        account.await_unit(account.panic, "active")
        runs.add(account.unit_state(account.panic)["InvocationID"])
        took_s = (account.monotonic_us(account.panic, "ActiveEnterTimestamp") - raised_us) / 1e6
        measured(f"flat at the {number} panic", took_s, "s")
        assert account.is_flat()
        account.await_panic_done()
        account.resume()
        account.await_unit(account.panic, "inactive")
        account.await_held(HELD)
    assert len(runs) == 2


def test_the_recovery_of_the_plan_ends_a_panic_that_the_trader_did_not_see(account: Account) -> None:
    account.systemctl("stop")
    account.raise_flag()
    account.await_unit(account.panic, "active")
    account.lab.run(["rm", account.flag])
    account.systemctl("start")
    account.await_held(HELD)
    account.await_unit(account.panic, "inactive")


def test_a_panic_that_does_not_know_its_account_is_tried_until_it_does(account: Account, measured: Measured) -> None:
    account.systemctl("stop")
    config, cursor = account.lab.read(account.config), account.lab.cursor()
    account.configure({"gateway": {"port": "none"}})
    account.raise_flag()
    account.lab.wait_until(lambda: int(account.unit_state(account.panic)["NRestarts"]) >= TRIES, "its tries")
    assert account.active_state(account.panic_path) == "active"
    told = account.lab.journal(account.panic, "PRIORITY=3", "_TRANSPORT=stdout", after=cursor)
    assert [entry for entry in told if "gateway.port: must be a whole number" in entry["MESSAGE"]]
    refusals = [int(entry["__MONOTONIC_TIMESTAMP"]) for entry in told if "NOT FLATTENED" in entry["MESSAGE"]]
    measured("between two tries of a panic", (refusals[-1] - refusals[0]) / (len(refusals) - 1) / 1e6, "s")
    account.lab.write(account.config, config)
    account.await_unit(account.panic, "active")
    assert account.is_flat()


def test_a_panic_that_is_killed_goes_on_and_is_told(account: Account, measured: Measured) -> None:
    account.raise_flag()
    account.await_unit(account.panic, "active")
    cursor, killed = account.lab.cursor(), account.unit_state(account.panic)
    account.lab.run(["kill", "-KILL", killed["MainPID"]])
    account.lab.wait_until(
        lambda: (
            account.unit_state(account.panic)["NRestarts"] == "1" and account.active_state(account.panic) == "active"
        ),
        "the next run of the panic",
    )
    killed_us = next(
        int(entry["__MONOTONIC_TIMESTAMP"])
        for entry in account.lab.journal(account.panic, "_PID=1", after=cursor)
        if "Main process exited, code=killed" in entry["MESSAGE"]
    )
    again_us = account.monotonic_us(account.panic, "ActiveEnterTimestamp")
    measured("panic held again after kill -9", (again_us - killed_us) / 1e6, "s")
    told = [entry["MESSAGE"] for entry in account.lab.journal(account.panic, "PRIORITY=3", after=cursor)]
    assert [line for line in told if "ibkr-panic.service failed: result=signal" in line]
    assert 'result="signal"' in account.lab.read(f"{METRICS_FOLDER}/ibkr-alert-{account.panic}.prom")
    assert account.active_state(account.panic_path) == "active"
