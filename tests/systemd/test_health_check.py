"""The plan's health script on a booted host: 0 and healthy, or 1 and the reason, for whatever may be wrong.

Rules: every test breaks one thing of a healthy host and mends it; what is not broken still passes.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.lab.commands import Completed
from tests.lab.lab import Lab
from tests.systemd.account import HEALTH_CHECK, Account

Measured = Callable[[str, float, str], None]

CHECKS: Final = {"service", "panic flag", "memory", "readiness", "market data"}
NEARLY_FULL_PERCENT: Final = 90


def check(account: Account, *before: str) -> Completed:
    return account.lab.run([*before, HEALTH_CHECK], check=False)


def failures(done: Completed) -> dict[str, str]:
    """What failed, by the check's name, with what was said about it."""
    return {line[8:20].strip(): line[20:].strip() for line in done.stdout.splitlines() if line.startswith("FAILED")}


def await_healthy(account: Account) -> Completed:
    def healthy() -> Completed | None:
        done = check(account)
        return None if done.returncode else done

    done = account.lab.wait_until(healthy, "a healthy host", 60)
    assert done is not None
    return done


@pytest.fixture(scope="module")
def machine(installed: Lab) -> Account:
    return Account(installed)


@pytest.fixture
def account(machine: Account) -> Iterator[Account]:
    """The account on a healthy host, which is healthy again afterwards."""
    await_healthy(machine)
    yield machine
    machine.lab.systemctl("reset-failed", machine.service)
    machine.lab.systemctl("start", machine.simulator, machine.service)
    if machine.trading_state() == "panic":
        machine.resume()
    machine.await_unit(machine.panic, "inactive")
    await_healthy(machine)


def test_a_healthy_host_is_said_to_be_healthy(account: Account, measured: Measured) -> None:
    done = check(account)
    assert (done.returncode, failures(done), done.stderr) == (0, {}, "")
    passed = {line[8:20].strip() for line in done.stdout.splitlines() if line.startswith("ok")}
    measured("checks of a healthy host passed", len(passed), f"of {len(CHECKS)}")
    assert passed == CHECKS


def test_the_service_s_own_user_may_ask(account: Account) -> None:
    done = check(account, "runuser", "-u", "trader", "--")
    assert (done.returncode, failures(done)) == (0, {}), done


def test_a_service_that_is_stopped_is_named(account: Account) -> None:
    account.systemctl("stop")
    done = check(account)
    assert done.returncode == 1
    assert failures(done)["service"] == "ibkr-trading.service is inactive: journalctl --unit=ibkr-trading.service"
    assert "panic flag" not in failures(done)


def test_a_panic_flag_is_named(account: Account) -> None:
    account.raise_flag()
    done = check(account)
    assert done.returncode == 1
    assert failures(done)["panic flag"].startswith(f"{account.flag} is up;")
    assert "service" not in failures(done)
    account.await_state("panic")


def test_a_gateway_that_is_gone_is_named(account: Account) -> None:
    account.lab.systemctl("stop", account.simulator)
    account.lab.wait_until(lambda: "readiness" in failures(check(account)), "a trader that is not ready", 60)
    done = check(account)
    assert done.returncode == 1
    assert failures(done)["readiness"].startswith("not ready: ")
    assert "connect" in failures(done)["readiness"]
    assert not {"service", "panic flag", "memory"} & set(failures(done))


def test_memory_near_its_limit_is_named(account: Account, measured: Measured) -> None:
    used_mb = int(check(account).stdout.partition("memory ")[2].split()[0])
    limit_mb = used_mb * 100 // NEARLY_FULL_PERCENT
    drop_in = f"/etc/systemd/system/{account.service}.d/50-memory.conf"
    account.lab.drop_in(account.service, "50-memory", f"[Service]\nMemoryMax={limit_mb}M\n")
    try:
        done = check(account)
    finally:
        account.lab.remove(drop_in)
        account.lab.systemctl("daemon-reload")
    assert done.returncode == 1
    (told,) = failures(done).items()
    measured("memory that is told of", float(told[1].split(",")[1].split()[0]), "%")
    assert told[0] == "memory"
    assert told[1].endswith("is 80 % or more")
    assert f"of {limit_mb} MB" in told[1]


def test_every_reason_is_told_at_once(account: Account) -> None:
    account.lab.systemctl("stop", account.service, account.simulator)
    account.raise_flag()
    try:
        assert set(failures(check(account))) == {"service", "panic flag", "memory", "readiness", "market data"}
    finally:
        account.lab.remove(account.flag)


def test_it_is_silent_about_what_is_well_when_told_to_be_quiet(account: Account) -> None:
    done = account.lab.run([HEALTH_CHECK, "--quiet"])
    assert done.output == ""
