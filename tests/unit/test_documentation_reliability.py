"""docs/reliability.md promises nothing without a test, and each test that it names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
PROMISED = TEXT.partition("## What is promised")[2].partition("## What is not promised")[0]
ROW = re.compile(r"^\| .+ \| .+ \| `(?P<file>tests/[\w/]+\.py)::(?P<test>\w+)` \|$")
FEWEST = 30


def rows() -> list[str]:
    lines = [line for line in PROMISED.splitlines() if line.startswith("|")]
    return [line for line in lines if line != "|---|---|---|" and line != "| promise | how | test |"]


def test_every_promise_names_a_test_that_is_there() -> None:
    assert len(rows()) >= FEWEST
    for line in rows():
        named = ROW.match(line)
        assert named is not None, f"names no test: {line}"
        tree = ast.parse((ROOT / named["file"]).read_text(encoding="utf-8"))
        there = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        assert named["test"] in there, f"{named['file']} has no {named['test']}"
