"""What the units promise: the plan's limits, one sandbox for all that trade, and a reason for what is not obvious."""

import re
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from trader.settings import Settings
from trader.settings_file import load_settings

FOLDER = Path(__file__).resolve().parents[3] / "systemd"
BASE = "/home/trader/secure/trader/IBKR_trading"
CURRENT = "/opt/ibkr-trading/current"
EXPECTED = {
    "ibkr-trading.service", "ibkr-trading@.service", "ibkr-panic.path", "ibkr-panic@.path", "ibkr-panic.service",
    "ibkr-panic@.service", "ibkr-calendar.timer", "ibkr-calendar.service", "ibkr-alert@.service",
    "ibkr-gateway.service", "ibkr-simulator.service",
    "ibkr-maintenance-daily.service", "ibkr-maintenance-daily.timer", "ibkr-maintenance-weekly.service",
    "ibkr-maintenance-weekly.timer", "ibkr-maintenance-monthly.service", "ibkr-maintenance-monthly.timer",
}  # fmt: skip
# The plan, by its own words.
LIMITS = {
    "MemoryMax": "8G", "CPUQuota": "400%", "LimitNOFILE": "65536", "TasksMax": "4096", "TimeoutStopSec": "30s",
    "Restart": "always", "Type": "notify", "WatchdogSec": "10s", "KillMode": "mixed", "MemorySwapMax": "0",
    "LimitCORE": "0", "RestartPreventExitStatus": "78", "User": "trader", "StandardOutput": "journal",
    "StandardError": "journal", "StartLimitIntervalSec": "60s",
}  # fmt: skip
SANDBOX = {
    "NoNewPrivileges": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateMounts": "yes",
    "PrivateUsers": "yes", "ProtectSystem": "strict", "ProtectProc": "invisible", "ProtectClock": "yes",
    "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes", "ProtectControlGroups": "yes", "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes", "RestrictRealtime": "yes", "LockPersonality": "yes", "CapabilityBoundingSet": "",
    "AmbientCapabilities": "", "DevicePolicy": "closed", "KeyringMode": "private",
    "RemoveIPC": "yes", "UMask": "0077", "SystemCallArchitectures": "native", "SystemCallErrorNumber": "EPERM",
}  # fmt: skip
# Java needs these three otherwise; its unit says why.
PYTHON_ONLY = {"ProcSubset": "pid", "MemoryDenyWriteExecute": "yes"}
# Keys that say all there is to say by their name and value.
OBVIOUS = {
    "Description", "Type", "NotifyAccess", "User", "Group", "ExecStart", "StandardInput", "StandardOutput",
    "StandardError", "SyslogIdentifier", "RuntimeDirectory", "RuntimeDirectoryMode", "StateDirectory",
    "StateDirectoryMode", "WorkingDirectory", "WantedBy", "Environment", "TimeoutStopSec", "RestartSec", "Restart",
    "KillMode", "TimeoutStartSec", "OnFailure", "Wants", "After", "Unit",
}  # fmt: skip
LIMIT_KEYS = {"MemoryMax", "MemorySwapMax", "CPUQuota", "TasksMax", "LimitNOFILE", "LimitCORE", "Nice"}
LINE_MAX_CHARACTERS = 120
# By file name, as conftest.py reads them.
Units: TypeAlias = dict[str, Any]


def services(units: Units) -> Units:
    return {name: unit for name, unit in units.items() if name.endswith(".service")}


def test_every_unit_of_the_deployment_is_shipped(units: Units) -> None:
    assert set(units) == EXPECTED


@pytest.mark.parametrize("name", ["ibkr-trading.service", "ibkr-trading@.service"])
def test_the_trader_has_the_limits_of_the_plan(units: Units, name: str) -> None:
    assert {key: units[name].one(key) for key in LIMITS} == LIMITS


def test_at_most_three_restarts_follow_the_first_start_within_a_minute(units: Units) -> None:
    assert int(units["ibkr-trading.service"].one("StartLimitBurst")) == 1 + 3


def test_the_trader_comes_before_other_services_of_the_host(units: Units) -> None:
    unit = units["ibkr-trading.service"]
    assert int(unit.one("Nice")) < 0
    assert unit.one("CPUAffinity") == "0-3"
    assert (unit.one("IOSchedulingClass"), unit.one("IOSchedulingPriority")) == ("best-effort", "0")


def test_the_services_that_the_trader_may_use_are_ordered_before_it_and_none_is_required(units: Units) -> None:
    unit = units["ibkr-trading.service"]
    after = unit.one("After").split()
    assert {"network.target", "time-sync.target", "ibkr-gateway.service", "redis.service", "postgresql.service"} <= set(
        after
    )
    assert unit.one("Wants").split() == ["network.target", "time-sync.target"]
    assert not [key for key in ("Requires", "BindsTo", "PartOf", "Requisite") if unit.all(key)]


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if name.endswith(".service")))
def test_every_service_is_in_the_sandbox(units: Units, name: str) -> None:
    expected = SANDBOX if name == "ibkr-gateway.service" else SANDBOX | PYTHON_ONLY
    assert {key: units[name].one(key) for key in expected} == expected
    assert units[name].all("SystemCallFilter") == ["@system-service", "~@privileged @resources"]
    assert units[name].one("User") in ("trader", "ibgateway")


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if name.endswith(".service")))
def test_nothing_that_a_service_can_write_can_be_executed(units: Units, name: str) -> None:
    unit = units[name]
    writable = {value.split(":")[0].lstrip("-") for key in ("BindPaths", "ReadWritePaths") for value in unit.all(key)}
    writable |= {f"/var/lib/{value}" for value in unit.all("StateDirectory")}
    writable |= {f"/run/{value}" for value in unit.all("RuntimeDirectory")}
    refused = {path.lstrip("-") for path in unit.one("NoExecPaths").split()}
    if name != "ibkr-gateway.service":  # Java unpacks libraries and executes them
        assert writable | {"/tmp", "/var/tmp", "/dev/shm", "/run"} <= refused


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if name.endswith(".service")))
def test_every_service_has_limits(units: Units, name: str) -> None:
    for key in ("MemoryMax", "MemorySwapMax", "TasksMax", "LimitNOFILE", "LimitCORE"):
        assert units[name].one(key)


def test_only_the_gateway_reaches_beyond_loopback(units: Units) -> None:
    open_to_all = [name for name, unit in services(units).items() if unit.all("IPAddressDeny") != ["any"]]
    assert open_to_all == ["ibkr-gateway.service"]
    for name, unit in services(units).items():
        assert set(unit.all("IPAddressAllow")) <= {"localhost"}, name


def test_the_delay_before_a_restart_is_shorter_than_the_time_to_start(units: Units, drop_ins: Units) -> None:
    start_s = int(units["ibkr-trading.service"].one("TimeoutStartSec").removesuffix("s"))
    helper = drop_ins["restart-helper.conf"].one("ExecStartPre")
    assert helper == f"-+{CURRENT}/libexec/backoff %n 10 40"
    assert int(helper.split()[-1]) < start_s


def test_the_delays_of_both_systemds_are_10_20_and_40_seconds(drop_ins: Units) -> None:
    native = drop_ins["restart-native.conf"]
    first_s, most_s = (int(native.one(key).removesuffix("s")) for key in ("RestartSec", "RestartMaxDelaySec"))
    steps = int(native.one("RestartSteps"))
    assert [first_s * (most_s / first_s) ** (step / steps) for step in range(steps + 1)] == [10, 20, 40]
    assert native.one("RestartMode") == "direct"
    assert drop_ins["restart-helper.conf"].one("RestartSec") == "100ms"


def test_a_key_that_systemd_252_does_not_know_stands_in_no_unit(units: Units) -> None:
    newer = ("RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryKSM", "PrivatePIDs", "ProtectControlGroupsEx")
    assert not [(unit.name, key) for unit in units.values() for key in newer if unit.all(key)]


def test_a_failed_unit_is_told_by_its_whole_name(units: Units) -> None:
    told = {name: unit.all("OnFailure") for name, unit in units.items() if unit.all("OnFailure")}
    assert set(told) == {
        "ibkr-trading.service", "ibkr-trading@.service", "ibkr-calendar.service", "ibkr-gateway.service",
        "ibkr-simulator.service", "ibkr-maintenance-daily.service", "ibkr-maintenance-weekly.service",
        "ibkr-maintenance-monthly.service",
    }  # fmt: skip
    assert all(value == ["ibkr-alert@%n.service"] for value in told.values())
    assert units["ibkr-alert@.service"].one("ExecStart").split()[:2] == [f"{CURRENT}/libexec/alert", "%i"]


def test_the_panic_never_gives_up_and_starts_for_the_flag_of_the_configuration(units: Units) -> None:
    panic = units["ibkr-panic.service"]
    assert (panic.one("StartLimitIntervalSec"), panic.one("TimeoutStartSec")) == ("0", "infinity")
    assert panic.one("Restart") == "on-failure"
    assert not panic.all("RestartPreventExitStatus")
    assert units["ibkr-panic.path"].one("PathExists") == f"{BASE}/panic.flag"
    assert units["ibkr-panic.path"].one("Unit") == "ibkr-panic.service"
    assert units["ibkr-panic@.path"].one("Unit") == "ibkr-panic@%i.service"


def test_the_panic_sees_the_same_files_as_the_trader(units: Units) -> None:
    for name in ("ibkr-trading", "ibkr-panic"):
        unit = units[f"{name}.service"]
        assert (unit.one("ProtectHome"), unit.one("BindPaths")) == ("tmpfs", BASE)
        for folder in (f"{BASE}/config", f"-{BASE}/scripts", f"-{BASE}/backups"):
            assert folder in unit.all("ReadOnlyPaths")


def test_what_root_runs_touches_nothing_that_the_service_owns(units: Units, drop_ins: Units) -> None:
    """Root that writes where the service may put a symbolic link would hand it the host."""
    lines = [value for unit in (*units.values(), *drop_ins.values()) for values in unit.values.values()
             for key, found in values.items() if key.startswith("Exec") for value in found]  # fmt: skip
    as_root = [line for line in lines if re.match(r"[-@:!]*\+", line)]
    assert as_root == [f"-+{CURRENT}/libexec/backoff %n 10 40"]


def test_the_session_is_published_on_the_clock_and_to_the_second(units: Units) -> None:
    timer = units["ibkr-calendar.timer"]
    assert timer.one("OnCalendar").endswith(" UTC")
    assert timer.one("AccuracySec") == "1s"
    assert not timer.all("RandomizedDelaySec")


def test_the_gateway_is_skipped_where_it_is_not_installed(units: Units) -> None:
    unit = units["ibkr-gateway.service"]
    assert len(unit.all("ConditionPathExists")) == 5
    assert unit.one("User") == "ibgateway"
    assert not [word for word in unit.one("ExecStart").split() if word.startswith(("--user", "--pw"))]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_is_not_obvious_has_its_reason_beside_it(units: Units, name: str) -> None:
    for paragraph in units[name].text.split("\n\n"):
        keys = {line.partition("=")[0] for line in paragraph.splitlines() if re.match(r"[A-Z]\w+=", line)}
        assert not keys - OBVIOUS or "# " in paragraph or keys <= LIMIT_KEYS, f"{name}: {sorted(keys - OBVIOUS)}"


def test_every_file_opens_with_what_it_is_and_its_lines_fit(units: Units, drop_ins: Units) -> None:
    for unit in (*units.values(), *drop_ins.values()):
        assert unit.text.startswith("# "), unit.name
        assert not [line for line in unit.text.splitlines() if line.startswith("#") and len(line) > LINE_MAX_CHARACTERS]


def test_the_shipped_configuration_fits_the_units(units: Units) -> None:
    settings: Settings = load_settings(FOLDER / "config.yaml")
    installed = Path(BASE) / "config"
    shipped = {
        "journal": settings.journal.url.removeprefix("sqlite:///"),
        "flag": str(settings.panic.flag),
        "socket": str(settings.control.socket),
    }
    root = str(FOLDER.parent)
    assert shipped["journal"] == f"{root}/state/journal.db"
    assert shipped["flag"] == f"{root}/panic.flag"
    assert units["ibkr-panic.path"].one("PathExists") == f"{installed.parent}/panic.flag"
    assert shipped["socket"] == f"/run/{units['ibkr-trading.service'].one('RuntimeDirectory')}/control.sock"
    assert f"--port {settings.gateway.port} " in units["ibkr-simulator.service"].one("ExecStart")
    assert settings.stop.timeout_s < int(units["ibkr-trading.service"].one("TimeoutStopSec").removesuffix("s"))


def test_the_credential_of_the_configuration_is_the_one_that_systemd_loads(units: Units) -> None:
    text = (FOLDER / "config.yaml").read_text(encoding="utf-8")
    named = re.findall(r"^ *\w+: credential:(\S+)", text, re.MULTILINE)
    loaded = [value.partition(":")[0] for value in units["ibkr-trading.service"].all("LoadCredential")]
    assert named == loaded == ["policy-token"]


def test_no_user_is_in_sudo_and_none_can_log_in() -> None:
    lines = (FOLDER / "sysusers.d" / "ibkr-trading.conf").read_text(encoding="utf-8").splitlines()
    users = [line.split() for line in lines if line and not line.startswith("#")]
    assert {fields[1] for fields in users} == {"trader", "ibgateway"}
    assert all(fields[0] == "u" and fields[-1] == "/usr/sbin/nologin" for fields in users)


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        (BASE, "0750", "trader:trader"),
        (f"{BASE}/config", "0750", "root:trader"),
        (f"{BASE}/state", "0700", "trader:trader"),
        (f"{BASE}/backups", "0700", "trader:trader"),
        ("/etc/ibkr-trading/secrets", "0700", "root:root"),
        ("/var/lib/prometheus/node-exporter", "2775", "root:trader"),
    ],
)
def test_a_folder_has_the_owner_and_mode_that_the_units_need(path: str, mode: str, owner: str) -> None:
    text = (FOLDER / "tmpfiles.d" / "ibkr-trading.conf").read_text(encoding="utf-8")
    (fields,) = [line.split() for line in text.splitlines() if line.startswith("d ") and line.split()[1] == path]
    assert (fields[2], f"{fields[3]}:{fields[4]}") == (mode, owner)
