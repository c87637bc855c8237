"""What may be wrong at deployment: units, the service, its limits; one change to a healthy host each."""

from pathlib import Path

from tests.unit.doctor.changes import (
    FAILED,
    OK,
    SITE,
    UNIT,
    UNKNOWN,
    WARNING,
    Scenario,
    both,
    file,
    gone,
    new_file,
    other_unit,
    program,
    shipped,
    unit,
)
from tests.unit.doctor.fake_host import CURRENT, PROCESS, RELEASE, UNIT_FOLDER

CGROUP = Path("/sys/fs/cgroup")
MEMORY_FILE = CGROUP / "memory" / "system.slice" / UNIT / "memory.limit_in_bytes"
QUOTA_FILE = CGROUP / "cpu" / "system.slice" / UNIT / "cpu.cfs_quota_us"

SCENARIOS: dict[str, Scenario] = {
    "a unit that was edited": Scenario(
        "units",
        shipped("ibkr-panic.path", "PathExists", "PathChanged"),
        FAILED,
        "ibkr-panic.path differs",
        "install.sh",
    ),
    "a unit with another comment": Scenario(
        "units", shipped(UNIT, "# The trader.", "# Ours."), OK, "as this release ships it", ""
    ),
    "a unit that is missing": Scenario(
        "units", gone(UNIT_FOLDER / "ibkr-alert@.service"), FAILED, "is not installed", "install.sh"
    ),
    "a command that is missing": Scenario(
        "other_files", gone("/usr/local/bin/trader"), FAILED, "is not installed", "install.sh"
    ),
    "units that changed since": Scenario(
        "units_read", unit(NeedDaemonReload="yes"), FAILED, UNIT, "sudo systemctl daemon-reload"
    ),
    "a helper that is missing": Scenario(
        "programs", gone(CURRENT / "libexec" / "record-exit"), FAILED, "record-exit", "install.sh"
    ),
    "a helper that cannot run": Scenario(
        "programs", file(CURRENT / "libexec" / "alert", mode=0o644), FAILED, "executed", "chmod 755"
    ),
    "the other systemd's delays": Scenario(
        "restart_delays",
        program("systemctl", "--version", output="systemd 257 (257.8-1)\n"),
        FAILED,
        "restart-native.conf",
        f"{CURRENT}/share/drop-ins/restart-native.conf {UNIT_FOLDER}/{UNIT}.d/10-restart.conf",
    ),
    "no delays": Scenario(
        "restart_delays", gone(SITE.drop_ins / "10-restart.conf"), FAILED, "do not back off", "restart-helper.conf"
    ),
    "a health script of the service's": Scenario(
        "health_script",
        file(SITE.base / "scripts" / "health_check.sh", owner="trader"),
        FAILED,
        "trader's",
        "chown root:root",
    ),
    "no configuration": Scenario(
        "configuration", gone(SITE.config), FAILED, "is not there", f"sudo trader check {SITE.config}"
    ),
    "not enabled": Scenario(
        "enabled", unit(UnitFileState="disabled"), FAILED, "does not start at boot", f"sudo systemctl enable {UNIT}"
    ),
    "stopped": Scenario(
        "active", unit(ActiveState="inactive", SubState="dead"), FAILED, "inactive (dead)", f"systemctl start {UNIT}"
    ),
    "given up": Scenario(
        "active", unit(ActiveState="failed", SubState="failed"), FAILED, "failed", f"reset-failed {UNIT}"
    ),
    "a configuration that it refused": Scenario(
        "active",
        unit(ActiveState="failed", SubState="failed", ExecMainStatus="78"),
        FAILED,
        "cannot be used",
        "trader check",
    ),
    "between two restarts": Scenario(
        "active", unit(ActiveState="activating", SubState="auto-restart"), FAILED, "two tries", "journalctl"
    ),
    "restarted": Scenario("restarts", unit(NRestarts="3"), WARNING, "3 times", "journalctl"),
    "an old release that runs on": Scenario(
        "release",
        file(PROCESS / "maps", f"7f00 r-xp 0 08:01 1 {RELEASE.parent}/0.0.9-old/lib/x.so\n"),
        FAILED,
        "0.0.9-old runs, and 0.1.0-abc is current",
        f"sudo systemctl restart {UNIT}",
    ),
    "a panic flag that nobody watches": Scenario(
        "panic_path",
        other_unit("ibkr-panic.path", ActiveState="failed"),
        FAILED,
        "a panic flag is not seen",
        "reset-failed",
    ),
    "a watch for another flag": Scenario(
        "panic_path",
        shipped("ibkr-panic.path", "/panic.flag", "/flag"),
        FAILED,
        "watches for ",
        "systemctl edit ibkr-panic.path",
    ),
    "a panic that failed": Scenario(
        "panic_path",
        other_unit("ibkr-panic.service", ActiveState="failed"),
        FAILED,
        "ibkr-panic.service failed",
        "journalctl",
    ),
    "a timer that stands": Scenario(
        "calendar_timer",
        other_unit("ibkr-calendar.timer", LastTriggerUSec="Mon 2026-03-02 12:00:00 UTC"),
        FAILED,
        "last due 3 h ago",
        "restart ibkr-calendar.timer",
    ),
    "a timer that was never due": Scenario(
        "calendar_timer",
        other_unit("ibkr-calendar.timer", LastTriggerUSec=""),
        WARNING,
        "not been due",
        "ibkr-calendar.service",
    ),
    "a maintenance timer that is off": Scenario(
        "maintenance_timers",
        other_unit("ibkr-maintenance-weekly.timer", ActiveState="inactive"),
        FAILED,
        "ibkr-maintenance-weekly.timer is inactive",
        "enable --now ibkr-maintenance-weekly.timer",
    ),
    "a maintenance that failed": Scenario(
        "maintenance_timers",
        other_unit("ibkr-maintenance-daily.service", Result="exit-code"),
        FAILED,
        "ibkr-maintenance-daily.service ended with exit-code",
        "journalctl --unit ibkr-maintenance-daily.service",
    ),
    "a job that failed": Scenario(
        "calendar_timer",
        other_unit("ibkr-calendar.service", Result="exit-code"),
        FAILED,
        "exit-code",
        "journalctl",
    ),
    "a limit by a drop-in": Scenario(
        "limits",
        both(
            unit(MemoryMax=str(3 * 1024**3), DropInPaths="/etc/50-memory.conf"),
            new_file("/etc/50-memory.conf", "[Service]\nMemoryMax=3G\n"),
        ),
        WARNING,
        "MemoryMax is 3G and not 8G, by /etc/50-memory.conf",
        "systemctl cat",
    ),
    "a limit that systemd has not read": Scenario(
        "limits", unit(TasksMax="15000"), FAILED, "TasksMax is 15000 and not 4096", "reload"
    ),
    "a limit that the kernel does not hold": Scenario(
        "enforced",
        file(MEMORY_FILE, "9223372036854771712\n"),
        FAILED,
        "no limit of memory",
        f"restart {UNIT}",
    ),
    "a quota that the kernel does not hold": Scenario(
        "enforced", file(QUOTA_FILE, "-1\n"), FAILED, "no quota of CPU", "restart"
    ),
    "fewer files than were asked for": Scenario(
        "enforced",
        file(PROCESS / "limits", "Max open files            20000                20000   files\n"),
        WARNING,
        "20000 in the process, and 65536",
        "prlimit",
    ),
    "limits of a service that does not run": Scenario("enforced", unit(MainPID="0"), UNKNOWN, "does not run", ""),
    "a priority that was lost": Scenario("priority", unit(Nice="-5"), WARNING, "nice -10", f"restart {UNIT}"),
    "an opened sandbox": Scenario(
        "exposure",
        program("systemd-analyze", output="→ Overall exposure level for x.service: 2.1 OK 🙂\n"),
        WARNING,
        "2.1",
        "systemd-analyze security",
    ),
    "a failed unit": Scenario(
        "failed_units",
        program("systemctl", "list-units", output="ibkr-gateway.service loaded failed failed IB\n"),
        FAILED,
        "ibkr-gateway.service",
        "status ibkr-gateway.service",
    ),
}
