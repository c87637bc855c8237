"""What watching costs: evaluation of rules, scrapes, and how many series an instance exports.

Rules: Prometheus's own figures over the period; each question that it does not answer is missing. The budget of
series is the catalogue's.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

from trader.maintenance.context import Context
from trader.maintenance.measures import window
from trader.maintenance.model import Column, Figure, Outcome, Table, Unit, Value
from trader.maintenance.plain import plain
from trader.maintenance.sources import Unavailable

INTERVAL_SHARE: Final = 0.5
"""A group that takes longer than this share of its interval is near to being skipped."""
SCRAPE_LONG_S: Final = 1.0

T = TypeVar("T")
Key = tuple[str, ...]


class Cost(NamedTuple):
    """What the section takes over. ``advice`` is what could be better."""

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    missing: tuple[str, ...]
    advice: tuple[str, ...]


class Group(NamedTuple):
    """A group of rules, seconds; ``missed`` are evaluations that were skipped."""

    name: str
    rules: float | None
    mean_s: float | None
    most_s: float | None
    interval_s: float | None
    missed: float | None

    @property
    def is_slow(self) -> bool:
        long = self.most_s is not None and self.interval_s and self.most_s > INTERVAL_SHARE * self.interval_s
        return bool(long or (self.missed is not None and self.missed >= 1))


class Target(NamedTuple):
    """What is scraped, seconds."""

    job: str
    instance: str
    mean_s: float | None
    most_s: float | None
    samples: float | None


def look(context: Context) -> Cost:
    """All of it; one question that fails leaves the others."""
    missing: list[str] = []
    groups = _asked(missing, "rule evaluation", lambda: groups_of(context))
    targets = _asked(missing, "scrapes", lambda: targets_of(context))
    series = _asked(missing, "series an instance exports", lambda: _by(context, ("instance",), SERIES))
    limit = context.place.bounds.series_max
    figures = [*_group_figures(groups), *_series_figures(series, limit)]
    tables = [table for table in (_groups_table(groups), _targets_table(targets)) if table is not None]
    return Cost(tuple(figures), tuple(tables), tuple(missing), tuple(advice(groups or [], targets or [])))


# The most in the period, of what each trader exports in one scrape.
SERIES: Final = 'max by (instance) (max_over_time(scrape_samples_scraped{{job="trader"}}[{span}]))'
GROUPS: Final[Mapping[str, str]] = {
    "rules": "max by (rule_group) (prometheus_rule_group_rules)",
    "mean_s": "max by (rule_group) (avg_over_time(prometheus_rule_group_last_duration_seconds[{span}]))",
    "most_s": "max by (rule_group) (max_over_time(prometheus_rule_group_last_duration_seconds[{span}]))",
    "interval_s": "max by (rule_group) (prometheus_rule_group_interval_seconds)",
    "missed": "sum by (rule_group) (increase(prometheus_rule_group_iterations_missed_total[{span}]))",
}
TARGETS: Final[Mapping[str, str]] = {
    "mean_s": "max by (job, instance) (avg_over_time(scrape_duration_seconds[{span}]))",
    "most_s": "max by (job, instance) (max_over_time(scrape_duration_seconds[{span}]))",
    "samples": "max by (job, instance) (max_over_time(scrape_samples_scraped[{span}]))",
}


def groups_of(context: Context) -> list[Group]:
    """Every group of rules, the slowest first; raises Unavailable when there is none."""
    found = {field: _by(context, ("rule_group",), text) for field, text in GROUPS.items()}
    if not found["most_s"]:
        raise Unavailable("Prometheus does not scrape itself, so it tells no evaluation times")
    groups = [
        Group(plain(key[0].rpartition(";")[2] or key[0]), **{field: found[field].get(key) for field in GROUPS})
        for key in found["most_s"]
    ]
    return sorted(groups, key=lambda group: -(group.most_s or 0.0))


def targets_of(context: Context) -> list[Target]:
    """Every target, the slowest first; raises Unavailable when there is none."""
    labels = ("job", "instance")
    found = {field: _by(context, labels, text) for field, text in TARGETS.items()}
    if not found["most_s"]:
        raise Unavailable("Prometheus scraped nothing in this time")
    targets = [
        Target(plain(job), plain(instance), **{field: found[field].get((job, instance)) for field in TARGETS})
        for job, instance in found["most_s"]
    ]
    return sorted(targets, key=lambda target: -(target.most_s or 0.0))


def _by(context: Context, labels: Key, text: str) -> dict[Key, float]:
    span = window(context.until - context.since)
    samples = context.query(text.format(span=span))
    return {
        tuple(sample.labels.get(label, "") for label in labels): sample.value
        for sample in samples if math.isfinite(sample.value)
    }  # fmt: skip


def _asked(missing: list[str], words: str, ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except Unavailable as error:
        missing.append(f"{words}: {error}")
        return None


def _group_figures(groups: list[Group] | None) -> list[Figure]:
    if not groups:
        return []
    slowest, missed = groups[0], sum(group.missed or 0.0 for group in groups)
    outcome = Outcome.WARNING if missed >= 1 else Outcome.OK
    return [
        Figure(label=f"Slowest rule evaluation ({slowest.name})", value=slowest.most_s, unit=Unit.SECONDS),
        Figure(label="Rule evaluations skipped", value=round(missed), unit=Unit.COUNT, bound="0", outcome=outcome),
    ]


def _series_figures(series: Mapping[Key, float] | None, limit: int) -> list[Figure]:
    return [
        Figure(
            label=f"Series of {plain(instance)}", value=round(value), unit=Unit.COUNT, bound=f"≤ {limit:,}",
            outcome=Outcome.WARNING if value > limit else Outcome.OK,
        )
        for (instance,), value in sorted((series or {}).items())
    ]  # fmt: skip


def _groups_table(groups: list[Group] | None) -> Table | None:
    if groups is None:
        return None
    columns = (
        Column("Group of rules"), Column("Rules", Unit.COUNT), Column("Mean", Unit.SECONDS),
        Column("Most", Unit.SECONDS), Column("Interval", Unit.SECONDS), Column("Skipped", Unit.COUNT),
    )  # fmt: skip
    return Table.of("Rule evaluation", columns, groups)


def _targets_table(targets: list[Target] | None) -> Table | None:
    if targets is None:
        return None
    columns: tuple[Column, ...] = (
        Column("Job"), Column("Instance"), Column("Mean", Unit.SECONDS), Column("Most", Unit.SECONDS),
        Column("Samples", Unit.COUNT),
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = [tuple(target) for target in targets]
    return Table.of("Scrapes", columns, rows)


def advice(groups: list[Group], targets: list[Target]) -> list[str]:
    """What is worth a look."""
    slow = [group.name for group in groups if group.is_slow]
    long = [f"{target.job} {target.instance}" for target in targets if (target.most_s or 0.0) > SCRAPE_LONG_S]
    told = []
    if slow:
        told.append(f"Rules took more than half of their interval, or were skipped: {', '.join(slow)}.")
    if long:
        told.append(f"Scrapes took longer than {SCRAPE_LONG_S:g} s: {', '.join(long)}.")
    return told
