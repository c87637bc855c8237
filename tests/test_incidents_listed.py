"""Every incident that docs/incidents.md lists has its test, and every test of an incident is listed."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| (?P<incident>[^|]+) \| (?P<thread>[^|]+) \| (?P<rule>[^|]+) \| `(?P<test>\w+)` \|$")


def rows() -> list[re.Match[str]]:
    lines = (ROOT / "docs/incidents.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    found = [match for line in table if (match := ROW.match(line))]
    assert len(found) == len(table), "a row of docs/incidents.md is none"
    return found


def played() -> list[str]:
    return [
        node.name
        for file in sorted((ROOT / "tests/e2e").glob("test_incidents*.py"))
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    ]


def test_every_incident_that_is_listed_has_a_test_of_that_name() -> None:
    missing = [row["test"] for row in rows() if row["test"] not in played()]
    assert missing == []


def test_every_test_of_an_incident_is_listed_once() -> None:
    listed = [row["test"] for row in rows()]
    assert sorted(listed) == sorted(played())
