"""What is installed for systemd: units as shipped, drop-ins, the configuration, what starts at boot."""

import difflib
from pathlib import Path
from typing import Final

from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, warning, worst
from trader.doctor.place import Place
from trader.doctor.site import base_of
from trader.doctor.units import directives, moment_of
from trader.doctor.words import age, some

RESTART_DROP_IN: Final = "10-restart.conf"
UNIT_SUFFIXES: Final = (".service", ".path", ".timer", ".target", ".socket")
DIFFERING_LINES_MAX: Final = 3
COMMAND: Final = Path("/usr/local/bin/trader")


Pair = tuple[Path, Path]
"""A file as the release ships it, and where it is installed."""


def unit_pairs(place: Place) -> list[Pair]:
    """Every shipped unit."""
    shipped = place.shipped_units()
    names = [name for name in place.host.names(shipped) if name.endswith(UNIT_SUFFIXES)]
    return [(shipped / name, place.site.unit_folder / name) for name in names]


def other_pairs(place: Place) -> list[Pair]:
    """What the release ships beside the units: accounts, folders, the command, the health script."""
    share, name = place.site.share, "ibkr-trading.conf"
    return [
        (share / "sysusers.d" / name, Path("/etc/sysusers.d") / name),
        (share / "tmpfiles.d" / name, Path("/etc/tmpfiles.d") / name),
        (share / "wrapper.sh", COMMAND),
        (share / "scripts" / "health_check.sh", _health_script(place)),
    ]


def restart_pair(place: Place) -> Pair:
    """The drop-in of restart delays that this systemd understands."""
    native = place.systemd_version() >= place.bounds.systemd_native_backoff
    shipped = place.site.share / "drop-ins" / ("restart-native.conf" if native else "restart-helper.conf")
    return shipped, place.site.drop_ins / RESTART_DROP_IN


def units(place: Place) -> Finding:
    """Each shipped unit against the installed one."""
    pairs = unit_pairs(place)
    if not pairs:
        return failed(f"{place.shipped_units()} has no units")
    findings = [finding for shipped, installed in pairs for finding in _compared(place, shipped, installed)]
    return worst(findings, f"{len(pairs)} installed, each as this release ships it")


def other_files(place: Place) -> Finding:
    """What the release ships beside the units, against what is installed."""
    pairs = other_pairs(place)
    findings = [finding for shipped, installed in pairs for finding in _compared(place, shipped, installed)]
    return worst(findings, f"{len(pairs)} installed, each as this release ships it")


def _compared(place: Place, shipped: Path, installed: Path) -> list[Finding]:
    try:
        there = place.host.read(installed)
    except Absent:
        return [failed(f"{installed} is not installed")]
    differing = differences(place.host.read(shipped), there)
    if not differing:
        return []
    return [failed(f"{installed} differs from the shipped one ({some(differing, DIFFERING_LINES_MAX)})")]


def differences(shipped: str, installed: str) -> list[str]:
    """The lines that differ, ``-`` shipped and ``+`` installed; comments and empty lines do not count."""
    compared = difflib.unified_diff(_settings(shipped), _settings(installed), lineterm="", n=0)
    return [line for line in compared if line[:1] in "+-" and not line.startswith(("+++", "---"))]


def _settings(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("#", ";"))]


def in_memory(place: Place) -> Finding:
    """systemd works with what it read; a file that was changed since means nothing."""
    site = place.site
    ours = (
        site.unit, site.panic_path, site.panic_service, site.calendar_timer, site.calendar_service,
        *site.maintenance_timers, *site.maintenance_services,
    )  # fmt: skip
    stale = [unit for unit in ours if place.show(unit).get("NeedDaemonReload") == "yes"]
    if stale:
        return failed(f"changed on disk since systemd read them: {some(stale)}")
    return ok("systemd has read the units as they are on disk")


def drop_ins(place: Place) -> Finding:
    paths = place.loaded(place.site.unit).get("DropInPaths", "").split()
    return ok(", ".join(paths) if paths else "none")


def restart_delays(place: Place) -> Finding:
    """The drop-in that this systemd understands; the wrong one is ignored without a word."""
    version = place.systemd_version()
    native = version >= place.bounds.systemd_native_backoff
    shipped, installed = restart_pair(place)
    mend = f"sudo install -D -m 644 {shipped} {installed} && sudo systemctl daemon-reload"
    try:
        text = place.host.read(installed)
    except Absent:
        return failed(f"{installed} is not there: restarts do not back off", mend)
    if differences(place.host.read(shipped), text):
        return failed(f"{installed} is not what systemd {version} needs, which is {shipped.name}", mend)
    return ok(f"10, 20, 40 s by {'systemd itself' if native else 'the helper'} (systemd {version})")


def helper_is_there(place: Place) -> Finding:
    """The programs that the units name below the release."""
    findings = []
    named = 0
    for name in (place.site.unit_file, "ibkr-alert@.service"):
        found = directives(place.host.read(place.site.unit_folder / name))
        for key in ("ExecStart", "ExecStartPre", "ExecStopPost", "ExecReload"):
            for command in found.all(key):
                program = Path(command.lstrip("-+!:@").split()[0])
                named += 1
                try:
                    state = place.host.state(place.host.resolve(program))
                except Absent:
                    findings.append(failed(f"{name}: {program} is not there"))
                    continue
                if not state.mode & 0o111:
                    findings.append(failed(f"{program} cannot be executed", f"sudo chmod 755 {program}"))
    return worst(findings, f"{named} programs that the units name are there")


def configuration(place: Place) -> Finding:
    from trader.settings_file import ConfigurationError

    try:
        settings = place.once("settings", place.settings)
    except ConfigurationError as error:
        lines = str(error).splitlines()
        count = len(error.problems)
        told = "a problem" if count == 1 else f"{count} problems, the first"
        return failed(f"{told}: {lines[0] if lines else error}")
    return ok(f"{place.site.config}: mode {settings.mode}, {len(settings.instruments)} instruments")


def enabled(place: Place) -> Finding:
    return _starts_at_boot(place, place.site.unit)


def _starts_at_boot(place: Place, unit: str) -> Finding:
    state = place.loaded(unit).get("UnitFileState", "")
    if state in ("enabled", "static", "generated"):
        return ok(f"{unit} starts at boot ({state})")
    if state == "enabled-runtime":
        return warning(f"{unit} is enabled until the next boot only")
    return failed(f"{unit} does not start at boot ({state or 'unknown'})", f"sudo systemctl enable {unit}")


def panic_path(place: Place) -> Finding:
    """What flattens the account when the trader is dead."""
    unit = place.site.panic_path
    shown = place.loaded(unit)
    findings = []
    if shown.get("ActiveState") != "active":
        mend = f"sudo systemctl reset-failed {unit} {place.site.panic_service}; sudo systemctl start {unit}"
        findings.append(failed(f"{unit} is {shown.get('ActiveState')}: a panic flag is not seen", mend))
    boot = _starts_at_boot(place, unit)
    if place.show(place.site.panic_service).get("ActiveState") == "failed":
        findings.append(
            failed(
                f"{place.site.panic_service} failed", f"sudo journalctl --unit {place.site.panic_service} --lines 50"
            )
        )
    return worst([*findings, boot, *_other_flag(place)], f"{unit} watches for {place.site.flag}")


def _other_flag(place: Place) -> list[Finding]:
    """The unit and the configuration have to mean the same file."""
    site = place.site
    watched = directives(place.host.read(site.unit_folder / site.panic_path_file)).last("PathExists") or "nothing"
    watched = watched.replace("%i", site.instance)
    try:
        flag = place.usable_settings().panic.flag
    except NotVisible:
        return []  # the configuration has a check of its own
    if watched == str(flag):
        return []
    mend = f"sudo systemctl edit {site.panic_path}"
    return [failed(f"{site.panic_path} watches for {watched}, and the configuration's panic.flag is {flag}", mend)]


def calendar_timer(place: Place) -> Finding:
    timer, service = place.site.calendar_timer, place.site.calendar_service
    shown = place.loaded(timer)
    if shown.get("ActiveState") != "active":
        return failed(f"{timer} is {shown.get('ActiveState')}", f"sudo systemctl enable --now {timer}")
    boot = _starts_at_boot(place, timer)
    result = place.show(service).get("Result", "")
    findings = [boot]
    if result not in ("success", ""):
        findings.append(failed(f"{service} ended with {result}", f"sudo journalctl --unit {service} --lines 20"))
    last = moment_of(shown.get("LastTriggerUSec", ""))
    if last is None:
        findings.append(warning(f"{timer} has not been due yet", f"sudo systemctl start {service}"))
        return worst(findings, "")
    passed = place.host.now() - last
    if passed.total_seconds() > place.bounds.calendar_age_max_s:
        findings.append(failed(f"{timer} was last due {age(passed)} ago", f"sudo systemctl restart {timer}"))
    return worst(findings, f"{timer} is active, last due {age(passed)} ago")


def maintenance_timers(place: Place) -> Finding:
    """When a job is overdue is an alert's business; here is whether it will be started at all, and how it ended."""
    findings = []
    for timer, service in zip(place.site.maintenance_timers, place.site.maintenance_services, strict=True):
        state = place.loaded(timer).get("ActiveState")
        if state != "active":
            findings.append(failed(f"{timer} is {state}", f"sudo systemctl enable --now {timer}"))
            continue
        findings.append(_starts_at_boot(place, timer))
        result = place.show(service).get("Result", "")
        if result not in ("success", ""):
            findings.append(failed(f"{service} ended with {result}", f"sudo journalctl --unit {service} --lines 50"))
    return worst(findings, f"active: {', '.join(place.site.maintenance_timers)}")


def health_script(place: Place) -> Finding:
    """The plan's script, where the plan has it; instances are asked by it too."""
    script = _health_script(place)
    state = place.host.state(script)
    if state.owner != "root" or state.mode & 0o022 or not state.mode & 0o111:
        return failed(
            f"{script} is {state.owner}'s with mode {state.mode:04o}",
            f"sudo chown root:root {script} && sudo chmod 755 {script}",
        )
    return ok(str(script))


def _health_script(place: Place) -> Path:
    return base_of(place.site.user, "") / "scripts" / "health_check.sh"
