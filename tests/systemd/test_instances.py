"""Several accounts on one host: two instances of the template beside the plain service, each with books of its own.

Rules: they are added by the shipped installer, each with a simulated gateway of its own, and hold different quantities,
so that whose position it is shows in its size. The plain account is in panic all the while, its trader stopped, because
it takes a minute to see that a panic lasts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.lab.installed import INSTALL, INSTALL_TIMEOUT_S
from tests.lab.lab import Lab
from tests.systemd.account import HEALTH_CHECK, HOME, Account

Measured = Callable[[str, float, str], None]

ALPHA_HELD: Final = 3
BETA_HELD: Final = 7
LOOKS_AGAIN_S: Final = 60.0
LOOKS_AGAIN_WITHIN_S: Final = 90.0
UNIT_FOLDER: Final = "/etc/systemd/system"
UNITS: Final = "/opt/checkout/systemd"


@dataclass(frozen=True)
class Host:
    """The three accounts of one host; ``plain_units`` and ``plain_since_us`` are of the panic of the plain one."""

    plain: Account
    alpha: Account
    beta: Account
    plain_units: tuple[dict[str, str], dict[str, str]]
    plain_since_us: int

    @property
    def lab(self) -> Lab:
        return self.plain.lab

    @property
    def instances(self) -> tuple[Account, Account]:
        return self.alpha, self.beta


@pytest.fixture(scope="module")
def machine(installed: Lab) -> Host:
    """A host with the two instances added, trading, and the plain account in panic."""
    installed.run([*INSTALL, "--instance", "alpha", "--instance", "beta"], timeout_s=INSTALL_TIMEOUT_S)
    plain, alpha, beta = Account(installed), Account(installed, "alpha"), Account(installed, "beta")
    plain.systemctl("stop")
    since_us = plain.raise_flag()
    plain.await_unit(plain.panic, "active")
    assert plain.buy_by_hand() == "Filled"
    for account, quantity in ((alpha, ALPHA_HELD), (beta, BETA_HELD)):
        account.trade(quantity)
        account.systemctl("restart")
    return Host(plain, alpha, beta, plain.panic_units(), since_us)


@pytest.fixture
def host(machine: Host) -> Iterator[Host]:
    """The host with each account's positions held, before and after."""
    machine.alpha.await_held(ALPHA_HELD)
    machine.beta.await_held(BETA_HELD)
    yield machine
    machine.lab.systemctl("reset-failed", machine.alpha.service)
    machine.lab.systemctl("start", machine.alpha.service)
    if machine.alpha.trading_state() == "panic":
        machine.alpha.resume()
    machine.lab.remove(machine.alpha.flag)
    machine.alpha.await_unit(machine.alpha.panic, "inactive")
    machine.beta.want(BETA_HELD)


def test_the_generated_templates_are_what_runs(host: Host) -> None:
    for account in host.instances:
        for unit in (account.service, account.panic, account.panic_path):
            template = unit.replace(f"@{account.name}.", "@.")
            assert host.lab.show(unit, "FragmentPath")["FragmentPath"] == f"{UNIT_FOLDER}/{template}"
            shipped = host.lab.read(f"{UNITS}/{template}")
            assert "DO NOT EDIT" in shipped
            assert host.lab.read(f"{UNIT_FOLDER}/{template}") == shipped
    assert host.lab.systemctl("is-enabled", host.alpha.service, host.beta.panic_path).stdout.split() == ["enabled"] * 2


def test_each_has_a_port_a_client_id_and_a_socket_of_its_own(host: Host) -> None:
    configurations = [account.settings for account in (host.plain, *host.instances)]
    for section, key in (("gateway", "port"), ("metrics", "port"), ("control", "socket")):
        assert len({settings[section][key] for settings in configurations}) == len(configurations)
    ids = {settings["gateway"][key] for settings in configurations for key in ("client_id", "panic_client_id")}
    assert len(ids) == 2 * len(configurations)
    for account in host.instances:
        assert account.typed_status()["connection"]["client_id"] == account.settings["gateway"]["client_id"]
    starts = {account.metric("process_start_time_seconds")[""] for account in host.instances}
    assert len(starts) == len(host.instances)


def test_their_books_are_separate(host: Host, measured: Measured) -> None:
    assert [set(account.held().values()) for account in host.instances] == [{ALPHA_HELD}, {BETA_HELD}]
    told = [account.at_broker() for account in host.instances]
    assert [set(each["positions"].values()) for each in told] == [{ALPHA_HELD}, {BETA_HELD}]
    alpha, beta = (set(each["executed"]) for each in told)
    alpha_journal, beta_journal = (account.journaled() for account in host.instances)
    assert alpha <= alpha_journal
    assert beta <= beta_journal
    shared = (alpha | alpha_journal) & (beta | beta_journal)
    measured("orders known to both accounts", len(shared), f"of {len(alpha_journal | beta_journal)}")
    assert not shared


def test_none_sees_the_files_of_another(host: Host) -> None:
    for account, other in ((host.alpha, "beta"), (host.beta, "alpha")):
        root = f"/proc/{account.unit_state(account.service)['MainPID']}/root"
        assert host.lab.run(["ls", f"{root}{HOME}/instances"]).stdout.split() == [account.name]
        assert not host.lab.exists(f"{root}{HOME}/instances/{other}/config")
        assert not host.lab.exists(f"{root}{HOME}/config")


def test_a_panic_of_one_leaves_the_other_trading(host: Host, measured: Measured) -> None:
    before = host.beta.unit_state(host.beta.service)
    raised_us = host.alpha.raise_flag()
    host.alpha.await_unit(host.alpha.panic, "active")
    flat_us = host.alpha.monotonic_us(host.alpha.panic, "ActiveEnterTimestamp")
    measured("alpha flat by its own flag", (flat_us - raised_us) / 1e6, "s")
    assert host.alpha.is_flat()
    assert host.alpha.trading_state() == "panic"
    assert_beta_trades_on(host, before)
    host.alpha.resume()
    host.alpha.await_unit(host.alpha.panic, "inactive")
    host.alpha.await_held(ALPHA_HELD)


def test_a_panic_of_one_that_is_stopped_leaves_the_other_trading(host: Host, measured: Measured) -> None:
    before = host.beta.unit_state(host.beta.service)
    host.alpha.systemctl("stop")
    raised_us = host.alpha.raise_flag()
    host.alpha.await_unit(host.alpha.panic, "active")
    flat_us = host.alpha.monotonic_us(host.alpha.panic, "ActiveEnterTimestamp")
    measured("alpha flat by its own flag, stopped", (flat_us - raised_us) / 1e6, "s")
    assert host.alpha.is_flat()
    assert_beta_trades_on(host, before)
    host.lab.remove(host.alpha.flag)


def test_a_stop_of_one_leaves_the_other_trading(host: Host) -> None:
    before = host.beta.unit_state(host.beta.service)
    host.alpha.systemctl("stop")
    assert_beta_trades_on(host, before)


def assert_beta_trades_on(host: Host, before: dict[str, str]) -> None:
    """It is in the same run as before, no flag of its own is up, and what it wants from now on it gets."""
    beta = host.beta
    beta.want(BETA_HELD + 1)
    beta.await_held(BETA_HELD + 1)
    assert set(beta.at_broker()["positions"].values()) == {BETA_HELD + 1}
    assert not host.lab.exists(beta.flag)
    assert beta.active_state(beta.panic) == "inactive"
    assert beta.unit_state(beta.service) == before


def test_a_reload_of_one_changes_nothing_of_the_other(host: Host) -> None:
    before = host.beta.status()["risk"]["max_open_orders"]
    host.alpha.configure({"risk": {"max_open_orders": before - 1}})
    host.alpha.systemctl("reload")
    assert [account.status()["risk"]["max_open_orders"] for account in host.instances] == [before - 1, before]


def test_the_health_of_each_is_its_own(host: Host) -> None:
    host.alpha.systemctl("stop")
    alpha, beta = (host.lab.run([HEALTH_CHECK, "--instance", account.name], check=False) for account in host.instances)
    assert (alpha.returncode, beta.returncode) == (1, 0), alpha.output + beta.output
    assert "ibkr-trading@alpha.service is inactive" in alpha.stdout


def test_a_panic_that_lasts_keeps_the_account_flat_and_is_not_started_again(host: Host, measured: Measured) -> None:
    plain = host.plain
    (closed,) = host.lab.wait_until(
        lambda: host.lab.journal(plain.panic, "PRIORITY=3"),
        "the end of a position that came back",
        LOOKS_AGAIN_WITHIN_S,
    )
    assert "positions came back while the panic flag was raised" in closed["MESSAGE"]
    assert plain.is_flat()
    assert plain.panic_units() == host.plain_units
    held_s = (int(closed["__MONOTONIC_TIMESTAMP"]) - host.plain_since_us) / 1e6
    measured("flag held by one run of the panic", held_s, "s")
    assert held_s > LOOKS_AGAIN_S
