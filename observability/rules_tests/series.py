"""Input series of promtool's unit tests, and the shape of a test.

Rules: one case is one instance, with all of its input series; what an alert should do in that case follows from
numbers on either side of its boundary. Cases of one clock run in one test, told apart by their instance.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from typing import Any

from observability.catalogue import Metric
from observability.promql import RuleGroup
from observability.selectors import Selector

JOB = "trader"
SOME_VALUE = "some"


@dataclass(frozen=True, slots=True)
class Case:
    """An instance, what is scraped from it, and whether ``query`` finds its alert firing at the end."""

    name: str
    query: str
    fires: bool
    series: Mapping[str, str]

    def input_series(self) -> Iterator[dict[str, str]]:
        for name, values in self.series.items():
            yield {"series": with_labels(name, {"job": JOB, "instance": self.name}), "values": values}


@dataclass(slots=True)
class Scenario:
    """Cases that share a clock: a step is ``step_s`` long and the questions are asked after ``steps`` of them.

    ``question`` is asked beside the cases', about no instance; ``answer`` tells whether it counts one or nothing.
    """

    name: str
    step_s: int
    steps: int
    shared: Mapping[str, str] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    question: str = ""
    answer: bool = False

    def document(self) -> dict[str, Any]:
        shared = [{"series": name, "values": values} for name, values in self.shared.items()]
        own = [series for case in self.cases for series in case.input_series()]
        queries = dict.fromkeys(case.query for case in self.cases)
        return {
            "name": self.name,
            "interval": f"{self.step_s}s",
            "input_series": [*shared, *own],
            "promql_expr_test": [*(self._ask(query) for query in queries), *self._own_question()],
        }

    def _own_question(self) -> Iterator[dict[str, Any]]:
        if self.question:
            samples = [{"labels": "{}", "value": 1}] if self.answer else []
            yield {"expr": self.question, "eval_time": f"{self.step_s * self.steps}s", "exp_samples": samples}

    def _ask(self, query: str) -> dict[str, Any]:
        asked = [case for case in self.cases if case.query == query]
        names = "|".join(case.name for case in asked)
        return {
            "expr": f"count by (instance) ({query.replace('}', f',instance=~{quoted(names)}}}')})",
            "eval_time": f"{self.step_s * self.steps}s",
            "exp_samples": [{"labels": f"{{instance={quoted(c.name)}}}", "value": 1} for c in asked if c.fires],
        }


def test_file(scenarios: Sequence[Scenario], groups: Iterable[RuleGroup]) -> dict[str, Any]:
    """The document of a test file; all scenarios have the same step."""
    (step_s,) = {scenario.step_s for scenario in scenarios}
    return {
        "rule_files": ["../rules/names.rules.yml", "../rules/slo.rules.yml"],
        "evaluation_interval": f"{step_s}s",
        "group_eval_order": ["names_session", *(group.name for group in groups)],
        "tests": [scenario.document() for scenario in scenarios],
    }


def firing(alert: str, severity: str, **labels: str) -> str:
    """The query for firing alerts of that name and severity."""
    inside = "".join(f",{name}={quoted(value)}" for name, value in labels.items())
    return f'ALERTS{{alertname="{alert}",alertstate="firing",severity="{severity}"{inside}}}'


def quoted(value: str) -> str:
    return f'"{value}"'


def with_labels(name: str, labels: Mapping[str, str]) -> str:
    """``name``, which may have labels in braces already, with ``labels`` too."""
    inside = ",".join(f"{label}={quoted(value)}" for label, value in labels.items())
    return f"{name.removesuffix('}')},{inside}}}" if name.endswith("}") else f"{name}{{{inside}}}"


def constant(value: float, steps: int) -> str:
    """The same value at every step from 0 to ``steps``."""
    return f"{value:g}x{steps}"


def runs(values: Sequence[float | None]) -> str:
    """Values in promtool's notation, repetitions shortened; None is a sample that is missing, at once."""
    parts = []
    for value, equal in groupby(values):
        count = len(list(equal))
        if value is not None:
            parts.append(_repeated(f"{value:.12g}", count))
        elif not parts:
            parts.append("_" if count == 1 else f"_x{count}")
        else:
            parts.append("stale" if count == 1 else "stale _" if count == 2 else f"stale _x{count - 1}")
    return " ".join(parts)


def _repeated(value: str, count: int) -> str:
    return value if count == 1 else f"{value}x{count - 1}"


def counter(increments: Sequence[float]) -> str:
    """A counter that starts at 0 and grows by ``increments``, one a step, in promtool's notation."""
    parts, value = ["0"], 0.0
    for increment, equal in groupby(increments):
        count = len(list(equal))
        first, value = value + increment, value + increment * count
        growing = f"{first:.12g}+{increment:.12g}x{count - 1}"
        parts.append(f"{first:.12g}" if count == 1 else growing if increment else _repeated(f"{first:.12g}", count))
    return " ".join(parts)


def burst(steps: int, window: int, amount: float) -> list[float]:
    """``amount`` spread over the older half of the last ``window`` of ``steps`` steps: shorter windows miss it.

    Only whole events happen, so that a counter's end is not below its middle by a rounding error.
    """
    begin = max(0, steps - max(1, int(window * 0.9)))
    end = max(begin + 1, steps - int(window * 0.5))
    each, rest = divmod(round(amount), end - begin)
    return [float(each + (step - begin < rest)) if begin <= step < end else 0.0 for step in range(steps)]


def label_sets(metric: Metric) -> Iterator[dict[str, str]]:
    """Every label set of ``metric``; a label that only a run knows has one value."""
    if metric.sets is not None:
        sets: Iterable[tuple[str, ...]] = metric.sets
    else:
        sets = product(*(label.values or (SOME_VALUE,) for label in metric.labels))
    return (dict(zip(metric.label_names, values, strict=True)) for values in sets)


def selects(selector: Selector, name: str, labels: Mapping[str, str]) -> bool:
    return selector.name == name and all(item.accepts(labels.get(item.label, "")) for item in selector.matchers)


def a_series(wanted: Sequence[Selector], unwanted: Sequence[Selector] = ()) -> str:
    """A series that one of ``wanted`` selects and none of ``unwanted``, as promtool writes it."""
    for selector in wanted:
        for labels in label_sets(selector.metric):
            if selects(selector, selector.name, labels) and not any(
                selects(other, selector.name, labels) for other in unwanted
            ):
                return with_labels(selector.name, labels) if labels else selector.name
    raise ValueError(f"no series is selected by {', '.join(map(str, wanted))} only")
