"""The service as systemd sees it: running, how often restarted, how exposed, and what it logs."""

import json
import re
from typing import Any, Final

from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, unknown, warning, worst
from trader.doctor.place import Place
from trader.doctor.units import moment_of
from trader.doctor.words import age, some

EXPOSURE: Final = re.compile(r"Overall exposure level for .*?: (\d+(?:\.\d+)?)")
SINCE: Final = "1 hour ago"
BAD_LEVELS: Final = ("ERROR", "CRITICAL")
MESSAGE_MAX_CHARACTERS: Final = 100


def active(place: Place) -> Finding:
    shown = place.show(place.site.unit)
    unit = place.site.unit
    if shown.get("LoadState") != "loaded":
        return failed(f"{unit} is not installed", "sudo systemd/install.sh")
    state, sub = shown.get("ActiveState", "unknown"), shown.get("SubState", "unknown")
    since = _age_of(place, shown.get("ActiveEnterTimestamp", ""))
    if (state, sub) == ("active", "running"):
        return ok(f"running{f' for {since}' if since else ''}, process {shown.get('MainPID')}")
    seen = f"{state} ({sub}), result {shown.get('Result', 'unknown')}"
    if shown.get("ExecMainStatus") == "78":
        return failed(f"{seen}: the configuration cannot be used", f"sudo trader check {place.site.config}")
    if state == "failed":
        return failed(seen, f"sudo systemctl reset-failed {unit} && sudo systemctl start {unit}")
    if state in ("activating", "reloading", "deactivating"):
        return failed(f"{seen}: not running yet, or between two tries", f"sudo journalctl --unit {unit} --lines 50")
    return failed(seen)


def _age_of(place: Place, stamp: str) -> str:
    """Since when, from systemd's time; empty when there is none."""
    moment = moment_of(stamp)
    return age(place.host.now() - moment) if moment else ""


def restarts(place: Place) -> Finding:
    told = place.loaded(place.site.unit).get("NRestarts", "")
    if not told.isdigit():
        return unknown("systemd does not count the restarts")
    if int(told) > place.bounds.restarts_high:
        times = "once" if told == "1" else f"{told} times"
        return warning(f"restarted by systemd {times} since it was last started by hand")
    return ok("none")


def exposure(place: Place) -> Finding:
    unit = place.loaded(place.site.unit)["Id"]
    ran = place.host.run("systemd-analyze", "security", "--no-pager", unit)
    found = EXPOSURE.search(ran.output)
    if found is None:
        return unknown("systemd-analyze security gives no level")
    if float(found[1]) > place.bounds.exposure_max:
        return warning(f"{found[1]}, above the {place.bounds.exposure_max} of the shipped unit: a drop-in opens it")
    return ok(f"{found[1]} of 10, at most {place.bounds.exposure_max}")


def log(place: Place) -> Finding:
    """The last hour: JSON lines, no errors."""
    if not place.host.is_root:
        raise NotVisible("the system's journal may not be looked at", needs_root=True)
    lines_max = place.bounds.log_lines_max
    ran = place.host.run(
        "journalctl", "--unit", place.loaded(place.site.unit)["Id"], "--since", SINCE, "--output", "cat", "--no-pager",
        "--quiet", "--lines", str(lines_max),
    )  # fmt: skip
    if ran.code != 0:
        raise NotVisible("journalctl does not answer")
    return judge_log([line for line in ran.output.splitlines() if line.strip()])


def judge_log(lines: list[str]) -> Finding:
    """JSON lines are the service's, the others systemd's or Python's."""
    records = [record for record in map(_record, lines) if record is not None]
    if not records:
        return unknown("nothing was logged in the last hour") if not lines else failed("no line of the log is JSON")
    bad = [record for record in records if record.get("level") in BAD_LEVELS]
    if bad:
        last = str(bad[-1].get("message", ""))[:MESSAGE_MAX_CHARACTERS]
        return warning(f"{len(bad)} errors in the last hour, the last: {last}")
    return ok(f"{len(records)} JSON lines in the last hour, no errors")


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "level" in found else None


def panic_flag(place: Place) -> Finding:
    flag = place.site.flag
    try:
        state = place.host.state(flag)
    except Absent:
        return ok(f"{flag} is not raised")
    return failed(f"{flag} is raised, for {age(place.host.now() - state.modified_at)}")


def failed_units(place: Place) -> Finding:
    """Units of ours that systemd has given up on."""
    ran = place.host.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager", "ibkr-*")
    if ran.code != 0:
        raise NotVisible("systemd does not tell which units failed")
    names = [line.split()[0] for line in ran.output.splitlines() if line.strip()]
    return worst(
        [failed(f"failed: {some(names)}", f"sudo systemctl status {names[0]}")] if names else [],
        "no unit of ours failed",
    )
