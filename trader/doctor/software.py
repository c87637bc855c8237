"""The installed release: Python, its dependencies, and which release runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader.doctor.host import Package
from trader.doctor.model import Absent, Finding, failed, ok, unknown, worst
from trader.doctor.place import Place
from trader.doctor.words import some

PRODUCT: Final = "ibkr-trading"
REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?(?P<if>;.*)?"
)
BOUND: Final = re.compile(r"(?P<sign>===|==|~=|!=|<=|>=|<|>)\s*(?P<version>[\w.*+!-]+)")


def python(place: Place) -> Finding:
    program = place.host.resolve(place.site.current / "bin" / "python")
    ran = place.host.run(str(program), "--version")
    found = re.search(r"(\d+)\.(\d+)\.\S+", ran.output)
    if ran.code != 0 or found is None:
        return failed(f"{program} does not run")
    seen = f"Python {found[0]}, {program}"
    low_major, low_minor = place.bounds.python_min
    if (int(found[1]), int(found[2])) < (low_major, low_minor):
        return failed(f"{seen}: {low_major}.{low_minor} or newer is needed")
    if str(program).startswith(place.bounds.hidden_python_folders):
        return failed(f"{seen}: the service cannot see it there")
    return ok(seen)


def dependencies(place: Place) -> Finding:
    packages = place.host.packages(site_packages(place))
    by_name = {canonical(package.name): package for package in packages}
    product = by_name.get(PRODUCT)
    if product is None:
        return failed(f"{PRODUCT} itself is not in {place.site.current}")
    problems = [text for requirement in product.requires for text in _problems(requirement, by_name)]
    wanted = [text for text in product.requires if not _is_extra(text)]
    return worst(
        [failed(f"{PRODUCT} {product.version} needs {some(problems)}")] if problems else [],
        f"{PRODUCT} {product.version} with {len(wanted)} dependencies as its metadata demands",
    )


def site_packages(place: Place) -> Path:
    """Where the release's Python distributions are; raises Absent."""
    library = place.site.current / "lib"
    for name in place.host.names(library):
        if name.startswith("python3"):
            return library / name / "site-packages"
    raise Absent(library / "python3")


def _is_extra(requirement: str) -> bool:
    return "extra ==" in requirement


def _problems(requirement: str, by_name: dict[str, Package]) -> Iterator[str]:
    """What is missing of one line of the product's metadata; a condition on the platform is not judged."""
    found = REQUIREMENT.match(requirement)
    if found is None or found["if"]:
        return
    package = by_name.get(canonical(found["name"]))
    if package is None:
        yield f"{found['name']}, which is not installed"
    elif not fits(package.version, found["bounds"]):
        yield f"{found['name']} {found['bounds'].strip()}, and {package.version} is installed"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def fits(version: str, bounds: str) -> bool:
    """Whether a version of numbers is within ``>=1.2,<2``."""
    return all(_holds(version, bound["sign"], bound["version"]) for bound in BOUND.finditer(bounds))


def _holds(version: str, sign: str, bound: str) -> bool:
    if sign == "===":
        return version == bound
    if sign in ("==", "!=") and bound.endswith(".*"):
        begins = _numbers(version)[: bound.count(".")] == _numbers(bound[:-2])
        return begins if sign == "==" else not begins
    has, wants = _padded(_numbers(version), _numbers(bound))
    if sign == "~=":
        kept = bound.count(".")
        return has >= wants and has[:kept] == wants[:kept]
    holds = {"==": has == wants, "!=": has != wants, "<=": has <= wants, ">=": has >= wants, "<": has < wants}
    return holds.get(sign, has > wants)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _padded(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    length = max(len(one), len(other))
    return one + (0,) * (length - len(one)), other + (0,) * (length - len(other))


def release(place: Place) -> Finding:
    """The running service's own files against the release that is current."""
    current = place.host.resolve(place.site.current)
    process = place.running()["MainPID"]
    mapped = place.host.read(Path("/proc") / process / "maps")
    releases = place.host.resolve(place.site.prefix) / "releases"
    used = sorted(set(re.findall(re.escape(str(releases)) + r"/([^/\s]+)/", mapped)))
    if not used:
        return unknown(f"process {process} has nothing of {releases} loaded")
    if used != [current.name]:
        return failed(f"{some(used)} runs, and {current.name} is current")
    return ok(current.name)
