"""Metric families of the catalogue, with their children bound once.

Rules: an event costs one dictionary look-up and one increment; ``.labels()`` is called only when a label set is
first needed. Every label set that is known beforehand exists from the start, at 0. A value that a closed label
does not have, or one more than an open label may have, becomes ``other``.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry

from observability.catalogue import OTHER, Kind, Label, Metric

ChildT = TypeVar("ChildT", prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)


class LabelValues:
    """The values of one open label as they come up: at most ``label.at_most``, then ``other``."""

    def __init__(self, label: Label) -> None:
        self._label = label
        self._seen: set[str] = set(label.values)

    def fold(self, value: str) -> str:
        if value in self._seen:
            return value
        if self._label.is_open and len(self._seen) < max(1, self._label.at_most - 1):
            self._seen.add(value)
            return value
        return OTHER


class Children(Generic[ChildT]):
    """The children of one family by their label values, in the catalogue's order of labels."""

    def __init__(self, metric: Metric, bind: Callable[..., ChildT]) -> None:
        self._bind: Callable[..., ChildT] = bind
        self._labels = tuple(LabelValues(label) for label in metric.labels)
        self._children: dict[tuple[str, ...], ChildT] = {values: bind(*values) for values in metric.known_label_sets()}

    def get(self, *values: str) -> ChildT:
        child = self._children.get(values)
        return child if child is not None else self._admit(values)

    def _admit(self, values: tuple[str, ...]) -> ChildT:
        folded = tuple(label.fold(value) for label, value in zip(self._labels, values, strict=True))
        child = self._children.get(folded)
        if child is None:
            child = self._children[folded] = self._bind(*folded)
        return child


def counters(metric: Metric, registry: CollectorRegistry) -> Children[prometheus_client.Counter]:
    """The labelled counter ``metric``, registered."""
    _require(metric, Kind.COUNTER)
    family = prometheus_client.Counter(metric.name, metric.help, metric.label_names, registry=registry)
    return Children(metric, family.labels)


def counter(metric: Metric, registry: CollectorRegistry) -> prometheus_client.Counter:
    """The counter ``metric`` without labels, registered."""
    _require(metric, Kind.COUNTER)
    return prometheus_client.Counter(metric.name, metric.help, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> prometheus_client.Histogram:
    """The histogram ``metric`` without labels, registered."""
    _require(metric, Kind.HISTOGRAM)
    return prometheus_client.Histogram(metric.name, metric.help, registry=registry, buckets=metric.buckets)


def new_registry() -> CollectorRegistry:
    """A registry of its own, whose counters and histograms export no ``_created`` series."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library does not annotate it
    return CollectorRegistry()


def _require(metric: Metric, kind: Kind) -> None:
    if metric.kind is not kind:
        raise TypeError(f"{metric.name} is a {metric.kind}, not a {kind}")
