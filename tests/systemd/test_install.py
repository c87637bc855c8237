"""From nothing to an installation and back: as the document says it, twice, with an instance, removed, and again.

Rules: the tests run in the order of the file, because each goes on from what the one before left. What must change
nothing is compared with what was there before, path by path.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.lab.commands import Completed
from tests.lab.folders import ROOT
from tests.lab.installed import CHECKOUT, INSTALL_TIMEOUT_S, WHEELS
from tests.lab.lab import Lab
from tests.systemd.account import HOME, Account
from tests.systemd.installation import ETC, PREFIX, WITHOUT_SUDO, Sight, doctor, look, one_sentence, run_installer
from tests.systemd.trader_unit import TraderUnit, ready_s, waited_for_processor_s

Measured = Callable[[str, float, str], None]

DOCUMENT: Final = ROOT / "docs" / "deployment.md"
README: Final = ROOT / "README.md"
# The first block of commands below a heading.
COMMANDS: Final = r"^## {heading}\n.*?^```(?:sh)?\n(.*?)^```"
# The lab has no network: what they would bring is there already.
BY_NETWORK: Final = ("sudo apt ", "git clone ")
OURS: Final = ("ibkr-simulator.service", "ibkr-trading.service", "ibkr-panic.path", "ibkr-calendar.timer")
USERS: Final = {"trader", "ibgateway"}
READY_WITHIN_S: Final = 5.0
INSTANCE: Final = "second"
ALONE: Final = 'unshare --mount --propagation private -- /bin/bash -c "$1"'
# What an uninstall leaves, and nothing else; the system's own files about users change with them.
KEPT: Final = (HOME, ETC, "/home/trader", "/var/lib/ibkr-simulator", "/var/lib/prometheus")
SYSTEMS_OWN: Final = re.compile(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/(sysusers|tmpfiles)\.d")
# Where a user of the system may write, whatever is installed.
FOR_EVERYBODY: Final = ("/var/tmp", "/var/lock")
MAY_WRITE: Final = re.compile(
    rf"/home/trader(/secure(/trader)?)?|{HOME}(/(state|logs|backups|instances).*)?"
    r"|/var/lib/(prometheus/node-exporter|ibkr-simulator)(/.*)?"
)


class Refusal(NamedTuple):
    """What makes an installation impossible, how it is tried, and what the one sentence says."""

    prepare: str
    options: str
    says: str


MASK_PYTHON: Final = "for p in /usr/bin/python3*; do [ ! -f $p ] || mount --bind /dev/null $(realpath $p); done"
OLD_SYSTEMCTL: Final = """#!/bin/sh
[ "$1" != --version ] || { echo 'systemd 247 (247.3-7+deb11u4)'; exit; }
exec /usr/bin/systemctl "$@"
"""
OWN_PYTHON: Final = "mkdir /root/own && cp $(realpath /usr/bin/python3) /root/own/python3"
SMALL_DISK: Final = "mount -t tmpfs -o size=50m none /opt/lab/small"
REFUSALS: Final = {
    "there is no Python": Refusal(MASK_PYTHON, "", "no Python 3.11 or newer"),
    "the Python lies below /root": Refusal(OWN_PYTHON, "--python /root/own/python3", "/root/own"),
    "systemd is too old": Refusal("PATH=/opt/lab/old:$PATH", "", "systemd 247 runs here"),
    "the disk is full": Refusal(SMALL_DISK, "--prefix /opt/lab/small", "50 MB left"),
    "a wheel is missing": Refusal("", "--wheels /opt/lab/fewer", "pip could not install the packages"),
}


@pytest.fixture(scope="module")
def before(bare: Lab) -> Sight:
    """The machine with nothing installed."""
    bare.write("/opt/lab/old/systemctl", OLD_SYSTEMCTL, mode=0o755)
    bare.run(["mkdir", "-p", "/opt/lab/small", "/opt/lab/fewer"])
    bare.run(["/bin/sh", "-c", f"cd /opt/lab/fewer && ln -s {WHEELS}/*.whl . && rm msgspec-*.whl"])
    return look(bare)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_installed_is_one_sentence_and_changes_nothing(
    bare: Lab, before: Sight, refusal: Refusal
) -> None:
    wheels = "" if "--wheels" in refusal.options else f"--wheels {WHEELS}"
    attempt = f"{refusal.prepare or ':'}\n{CHECKOUT}/systemd/install.sh {wheels} {refusal.options}"
    done = bare.run(["/bin/sh", "-c", ALONE, "alone", attempt], check=False, timeout_s=INSTALL_TIMEOUT_S)
    bare.remove("/root/own")
    assert refusal.says in one_sentence(done)
    after = look(bare)
    assert changes(before, after) == {}
    assert (after.units, after.users, after.running) == (before.units, before.users, before.running)


def changes(before: Sight, after: Sight) -> dict[str, tuple[str | None, str | None]]:
    """The paths that came, went or changed, with what they were and are."""
    paths = sorted(before.files.keys() | after.files.keys())
    both = {path: (before.files.get(path), after.files.get(path)) for path in paths}
    return {path: seen for path, seen in both.items() if seen[0] != seen[1]}


def commands_of(document: Path, heading: str) -> list[str]:
    """The commands that ``document`` shows first below ``heading``, but for those that need a network."""
    pattern = COMMANDS.format(heading=re.escape(heading))
    block = re.search(pattern, document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block, f"{document.name} has no block of commands below {heading!r}"
    commands = [line.partition(" #")[0].strip() for line in block[1].splitlines() if line.strip()]
    return [command for command in commands if not command.startswith(("cd ", *BY_NETWORK))]


def test_it_installs_by_the_commands_that_the_document_shows(bare: Lab, before: Sight, measured: Measured) -> None:
    commands = commands_of(DOCUMENT, "Try it")
    began = time.monotonic()
    ran = [typed(bare, command) for command in commands]
    measured("installed from nothing in", time.monotonic() - began, "s")
    assert [done.returncode for done in ran] == [0] * len(ran), ran
    assert any("ready: ibkr-trading.service" in done.stdout for done in ran), ran
    for unit in OURS:
        assert bare.show(unit, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    assert look(bare).users - before.users == USERS
    assert doctor(bare)[0] == 0


def test_what_was_installed_runs_and_was_ready_within_five_seconds(bare: Lab, measured: Measured) -> None:
    trader = TraderUnit(bare)
    trader.await_ready()
    assert bare.state() == "running", bare.systemctl("--failed").stdout
    assert trader.starts() == {"deploy": 1}
    run = trader.run()
    able_s = ready_s(trader, run)
    measured("first start: told systemd that it is ready after", run.start_s, "s")
    measured("first start: ready to trade after", able_s, "s")
    within_s = READY_WITHIN_S + waited_for_processor_s(trader, run)
    assert 0 < run.start_s < within_s
    assert 0 < able_s < within_s


def test_the_commands_of_the_readme_are_the_same_and_show_that_it_works(bare: Lab) -> None:
    commands = commands_of(README, "Deployment")
    installing = {command for command in commands if "install.sh" in command}
    assert installing
    assert installing <= set(commands_of(DOCUMENT, "Try it"))
    for command in commands:
        if command not in installing:
            done = typed(bare, command.removesuffix(" --watch"))  # which never ends
            assert done.returncode == 0, done


def typed(lab: Lab, command: str) -> Completed:
    """A command of the document, in the checkout, as root; packages come from wheels."""
    command = command.replace("systemd/install.sh", f"systemd/install.sh --wheels {WHEELS}")
    words = ["/bin/bash", "-c", WITHOUT_SUDO, "type", CHECKOUT, command]
    return lab.run(words, check=False, timeout_s=INSTALL_TIMEOUT_S)


def test_what_is_installed_belongs_to_root_and_the_service_writes_to_its_own_folders_only(bare: Lab) -> None:
    others = ["find", PREFIX, ETC, "(", "!", "-user", "root", "-o", "-perm", "/022", ")", "!", "-type", "l"]
    assert bare.run(others).stdout == ""
    as_trader = ["setpriv", "--reuid=trader", "--regid=trader", "--init-groups", "--"]
    trees = ["/etc", "/opt", "/usr/local", "/usr/lib/systemd", "/var", "/home"]
    found = bare.run([*as_trader, "find", *trees, "!", "-type", "l", "-writable"], check=False).stdout.splitlines()
    elsewhere = [path for path in found if not MAY_WRITE.fullmatch(path) and not path.startswith(FOR_EVERYBODY)]
    assert elsewhere == []


def test_secrets_are_roots_alone_and_the_configuration_is_only_read(bare: Lab) -> None:
    modes = {
        f"{ETC}/secrets": "700 root:root directory",
        f"{ETC}/secrets/policy-token": "600 root:root regular file",
        f"{HOME}/config": "750 root:trader directory",
        f"{HOME}/config/config.yaml": "640 root:trader regular file",
        f"{HOME}/scripts/health_check.sh": "755 root:root regular file",
        "/usr/local/bin/trader": "755 root:root regular file",
    }
    assert {path: bare.run(["stat", "-c", "%a %U:%G %F", path]).stdout.strip() for path in modes} == modes
    assert bare.run(["id", "-nG", "trader"]).stdout.split() == ["trader"]


def test_a_second_run_changes_nothing_and_restarts_nothing(bare: Lab, measured: Measured) -> None:
    files, runs = look(bare).files, invocations(bare)
    began = time.monotonic()
    done = run_installer(bare, "--simulator")
    measured("second run in", time.monotonic() - began, "s")
    assert done.returncode == 0, done
    assert "nothing had to be changed" in done.stdout
    assert not re.search(r"^  (write|make|start|stop|enable|remove|reload) ", done.stdout, re.MULTILINE), done
    assert invocations(bare) == runs
    assert {path for path in changes_of(files, look(bare).files) if not is_alive(path)} == set()


def invocations(lab: Lab) -> dict[str, str]:
    return {unit: lab.show(unit, "InvocationID")["InvocationID"] for unit in OURS}


def changes_of(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def is_alive(path: str) -> bool:
    """Whether a running service writes there."""
    return path.startswith((f"{HOME}/state", "/var/lib/ibkr-simulator", "/var/lib/prometheus"))


def test_an_instance_is_added_while_the_service_goes_on(bare: Lab) -> None:
    runs = invocations(bare)
    done = run_installer(bare, "--simulator", "--instance", INSTANCE)
    assert done.returncode == 0, done
    account = Account(bare, INSTANCE)
    account.await_state("active")
    for unit in (account.service, account.panic_path, account.simulator):
        assert bare.show(unit, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    assert invocations(bare) == runs


@pytest.fixture(scope="module")
def books(bare: Lab) -> tuple[Account, list[str]]:
    """The plain account and what its journal says before the service is removed."""
    account = Account(bare)
    return account, account.trader("journal", "export").stdout.splitlines()


def test_an_uninstall_leaves_nothing_but_state(
    bare: Lab, before: Sight, books: tuple[Account, list[str]], measured: Measured
) -> None:
    kept = look(bare).files
    done = run_installer(bare, "--uninstall")
    assert done.returncode == 0, done
    after = look(bare)
    left = [path for path in changes(before, after) if not SYSTEMS_OWN.fullmatch(path)]
    measured("paths that an uninstall leaves", len(left), "")
    assert [path for path in left if not path.startswith(KEPT)] == []
    for path in (f"{HOME}/config/config.yaml", f"{ETC}/secrets/policy-token", f"{ETC}/installed"):
        assert after.files[path] == kept[path]
    for folder in (HOME, f"{HOME}/instances/{INSTANCE}"):
        assert {f"{folder}/config/config.yaml", f"{folder}/state/journal.db", f"{folder}/logs"} <= after.files.keys()
    assert f"{HOME}/scripts" not in after.files
    assert (after.units, after.running) == (before.units, before.running)
    assert after.users - before.users == USERS
    assert bare.run(["pgrep", "--uid", "trader"], check=False).stdout == ""
    assert bare.state() == "running"


def test_installed_again_it_goes_on_with_the_books_that_were_kept(bare: Lab, books: tuple[Account, list[str]]) -> None:
    account, journal = books
    done = run_installer(bare, "--simulator")
    assert done.returncode == 0, done
    account.await_state("active")
    now = account.trader("journal", "export").stdout.splitlines()
    assert now[: len(journal)] == journal
    assert "ServiceStarted" in "".join(now[len(journal) :])
    assert account.held() == account.at_broker()["positions"]


def test_a_purge_leaves_nothing_at_all(bare: Lab, before: Sight) -> None:
    done = run_installer(bare, "--uninstall", "--purge")
    assert done.returncode == 0, done
    after = look(bare)
    assert [path for path in changes(before, after) if not SYSTEMS_OWN.fullmatch(path)] == []
    assert (after.units, after.users, after.running) == (before.units, before.users, before.running)
