"""Monthly: the security audit. Who may do what on this host, as it is and not as it was installed.

Rules: nothing is changed. What needs root is not known, with the command that shows it, never ok. Checks that the
health check has are taken from there, so that both judge alike.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from trader.doctor import CHECKS, Check, Place, Result, Stage, Verdict, examine
from trader.doctor.model import Absent, NotVisible
from trader.doctor.run import as_root
from trader.maintenance import advisories, audit_access, audit_files, audit_units
from trader.maintenance.context import Context
from trader.maintenance.model import Section, Table
from trader.maintenance.verdicts import is_installed, not_installed, section_of

KEY: Final = "audit"
TITLE: Final = "Security audit"
OWN: Final = "Security audit"
SHARED: Final = (
    "user", "groups", "folders", "release_files", "config_files", "secrets", "health_script", "units", "programs",
)  # fmt: skip
CONTROLS: Final = (
    Check("exposure", Stage.POST, OWN, "exposure of every service", audit_units.exposure, "systemd-analyze security"),
    Check("loosened", Stage.POST, OWN, "drop-ins that loosen", audit_units.loosened, "systemctl cat {unit}"),
    Check("unexpected", Stage.POST, OWN, "unexpected units", audit_units.unexpected_units, "systemctl cat {unit}"),
    Check("unit_files", Stage.POST, OWN, "units' files", audit_files.unit_files, "ls -l {unit_folder}"),
    Check("private", Stage.POST, OWN, "journal, backups, logs", audit_files.private_files, "ls -lR {base}"),
    Check("world_writable", Stage.POST, OWN, "world-writable", audit_files.world_writable, "find {base} -perm -o+w"),
    Check("setuid", Stage.POST, OWN, "set-uid files", audit_files.setuid_files, "find {base} -perm /6000"),
    Check("sudo", Stage.POST, OWN, "sudo", audit_access.sudo_rules, "sudo --list --other-user {user}"),
    Check("sockets", Stage.POST, OWN, "listening sockets", audit_access.sockets, audit_access.SOCKETS),
)
# How root sees what others cannot, for checks whose own answer is the health check again.
ROOT_COMMANDS: Final[Mapping[str, str]] = {
    "secrets": "sudo ls -ln {secrets}",
    "sudo": "sudo --list --other-user={user}",
    "folders": "sudo ls -ldn {secrets} {base}",
    "config_files": "sudo ls -ln {config.parent}",
}


def run(context: Context) -> Section:
    """Every control, and the tables behind them."""
    place = context.place
    if not is_installed(place):
        return not_installed(KEY, TITLE, place)
    advised, audited = _advised(context)
    tables = [*_tables(place), *([advisories.table(audited)] if audited and audited.vulnerabilities else [])]
    results = [*controls(place), advised]
    return section_of(KEY, TITLE, results, tables, fine="nothing is open that should not be")


def controls(place: Place) -> list[Result]:
    """The results of all controls but the packages'."""
    shared = [check for check in CHECKS if check.key in SHARED]
    report = examine(place, checks=(*shared, *CONTROLS))
    return [_with_command(place, result) for result in report.results]


def _with_command(place: Place, result: Result) -> Result:
    """What needs root has a command of its own, where there is a shorter one than the whole health check."""
    command = ROOT_COMMANDS.get(result.key)
    if result.verdict is not Verdict.UNKNOWN or command is None or result.mend != as_root(place):
        return result
    site = place.site
    return replace(
        result, mend=command.format(secrets=site.secrets, user=site.user, base=site.base, config=site.config)
    )


def _advised(context: Context) -> tuple[Result, advisories.Audited | None]:
    finding, audited = advisories.look(context.place, context.folders.scratch / "pip-audit")
    result = Result(
        key="advisories", stage=Stage.POST, item=OWN, title="known vulnerabilities", verdict=finding.verdict,
        seen=finding.seen, mend=finding.mend,
    )  # fmt: skip
    return result, audited


def _tables(place: Place) -> list[Table]:
    tables = []
    with suppress(NotVisible, Absent):  # the control says why
        tables.append(audit_units.exposures_table(audit_units.exposures(place)))
    with suppress(NotVisible, Absent):
        tables.append(audit_access.sockets_table(place))
    return tables
