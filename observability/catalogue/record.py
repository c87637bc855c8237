"""What a metric is, before anything measures it.

Rules: a label takes its values from a closed list, or from the configuration with a limit (``at_most``) beyond
which values are folded into ``other``. So the number of series of a metric is known before it is emitted.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from math import prod

OTHER = "other"


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where a metric's values come from."""

    FACTS = "facts"
    SNAPSHOT = "snapshot"
    SERVICE = "service"
    CGROUP = "cgroup"
    PROCESS = "process"
    TEXTFILE = "textfile"


@dataclass(frozen=True, slots=True)
class Label:
    """A label with closed ``values``, or with at most ``at_most`` values that only a run knows."""

    name: str
    values: tuple[str, ...] = ()
    at_most: int = 0

    @property
    def is_open(self) -> bool:
        return not self.values

    @property
    def max_values(self) -> int:
        return len(self.values) or self.at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. ``unit`` is the base unit its values are in; ``buckets`` are upper bounds, without +Inf.

    ``sets`` lists the label sets when they are fewer than the product of the labels' values.
    """

    name: str
    kind: Kind
    group: str
    source: Source
    help: str
    unit: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    sets: tuple[tuple[str, ...], ...] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def max_series(self) -> int:
        """The most time series this metric can have; a histogram counts each bucket, the sum and the count."""
        sets = len(self.sets) if self.sets is not None else prod(label.max_values for label in self.labels)
        return sets * (len(self.buckets) + 3 if self.kind is Kind.HISTOGRAM else 1)

    def known_label_sets(self) -> tuple[tuple[str, ...], ...]:
        """Every label set that is known before a run; empty when a label is open."""
        if self.sets is not None:
            return self.sets
        if any(label.is_open for label in self.labels):
            return ()
        return tuple(product(*(label.values for label in self.labels)))


class Group:
    """Makes the metrics of one group and keeps them in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.metrics: list[Metric] = []

    def counter(
        self,
        name: str,
        help_text: str,
        *labels: Label,
        source: Source = Source.FACTS,
        unit: str = "1",
        sets: tuple[tuple[str, ...], ...] | None = None,
    ) -> Metric:
        return self._add(
            Metric(
                name=name,
                kind=Kind.COUNTER,
                group=self.name,
                source=source,
                help=help_text,
                unit=unit,
                labels=labels,
                sets=sets,
            )
        )

    def gauge(
        self, name: str, help_text: str, *labels: Label, source: Source = Source.SNAPSHOT, unit: str = "1"
    ) -> Metric:
        return self._add(
            Metric(name=name, kind=Kind.GAUGE, group=self.name, source=source, help=help_text, unit=unit, labels=labels)
        )

    def histogram(
        self,
        name: str,
        help_text: str,
        buckets: tuple[float, ...],
        *,
        source: Source = Source.FACTS,
        unit: str = "seconds",
    ) -> Metric:
        return self._add(
            Metric(
                name=name,
                kind=Kind.HISTOGRAM,
                group=self.name,
                source=source,
                help=help_text,
                unit=unit,
                buckets=buckets,
            )
        )

    def _add(self, metric: Metric) -> Metric:
        self.metrics.append(metric)
        return metric
