"""Unit tests of the rules, run with nothing that they cannot see: the time that promtool takes grows with every rule.

Rules: the file of tests is the shipped one. A rule is left out when no check asks for it, not even by way of what it
records; annotations are, when no check expects any. What is left is byte for byte what the rule says.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.rules.rulebook import Document, Rule, judges, read, rules, run_promtool, unit_test_groups, uses


def run_unit_tests(file: Path, folder: Path) -> tuple[int, str]:
    """What promtool says of the shipped file of tests ``file``, run below the empty ``folder``: (exit code, output)."""
    kept = _kept([check for group in unit_test_groups() if group.file == file for check in group.checks()])
    tests = folder / file.parent.name
    tests.mkdir()
    shutil.copy(file, tests)
    for name in read(file)["rule_files"]:
        target = tests / name
        target.parent.mkdir(exist_ok=True)
        document = _only((file.parent / name).resolve(), kept)
        target.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")
    return run_promtool("test", "rules", file.name, folder=tests)


def _kept(checks: Sequence[tuple[str, Document]]) -> list[Rule]:
    """The rules that ``checks`` see: the alerts, and what is recorded for them or for the checks."""
    assert all(kind == "promql_expr_test" for kind, _ in checks), "a check of annotations needs them"
    asked = [use for _, check in checks for use in uses(check["expr"])]
    for use in asked:
        is_named = any(name == "alertname" and op == "=" for name, op, _ in use.matchers)
        assert use.metric != "ALERTS" or is_named, f"a check asks for any alert: {use}"
    seen = [rule for rule in rules() if rule.is_alert and any(judges(check, rule) for _, check in checks)]
    recorded = needed([str(check["expr"]) for _, check in checks] + [rule.expr for rule in seen])
    return [*seen, *(rule for rule in rules() if not rule.is_alert and rule.name in recorded)]


def needed(expressions: Sequence[str]) -> set[str]:
    """What has to be recorded for ``expressions``, and for that."""
    expr_by_name: dict[str, list[str]] = {}
    for rule in rules():
        if not rule.is_alert:
            expr_by_name.setdefault(rule.name, []).append(rule.expr)
    found: set[str] = set()
    ahead = list(expressions)
    while ahead:
        for use in uses(ahead.pop()):
            if use.metric in expr_by_name and use.metric not in found:
                found.add(use.metric)
                ahead.extend(expr_by_name[use.metric])
    return found


def _only(file: Path, kept: Sequence[Rule]) -> Document:
    """What ``file`` says, with the rules of ``kept`` alone."""
    own = [rule.document for rule in kept if rule.file == file]
    document = read(file)
    for group in document["groups"]:
        group["rules"] = [without_annotations(rule) for rule in group["rules"] if rule in own]
    document["groups"] = [group for group in document["groups"] if group["rules"]]
    return document


def without_annotations(rule: Document) -> Document:
    """The rule without its annotations, whose templates promtool expands at every step."""
    return {name: value for name, value in rule.items() if name != "annotations"}
