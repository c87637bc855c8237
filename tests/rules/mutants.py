"""Rules made wrong on purpose, to see whether the unit tests notice.

Rules: a mutant differs from its rule in one place, and Prometheus can still load it. All mutants of an alert run in
one promtool, under names of their own beside an unchanged control: every check of the alert is repeated for each of
them, so a mutant is killed when a check of its name fails. What cannot be told apart by any test is not made; the
reason stands beside it in ``EQUIVALENT``.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import promql_parser
import yaml

from observability.slo import Duration
from tests.rules.lean import needed
from tests.rules.rulebook import Document, Rule, TestGroup, groups_about, judges, read, rules, run_promtool

TOKEN = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*") | (?P<comment>\#[^\n]*)
    | (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*) | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_:][\w:.]*) | (?P<operator>=~|!~|==|!=|<=|>=|[<>=]) | (?P<other>[^\s])
    """,
    re.VERBOSE,
)
MATCHER = re.compile(r'\w+\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"')
# To the negation, and across the boundary.
COMPARISONS = {">": ("<=", ">="), ">=": ("<", ">"), "<": (">=", "<="), "<=": (">", "<"), "==": ("!=",), "!=": ("==",)}
SET_OPERATORS = {"and": ("unless",), "unless": ("and",), "or": ("and", "unless")}
RECORDED_WINDOW = re.compile(r"(?P<stem>[a-z_]+(?::[a-z_]+)*):(?P<window>\d+[smhd])$")

# Operands that are joined match each other on this label, so one matcher on it does for all: they go together.
SHARED = "slo"

# (alert, kind, part of the mutant's expression on one line, why no test can tell it from the rule)
EQUIVALENT: tuple[tuple[str, str, str, str], ...] = (
    ("Watchdog", "threshold", "vector(", "it fires because it exists, whatever its value"),
    ("DiskFillsIn24h", "comparison", "86400) < 0", "a fitted line never is exactly 0"),
    ("OrderLatencyAboveObjective", "comparison", "<= 0.99", "Wilson's bound is irrational, never the objective"),
)

CONTROL = 0


@dataclass(frozen=True)
class Mutant:
    """``rule`` with one part changed; ``index`` says which rule of its alert it replaces."""

    alert: str
    index: int
    kind: str
    change: str
    rule: Document

    def __str__(self) -> str:
        where = f", {severity}" if (severity := self.rule["labels"].get("severity")) else ""
        return f"{self.alert} (rule {self.index + 1}{where}): {self.kind}: {self.change}"


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


def tokens(expr: str) -> list[Token]:
    return [Token(str(match.lastgroup), match.group(), *match.span()) for match in TOKEN.finditer(expr)]


def halved(duration: str) -> str:
    milliseconds = round(promql_parser.parse_duration(duration).total_seconds() * 1_000) // 2
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def moved(number: str) -> tuple[str, ...]:
    """Counts by one, measures by a tenth, both ways."""
    value = Decimal(number)
    if value == value.to_integral_value() and value <= 12:
        return f"{value - 1:f}", f"{value + 1:f}"
    return f"{value * Decimal('0.9'):f}", f"{value * Decimal('1.1'):f}"


def shorter(metric: str) -> str | None:
    """The recorded metric over the next shorter window; None when ``metric`` has none."""
    match = RECORDED_WINDOW.match(metric)
    if match is None:
        return None

    def seconds(window: str) -> float:
        return promql_parser.parse_duration(window).total_seconds()

    windows = {
        other["window"]
        for rule in rules()
        if not rule.is_alert and (other := RECORDED_WINDOW.match(rule.name)) and other["stem"] == match["stem"]
    }
    below = [window for window in windows if seconds(window) < seconds(match["window"])]
    return f"{match['stem']}:{max(below, key=seconds)}" if below else None


def changed_expressions(expr: str) -> Iterator[tuple[str, str, str]]:
    """(kind, change, expression) for every place of ``expr`` that can be wrong."""

    def with_(start: int, end: int, text: str) -> str:
        return expr[:start] + text + expr[end:]

    def around(start: int, end: int, text: str) -> str:
        """The change with what stands around it, on one line."""
        before, after = expr[max(0, start - 30) : start], expr[end : end + 20]
        return " ".join(f"…{before}⟦{expr[start:end]} → {text}⟧{after}…".split())

    in_braces = False
    for token in tokens(expr):
        if token.text in "{}":
            in_braces = token.text == "{"
        if token.text == "{":
            yield from _without_matchers(expr, token.start)
        if in_braces:
            continue
        for kind, text in _replacements(token):
            yield kind, around(token.start, token.end, text), with_(token.start, token.end, text)
    yield from _without_shared_matcher(expr)


def _replacements(token: Token) -> Iterator[tuple[str, str]]:
    if token.kind == "operator":
        yield from (("comparison", text) for text in COMPARISONS.get(token.text, ()))
    elif token.kind == "number":
        yield from (("threshold", text) for text in moved(token.text))
    elif token.kind == "duration":
        yield "window", halved(token.text)
    elif token.kind == "name":
        yield from (("set operator", text) for text in SET_OPERATORS.get(token.text, ()))
        if (text := shorter(token.text)) is not None:
            yield "window", text


def _without_matchers(expr: str, start: int) -> Iterator[tuple[str, str, str]]:
    """``expr`` without one of the matchers of the braces that open at ``start``."""
    end = next(token.end for token in tokens(expr) if token.start > start and token.text == "}")
    matchers = MATCHER.findall(expr[start:end])
    for index, matcher in enumerate(matchers):
        if not matcher.startswith(SHARED):
            rest = ", ".join(matchers[:index] + matchers[index + 1 :])
            yield "matcher", f"without {matcher} at {start}", f"{expr[:start]}{{{rest}}}{expr[end:]}"


def _without_shared_matcher(expr: str) -> Iterator[tuple[str, str, str]]:
    """``expr`` without its matchers on ``SHARED``."""
    pattern = re.compile(rf'{SHARED}\s*=\s*"[^"]*",?\s*')
    if pattern.search(expr):
        yield "matcher", f"without any matcher on {SHARED}", pattern.sub("", expr)


def mutants_of(alert: str, alert_rules: Sequence[Rule]) -> list[Mutant]:
    """Every mutant of every rule of ``alert`` that is a rule and could be told from it."""
    found = []
    for index, rule in enumerate(alert_rules):
        for kind, change, expr in changed_expressions(rule.expr):
            promql_parser.parse(expr)
            if not _is_equivalent(alert, kind, expr):
                found.append(Mutant(alert, index, kind, change, {**rule.document, "expr": expr}))
        for key in ("for", "keep_firing_for"):
            if key in rule.document:
                rest = {name: value for name, value in rule.document.items() if name != key}
                found.append(Mutant(alert, index, key, f"without {key}: {rule.document[key]}", rest))
    return found


def _is_equivalent(alert: str, kind: str, expr: str) -> bool:
    line = " ".join(expr.split())
    return any(alert == a and kind == k and part in line for a, k, part, _ in EQUIVALENT)


# -- running


def survivors(alert: str, alert_rules: Sequence[Rule], mutants: Sequence[Mutant], folder: Path) -> list[Mutant]:
    """The mutants that no check of ``alert`` notices. Raises AssertionError when the control fails."""
    alive = dict(enumerate(mutants, start=CONTROL + 1))
    for index, rule in enumerate(alert_rules):
        for file in sorted({group.file for group in groups_about(alert)}, key=_effort):
            suspects = {number: mutant for number, mutant in alive.items() if mutant.index == index}
            groups = [group for group in groups_about(alert) if group.file == file and group.judges(rule)]
            if suspects and groups:
                here = folder / f"{index}-{file.name.removesuffix('.test.yml')}"
                for number in _failed(rule, alert_rules, suspects, groups, here):
                    del alive[number]
    return list(alive.values())


def _effort(file: Path) -> float:
    """How long the tests of ``file`` take, relatively: what the quick ones kill need not be shown to the slow ones."""
    document = read(file)
    step_s = Duration(document["evaluation_interval"]).seconds
    last_s = [
        max(Duration(check["eval_time"]).seconds for check in group["promql_expr_test"]) for group in document["tests"]
    ]
    return sum(
        last / step_s * len(group["input_series"]) for last, group in zip(last_s, document["tests"], strict=True)
    )


def _failed(
    rule: Rule, alert_rules: Sequence[Rule], alive: dict[int, Mutant], groups: Sequence[TestGroup], folder: Path
) -> set[int]:
    """The numbers of the mutants that fail a check of ``groups``; an error while evaluating is a failure, too."""
    failed: set[int] = set()
    while True:
        left = {number: mutant for number, mutant in alive.items() if number not in failed}
        test = _write(rule, alert_rules, left, groups, folder)
        code, output = run_promtool("test", "rules", test.name, folder=folder)
        # An error while evaluating ends its group of tests: the others are asked again without it.
        errors = {int(number) for number in re.findall(rf"rule: {rule.name}__(\d+),", output)}
        failures = {int(n) for n in re.findall(rf'(?:alertname: |alertname=\\?"){rule.name}__(\d+)\b', output)}
        assert CONTROL not in errors | failures, f"the unchanged {rule.name} fails:\n{output}"
        assert code == 0 or errors or failures, f"promtool could not run the mutants of {rule.name}:\n{output}"
        failed |= errors | failures
        if not errors:
            return failed


def _write(
    rule: Rule, alert_rules: Sequence[Rule], alive: dict[int, Mutant], groups: Sequence[TestGroup], folder: Path
) -> Path:
    """The rules with every mutant beside the control, and the checks for each; returns the file of tests.

    Only what the checks can see is kept: the time that promtool takes grows with every rule and every series.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = [known for known in alert_rules if any(group.judges(known) for group in groups)]
    recorded = needed([known.expr for known in seen] + [str(mutant.rule["expr"]) for mutant in alive.values()])
    header = groups[0].header
    for file in header["rule_files"]:
        document = _with_mutants((groups[0].file.parent / file).resolve(), rule, seen, alive)
        document["groups"] = [kept for group in document["groups"] if (kept := _only(group, recorded))]
        _dump(document, folder / Path(file).name)
    tests = [_with_checks(group, rule, [CONTROL, *alive]) for group in groups]
    test = folder / "mutants.test.yml"
    _dump({**header, "rule_files": [Path(file).name for file in header["rule_files"]], "tests": tests}, test)
    return test


def _only(group: Document, recorded: set[str]) -> Document | None:
    """``group`` without what records anything else; None when nothing is left."""
    kept = [rule for rule in group["rules"] if "alert" in rule or rule["record"] in recorded]
    return {**group, "rules": kept} if kept else None


def _with_mutants(file: Path, rule: Rule, seen: Sequence[Rule], alive: dict[int, Mutant]) -> Document:
    """The rules of ``file``: what is recorded, and in place of the alert all its mutants; no other alert."""
    document = copy.deepcopy(read(file))
    for group in document["groups"]:
        kept = []
        for written in group["rules"]:
            if "record" in written:
                kept.append(written)
            elif any(known.document == written for known in seen):
                kept.append(_named(written, CONTROL))
                is_mutated = written == rule.document
                kept.extend(_named(mutant.rule if is_mutated else written, n) for n, mutant in alive.items())
        group["rules"] = kept
    return document


def _named(rule: Document, number: int) -> Document:
    """``rule`` under the mutant's name; without annotations, whose templates take most of promtool's time."""
    return {**rule, "alert": f"{rule['alert']}__{number}", "annotations": {}}


def _with_checks(group: TestGroup, rule: Rule, numbers: Sequence[int]) -> Document:
    """``group`` with the checks that see ``rule`` alone, once for every number, and the series that they see."""
    wanted: Document = {"alert_rule_test": [], "promql_expr_test": []}
    judging = [(kind, check) for kind, check in group.checks() if judges(check, rule)]
    for kind, check in judging:
        wanted[kind].extend(_renamed(check, rule.name, number) for number in numbers)
    series = _seen_series(group.document["input_series"], [check for _, check in judging])
    rest = {key: value for key, value in group.document.items() if key not in wanted}
    return {**rest, "input_series": series, **{kind: checks for kind, checks in wanted.items() if checks}}


def _seen_series(series: Sequence[Document], checks: Sequence[Document]) -> list[Document]:
    """``series`` without the instances that no check asks for; all when a check asks for any."""
    patterns = [re.search(r'instance=~"([^"]*)"', str(check.get("expr", ""))) for check in checks]
    if not all(patterns):
        return list(series)

    def is_seen(one: Document) -> bool:
        instance = re.search(r'instance="([^"]*)"', str(one["series"]))
        return instance is None or any(found and re.fullmatch(found[1], instance[1]) for found in patterns)

    return [one for one in series if is_seen(one)]


def _renamed(check: Document, alert: str, number: int) -> Document:
    if "alertname" in check:
        expected = [{**fires, "exp_annotations": {}} for fires in check.get("exp_alerts") or ()]
        return {**check, "alertname": f"{alert}__{number}", "exp_alerts": expected}
    renamed = copy.deepcopy(check)
    renamed["expr"] = check["expr"].replace(f'alertname="{alert}"', f'alertname="{alert}__{number}"')
    for sample in renamed.get("exp_samples") or ():
        sample["labels"] = sample["labels"].replace(f'alertname="{alert}"', f'alertname="{alert}__{number}"')
    return renamed


class _Plain(yaml.CSafeDumper):
    """No anchors: a file of mutants is read by nobody, and promtool limits aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _dump(document: Document, file: Path) -> None:
    file.write_text(yaml.dump(document, Dumper=_Plain, sort_keys=False, width=10_000), encoding="utf-8")
