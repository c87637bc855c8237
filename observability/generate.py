"""Everything in the checkout that is written by a program, in one list.

Rules: an artifact is a function from the checkout's folder to texts by path; nothing is generated that is not in
the list, and ``stale`` tells what differs from it, so that a test holds the checkout to its sources.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from observability import rules, rules_tests, units
from observability.catalogue import document
from observability.slo import Spec, load

SPEC: Final = Path("alerts/slo.yaml")
RULES: Final = Path("alerts/rules/slo.rules.yml")
HAND_WRITTEN: Final = "alerts/rules/symptoms*.rules.yml"
TESTS: Final = Path("alerts/tests")
DIFFERENCE_MAX_LINES: Final = 12

Files: TypeAlias = Mapping[Path, str]
Render: TypeAlias = Callable[[Path], Files]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Files made by one function. ``render`` takes the checkout's folder and gives texts by path below it."""

    name: str
    render: Render


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not what it should be; ``text`` is the beginning of the difference."""

    path: Path
    text: str


def spec_in(root: Path) -> Spec:
    """The objectives of the checkout ``root``; raises SpecError."""
    return load(root / SPEC)


def _rules(root: Path) -> Files:
    return {RULES: rules.render(spec_in(root))}


def _runbook_links(root: Path) -> Files:
    """The rules that are written by hand, linked to the runbooks' base."""
    spec = spec_in(root)
    found = sorted(root.glob(HAND_WRITTEN))
    return {file.relative_to(root): rules.with_runbooks(spec, file.read_text(encoding="utf-8")) for file in found}


def _tests(root: Path) -> Files:
    return {TESTS / name: text for name, text in rules_tests.render(spec_in(root)).items()}


def _metrics(_root: Path) -> Files:
    return {Path(document.DOCUMENT): document.render_markdown()}


def _units(root: Path) -> Files:
    return units.render(root)


def _dashboards(root: Path) -> Files:
    from observability import dashboards  # a large library, which only this needs

    return dashboards.build(root)


ARTIFACTS: Final = (
    Artifact("rules of the objectives", _rules),
    Artifact("links to the runbooks", _runbook_links),
    Artifact("tests of these rules", _tests),
    Artifact("list of metrics", _metrics),
    Artifact("template units", _units),
    Artifact("dashboards", _dashboards),
)


def stale(root: Path, files: Files) -> Iterable[Difference]:
    """What in ``root`` differs from ``files``, in the order of the paths."""
    for path in sorted(files):
        current = _read(root / path)
        if current != files[path]:
            yield Difference(path, _difference(current, files[path]))


def write(root: Path, difference: Difference, files: Files) -> None:
    """Bring one file up to date."""
    target = root / difference.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_text(files[difference.path], encoding="utf-8")
    part.replace(target)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _difference(current: str | None, wanted: str) -> str:
    if current is None:
        return "does not exist"
    lines = difflib.unified_diff(
        current.splitlines(), wanted.splitlines(), "in the checkout", "generated", "", "", 0, ""
    )
    shown = list(lines)[2:]
    rest = len(shown) - DIFFERENCE_MAX_LINES
    more = [f"… {rest} more lines"] if rest > 0 else []
    return "\n".join((*shown[:DIFFERENCE_MAX_LINES], *more))
