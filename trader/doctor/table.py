"""The deployment checklist as a table: every check, when it is due, which item it belongs to, and what mends it.

Rules: the order is the one in which things are mended: what comes first has to be right for what follows. A mend is
a command that exists, for a shell on the host, written for root by ``sudo``; names in braces are the site's.
"""

from typing import Final

from trader.doctor import accounts, files, health, installed, limits, monitoring, network, service, software, system
from trader.doctor.model import Check, Stage

PRE: Final = Stage.PRE
DEPLOYMENT: Final = Stage.DEPLOYMENT
POST: Final = Stage.POST

REQUIREMENTS: Final = "System requirements met"
DEPENDENCIES: Final = "Dependencies installed"
ACCOUNTS: Final = "User accounts created"
FOLDERS: Final = "Directories created"
PERMISSIONS: Final = "Permissions set"
UNITS: Final = "Service file installed"
CONFIGURATION: Final = "Configuration files copied"
ENABLED: Final = "Service enabled"
STARTED: Final = "Service started"
STATUS: Final = "Status verified"
HEALTH: Final = "Health checks passing"
METRICS: Final = "Performance metrics collected"
LOGS: Final = "Logs monitored"
EMERGENCY: Final = "Emergency procedures tested"
DOCUMENTATION: Final = "Documentation updated"

INSTALL: Final = "sudo systemd/install.sh"

CHECKS: Final = (
    Check("systemd", PRE, REQUIREMENTS, "systemd", system.systemd_version, "sudo apt-get install systemd"),
    Check(
        "cgroups", PRE, REQUIREMENTS, "control groups", system.control_groups,
        "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&cgroup_enable=memory /' /etc/default/grub && sudo update-grub",
    ),
    Check("memory", PRE, REQUIREMENTS, "memory", system.memory, "sudo systemctl edit {unit}"),
    Check("processors", PRE, REQUIREMENTS, "processors", system.cpus, "sudo systemctl edit {unit}"),
    Check("disk", PRE, REQUIREMENTS, "disk space", system.disk, "sudo du --max-depth 2 --human-readable {base}"),
    Check("file_system", PRE, REQUIREMENTS, "file system", system.file_system, "findmnt --target {state}"),
    Check("clock", PRE, REQUIREMENTS, "clock", system.clock, "sudo timedatectl set-ntp true"),
    Check("time_zone", PRE, REQUIREMENTS, "time zone", system.time_zone, "sudo timedatectl set-timezone UTC"),
    Check("python", PRE, DEPENDENCIES, "Python", software.python, INSTALL),
    Check("dependencies", PRE, DEPENDENCIES, "dependencies", software.dependencies, INSTALL),
    Check("user", PRE, ACCOUNTS, "user", accounts.user, "sudo systemd-sysusers"),
    Check("groups", PRE, ACCOUNTS, "groups", accounts.groups, "id {user}"),
    Check("folders", PRE, FOLDERS, "folders", files.folders, "sudo systemd-tmpfiles --create"),
    Check("release_files", PRE, PERMISSIONS, "release's files", files.release_is_read_only, INSTALL),
    Check("config_files", PRE, PERMISSIONS, "configuration's files", files.config_files, INSTALL),
    Check(
        "secrets", PRE, PERMISSIONS, "secrets", files.secrets,
        "head --bytes 32 /dev/urandom | base64 | sudo install -D -m 600 /dev/stdin {token}",
    ),
    Check("units", DEPLOYMENT, UNITS, "units", installed.units, INSTALL),
    Check("other_files", DEPLOYMENT, UNITS, "other files", installed.other_files, INSTALL),
    Check("units_read", DEPLOYMENT, UNITS, "units in force", installed.in_memory, "sudo systemctl daemon-reload"),
    Check("programs", DEPLOYMENT, UNITS, "units' programs", installed.helper_is_there, INSTALL),
    Check("drop_ins", DEPLOYMENT, UNITS, "drop-ins", installed.drop_ins, "systemctl cat {unit}"),
    Check("restart_delays", DEPLOYMENT, UNITS, "restart delays", installed.restart_delays, INSTALL),
    Check("health_script", DEPLOYMENT, UNITS, "health script", installed.health_script, INSTALL),
    Check(
        "configuration", DEPLOYMENT, CONFIGURATION, "configuration", installed.configuration,
        "sudo trader check {config}",
    ),
    Check("enabled", DEPLOYMENT, ENABLED, "starts at boot", installed.enabled, "sudo systemctl enable {unit}"),
    Check("active", DEPLOYMENT, STARTED, "service", service.active, "sudo systemctl start {unit}"),
    Check(
        "restarts", DEPLOYMENT, STARTED, "restarts", service.restarts,
        "sudo journalctl --unit {unit} --since -1d --priority err",
    ),
    Check("release", DEPLOYMENT, STATUS, "release", software.release, "sudo systemctl restart {unit}"),
    Check(
        "panic_path", DEPLOYMENT, STATUS, "panic flag's watch", installed.panic_path,
        "sudo systemctl enable --now {panic_path}",
    ),
    Check(
        "calendar_timer", DEPLOYMENT, STATUS, "calendar's timer", installed.calendar_timer,
        "sudo systemctl enable --now {calendar_timer}",
    ),
    Check(
        "maintenance_timers", DEPLOYMENT, STATUS, "maintenance's timers", installed.maintenance_timers,
        "sudo systemctl enable --now {maintenance_timer_names}",
    ),
    Check("limits", DEPLOYMENT, STATUS, "limits", limits.limits, "systemctl cat {unit}"),
    Check("enforced", DEPLOYMENT, STATUS, "limits in the kernel", limits.enforced, "sudo systemctl restart {unit}"),
    Check("priority", DEPLOYMENT, STATUS, "priority", limits.affinity, "sudo systemctl restart {unit}"),
    Check("exposure", DEPLOYMENT, STATUS, "exposure", service.exposure, "sudo systemd-analyze security {unit}"),
    Check("failed_units", DEPLOYMENT, STATUS, "failed units", service.failed_units, "systemctl --failed"),
    Check("panic_flag", POST, HEALTH, "panic flag", service.panic_flag, "sudo trader status {options}"),
    Check("ready", POST, HEALTH, "readiness", health.ready, "sudo trader status {options}"),
    Check("gateway", POST, HEALTH, "gateway", network.gateway, "sudo trader check {config}"),
    Check(
        "loopback", POST, HEALTH, "listening sockets", network.loopback_only,
        "sudo ss --listening --tcp --numeric --processes",
    ),
    Check("journal", POST, HEALTH, "journal", health.journal, "sudo trader journal stats {options}"),
    Check("metrics", POST, METRICS, "metrics", health.metrics, "sudo trader health {options}"),
    Check(
        "session_metrics", POST, METRICS, "session's metrics", health.session_metrics,
        "sudo systemctl start {calendar_service}",
    ),
    Check("prometheus", POST, METRICS, "Prometheus", monitoring.prometheus, "trader stack --help"),
    Check("alertmanager", POST, METRICS, "Alertmanager", monitoring.alertmanager, "trader stack --help"),
    Check("rules", POST, METRICS, "rules", monitoring.rules, "sudo systemctl reload prometheus"),
    Check(
        "log", POST, LOGS, "log", service.log, "sudo journalctl --unit {unit} --since -1h --priority err"
    ),
    Check(
        "panic_drill", POST, EMERGENCY, "panic drill", health.panic_drill,
        "sudo trader drill emergency {options}",
   ),
    Check(
        "backup", POST, EMERGENCY, "backup", health.backup,
        "sudo trader journal export {options} > ibkr-journal.jsonl",
   ),
    Check("runbooks", POST, DOCUMENTATION, "runbooks", monitoring.runbooks, INSTALL),
)  # fmt: skip
