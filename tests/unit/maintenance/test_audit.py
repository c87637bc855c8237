"""The security audit: every finding provoked by one change to a host on which everything is as it should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.doctor.changes import (
    Change,
    account,
    both,
    file,
    new_file,
    program,
    setting,
    tcp,
)
from tests.unit.doctor.fake_host import CURRENT, RELEASE, UID, UNIT_FOLDER, FakeHost, listening
from tests.unit.maintenance.months import PYTHON, context_of, installed, row, table
from trader.doctor import site_of
from trader.doctor.host import Account, Ran
from trader.doctor.model import NotVisible
from trader.doctor.units import directives
from trader.maintenance import advisories, audit
from trader.maintenance.model import Outcome, Section
from trader.maintenance.sandbox import weakened

SITE = site_of(FakeHost())
UNIT = UNIT_FOLDER / "ibkr-trading.service"
DROP_IN = UNIT_FOLDER / "ibkr-trading.service.d" / "50-local.conf"
NETWORK = (Path(__file__).resolve().parents[3] / "systemd" / "network.conf").read_text(encoding="utf-8")
OK, WARNING, FAILED, UNKNOWN = Outcome.OK, Outcome.WARNING, Outcome.FAILED, Outcome.UNKNOWN
AUDITED = {"dependencies": [{"name": "aiohttp", "version": "3.11.2", "vulns": []},
                            {"name": "ibkr-trading", "skip_reason": "not on PyPI"}], "fixes": []}  # fmt: skip
VULNERABLE = {"name": "aiohttp", "version": "3.11.2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.12.0"]}]}
UNMENDED = {"name": "aiohttp", "version": "3.11.2", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}
NO_MODULE = Ran(1, "", "No module named pip_audit\n")


def pip_audit(answer: object, code: int = 0) -> Change:
    return program(PYTHON, "-I", "-m", "pip_audit", code=code, output=json.dumps(answer))


def drop_in(text: str, path: Path = DROP_IN) -> Change:
    return new_file(path, f"[Service]\n{text}\n")


def exposed(unit: str, level: str, *openers: tuple[str, str]) -> Change:
    told = [{"set": False, "name": name, "exposure": value} for name, value in openers]

    def change(host: FakeHost) -> None:
        # The first command that fits is the answer, so the special ones have to come before the general one.
        host.programs = {
            ("systemd-analyze", "security", "--no-pager", unit): Ran(
                0, f"→ Overall exposure level for {unit}: {level} EXPOSED\n", ""
            ),
            ("systemd-analyze", "security", "--no-pager", "--json=short", unit): Ran(0, json.dumps(told), ""),
            **host.programs,
        }

    return change


class Scenario(NamedTuple):
    """What is changed; the verdict of the row named ``check``, words of what is seen, and of what mends it."""

    check: str
    change: Change
    outcome: Outcome
    seen: str
    mend: str


SCENARIOS: dict[str, Scenario] = {
    "an exposed service": Scenario(
        "exposure of every service",
        exposed("ibkr-simulator.service", "4.2", ("PrivateNetwork=", "0.5"), ("User=", "0.4"), ("X=", "0.1")),
        FAILED, "ibkr-simulator.service 4.2, above 0.9, by PrivateNetwork=, User=, X=", "systemd-analyze security",
    ),
    "a gateway that is as open as it has to be": Scenario(
        "exposure of every service", exposed("ibkr-gateway.service", "1.1"), OK, "the most exposed 1.1 of 10", "",
    ),
    "a service without a level": Scenario(
        "exposure of every service",
        lambda host: host.programs.update({("systemd-analyze",): Ran(1, "", "Failed to load unit\n")}),
        UNKNOWN, "Failed to load unit", "sudo systemd-analyze security",
    ),
    "no systemd": Scenario(
        "exposure of every service", setting("booted", False), UNKNOWN, "systemd does not run this host", "",
    ),
    "a switch turned off": Scenario(
        "drop-ins that loosen", drop_in("PrivateDevices=no"), WARNING, "50-local.conf loosens ibkr-trading.service: "
        "PrivateDevices=no", "systemctl cat ibkr-trading.service",
    ),
    "root by a drop-in": Scenario(
        "drop-ins that loosen", drop_in("User=root\nCapabilityBoundingSet=~"), FAILED,
        "User=root, CapabilityBoundingSet=~", "systemctl cat",
    ),
    "the shipped way out": Scenario(
        "drop-ins that loosen", new_file(DROP_IN, NETWORK), WARNING,
        "RestrictAddressFamilies=AF_INET6, IPAddressAllow=10.0.0.0/8", "systemctl cat",
    ),
    "a drop-in for all of ours": Scenario(
        "drop-ins that loosen", drop_in("NoNewPrivileges=false", UNIT_FOLDER / "ibkr-.service.d" / "x.conf"), FAILED,
        "loosens ibkr-calendar.service: NoNewPrivileges=false", "systemctl cat",
    ),
    "a drop-in until the next boot": Scenario(
        "drop-ins that loosen",
        drop_in("MemoryDenyWriteExecute=0", Path("/run/systemd/system/ibkr-panic.service.d/x.conf")), WARNING,
        "loosens ibkr-panic.service: MemoryDenyWriteExecute=0", "systemctl cat",
    ),
    "a drop-in that only changes a limit": Scenario(
        "drop-ins that loosen", drop_in("MemoryMax=4G\nNice=-5"), OK, "none of which loosens", "",
    ),
    "a unit of nobody's": Scenario(
        "unexpected units", new_file(UNIT_FOLDER / "ibkr-miner.service", "[Service]\nExecStart=/tmp/x\n"), FAILED,
        "ibkr-miner.service is not of this release", "systemctl cat ibkr-miner.service",
    ),
    "a unit with a line break in its name": Scenario(
        "unexpected units", new_file(UNIT_FOLDER / "ibkr-a\nok.service", ""), FAILED, r"ibkr-a\nok.service", "",
    ),
    "drop-ins of a unit of nobody's": Scenario(
        "unexpected units", new_file(UNIT_FOLDER / "ibkr-old.service.d" / "x.conf", ""), FAILED, "ibkr-old.service.d",
        "",
    ),
    "a copy of a template": Scenario(
        "unexpected units", new_file(UNIT_FOLDER / "ibkr-trading@x.service", ""), FAILED, "ibkr-trading@x.service", "",
    ),
    "drop-ins of an instance": Scenario(
        "unexpected units", new_file(UNIT_FOLDER / "ibkr-trading@x.service.d" / "x.conf", ""), OK, "all of them", "",
    ),
    "a unit that its group may write": Scenario(
        "units' files", file(UNIT, mode=0o664), FAILED, str(UNIT), f"sudo chown root:root {UNIT}",
    ),
    "a drop-in of the service's user": Scenario(
        "units' files", new_file(DROP_IN, "", owner="trader"), FAILED, str(DROP_IN), "sudo chown root:root",
    ),
    "a journal that others may read": Scenario(
        "journal, backups, logs", file(SITE.state / "journal.db", mode=0o644), FAILED, "journal.db", "sudo chmod -R o=",
    ),
    "a journal of somebody else's": Scenario(
        "journal, backups, logs", file(SITE.state / "journal.db", owner="mallory"), FAILED, "journal.db", "chown",
    ),
    "a world-writable file": Scenario(
        "world-writable", new_file(SITE.base / "logs" / "a b.log", "", mode=0o666), FAILED, "a b.log",
        f"sudo chmod o-w '{SITE.base}/logs/a b.log'",
    ),
    "a world-writable file with a hostile name": Scenario(
        "world-writable", new_file(SITE.base / "logs" / "a\n$(reboot)", "", mode=0o666), FAILED, r"a\n$(reboot)",
        f"sudo chmod o-w {SITE.base}/logs/*",
    ),
    "a folder of the gateway's that only root sees": Scenario(
        "world-writable",
        both(
            setting("is_root", False), new_file(Path("/var/lib/ibgateway/x"), ""),
            lambda host: host.closed.add(Path("/var/lib/ibgateway")),
        ),
        UNKNOWN, "/var/lib/ibgateway", "sudo find /etc/ibkr-trading -xdev -perm -o+w",
    ),
    "a set-uid file": Scenario(
        "set-uid files", new_file(RELEASE / "bin" / "helper", "", mode=0o4755), FAILED, "bin/helper",
        f"sudo chmod ug-s {SITE.prefix}/releases",
    ),
    "a rule of sudo's": Scenario(
        "sudo", new_file("/etc/sudoers.d/trader", "trader ALL=(ALL) NOPASSWD: ALL\n"), FAILED,
        "trader ALL=(ALL) NOPASSWD: ALL", "sudo visudo --file /etc/sudoers.d/trader",
    ),
    "a rule of sudo's for a group": Scenario(
        "sudo", both(account(groups=("trader", "ops")), new_file("/etc/sudoers.d/ops", "%wheel, %ops ALL=ALL\n")),
        FAILED, "%wheel, %ops", "sudo visudo",
    ),
    "sudo's rules, not as root": Scenario(
        "sudo", both(setting("is_root", False), lambda host: host.closed.add(Path("/etc/sudoers.d"))), UNKNOWN,
        "/etc/sudoers.d", "sudo --list --other-user=trader",
    ),
    "no sudo": Scenario(
        "sudo", lambda host: host.files.pop(Path("/etc/sudoers")), OK, "sudo is not installed", "",
    ),
    "in the group sudo": Scenario(
        "groups", account(groups=("trader", "sudo")), FAILED, "trader is in sudo", "gpasswd --delete trader sudo",
    ),
    "a secret that others read": Scenario(
        "secrets", file(SITE.token, mode=0o644), FAILED, "policy-token is root:root 0644", "chmod 600",
    ),
    "secrets, not as root": Scenario(
        "secrets", setting("is_root", False), UNKNOWN, "secrets", f"sudo ls -ln {SITE.secrets}",
    ),
    "an open socket": Scenario(
        "listening sockets", tcp(listening("00000000", 9464, UID)), FAILED, "trader listens at 0.0.0.0:9464", "ss",
    ),
    "users hidden by the sandbox": Scenario(
        "listening sockets",
        both(
            new_file("/proc/self/uid_map", "  995  995  1\n"),
            lambda host: host.accounts.update(ibgateway=Account("ibgateway", 996, "/usr/sbin/nologin", ())),
        ),
        UNKNOWN, "whose sockets are ibgateway's", "sudo ss",
    ),
    "sockets hidden by the sandbox": Scenario(
        "listening sockets", lambda host: host.files.pop(Path("/proc/net/tcp")), UNKNOWN, "hidden here", "",
    ),
    "a known vulnerability": Scenario(
        "known vulnerabilities", pip_audit({"dependencies": [VULNERABLE]}, 1), FAILED, "aiohttp 3.11.2 (PYSEC-1)",
        "install.sh",
    ),
    "a vulnerability that nothing mends": Scenario(
        "known vulnerabilities", pip_audit({"dependencies": [UNMENDED]}, 1), WARNING, "no version mends yet",
        "pip-audit --path",
    ),
    "no package known to the database": Scenario(
        "known vulnerabilities", pip_audit({"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}]}),
        UNKNOWN, "knows none of the packages", "pip-audit --path",
    ),
    "some packages not known to the database": Scenario(
        "known vulnerabilities",
        pip_audit({"dependencies": [*AUDITED["dependencies"], {"name": "odd", "skip_reason": "not found"}]}),
        UNKNOWN, "the database does not know odd", "pip-audit --path",
    ),
    "no pip-audit": Scenario(
        "known vulnerabilities", lambda host: host.programs.update({(PYTHON, "-I", "-m", "pip_audit"): NO_MODULE}),
        UNKNOWN, "pip-audit is not installed", "pip-audit --path",
    ),
    "an advisory database that does not answer": Scenario(
        "known vulnerabilities",
        lambda host: host.programs.update(
            {(PYTHON, "-I", "-m", "pip_audit"): Ran(1, "", "ERROR:pip_audit._cli:Could not connect to PyPI\n")}
        ),
        UNKNOWN, "Could not connect to PyPI", "pip-audit --path",
    ),
    "pip-audit that is not understood": Scenario(
        "known vulnerabilities", pip_audit({"dependencies": {"aiohttp": 1}}), UNKNOWN, "pip-audit ended with 0", "",
    ),
}  # fmt: skip


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., Section]:
    def run(change: Change | None = None) -> Section:
        host = installed()
        pip_audit(AUDITED)(host)
        if change is not None:
            change(host)
        return audit.run(context_of(tmp_path, host))

    return run


def test_a_host_on_which_all_is_closed_is_ok(audited: Callable[..., Section]) -> None:
    section = audited()
    assert [item for item in table(section, "Checks").rows if item[2] != "ok"] == []
    assert section.outcome is OK
    assert section.missing == ()
    services = {item[0] for item in table(section, "Exposure").rows}
    assert {"ibkr-trading.service", "ibkr-gateway.service", "ibkr-panic.service"} <= services
    assert {item[2] for item in table(section, "Listening sockets").rows} == {"4002", "9464"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_open_is_seen_and_has_its_command(name: str, audited: Callable[..., Section]) -> None:
    scenario = SCENARIOS[name]
    section = audited(scenario.change)
    item, title, verdict, seen, mend = row(section, "Checks", scenario.check)
    words = {OK: "ok", WARNING: "warning", FAILED: "failed", UNKNOWN: "not known"}
    assert verdict == words[scenario.outcome], seen
    assert scenario.seen in seen, seen
    assert scenario.mend in mend, mend
    assert item
    assert title == scenario.check
    assert tuple(Outcome).index(section.outcome) >= tuple(Outcome).index(scenario.outcome)
    if scenario.outcome is UNKNOWN:
        assert any(seen in text for text in section.missing), section.missing


def test_every_control_of_its_own_has_a_scenario_in_which_it_is_not_ok() -> None:
    provoked = {scenario.check for scenario in SCENARIOS.values() if scenario.outcome is not OK}
    assert {check.title for check in audit.CONTROLS} <= provoked


def test_what_needs_root_is_never_ok(audited: Callable[..., Section]) -> None:
    section = audited(setting("is_root", False))
    assert section.outcome is UNKNOWN
    for title in ("secrets", "world-writable", "set-uid files"):
        _, _, verdict, _, command = row(section, "Checks", title)
        assert verdict == "not known"
        assert command.startswith("sudo ")


def test_instances_are_audited_too(audited: Callable[..., Section]) -> None:
    name = "ibkr-trading@second.service"
    change = both(
        program("systemctl", "list-units", output=f"{name} loaded active running x\n"),
        lambda host: host.units.update({name: {"LoadState": "loaded"}}),
        drop_in("ProtectSystem=full", UNIT_FOLDER / "ibkr-trading@.service.d" / "x.conf"),
    )
    section = audited(change)
    assert row(section, "Exposure", name)[1] == 0.9
    assert f"loosens {name}: ProtectSystem=full" in row(section, "Checks", "drop-ins that loosen")[3]


def test_a_unit_that_is_masked_is_told(audited: Callable[..., Section]) -> None:
    path = UNIT_FOLDER / "ibkr-panic.path"

    def mask(host: FakeHost) -> None:
        host.put(Path("/dev/null"))
        file(path, "", kind="link")(host)
        resolve = host.resolve
        host.resolve = lambda asked: Path("/dev/null") if asked == path else resolve(asked)  # type: ignore[method-assign]

    assert "ibkr-panic.path is masked" in row(audited(mask), "Checks", "unexpected units")[3]


def test_a_file_that_vanishes_while_it_is_looked_at_is_passed_over(audited: Callable[..., Section]) -> None:
    def vanish(host: FakeHost) -> None:
        names = host.names
        host.names = lambda folder: (*names(folder), "gone.log")  # type: ignore[method-assign]

    section = audited(vanish)
    assert row(section, "Checks", "set-uid files")[2] == "ok"
    assert row(section, "Checks", "world-writable")[2] == "ok"


def test_a_host_without_the_product_is_not_known(tmp_path: Path) -> None:
    section = audit.run(context_of(tmp_path, FakeHost()))
    assert section.outcome is UNKNOWN
    assert "not installed on this host" in section.sentence


def test_pip_audit_of_the_host_is_taken_when_the_release_has_none(audited: Callable[..., Section]) -> None:
    def change(host: FakeHost) -> None:
        host.programs[(PYTHON, "-I", "-m", "pip_audit")] = NO_MODULE
        host.programs[("pip-audit",)] = Ran(0, json.dumps(AUDITED), "")

    assert row(audited(change), "Checks", "known vulnerabilities")[3] == "no advisory about 1 packages"


def test_pip_audit_that_takes_too_long_is_told(tmp_path: Path) -> None:
    host = installed()

    def run(*command: str, limit_s: float = 20.0) -> Ran:
        assert limit_s <= advisories.LIMIT_S
        raise NotVisible(f"{command[0]} did not end within {limit_s:.0f} s")

    host.run = run  # type: ignore[method-assign]
    finding, found = advisories.look(context_of(tmp_path, host).place, tmp_path)
    assert found is None
    assert "did not end within 180 s" in finding.seen
    assert str(CURRENT) in finding.mend


UNIT_TEXT = (Path(__file__).resolve().parents[3] / "systemd" / "ibkr-trading.service").read_text()
LOOSENING = (
    "NoNewPrivileges=no", "PrivateTmp=false", "PrivateUsers=", "ProtectSystem=full", "ProtectSystem=yes",
    "ProtectHome=read-only", "ProtectProc=default", "ProcSubset=all", "DevicePolicy=auto", "KeyringMode=inherit",
    "ReadWritePaths=/etc", "BindPaths=/root", "ExecPaths=/tmp", "DeviceAllow=/dev/mem rw", "IPAddressAllow=any",
    "AmbientCapabilities=CAP_SYS_ADMIN", "CapabilityBoundingSet=CAP_NET_RAW", "CapabilityBoundingSet=~",
    "RestrictAddressFamilies=AF_PACKET", "RestrictAddressFamilies=", "SystemCallFilter=@mount", "SystemCallFilter=",
    "SystemCallArchitectures=x86", "IPAddressDeny=", "NoExecPaths=", "TemporaryFileSystem=", "ReadOnlyPaths=",
    "User=", "User=root", "Group=sudo", "SupplementaryGroups=docker", "UMask=0022", "UMask=x", "LimitCORE=infinity",
    "ExecStartPre=+/bin/true", "ExecStart=-!/bin/sh", "Environment=LD_PRELOAD=/tmp/x.so", "RestrictNamespaces=net",
    "LockPersonality=off",
)  # fmt: skip
HARMLESS = (
    "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "ProtectHome=tmpfs", "PrivateNetwork=no",
    "RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=none", "SystemCallFilter=~@ipc",
    "SystemCallFilter=@system-service", "IPAddressAllow=localhost", "CapabilityBoundingSet=", "DeviceAllow=",
    "User=trader", "UMask=0177", "UMask=0077", "LimitCORE=0", "ExecStartPre=-/bin/true", "Environment=A=b",
    "MemoryMax=1G", "CPUAffinity=0", "ReadOnlyPaths=/etc", "PrivateTmp=disconnected", "AmbientCapabilities=",
)  # fmt: skip


@pytest.mark.parametrize("line", LOOSENING)
def test_a_setting_that_loosens_is_named(line: str) -> None:
    assert [item.text for item in weakened(directives(UNIT_TEXT), directives(f"[Service]\n{line}\n"))] == [line]


@pytest.mark.parametrize("line", HARMLESS)
def test_a_setting_that_does_not_loosen_is_not_named(line: str) -> None:
    assert weakened(directives(UNIT_TEXT), directives(f"[Service]\n{line}\n")) == []


def test_every_shipped_unit_loosens_nothing_against_itself() -> None:
    folder = Path(__file__).resolve().parents[3] / "systemd"
    files = sorted(folder.glob("ibkr-*.service"))
    assert len(files) > 8
    for unit in files:
        text = unit.read_text(encoding="utf-8")
        told: list[Any] = weakened(directives(text), directives(text))
        assert [item.text for item in told if not item.key.startswith("Exec")] == [], unit.name
