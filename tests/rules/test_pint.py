"""Cloudflare's pint on the shipped rules, without a Prometheus: it finds nothing but what ``alerts/pint.hcl`` excepts.

Rules: what the configuration switches off says why there, and would be found otherwise. That pint sees anything is
proven by faults.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rules.rulebook import ALERTS, rules
from tests.tools.go_programs import GoProgram

CONFIG = ALERTS / "pint.hcl"
TIMEOUT_S = 60
PRODUCED = re.compile(r"uses `(?P<metric>\S+)` which is generated")


class Pint:
    """The program, and what it says as data."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._report = folder / "report.json"
        self.said = ""

    def problems(self, config: Path, folder: Path = ALERTS) -> list[dict[str, Any]]:
        """Every problem of every severity in the rules of ``folder``."""
        self._report.unlink(missing_ok=True)
        ended = subprocess.run(
            [
                str(self._path), "--offline", "--no-color", "--show-duplicates", "--config", str(config), "lint",
                "--min-severity=info", "--fail-on=info", f"--json={self._report}", "rules",
            ],
            cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        self.said = ended.stdout + ended.stderr
        found: list[dict[str, Any]] = json.loads(self._report.read_text()) or []
        assert bool(found) == bool(ended.returncode), self.said
        return found


@pytest.fixture
def pint(go_program: Callable[[GoProgram], Path], tmp_path: Path) -> Pint:
    return Pint(go_program(GoProgram.PINT), tmp_path)


def test_pint_finds_nothing_in_any_rule(pint: Pint) -> None:
    assert pint.problems(CONFIG) == []
    assert f"entries={len(rules())} " in pint.said


def test_everything_that_is_switched_off_would_be_found(pint: Pint, tmp_path: Path) -> None:
    plain = tmp_path / "plain.hcl"
    plain.write_text("")
    found = pint.problems(plain)
    assert {problem["reporter"] for problem in found} == {"rule/dependency", "promql/regexp", "alerts/comparison"}
    (always,) = [problem for problem in found if problem["reporter"] == "alerts/comparison"]
    assert always["path"] == "rules/symptoms_monitoring.rules.yml"
    assert {problem["problem"] for problem in found if problem["reporter"] == "promql/regexp"} == {
        "smelly regexp selector"
    }
    late = {match["metric"] for problem in found if (match := PRODUCED.search(problem["details"]))}
    (allowed,) = re.findall(r"ignoreGroupMismatch = \[(.*?)\]", CONFIG.read_text(), re.DOTALL)
    for pattern in re.findall(r'"([^"]+)"', allowed):
        assert any(re.fullmatch(pattern, metric) for metric in late), f"{pattern} is not needed any more"


FAULTS = {
    "promql/regexp": ('unit:state{name="ibkr-trading.service"', 'unit:state{name=~"ibkr-trading"'),
    "alerts/template": ('summary: "{{ $labels.name }} on', 'summary: "{{ $labels.nome | nonsense }} on'),
    "alerts/comparison": ("expr: trader_task_last_exit_code != 0", "expr: trader_task_last_exit_code"),
    "promql/syntax": ("expr: trader_task_last_exit_code != 0", "expr: trader_task_last_exit_code !!= 0"),
    "alerts/for": ("for: 1m", "for: 1x"),
}


@pytest.mark.parametrize("check", FAULTS)
def test_pint_sees_each_fault_that_is_put_into_the_rules(pint: Pint, tmp_path: Path, check: str) -> None:
    shutil.copytree(ALERTS / "rules", tmp_path / "rules")
    file = tmp_path / "rules/symptoms_systemd.rules.yml"
    right, wrong = FAULTS[check]
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    found = pint.problems(CONFIG, tmp_path)
    assert check in {problem["reporter"] for problem in found}, pint.said
