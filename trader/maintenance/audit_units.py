"""The audit of units: how exposed each service of ours is, what loosens its sandbox, and which units nobody shipped.

Rules: systemd is asked where it runs, and the folders of units are read in any case. A unit that systemd does not tell
about is not known, never fine.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor.model import Absent, Finding, NotVisible, failed, unknown, warning, worst
from trader.doctor.place import Place
from trader.doctor.service import EXPOSURE
from trader.doctor.units import directives
from trader.doctor.words import some
from trader.maintenance.model import Column, Table, Unit
from trader.maintenance.plain import first_line, plain
from trader.maintenance.sandbox import weakened

OURS: Final = "ibkr-"
UNIT_FOLDERS: Final = (
    Path("/etc/systemd/system"), Path("/run/systemd/system"), Path("/usr/local/lib/systemd/system"),
)  # fmt: skip
SUFFIXES: Final = (".service", ".path", ".timer", ".target", ".socket", ".slice", ".mount")
ATTACHED: Final = (".d", ".wants", ".requires", ".upholds")
EXPOSURE_MAX: Final = {
    "ibkr-gateway.service": 1.1,  # Java writes the code that it executes, and the broker is on the internet
    "ibkr-maintenance-daily.service": 1.0,  # they read the journal of the host, by a group that counts
    "ibkr-maintenance-weekly.service": 1.0,
    "ibkr-maintenance-monthly.service": 1.0,
}
UNITS_MAX: Final = 50
OPENERS_SHOWN: Final = 3
NULL: Final = Path("/dev/null")


class Exposure(NamedTuple):
    """``level`` of 10, None when it is not told, and then ``why``; ``openers`` are the keys that count most."""

    unit: str
    level: float | None
    bound: float
    openers: tuple[str, ...] = ()
    why: str = ""


def names_of(place: Place) -> list[str]:
    """The units of ours that there are: shipped ones, and the instances that systemd has loaded."""
    shipped = [name for name in place.host.names(place.shipped_units()) if "@." not in name]
    names = [name for name in shipped if name.endswith(SUFFIXES)]
    return list(dict.fromkeys([*names, *_instances(place)]))[:UNITS_MAX]


def _instances(place: Place) -> list[str]:
    try:
        ran = place.once("ours", lambda: place.host.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", f"{OURS}*"
        ))  # fmt: skip
    except NotVisible:
        return []
    found = [line.split()[0] for line in ran.output.splitlines() if line.split()]
    return [name for name in found if "@" in name and name.endswith(SUFFIXES) and not name.startswith("ibkr-alert@")]


def exposures(place: Place) -> list[Exposure]:
    """Of every service of ours that is installed; raises NotVisible where systemd does not run."""
    return place.once("exposures", lambda: [
        _exposure(place, name) for name in names_of(place)
        if name.endswith(".service") and place.show(name).get("LoadState") != "not-found"
    ])  # fmt: skip


def _exposure(place: Place, unit: str) -> Exposure:
    bound = EXPOSURE_MAX.get(unit, place.bounds.exposure_max)
    try:
        ran = place.host.run("systemd-analyze", "security", "--no-pager", unit)
    except NotVisible as error:
        return Exposure(unit, None, bound, why=str(error))
    found = EXPOSURE.search(ran.output)
    if found is None:
        return Exposure(unit, None, bound, why=first_line(ran.error) or "systemd-analyze gives no level")
    level = float(found[1])
    return Exposure(unit, level, bound, _openers(place, unit) if level > bound else ())


def _openers(place: Place, unit: str) -> tuple[str, ...]:
    """The settings that add most to the level, by systemd's own account."""
    ran = place.host.run("systemd-analyze", "security", "--no-pager", "--json=short", unit)
    try:
        told = json.loads(ran.output)
        counted = [(float(item["exposure"]), str(item["name"])) for item in told if item.get("exposure")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()
    return tuple(plain(name) for _, name in sorted(counted, key=lambda one: (-one[0], one[1]))[:OPENERS_SHOWN])


def exposure(place: Place) -> Finding:
    """Every service of ours against its bound."""
    found = exposures(place)
    if not found:
        return unknown("systemd has no service of ours loaded", "systemctl list-units --all 'ibkr-*'")
    findings = [_judged(item) for item in found if item.level is None or item.level > item.bound]
    highest = max((item.level for item in found if item.level is not None), default=0.0)
    return worst(findings, f"{len(found)} services, the most exposed {highest:g} of 10")


def _judged(item: Exposure) -> Finding:
    command = f"systemd-analyze security {item.unit}"
    if item.level is None:
        return unknown(f"{item.unit}: {item.why}", f"sudo {command}")
    opened = f", by {some(list(item.openers))}" if item.openers else ""
    return failed(f"{item.unit} {item.level:g}, above {item.bound:g}{opened}", command)


def exposures_table(found: list[Exposure]) -> Table:
    columns = (
        Column("Service"),
        Column("Exposure of 10", Unit.COUNT),
        Column("At most", Unit.COUNT),
        Column("Opened by"),
    )
    rows = [(item.unit, item.level, item.bound, ", ".join(item.openers) or item.why) for item in found]
    return Table.of("Exposure of every service", columns, rows)


# -- drop-ins


def loosened(place: Place) -> Finding:
    """Every key of every drop-in of ours that makes a sandbox looser."""
    findings = []
    looked_at = 0
    for name in names_of(place):
        text = _unit_text(place, name)
        if text is None:
            continue
        for path in drop_ins_of(place, name):
            looked_at += 1
            findings += _of_drop_in(place, name, text, path)
    return worst(findings, f"{looked_at} drop-ins, none of which loosens a sandbox" if looked_at else "no drop-ins")


def _of_drop_in(place: Place, name: str, unit: str, path: Path) -> list[Finding]:
    try:
        text = place.host.read(path)
    except Absent:
        return []
    except NotVisible as error:
        return [unknown(str(error), f"sudo systemctl cat {name}")]
    if _is_shipped(place, path, text):
        return []
    found = weakened(directives(unit), directives(text))
    if not found:
        return []
    judge = failed if any(item.is_grave for item in found) else warning
    return [judge(f"{plain(path)} loosens {name}: {', '.join(item.text for item in found)}", f"systemctl cat {name}")]


def _is_shipped(place: Place, path: Path, text: str) -> bool:
    """Whether it is one of the release's delays of restarts, which the installer puts there."""
    if not path.name.endswith("-restart.conf"):
        return False
    folder = place.site.share / "drop-ins"
    try:
        shipped = [place.host.read(folder / name) for name in place.host.names(folder) if name.startswith("restart-")]
    except Absent:
        return False
    return text in shipped


def drop_ins_of(place: Place, name: str) -> list[Path]:
    """The drop-ins of a unit: those that systemd has read, and those that lie where it looks."""
    paths: list[Path] = []
    with suppress(NotVisible):  # then the folders have to do
        paths += [Path(text) for text in place.show(name).get("DropInPaths", "").split()]
    for folder in UNIT_FOLDERS:
        for attached in _drop_in_folders(name):
            try:
                names = place.host.names(folder / attached)
            except Absent:
                continue
            paths += [folder / attached / item for item in names if item.endswith(".conf")]
    return list(dict.fromkeys(paths))


def _drop_in_folders(name: str) -> list[str]:
    """``a-b@x.service`` takes ``a-b@x.service.d``, ``a-b@.service.d``, ``a-.service.d`` and ``service.d``."""
    stem, _, kind = name.rpartition(".")
    template = f"{stem.partition('@')[0]}@.{kind}.d" if "@" in stem else ""
    words = stem.partition("@")[0].split("-")
    prefixes = [f"{'-'.join(words[:count])}-.{kind}.d" for count in range(len(words) - 1, 0, -1)]
    return [item for item in (f"{name}.d", template, *prefixes, f"{kind}.d") if item]


def _unit_text(place: Place, name: str) -> str | None:
    """A unit's own settings, installed or else as shipped."""
    stem, _, kind = name.rpartition(".")
    file = f"{stem.partition('@')[0]}@.{kind}" if "@" in stem else name
    for folder in (place.site.unit_folder, place.shipped_units()):
        try:
            return place.host.read(folder / file)
        except Absent:
            continue
    return None


# -- units that nobody shipped


def unexpected_units(place: Place) -> Finding:
    """What has a name of ours in systemd's folders and is not of this release; and what is masked."""
    shipped = set(place.host.names(place.shipped_units()))
    findings: list[Finding] = []
    count = 0
    for folder in UNIT_FOLDERS:
        try:
            names = [name for name in place.host.names(folder) if name.startswith(OURS)]
        except Absent:
            continue
        count += len(names)
        findings += [item for name in names for item in _of_unit(place, folder / name, shipped)]
    return worst(findings, f"{count} units and their folders, all of them shipped")


def _of_unit(place: Place, path: Path, shipped: set[str]) -> list[Finding]:
    name = path.name
    owner = next((name.removesuffix(suffix) for suffix in ATTACHED if name.endswith(suffix)), name)
    stem, _, kind = owner.rpartition(".")
    is_prefix = stem.endswith("-") and any(other.startswith(stem) for other in shipped)
    template = f"{stem.partition('@')[0]}@.{kind}" if "@" in stem and owner != name else owner
    if owner not in shipped and template not in shipped and not is_prefix:
        return [failed(f"{plain(path)} is not of this release", f"systemctl cat {plain(name)}")]
    try:
        if place.host.state(path).kind == "link" and place.host.resolve(path) == NULL:
            return [failed(f"{plain(name)} is masked", f"sudo systemctl unmask {plain(name)}")]
    except Absent:
        return []
    return []
