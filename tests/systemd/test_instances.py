"""Several accounts on one host: two instances of the template beside the plain service, each with books of its own.

Rules: they are added by the shipped installer, each with a simulated gateway of its own, and hold different quantities,
so that whose position it is shows in its size.
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
UNIT_FOLDER: Final = "/etc/systemd/system"
UNITS: Final = "/opt/checkout/systemd"


@dataclass(frozen=True)
class Host:
    """The three accounts of one host; the plain one holds nothing."""

    plain: Account
    alpha: Account
    beta: Account

    @property
    def lab(self) -> Lab:
        return self.plain.lab

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self.plain, self.alpha, self.beta


@pytest.fixture(scope="module")
def machine(installed: Lab) -> Host:
    """A host with the two instances added, trading."""
    installed.run([*INSTALL, "--instance", "alpha", "--instance", "beta"], timeout_s=INSTALL_TIMEOUT_S)
    host = Host(Account(installed), Account(installed, "alpha"), Account(installed, "beta"))
    for account, quantity in ((host.alpha, ALPHA_HELD), (host.beta, BETA_HELD)):
        account.trade(quantity)
        account.systemctl("restart")
    return host


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
    for account in (host.alpha, host.beta):
        for unit in (account.service, account.panic, account.panic_path):
            template = unit.replace(f"@{account.name}.", "@.")
            assert host.lab.show(unit, "FragmentPath")["FragmentPath"] == f"{UNIT_FOLDER}/{template}"
            shipped = host.lab.read(f"{UNITS}/{template}")
            assert "DO NOT EDIT" in shipped
            assert host.lab.read(f"{UNIT_FOLDER}/{template}") == shipped
    assert host.lab.systemctl("is-enabled", host.alpha.service, host.beta.panic_path).stdout.split() == ["enabled"] * 2


def test_each_has_a_port_a_client_id_and_a_socket_of_its_own(host: Host) -> None:
    configurations = [account.settings for account in host.accounts]
    for section, key in (("gateway", "port"), ("metrics", "port"), ("control", "socket")):
        assert len({settings[section][key] for settings in configurations}) == len(host.accounts)
    used = [account.status()["connection"]["client_id"] for account in host.accounts]
    assert used == [settings["gateway"]["client_id"] for settings in configurations]
    kept_free = [settings["gateway"]["panic_client_id"] for settings in configurations]
    assert len({*used, *kept_free}) == 2 * len(host.accounts)
    runs = {account.metric("process_start_time_seconds")[""] for account in host.accounts}
    assert len(runs) == len(host.accounts)


def test_their_books_are_separate(host: Host, measured: Measured) -> None:
    assert [set(account.held().values()) for account in host.accounts] == [set(), {ALPHA_HELD}, {BETA_HELD}]
    told = [account.at_broker() for account in host.accounts]
    assert [set(each["positions"].values()) for each in told] == [set(), {ALPHA_HELD}, {BETA_HELD}]
    alpha, beta = (set(each["executed"]) for each in told[1:])
    assert alpha
    assert beta
    assert not alpha & beta
    plain_journal, alpha_journal, beta_journal = (account.journaled() for account in host.accounts)
    assert (plain_journal, alpha <= alpha_journal, beta <= beta_journal) == (set(), True, True)
    shared = alpha_journal & beta_journal
    measured("orders in the journals of both accounts", len(shared), f"of {len(alpha_journal | beta_journal)}")
    assert not shared


def test_none_sees_the_files_of_another(host: Host) -> None:
    for account, other in ((host.alpha, "beta"), (host.beta, "alpha")):
        root = f"/proc/{account.unit_state(account.service)['MainPID']}/root"
        assert host.lab.run(["ls", f"{root}{HOME}/instances"]).stdout.split() == [account.name]
        assert not host.lab.exists(f"{root}{HOME}/instances/{other}/config")
        assert not host.lab.exists(f"{root}{HOME}/config")


def test_a_panic_of_one_leaves_the_other_trading(host: Host, measured: Measured) -> None:
    others = [account.unit_state(account.service) for account in (host.plain, host.beta)]
    raised_us = host.alpha.raise_flag()
    host.alpha.await_unit(host.alpha.panic, "active")
    flat_us = host.alpha.monotonic_us(host.alpha.panic, "ActiveEnterTimestamp")
    measured("alpha flat by its own flag", (flat_us - raised_us) / 1e6, "s")
    assert host.alpha.is_flat()
    assert host.alpha.trading_state() == "panic"
    host.beta.want(BETA_HELD + 1)
    host.beta.await_held(BETA_HELD + 1)
    assert set(host.beta.at_broker()["positions"].values()) == {BETA_HELD + 1}
    assert [host.lab.exists(account.flag) for account in (host.plain, host.beta)] == [False, False]
    assert [account.active_state(account.panic) for account in (host.plain, host.beta)] == ["inactive", "inactive"]
    assert [account.unit_state(account.service) for account in (host.plain, host.beta)] == others
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
    host.beta.want(BETA_HELD + 1)
    host.beta.await_held(BETA_HELD + 1)
    assert host.beta.unit_state(host.beta.service) == before
    host.lab.remove(host.alpha.flag)


def test_a_reload_of_one_changes_nothing_of_the_other(host: Host) -> None:
    host.alpha.configure({"risk": {"max_open_orders": 9}})
    host.alpha.systemctl("reload")
    assert [account.status()["risk"]["max_open_orders"] for account in host.accounts] == [20, 9, 20]


def test_the_health_of_each_is_its_own(host: Host) -> None:
    host.alpha.systemctl("stop")
    alpha, beta = (
        host.lab.run([HEALTH_CHECK, "--instance", account.name], check=False) for account in (host.alpha, host.beta)
    )
    assert (alpha.returncode, beta.returncode) == (1, 0), alpha.output + beta.output
    assert "ibkr-trading@alpha.service is inactive" in alpha.stdout
