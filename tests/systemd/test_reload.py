"""A reload of the running trader by systemd: all of the new file is in force when it returns, or nothing of it.

Rules: what is in force is what the service says and exports directly after the reload; it is never waited for, except
after a signal, which nobody answers.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.lab.lab import Lab
from tests.systemd.account import Account

Measured = Callable[[str, float, str], None]

LIMITS: Final = {"daily_loss_limit": 1500, "max_gross_exposure": 150000, "max_open_orders": 11}
OTHER_LIMITS: Final = {"daily_loss_limit": 1400, "max_gross_exposure": 140000, "max_open_orders": 12}
MISTAKES: Final = {"max_gross_exposure": "lots", "max_open_orders": -3, "daily_loss_limt": 5, "price_collar_ratio": 7}
# Of /proc/PID/status: what a process may do.
MAY_DO: Final = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask")
ROUNDS: Final = 4


@pytest.fixture(scope="module")
def machine(installed: Lab) -> Account:
    account = Account(installed)
    account.await_state("active")
    return account


@pytest.fixture
def account(machine: Account) -> Iterator[Account]:
    """The account with its configuration as it was installed in force, before and after."""
    config = machine.lab.read(machine.config)
    yield machine
    machine.lab.write(machine.config, config)
    machine.systemctl("reload")


class Process:
    """A process of the machine as the kernel shows it."""

    def __init__(self, lab: Lab, pid: str) -> None:
        self._lab = lab
        self._folder = f"/proc/{pid}"

    def command(self) -> str:
        return self._lab.read(f"{self._folder}/cmdline").replace("\0", " ")

    def may_do(self) -> dict[str, str]:
        lines = self._lab.read(f"{self._folder}/status").splitlines()
        told = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return {name: told[name] for name in MAY_DO}

    def is_writable(self, folder: str) -> bool:
        """Whether the process sees what is mounted at ``folder`` as writable."""
        mounts = [line.split() for line in self._lab.read(f"{self._folder}/mounts").splitlines()]
        (options,) = {mount[3].split(",")[0] for mount in mounts if mount[1] == folder}
        return options == "rw"


def in_force(account: Account) -> dict[str, int]:
    risk = account.status()["risk"]
    return {name: int(risk[name]) for name in LIMITS}


def run_of(account: Account) -> dict[str, str]:
    return account.unit_state(account.service)


def reload_took_s(account: Account) -> float:
    """Between systemd's own two records of the last reload."""
    times = {
        entry["MESSAGE"].partition(" ")[0]: int(entry["__MONOTONIC_TIMESTAMP"])
        for entry in account.lab.journal(account.service, "_PID=1")
        if entry["MESSAGE"].startswith("Reload")
    }
    return (times["Reloaded"] - times["Reloading"]) / 1e6


def test_a_reload_returns_when_the_new_limits_are_in_force(account: Account, measured: Measured) -> None:
    before = run_of(account)
    for limits in (LIMITS, OTHER_LIMITS) * ROUNDS:
        account.configure({"risk": limits})
        account.systemctl("reload")
        assert in_force(account) == limits
        assert account.metric("trader_daily_loss_limit") == {'{currency="USD"}': limits["daily_loss_limit"]}
    measured("reload", reload_took_s(account), "s")
    assert run_of(account) == before


def test_a_reload_lasts_as_long_as_the_trader_needs_and_runs_in_its_sandbox(account: Account) -> None:
    account.configure({"risk": LIMITS})
    account.signal_trader("STOP")
    try:
        account.lab.systemctl("reload", "--no-block", account.service)
        account.lab.wait_until(lambda: control_process(account), "the reload's own process")
        shown = account.lab.show(account.service, "ActiveState", "ControlPID", "MainPID")
        assert shown["ActiveState"] == "reloading"
        reloader, trader = Process(account.lab, shown["ControlPID"]), Process(account.lab, shown["MainPID"])
        account.lab.wait_until(lambda: "trader reload" in reloader.command(), "the command that reloads")
        assert reloader.may_do() == trader.may_do()
        assert (reloader.may_do()["NoNewPrivs"], reloader.may_do()["Seccomp"]) == ("1", "2")
        assert int(reloader.may_do()["CapBnd"], 16) == 0
        assert reloader.is_writable(account.folder)
        assert not reloader.is_writable(f"{account.folder}/config")
        assert not reloader.is_writable("/")
    finally:
        account.signal_trader("CONT")
    account.await_unit(account.service, "active")
    assert in_force(account) == LIMITS


def control_process(account: Account) -> int:
    return int(account.lab.show(account.service, "ControlPID")["ControlPID"])


def problems_told(account: Account, cursor: str) -> set[str]:
    """Which of the mistakes the trader itself names in the journal, as errors."""
    errors = account.lab.journal(None, f"_SYSTEMD_UNIT={account.service}", "PRIORITY=3", after=cursor)
    told = "\n".join(entry["MESSAGE"] for entry in errors)
    return {name for name in MISTAKES if f"risk.{name}: " in told}


def test_a_file_that_cannot_be_used_fails_the_reload_and_changes_nothing(account: Account, measured: Measured) -> None:
    account.configure({"risk": LIMITS})
    account.systemctl("reload")
    before, cursor = run_of(account), account.lab.cursor()
    account.configure({"risk": {**OTHER_LIMITS, **MISTAKES}})
    done = account.systemctl("reload", check=False)
    assert done.returncode != 0
    assert (run_of(account), in_force(account)) == (before, LIMITS)
    told = problems_told(account, cursor)
    measured("mistakes of a refused file told in the journal", len(told), f"of {len(MISTAKES)}")
    assert told == set(MISTAKES)
    assert account.metric("trader_config_reload_total")['{outcome="refused"}'] >= 1


def test_what_only_a_restart_can_change_fails_the_reload_as_a_whole(account: Account) -> None:
    before, limits, cursor = run_of(account), in_force(account), account.lab.cursor()
    account.configure({"risk": LIMITS, "metrics": {"port": 9999}})
    assert account.systemctl("reload", check=False).returncode != 0
    assert (run_of(account), in_force(account)) == (before, limits)
    errors = account.lab.journal(account.service, "PRIORITY=3", after=cursor)
    assert [entry for entry in errors if "metrics.port cannot change while the service runs" in entry["MESSAGE"]]


def test_a_file_that_is_no_yaml_fails_the_reload(account: Account) -> None:
    before, limit, cursor = run_of(account), account.metric("trader_daily_loss_limit"), account.lab.cursor()
    account.lab.write(account.config, "risk: [\n")
    assert account.systemctl("reload", check=False).returncode != 0
    assert (run_of(account), account.metric("trader_daily_loss_limit")) == (before, limit)
    errors = account.lab.journal(account.service, "PRIORITY=3", after=cursor)
    assert [entry for entry in errors if account.config in entry["MESSAGE"]]


def test_a_reload_after_a_refused_one_is_in_force_again(account: Account) -> None:
    config = account.lab.read(account.config)
    account.configure({"risk": MISTAKES})
    assert account.systemctl("reload", check=False).returncode != 0
    account.lab.write(account.config, config)
    account.configure({"risk": LIMITS})
    account.systemctl("reload")
    assert in_force(account) == LIMITS


def test_a_hangup_signal_reloads(account: Account) -> None:
    before = run_of(account)
    account.configure({"risk": LIMITS})
    account.signal_trader("HUP")
    account.lab.wait_until(lambda: in_force(account) == LIMITS, "the new limits")
    assert run_of(account) == before


def test_a_hangup_signal_changes_nothing_when_the_file_cannot_be_used(account: Account) -> None:
    before, limits, cursor = run_of(account), in_force(account), account.lab.cursor()
    account.configure({"risk": {**OTHER_LIMITS, **MISTAKES}})
    account.signal_trader("HUP")
    account.lab.wait_until(lambda: problems_told(account, cursor) == set(MISTAKES), "every mistake in the journal")
    assert (run_of(account), in_force(account)) == (before, limits)


def test_a_reload_of_a_trader_that_does_not_run_is_refused(account: Account) -> None:
    account.systemctl("stop")
    try:
        assert account.systemctl("reload", check=False).returncode != 0
    finally:
        account.systemctl("start")
        account.await_state("active")
