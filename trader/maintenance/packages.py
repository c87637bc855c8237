"""The installed packages against what the release's metadata demands, and against what there is by now.

Rules: whether something newer exists is known only when a package index answers, which is asked first: pip calls
every package up to date when it reaches no index. An older version is no fault.
"""

import json
from typing import Final, NamedTuple

from trader.doctor.host import Package
from trader.doctor.model import Absent, NotVisible
from trader.doctor.place import Place
from trader.doctor.software import PRODUCT, REQUIREMENT, canonical, fits, site_packages
from trader.maintenance.model import Column, Figure, Outcome, Table, Unit
from trader.maintenance.plain import first_line, plain

PROBE_LIMIT_S: Final = 30.0
LIST_LIMIT_S: Final = 240.0
PIP_OPTIONS: Final = (
    "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--retries", "0", "--timeout", "5",
)  # fmt: skip


class PackageState(NamedTuple):
    """What the section takes over."""

    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: tuple[str, ...] = ()


def look(place: Place) -> PackageState:
    """Every package, what is demanded of it, and what is newer."""
    try:
        installed = place.host.packages(site_packages(place))
    except (Absent, NotVisible) as error:
        return PackageState(missing=(f"installed packages: {error}",))
    demanded = demands(installed)
    try:
        newest: dict[str, str] | None = newer(place, sorted(demanded))
        missing: tuple[str, ...] = ()
    except NotVisible as error:
        newest, missing = None, (f"newer versions of packages: {error}",)
    return PackageState(_figures(installed, demanded, newest), (_table(installed, demanded, newest),), missing)


def demands(installed: tuple[Package, ...]) -> dict[str, str]:
    """What the product's metadata demands of each package, such as ``<4,>=3.10``; extras and conditions are not."""
    product = next((package for package in installed if canonical(package.name) == PRODUCT), None)
    found = {}
    for requirement in product.requires if product else ():
        matched = REQUIREMENT.match(requirement)
        if matched and not matched["if"]:
            found[canonical(matched["name"])] = matched["bounds"].strip()
    return found


def newer(place: Place, demanded: list[str]) -> dict[str, str]:
    """The newest version of each package that has a newer one; raises NotVisible when no index can be asked."""
    if not demanded:
        raise NotVisible("the release's metadata demands no package that an index could be asked for")
    python = str(place.site.current / "bin" / "python")
    probe = place.host.run(python, "-I", "-m", "pip", "index", "versions", demanded[0], *PIP_OPTIONS,
                           limit_s=PROBE_LIMIT_S)  # fmt: skip
    if "No module named" in probe.error:
        raise NotVisible("the release has no pip")
    if probe.code != 0 or not probe.output.strip():
        raise NotVisible("no package index is reachable from here")
    ran = place.host.run(python, "-I", "-m", "pip", "list", "--outdated", "--format", "json", *PIP_OPTIONS,
                         limit_s=LIST_LIMIT_S)  # fmt: skip
    if ran.code != 0:
        raise NotVisible(first_line(ran.error) or f"pip ended with {ran.code}")
    try:
        return {canonical(item["name"]): plain(item["latest_version"], 40) for item in json.loads(ran.output)}
    except (ValueError, KeyError, TypeError) as error:
        raise NotVisible("pip's list is not understood") from error


def _figures(
    installed: tuple[Package, ...], demanded: dict[str, str], newest: dict[str, str] | None
) -> tuple[Figure, ...]:
    wrong = [name for name, bounds in demanded.items() if not _is_met(installed, name, bounds)]
    figures = [
        Figure(label="Packages installed", value=len(installed), unit=Unit.COUNT),
        Figure(
            label="Packages that are not as the release demands", value=len(wrong), unit=Unit.COUNT, bound="0",
            outcome=Outcome.FAILED if wrong else Outcome.OK,
        ),
    ]  # fmt: skip
    if newest is not None:
        figures.append(Figure(label="Packages with a newer version", value=len(newest), unit=Unit.COUNT))
    return tuple(figures)


def _is_met(installed: tuple[Package, ...], name: str, bounds: str) -> bool:
    return any(canonical(package.name) == name and fits(package.version, bounds) for package in installed)


def _table(installed: tuple[Package, ...], demanded: dict[str, str], newest: dict[str, str] | None) -> Table:
    columns = (Column("Package"), Column("Installed"), Column("The release demands"), Column("Newest"))
    rows = []
    for package in sorted(installed, key=lambda package: canonical(package.name)):
        name = canonical(package.name)
        latest = None if newest is None else newest.get(name, package.version)
        rows.append((plain(package.name), plain(package.version), demanded.get(name, ""), latest))
    return Table.of("Packages", columns, rows)
