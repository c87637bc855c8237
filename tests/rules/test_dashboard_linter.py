"""grafana/dashboard-linter itself on every board: it finds nothing but what ``dashboards/.lint`` excepts.

Rules: an exception names one panel (and a query, when the panel's others are held to the rule), says why, and is
needed. That the linter sees anything is proven by faults.
"""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.tools.go_programs import GoProgram

BOARDS = Path(__file__).resolve().parents[2] / "dashboards"
FILES = sorted(BOARDS.glob("*.json"))
TIMEOUT_S = 60
RULE_OF = re.compile(r"^\* `(?P<rule>[^`]+)` - (?P<description>.+)$", re.MULTILINE)
PLACE = re.compile(r"Dashboard '(?P<dashboard>[^']+)'(?:, panel '(?P<panel>[^']+)'(?:, target idx '(?P<idx>\d+)')?)?")
ERROR = "❌"


class Finding(NamedTuple):
    rule: str
    dashboard: str
    panel: str
    target: str


class Linter:
    """The program, and what it says as data."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rules = {match["description"]: match["rule"] for match in RULE_OF.finditer(self._run("rules").stdout)}

    def _run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(self._path), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    def findings(self, file: Path, config: Path | None = None) -> set[Finding]:
        """What is wrong in ``file``; with no ``config`` the folder's own ``.lint`` holds."""
        options: list[str | Path] = ["--config", config] if config else []
        ended = self._run("lint", "--strict", *options, file)
        rule, found = "", set()
        for line in ended.stdout.splitlines():
            if line in self._rules:
                rule = self._rules[line]
            elif ERROR in line:
                place = PLACE.search(line)
                assert place, line
                found.add(Finding(rule, place["dashboard"], place["panel"] or "", place["idx"] or ""))
        assert bool(found) == bool(ended.returncode), ended.stdout + ended.stderr
        return found


@pytest.fixture(scope="module")
def linter(go_program: Callable[[GoProgram], Path]) -> Linter:
    return Linter(go_program(GoProgram.DASHBOARD_LINTER))


def exceptions() -> list[tuple[str, dict[str, str]]]:
    rules = yaml.safe_load((BOARDS / ".lint").read_text())["exclusions"]
    return [(rule, entry) for rule, content in rules.items() for entry in content["entries"]]


def covers(rule: str, entry: dict[str, str], finding: Finding) -> bool:
    place = (rule, entry["dashboard"], entry["panel"])
    return place == finding[:3] and entry.get("targetidx", finding.target) == finding.target


def test_the_linter_finds_nothing_in_any_board(linter: Linter) -> None:
    assert {file.name: found for file in FILES if (found := linter.findings(file))} == {}


def test_every_exception_is_of_one_panel_and_says_why() -> None:
    for rule, entry in exceptions():
        assert set(entry) - {"targetidx"} == {"dashboard", "panel", "reason"}, f"{rule}: {entry}"
        assert entry["reason"].endswith("."), f"{rule}: {entry}"


def test_no_exception_hides_more_than_what_it_is_for(linter: Linter, tmp_path: Path) -> None:
    none = tmp_path / "none"
    none.write_text("exclusions: {}\n")
    found = {finding for file in FILES for finding in linter.findings(file, none)}
    unneeded = [entry for rule, entry in exceptions() if not any(covers(rule, entry, finding) for finding in found)]
    assert unneeded == []
    queries = {
        (document["title"], panel["title"], str(place))
        for document in (json.loads(file.read_text()) for file in FILES)
        for panel in document["panels"]
        for place, _ in enumerate(panel.get("targets", ()))
    }
    hidden = {
        Finding(rule, *query)
        for rule, entry in exceptions()
        for query in queries
        if covers(rule, entry, Finding(rule, *query))
    }
    assert hidden - found == set()


def unselected(board: dict[str, Any]) -> None:
    target = panel_of(board)["targets"][0]
    target["expr"] = target["expr"].replace('instance=~"$instance"', 'instance=~".+"')


def panel_of(board: dict[str, Any]) -> dict[str, Any]:
    """A panel with a rate of a series that is selected by job and instance."""
    found: dict[str, Any] = next(
        panel
        for panel in board["panels"]
        if any("rate(" in target["expr"] and '$instance"' in target["expr"] for target in panel.get("targets", ())[:1])
    )
    return found


def of_fixed_range(board: dict[str, Any]) -> None:
    target = panel_of(board)["targets"][0]
    target["expr"] = target["expr"].replace("$__rate_interval", "5m")


FAULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "target-instance-rule": unselected,
    "target-rate-interval-rule": of_fixed_range,
    "target-promql-rule": lambda board: panel_of(board)["targets"][0].update(expr="sum(((up)"),
    "panel-title-description-rule": lambda board: panel_of(board).update(description=""),
    "panel-units-rule": lambda board: panel_of(board)["fieldConfig"]["defaults"].update(unit="furlongs"),
    "panel-datasource-rule": lambda board: panel_of(board).update(datasource={"type": "prometheus", "uid": "mine"}),
    "uneditable-dashboard": lambda board: board.update(editable=True),
}


def test_the_linter_sees_each_fault_that_is_put_into_a_board(linter: Linter, tmp_path: Path) -> None:
    for rule, fault in FAULTS.items():
        board = json.loads((BOARDS / "trader-latency.json").read_text())
        fault(board)
        broken = tmp_path / "board.json"
        broken.write_text(json.dumps(board))
        assert {finding.rule for finding in linter.findings(broken, BOARDS / ".lint")} == {rule}
