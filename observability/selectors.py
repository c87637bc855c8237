"""PromQL selectors as they are written in ``alerts/slo.yaml``, checked against the catalogue.

Rules: a selector is a metric with matchers, nothing else. It is refused when the metric or a label does not exist,
or when no value of the label can match: such a rule would be silently empty for ever.
"""

import re
from dataclasses import dataclass
from typing import Final

from observability.catalogue import CATALOGUE, Kind, Metric
from observability.catalogue.textfile import TEXTFILE_GROUPS

SELECTOR: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<matchers>.*)\})?", re.DOTALL)
MATCHER: Final = re.compile(r'\s*(?P<label>[a-zA-Z_]\w*)\s*(?P<operator>=~|!~|!=|=)\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*')
SUFFIXES: Final = ("_bucket", "_sum", "_count")

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric for metric in (*CATALOGUE, *(metric for group in TEXTFILE_GROUPS for metric in group.metrics))
}


class SelectorError(ValueError):
    """A selector that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """``label operator "value"``."""

    label: str
    operator: str
    value: str

    def accepts(self, value: str) -> bool:
        """Whether a series whose label has ``value`` is selected. Regular expressions match the whole value."""
        if self.operator in ("=", "!="):
            return (value == self.value) is (self.operator == "=")
        return (re.fullmatch(self.value, value) is not None) is (self.operator == "=~")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric and its matchers; ``str()`` is PromQL."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        inside = ",".join(f'{item.label}{item.operator}"{item.value}"' for item in self.matchers)
        return f"{self.name}{{{inside}}}" if inside else self.name

    @property
    def metric(self) -> Metric:
        """The catalogue's metric; raises SelectorError when there is none."""
        return metric_called(self.name)


def metric_called(name: str) -> Metric:
    """The metric of the catalogue whose samples have ``name``; raises SelectorError when there is none."""
    metric = METRICS.get(name)
    if metric is None:
        base = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
        metric = METRICS.get(base)
        if metric is None or metric.kind is not Kind.HISTOGRAM:
            raise SelectorError(f"there is no metric {name}; docs/metrics.md lists all")
    return metric


def parse(text: str) -> Selector:
    """The selector written as ``text``; raises SelectorError."""
    found = SELECTOR.fullmatch(text.strip())
    if found is None:
        raise SelectorError(f"{text!r} is not a metric with matchers, such as trader_orders_final_total{{eligible=…}}")
    return Selector(found["name"], matchers(found["matchers"] or ""))


def matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers in ``text``, which is what stands between the braces; raises SelectorError."""
    result, position = [], 0
    while position < len(text):
        found = MATCHER.match(text, position)
        if found is None or text[found.end() : found.end() + 1] not in ("", ","):
            raise SelectorError(f'{text[position:]!r} is not a matcher, such as outcome=~"timeout|error"')
        result.append(Matcher(found["label"], found["operator"], found["value"]))
        position = found.end() + 1
    return tuple(result)


def require_known(selector: Selector, *also: str) -> None:
    """Refuse a selector that no exported series can match; ``also`` are labels of the target, which may be matched."""
    metric = selector.metric
    labels = {label.name: label for label in metric.labels}
    for matcher in selector.matchers:
        label = labels.get(matcher.label)
        if label is None and matcher.label not in also:
            known = ", ".join(labels) or "none"
            raise SelectorError(f"{metric.name} has no label {matcher.label}; its labels: {known}")
        if label is not None and label.values and not any(matcher.accepts(value) for value in label.values):
            raise SelectorError(f"{selector} selects nothing: {matcher.label} is one of {', '.join(label.values)}")


def require_alternatives(selector: Selector) -> None:
    """Refuse a regular expression of which one alternative matches nothing: a value that was renamed or misspelt."""
    labels = {label.name: label for label in selector.metric.labels}
    for matcher in selector.matchers:
        label = labels.get(matcher.label)
        if label is None or not label.values or matcher.operator not in ("=~", "!~"):
            continue
        for alternative in matcher.value.split("|"):
            if alternative not in label.values and not re.search(r"\W", alternative):
                raise SelectorError(
                    f"{selector}: {matcher.label} is never {alternative}; it is one of {', '.join(label.values)}"
                )
