"""The rules and their tests as shipped in ``alerts/``, read for the gates; and promtool.

Rules: nothing here judges. A rule is the document that Prometheus reads; where it came from stays beside it.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from trader.stack.programs import find_programs

ROOT = Path(__file__).resolve().parent.parent.parent
ALERTS = ROOT / "alerts"
PROMTOOL_TIMEOUT_S = 300.0
# promtool ends soon and needs little: to collect its garbage less often takes a tenth off its processor time.
PROMTOOL_ENVIRONMENT = {**os.environ, "GOGC": "400"}

Document = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One rule of one group of one file; ``document`` is what the file says."""

    file: Path
    group: str
    document: Document

    @property
    def name(self) -> str:
        return str(self.document.get("alert") or self.document["record"])

    @property
    def is_alert(self) -> bool:
        return "alert" in self.document

    @property
    def expr(self) -> str:
        return str(self.document["expr"])


@dataclass(frozen=True)
class TestGroup:
    """One group of a file of unit tests: its own series, on an empty database."""

    __test__ = False

    file: Path
    header: Document
    document: Document

    def mentions(self, alert: str) -> bool:
        return any(about(check, alert) for _, check in self.checks())

    def judges(self, rule: "Rule") -> bool:
        return any(judges(check, rule) for _, check in self.checks())

    def checks(self) -> Iterator[tuple[str, Document]]:
        """(kind, check) of every expectation."""
        for kind in ("alert_rule_test", "promql_expr_test"):
            yield from ((kind, check) for check in self.document.get(kind) or ())


def about(check: Document, alert: str) -> bool:
    """Whether ``check`` says when ``alert`` fires."""
    if check.get("alertname") == alert:
        return True
    return re.search(rf'alertname="{alert}"', str(check.get("expr", ""))) is not None


def judges(check: Document, rule: Rule) -> bool:
    """Whether ``check`` can see ``rule`` fire: it asks for its name and for no label that it does not have."""
    if not about(check, rule.name):
        return False
    if "alertname" in check:
        return True
    own = {"alertname": rule.name, **rule.document.get("labels", {})}
    return any(
        all(not (op == "=" and name in own and own[name] != value) for name, op, value in use.matchers)
        for use in uses(str(check["expr"]))
        if use.metric == "ALERTS"
    )


def read(file: Path) -> Document:
    document = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    assert isinstance(document, dict)
    return document


@cache
def rule_files() -> tuple[Path, ...]:
    return tuple(sorted((ALERTS / "rules").glob("*.rules.yml")))


@cache
def unit_test_files() -> tuple[Path, ...]:
    return tuple(sorted((ALERTS / "tests").glob("*.test.yml")))


@cache
def rules() -> tuple[Rule, ...]:
    return tuple(
        Rule(file, group["name"], rule)
        for file in rule_files()
        for group in read(file)["groups"]
        for rule in group["rules"]
    )


@cache
def alerts() -> dict[str, tuple[Rule, ...]]:
    """The rules of each alert by its name; several where its severity or its objective differs."""
    found: dict[str, tuple[Rule, ...]] = {}
    for rule in rules():
        if rule.is_alert:
            found[rule.name] = (*found.get(rule.name, ()), rule)
    return found


@cache
def unit_test_groups() -> tuple[TestGroup, ...]:
    return tuple(
        TestGroup(file, {key: value for key, value in document.items() if key != "tests"}, group)
        for file in unit_test_files()
        for document in (read(file),)
        for group in document["tests"]
    )


def groups_about(alert: str) -> tuple[TestGroup, ...]:
    return tuple(group for group in unit_test_groups() if group.mentions(alert))


OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


@dataclass(frozen=True)
class Use:
    """A metric in an expression, and its matchers as (label, operator, value)."""

    metric: str
    labels: frozenset[str]
    matchers: tuple[tuple[str, str, str], ...] = ()


def uses(expr: str) -> tuple[Use, ...]:
    """Every selector of ``expr``."""
    found: list[Use] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = [(m.name, OPERATORS[str(m.op)], m.value) for m in node.matchers.matchers]
            found.append(Use(node.name or "", frozenset(name for name, _, _ in matchers), tuple(matchers)))

    promql_parser.walk(promql_parser.parse(expr), visit)
    return tuple(found)


@cache
def promtool() -> Path:
    return find_programs().promtool


def run_promtool(*arguments: str | Path, folder: Path = ALERTS) -> tuple[int, str]:
    """(exit code, everything printed)."""
    result = subprocess.run(
        [promtool(), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PROMTOOL_TIMEOUT_S,
        check=False,
        env=PROMTOOL_ENVIRONMENT,
    )
    return result.returncode, result.stdout + result.stderr


def names(items: Sequence[Rule]) -> set[str]:
    return {item.name for item in items}
