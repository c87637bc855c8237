"""Known vulnerabilities of the installed packages, by pip-audit, when it is there and its database answers.

Rules: an answer about no package is no good news. What pip-audit does not know is named. Bounded in time; its cache
is the job's scratch.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor.host import Ran
from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, unknown, warning
from trader.doctor.place import Place
from trader.doctor.software import PRODUCT, canonical, site_packages
from trader.doctor.words import some
from trader.maintenance.model import Column, Table
from trader.maintenance.plain import first_line, plain

LIMIT_S: Final = 180.0
SOCKET_TIMEOUT_S: Final = 5
NO_MODULE: Final = "No module named"
COMMAND: Final = "pip-audit --path {packages}"


class Vulnerability(NamedTuple):
    """One advisory about one installed package; ``mended_in`` is empty when no version mends it."""

    package: str
    version: str
    advisory: str
    mended_in: str


class Audited(NamedTuple):
    """What pip-audit found: of how many packages it knew, and which it did not."""

    known: int
    unknown: tuple[str, ...]
    vulnerabilities: tuple[Vulnerability, ...]


def look(place: Place, cache: Path) -> tuple[Finding, Audited | None]:
    """The finding, and what it is made from; raises nothing."""
    try:
        packages = site_packages(place)
    except (Absent, NotVisible) as error:
        return unknown(f"the installed packages cannot be looked at: {error}"), None
    command = COMMAND.format(packages=packages)
    arguments = (
        "--path", str(packages), "--format", "json", "--progress-spinner", "off", "--timeout", str(SOCKET_TIMEOUT_S),
        "--cache-dir", str(cache), "--desc", "off",
    )  # fmt: skip
    try:
        ran = _ran(place, arguments)
    except NotVisible as error:
        return unknown(f"known vulnerabilities are not known: {error}", command), None
    try:
        audited = parse(ran.output)
    except ValueError:
        why = first_line(ran.error[-2_000:]) or f"pip-audit ended with {ran.code}"
        return unknown(f"known vulnerabilities are not known: {why}", command), None
    return judge(audited, command), audited


def _ran(place: Place, arguments: tuple[str, ...]) -> Ran:
    """The release's own pip-audit, else the host's; raises NotVisible when there is none."""
    python = str(place.site.current / "bin" / "python")
    try:
        ran = place.host.run(python, "-I", "-m", "pip_audit", *arguments, limit_s=LIMIT_S)
        if NO_MODULE not in ran.error:
            return ran
    except NotVisible as error:
        if "not installed" not in str(error):
            raise
    try:
        return place.host.run("pip-audit", *arguments, limit_s=LIMIT_S)
    except NotVisible as error:
        if "not installed" in str(error):
            raise NotVisible("pip-audit is not installed") from error
        raise


def parse(output: str) -> Audited:
    """pip-audit's JSON; raises ValueError for anything else."""
    try:
        listed = json.loads(output)["dependencies"]
        skipped = tuple(str(item["name"]) for item in listed if "skip_reason" in item)
        known = [item for item in listed if "skip_reason" not in item]
        found = tuple(
            Vulnerability(
                plain(item["name"]), plain(item["version"]), plain(one["id"]),
                plain(", ".join(map(str, one.get("fix_versions") or ()))),
            )
            for item in known
            for one in item["vulns"]
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not what pip-audit says") from error
    return Audited(len(known), skipped, found)


def judge(audited: Audited, command: str = "") -> Finding:
    """A vulnerability that a newer version mends fails; one that none mends is a warning."""
    others = [plain(name) for name in audited.unknown if canonical(name) != PRODUCT]
    if audited.vulnerabilities:
        mended = [item for item in audited.vulnerabilities if item.mended_in]
        told = some([f"{item.package} {item.version} ({item.advisory})" for item in mended or audited.vulnerabilities])
        if mended:
            return failed(f"known vulnerabilities: {told}", "sudo systemd/install.sh")
        return warning(f"known vulnerabilities that no version mends yet: {told}", command)
    if audited.known == 0:
        return unknown(
            "the advisory database knows none of the packages: it is not reached, or is another index", command
        )
    if others:
        return unknown(
            f"no advisory about {audited.known} packages; the database does not know {some(others)}", command
        )
    return ok(f"no advisory about {audited.known} packages")


def table(audited: Audited) -> Table:
    columns = (Column("Package"), Column("Installed"), Column("Advisory"), Column("Mended in"))
    return Table.of("Known vulnerabilities", columns, audited.vulnerabilities)
