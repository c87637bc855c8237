"""The sandbox: the trader runs in it, systemd rates it, and what it denies is denied.

Rules: a denial is observed by a probe that is the unit's main process, with every other property of the unit as it is
(see inside.py). The same attempt outside of any sandbox must work, or else it would show nothing: by the trader's user
where its own rights are enough, else by root.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.lab.lab import Lab
from tests.systemd.inside import PYTHON, copy_probe, probed
from tests.systemd.installation import exposure
from tests.systemd.probe_host import PORT
from tests.systemd.probe_sandbox import (
    BASE,
    BEYOND,
    EXECUTED,
    HOST_TMP_FILE,
    LISTENER_PORT,
    NAMESPACES,
    OTHER_HOME,
    OTHER_USER,
    PRIVATE,
    RUNTIME,
    SETUID_PROGRAM,
    STATE,
)
from tests.systemd.trader_unit import METRICS_URL, SIMULATOR_UNIT, UNIT, TraderUnit

Measured = Callable[[str, float, str], None]
Outcomes = Mapping[str, Mapping[str, Any]]

EXPOSURE_MAX: Final = 0.9
RATED: Final = (
    UNIT, "ibkr-panic.service", "ibkr-calendar.service", "ibkr-simulator.service",
    f"ibkr-alert@{UNIT}.service", "ibkr-trading@one.service", "ibkr-panic@one.service",
)  # fmt: skip
SECRETS: Final = "/etc/ibkr-trading/secrets"
CREDENTIAL: Final = f"/run/credentials/{UNIT}/policy-token"
NETWORK_DROP_IN: Final = "20-network"
NETWORK_FILE: Final = "/opt/checkout/systemd/network.conf"
CONNECT: Final = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"
# The folders that the service may write to: its own, what its strategy keeps, and what nobody else sees.
OWN_FOLDERS: Final = {BASE, STATE, f"{BASE}/logs", f"{BASE}/instances", RUNTIME, "/tmp", "/var/tmp"}
WRITE: Final = {"EROFS", "EACCES"}
PERMISSION: Final = {"EPERM", "EACCES"}
ROOT, TRADER, NOBODY = "root", "trader", ""


@dataclass(frozen=True)
class Denial:
    """What is denied: an attempt of the probe, the errors that say so, and who can do it outside of the sandbox."""

    sentence: str
    attempt: str
    errors: set[str]
    works_for: str

    def __str__(self) -> str:
        return self.sentence.replace(" ", "-")


DENIALS: Final = (
    *(
        Denial(f"write to {folder}", f"write {folder}", WRITE, ROOT)
        for folder in (
            "/", "/etc", "/usr", "/usr/lib", "/opt/ibkr-trading", "/opt/ibkr-trading/current", "/home", "/root",
            "/var/lib", "/var/log", "/run", "/run/systemd", "/boot", f"{BASE}/config", f"{BASE}/scripts",
        )
    ),
    *(
        Denial(f"write to {folder}", f"write {folder}", WRITE, TRADER)
        for folder in (
            "/home/trader", f"{BASE}/backups", "/var/lib/prometheus/node-exporter", "/run/lock", "/dev/shm",
            "/dev/mqueue",
        )
    ),
    Denial("change its configuration", "change config", WRITE, ROOT),
    Denial("read the secrets of the host", "read secrets", {"EACCES"}, ROOT),
    Denial("see the home of another user", "see other home", {"ENOENT"}, TRADER),
    Denial("see the /tmp of the host", "see host tmp", {"ENOENT"}, TRADER),
    Denial("see the first process", "see first process", {"ENOENT"}, TRADER),
    Denial("connect beyond loopback", f"connect {BEYOND}", {"EPERM", "TIMEOUT"}, TRADER),
    Denial("connect to a private network", f"connect {PRIVATE}", {"EPERM", "TIMEOUT"}, TRADER),
    Denial("send a datagram beyond loopback", f"send {BEYOND}", {"EPERM"}, TRADER),
    Denial("speak IPv6", "socket ipv6", {"EAFNOSUPPORT"}, TRADER),
    Denial("ask the kernel about the network", "socket netlink", {"EAFNOSUPPORT"}, TRADER),
    Denial("read packets", "socket packet", {"EAFNOSUPPORT"}, ROOT),
    Denial("forge packets", "socket raw", {"EPERM"}, ROOT),
    *(
        Denial(f"make a {name} namespace", f"namespace {name}", {"EPERM"}, TRADER if name == "user" else ROOT)
        for name in NAMESPACES
    ),
    *(
        Denial(f"execute a file from {folder}", f"execute {folder}", WRITE, TRADER if folder != RUNTIME else ROOT)
        for folder in EXECUTED
    ),
    Denial("load a library from its state", "map library", PERMISSION, TRADER),
    Denial("have memory that is written and executed", "writable code", PERMISSION, TRADER),
    Denial("make data executable", "code from data", PERMISSION, TRADER),
    # A container cannot have it anyway.
    Denial("schedule itself in real time", "realtime", {"EPERM"}, NOBODY),
    Denial("raise its priority", "priority", PERMISSION, ROOT),
    Denial("choose its processors", "processors", {"EPERM"}, TRADER),
    Denial("become root", "become root", {"EPERM"}, ROOT),
    Denial("make a setuid file", "setuid file", {"EPERM"}, TRADER),
    Denial("make a setgid file", "setgid file", {"EPERM"}, TRADER),
    Denial("mount", "mount", {"EPERM"}, ROOT),
    Denial("change its root", "change root", {"EPERM"}, ROOT),
    Denial("set a tunable of the kernel", "kernel tunable", {"ENOENT", "EROFS", "EACCES"}, ROOT),
    Denial("raise its own limits", "own limits", WRITE, ROOT),
    Denial("read the log of the kernel", "kernel log", {"EPERM"}, ROOT),
    Denial("rename the host", "host name", {"EPERM"}, ROOT),
    Denial("change its personality", "personality", {"EPERM"}, TRADER),
)  # fmt: skip
# What stays denied when the process is root in the sandbox, which file permissions alone would not stop.
OF_FILE_PERMISSIONS: Final = {
    "write /usr/lib", "write /opt/ibkr-trading", "write /opt/ibkr-trading/current", "read secrets", "see first process",
}  # fmt: skip


# -- what systemd says of it


@pytest.mark.parametrize("unit", RATED)
def test_its_exposure_is_at_most_0_9(installed: Lab, unit: str, measured: Measured) -> None:
    on_disk = exposure(installed, "--offline=true", unit)
    measured(f"exposure of {unit}", on_disk, "")
    assert on_disk <= EXPOSURE_MAX
    as_loaded = exposure(installed, unit)
    measured(f"exposure of {unit} by the running manager", as_loaded, "")
    assert as_loaded <= EXPOSURE_MAX


# -- the trader in it


@pytest.fixture(scope="module")
def trader(installed: Lab) -> TraderUnit:
    """The trader as installed, ready."""
    trader = TraderUnit(installed)
    trader.await_ready()
    return trader


def test_the_trader_runs_and_trades_in_it(trader: TraderUnit, measured: Measured) -> None:
    trader.use_provoked_strategy()
    trader.lab.systemctl("restart", UNIT)
    trader.await_ready()
    trader.provoke(quantity=5)
    trader.lab.wait_until(lambda: trader.status()["activity"]["fills"] >= 1, "a fill")
    measured("fills in the sandbox", trader.status()["activity"]["fills"], "")
    assert confinement(trader) == {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    trader.provoke()


def confinement(trader: TraderUnit) -> dict[str, str]:
    """What the kernel says of the trader's own process."""
    lines = trader.lab.read(f"/proc/{trader.run().pid}/status").splitlines()
    found = {name: text.strip() for name, text in (line.split(":", 1) for line in lines)}
    return {name: found[name] for name in ("NoNewPrivs", "Seccomp", "CapEff", "CapBnd")}


def test_its_metrics_tell_its_limits_in_it(trader: TraderUnit, measured: Measured) -> None:
    shown = trader.show("MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown["CPUQuotaPerSecUSec"] == "4s"
    files = re.search(r"^Max open files +(\d+)", trader.lab.read(f"/proc/{trader.run().pid}/limits"), re.MULTILINE)
    assert files
    limits = {
        "trader_unit_memory_max_bytes": int(shown["MemoryMax"]),
        "trader_unit_tasks_max": int(shown["TasksMax"]),
        "trader_unit_cpu_limit_cores": 4,
        "process_max_fds": int(files[1]),
    }
    for name, limit in limits.items():
        measured(name, limit, "")
        assert trader.metrics(name) == {"": limit}, name


def test_its_metrics_tell_what_it_uses_in_it(trader: TraderUnit, measured: Measured) -> None:
    for name in (
        "trader_unit_memory_working_set_bytes", "trader_unit_cpu_usage_seconds_total", "trader_unit_tasks",
        "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds",
    ):  # fmt: skip
        (value,) = trader.metrics(name).values()
        measured(name, value, "")
        assert value > 0, name


# -- its secrets


def test_the_webhook_takes_the_token_that_systemd_hands_over(trader: TraderUnit) -> None:
    token = trader.lab.read(f"{SECRETS}/policy-token").strip()
    assert answer_of_webhook(trader, token) == 200
    assert answer_of_webhook(trader, "x" * len(token)) == 401


def answer_of_webhook(trader: TraderUnit, token: str) -> int:
    message = json.dumps({"version": "4", "alerts": []})
    options = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", "-d", message]
    return int(trader.lab.run(["curl", *options, f"{METRICS_URL}/alertmanager/webhook"]).stdout)


def test_nobody_else_can_read_the_token(trader: TraderUnit) -> None:
    for user, path in (
        ("trader", f"{SECRETS}/policy-token"),
        ("ibgateway", f"{SECRETS}/policy-token"),
        ("ibgateway", CREDENTIAL),
        ("nobody", CREDENTIAL),
    ):
        refused = trader.lab.run(["setpriv", f"--reuid={user}", "--clear-groups", "cat", path], check=False)
        assert (refused.returncode, refused.stdout) == (1, ""), (user, path)
        assert "Permission denied" in refused.stderr, (user, path)


def test_another_unit_of_the_same_user_does_not_see_the_token(trader: TraderUnit) -> None:
    pid = trader.lab.show(SIMULATOR_UNIT, "MainPID")["MainPID"]
    inside = ["nsenter", f"--target={pid}", "--mount", "setpriv", "--reuid=trader", "--clear-groups"]
    refused = trader.lab.run([*inside, "cat", CREDENTIAL], check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.search("Permission denied|No such file", refused.stderr)


def test_the_token_is_in_no_environment_and_in_no_journal(trader: TraderUnit) -> None:
    token = trader.lab.read(f"{SECRETS}/policy-token").strip()
    assert token not in trader.lab.read(f"/proc/{trader.run().pid}/environ")
    assert token not in trader.lab.systemctl("show", UNIT).stdout
    assert token not in trader.lab.run(["journalctl", "--no-pager", "--output=export"]).stdout


# -- what it denies


@dataclass(frozen=True)
class Seen:
    """What came of each attempt: in the sandbox, there as root, and outside of any by the trader's user and by root."""

    inside: Outcomes
    as_root: Outcomes
    outside: Mapping[str, Outcomes]
    inbound: Mapping[str, int]


@pytest.fixture(scope="module")
def prepared(installed: Lab) -> Lab:
    """A machine with addresses beyond loopback, a listener on all, and things of others that the probe looks for."""
    installed.add_address(f"{BEYOND}/24", "beyond0")
    installed.add_address(f"{PRIVATE}/24", "private0")
    installed.write(f"{OTHER_HOME}/file", "private", mode=0o644)
    installed.run(["chmod", "755", OTHER_HOME])
    installed.write(HOST_TMP_FILE, "of the host", mode=0o644)
    installed.run(["install", "-m", "4755", "/usr/bin/cat", SETUID_PROGRAM])
    listener = ["/usr/bin/python3", "-m", "http.server", "--directory", OTHER_HOME, f"{LISTENER_PORT}"]
    installed.run(["systemd-run", "--quiet", "--unit=lab-listener", *listener])
    installed.wait_until(lambda: is_reached(installed, "127.0.0.1", LISTENER_PORT) == 0, "the listener")
    return installed


@pytest.fixture(scope="module")
def seen(prepared: Lab) -> Iterator[Seen]:
    path = copy_probe(prepared, "probe_sandbox")
    user = {TRADER: ["User=trader"], ROOT: [f"RuntimeDirectory={RUNTIME.removeprefix('/run/')}"]}
    with probed(prepared, UNIT, "probe_sandbox") as inside:
        inbound = {address: is_reached(prepared, address, PORT) for address in (BEYOND, "127.0.0.1")}
    with probed(prepared, UNIT, "probe_sandbox", more="User=root\nGroup=root\n") as as_root:
        pass
    outside = {
        name: json.loads(prepared.run_in_unit([PYTHON, path], properties).stdout) for name, properties in user.items()
    }
    yield Seen(inside, as_root, outside, inbound)
    prepared.systemctl("restart", UNIT)


def is_reached(lab: Lab, address: str, port: int) -> int:
    """0 when something answers there."""
    return lab.run(["/usr/bin/python3", "-c", CONNECT, address, str(port)], check=False).returncode


@pytest.mark.parametrize("denial", DENIALS, ids=str)
def test_what_it_may_not_do_is_denied(seen: Seen, denial: Denial) -> None:
    assert seen.inside[denial.attempt].get("error") in denial.errors, seen.inside[denial.attempt]
    if denial.works_for:
        outcome = seen.outside[denial.works_for][denial.attempt]
        assert "value" in outcome, f"it shows nothing: {denial.works_for} outside of the sandbox gets {outcome}"


def test_it_could_not_even_as_root(seen: Seen, measured: Measured) -> None:
    attempts = {denial.attempt for denial in DENIALS} - OF_FILE_PERMISSIONS
    measured("attempts that are denied to root in the sandbox", len(attempts), "")
    assert {attempt for attempt in attempts if "error" not in seen.as_root[attempt]} == set()


def test_it_can_write_to_its_own_folders_and_to_no_other(seen: Seen, measured: Measured) -> None:
    writable = set(seen.inside["writable folders"]["value"])
    measured("folders that it can write to", len(writable), "")
    assert {folder for folder in writable if not folder.startswith(f"{STATE}/")} == OWN_FOLDERS
    for folder in (STATE, f"{BASE}/logs", BASE, RUNTIME, "/tmp"):
        assert "value" in seen.inside[f"write {folder}"], folder


def test_what_it_needs_works_in_it(seen: Seen) -> None:
    for attempt in ("connect 127.0.0.1", "socket ipv4", "socket unix"):
        assert "value" in seen.inside[attempt], attempt


def test_nothing_beyond_loopback_reaches_it(seen: Seen) -> None:
    assert seen.inbound["127.0.0.1"] == 0
    assert seen.inbound[BEYOND] != 0


def test_it_has_no_capabilities_and_gains_no_privileges(seen: Seen) -> None:
    status = seen.inside["status"]["value"]
    assert {name: int(status[name], 16) for name in status if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert seen.as_root["status"]["value"]["CapEff"] == "0" * 16


def test_a_setuid_program_gains_it_nothing(seen: Seen) -> None:
    own = seen.inside["status"]["value"]["Uid"].split()[0]
    assert own != "0"
    assert seen.inside["setuid program"] == {"value": own}
    assert seen.outside[TRADER]["setuid program"] == {"value": "0"}


def test_it_sees_no_home_but_its_own_and_no_process_of_others(seen: Seen) -> None:
    assert seen.inside["see homes"] == {"value": ["trader"]}
    assert seen.outside[TRADER]["see homes"] == {"value": [OTHER_USER, "trader"]}
    assert seen.inside["see processes of others"] == {"value": 0}
    assert seen.outside[TRADER]["see processes of others"]["value"] > 0


def test_the_programs_are_mounted_read_only(seen: Seen) -> None:
    assert seen.inside["writable mounts"] == {"value": []}
    assert seen.outside[TRADER]["writable mounts"]["value"]


def test_it_has_no_devices_but_those_that_give_and_take_nothing(seen: Seen) -> None:
    assert set(seen.inside["devices"]["value"]) == {"full", "null", "random", "tty", "urandom", "zero"}


def test_it_reads_its_own_credential_and_sees_no_other(prepared: Lab, seen: Seen) -> None:
    token = prepared.run(["sha256sum", f"{SECRETS}/policy-token"]).stdout.split()[0]
    assert seen.inside["credential"] == {"value": token}
    assert seen.inside["see credentials"] == {"value": [UNIT]}


# -- the way out for those who need the network


def test_with_the_network_drop_in_it_connects_to_private_networks_and_no_further(prepared: Lab) -> None:
    prepared.drop_in(UNIT, NETWORK_DROP_IN, prepared.read(NETWORK_FILE))
    with probed(prepared, UNIT, "probe_sandbox") as found:
        assert "value" in found[f"connect {PRIVATE}"]
        assert "value" in found["socket ipv6"]
        assert found[f"connect {BEYOND}"]["error"] in ("EPERM", "TIMEOUT")
        assert found["socket netlink"] == {"error": "EAFNOSUPPORT"}
        assert is_reached(prepared, PRIVATE, PORT) == 0
    prepared.remove(f"/etc/systemd/system/{UNIT}.d/{NETWORK_DROP_IN}.conf")
    prepared.systemctl("daemon-reload")
