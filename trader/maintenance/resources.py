"""Daily: memory, CPU, files and tasks against their limits: the peak and the 95th percentile over the period.

Rules: what Prometheus kept is the period's; without it there are the readings of this moment, and the section says
that peaks are missing. A limit that is not set bounds nothing and is named. The bound is the success metric's.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Final, NamedTuple

from trader.doctor import Place
from trader.doctor.health import samples
from trader.doctor.model import Absent, NotVisible
from trader.doctor.site import PREFIX
from trader.doctor.units import INFINITE, count, size_bytes, span_s
from trader.doctor.words import amount
from trader.maintenance.context import Context
from trader.maintenance.measures import INSTANCE, quantile
from trader.maintenance.model import Chart, Column, Figure, Line, Outcome, Section, Table, Unit, Value, worst
from trader.maintenance.sources import Unavailable
from trader.report.words import UNKNOWN
from trader.success_metrics import RESOURCE_LIMIT, percent_text

KEY: Final = "resources"
TITLE: Final = "Resources against limits"
P95: Final = 0.95
POINTS_MAX: Final = 1_440
STEP_MIN_S: Final = 60
HTTP_OK: Final = 200
MISSING_PEAKS: Final = "peaks and 95th percentiles over the period"


class Resource(NamedTuple):
    """A resource, by the metrics of alerts/slo.yaml; ``counter``: what is used is the counter's rate."""

    name: str
    used: str
    limit: str
    runbook: str
    counter: bool = False

    def say(self, value: float | None) -> str:
        """What is used, in words."""
        if value is None:
            return UNKNOWN
        if self.name == "memory":
            return amount(value)
        return f"{value:.2f} processors" if self.counter else f"{value:,.0f}"


RESOURCES: Final = (
    Resource("memory", "trader_unit_memory_working_set_bytes", "trader_unit_memory_max_bytes", "UnitMemoryHigh"),
    Resource("CPU", "trader_unit_cpu_usage_seconds_total", "trader_unit_cpu_limit_cores", "UnitCPUHigh", counter=True),
    Resource("files", "process_open_fds", "process_max_fds", "FDsHigh"),
    Resource("tasks", "trader_unit_tasks", "trader_unit_tasks_max", "TasksHigh"),
)
RATE_WINDOW: Final = "5m"
START: Final = "process_start_time_seconds"
CPU_SECONDS: Final = "process_cpu_seconds_total"


class Usage(NamedTuple):
    """One resource over the period: (moment, used) pairs, each the highest of its step; ``limit`` None without one."""

    resource: Resource
    points: tuple[tuple[datetime, float], ...]
    limit: float | None

    @property
    def peak(self) -> tuple[datetime, float] | None:
        return max(self.points, key=lambda point: point[1], default=None)

    @property
    def p95(self) -> float | None:
        return quantile((value for _, value in self.points), P95)

    def ratio(self, value: float | None) -> float | None:
        return value / self.limit if value is not None and self.limit else None


def run(context: Context) -> Section:
    """The period's use by Prometheus, or else the moment's."""
    step_s = step_of((context.until - context.since).total_seconds())
    try:
        usages = tuple(read(context, resource, step_s) for resource in RESOURCES)
    except Unavailable as error:
        return now_section(*read_now(context.place), str(error))
    return section(usages, step_s)


def step_of(seconds: float) -> int:
    """Whole minutes, so that a period has at most ``POINTS_MAX`` of them."""
    return max(STEP_MIN_S, -(-int(seconds) // (POINTS_MAX * STEP_MIN_S)) * STEP_MIN_S)


def read(context: Context, resource: Resource, step_s: int) -> Usage:
    """The highest use of each step, and the lowest limit that was in force; raises Unavailable."""
    selector = '{job="trader"}'
    used = f"rate({resource.used}{selector}[{RATE_WINDOW}])" if resource.counter else f"{resource.used}{selector}"
    found = f"{used}[{step_s}s:{STEP_MIN_S}s]" if resource.counter else f"{used}[{step_s}s]"
    highest: dict[float, float] = {}
    for at, value in _points(context, f"max_over_time({found})", step_s):
        highest[at] = max(value, highest.get(at, value))
    limits = [value for _, value in _points(context, f"{resource.limit}{selector}", step_s) if value > 0]
    points = tuple((datetime.fromtimestamp(at, UTC), value) for at, value in sorted(highest.items()))
    return Usage(resource, points, min(limits, default=None))


def _points(context: Context, promql: str, step_s: int) -> list[tuple[float, float]]:
    series = context.query_range(promql, step_s)
    instances = {one.labels.get(INSTANCE, "") for one in series}
    if len(instances) > 1:
        raise Unavailable(f"Prometheus watches several traders here ({', '.join(sorted(instances))})")
    return [point for one in series for point in one.values if isfinite(point[1])]


def read_now(place: Place) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """What is used now and what may be, by resource: by the service's own metrics, then by systemd; and what is not."""
    used: dict[str, float] = {}
    limits: dict[str, float] = {}
    problems: list[str] = []
    for source in (_of_exporter, _of_unit):
        try:
            found, allowed = source(place)
        except (NotVisible, Absent) as error:
            problems.append(str(error))
            continue
        used = {**found, **used}
        limits = {**allowed, **limits}
    return used, limits, problems


def _of_exporter(place: Place) -> tuple[dict[str, float], dict[str, float]]:
    answered = place.exporter("/metrics")
    if answered is None or answered.status != HTTP_OK:
        raise NotVisible("the service does not answer for its metrics")
    told = samples(answered.body)
    used = {item.name: told[item.used] for item in RESOURCES if item.used in told and not item.counter}
    cpu_s = told.get("trader_unit_cpu_usage_seconds_total", told.get(CPU_SECONDS))
    running_s = place.host.now().timestamp() - told[START] if START in told else 0.0
    if cpu_s is not None and running_s > 0:
        used["CPU"] = cpu_s / running_s
    return used, {item.name: told[item.limit] for item in RESOURCES if told.get(item.limit, 0) > 0}


def _of_unit(place: Place) -> tuple[dict[str, float], dict[str, float]]:
    shown = place.running()
    used = {"memory": size_bytes(shown.get("MemoryCurrent")), "tasks": count(shown.get("TasksCurrent"))}
    limits = {
        "memory": size_bytes(shown.get("MemoryMax")), "tasks": count(shown.get("TasksMax")),
        "CPU": span_s(shown.get("CPUQuotaPerSecUSec")), "files": count(shown.get("LimitNOFILE")),
    }  # fmt: skip
    return _known(used), _known(limits)


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None and value != INFINITE}


# -- judgement


def section(usages: Sequence[Usage], step_s: int) -> Section:
    """What Prometheus kept, judged by the highest ratio."""
    ratios = {u.resource.name: u.ratio(u.peak[1]) for u in usages if u.peak is not None}
    known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    outcome, sentence = _verdict(known, "at its peak")
    return Section(
        key=KEY,
        title=TITLE,
        outcome=outcome,
        sentence=sentence,
        figures=tuple(figure for usage in usages for figure in _figures(usage)),
        tables=(_table(usages),),
        charts=tuple(_charts(usages)),
        notes=(f"Percentiles are of the highest use in each {step_s // 60} min.",),
        missing=tuple(_missing(usages)),
        mend=_mend(known),
    )


def _verdict(ratios: Mapping[str, float], when: str) -> tuple[Outcome, str]:
    if not ratios:
        return Outcome.UNKNOWN, "no use of a resource against its limit is known"
    name = max(ratios, key=lambda key: ratios[key])
    said = f"{name} is the highest: {percent_text(ratios[name], 1)} of its limit {when}"
    return worst(_outcome(ratio) for ratio in ratios.values()), said


def _outcome(ratio: float | None) -> Outcome:
    return Outcome.WARNING if ratio is not None and ratio >= RESOURCE_LIMIT else Outcome.OK


def _mend(ratios: Mapping[str, float]) -> str:
    """The runbook of the alert on what is short."""
    short = [item for item in RESOURCES if _outcome(ratios.get(item.name)) is Outcome.WARNING]
    return f"less {PREFIX}/current/share/alerts/runbooks/{short[0].runbook}.md" if short else ""


def _figures(usage: Usage) -> Iterator[Figure]:
    if usage.peak is None:
        return
    for word, value in (("peak", usage.peak[1]), ("95 %", usage.p95)):
        ratio = usage.ratio(value)
        label = f"{usage.resource.name}, {word}"
        if ratio is not None:
            yield Figure(label=label, value=ratio, unit=Unit.RATIO, bound="< 80 %", outcome=_outcome(ratio))


def _table(usages: Sequence[Usage]) -> Table:
    columns = (
        Column("Resource"), Column("Peak"), Column("Peak at", Unit.MOMENT), Column("95 %"), Column("Limit"),
        Column("Peak of limit", Unit.RATIO), Column("95 % of limit", Unit.RATIO),
    )  # fmt: skip
    return Table.of("Use and limits", columns, [_row(usage) for usage in usages])


def _row(usage: Usage) -> tuple[Value, ...]:
    at, value = usage.peak or (None, None)
    say = usage.resource.say
    return (
        usage.resource.name, say(value), at, say(usage.p95), say(usage.limit), usage.ratio(value),
        usage.ratio(usage.p95),
    )  # fmt: skip


def _charts(usages: Sequence[Usage]) -> Iterator[Chart]:
    lines = tuple(
        Line(usage.resource.name, tuple((at, usage.ratio(value)) for at, value in usage.points))
        for usage in usages
        if usage.points and usage.limit
    )
    if lines:
        yield Chart(title="Use over limits", unit=Unit.RATIO, lines=lines, bound=RESOURCE_LIMIT)


def _missing(usages: Sequence[Usage]) -> Iterator[str]:
    for usage in usages:
        if not usage.points:
            yield f"{usage.resource.name}: Prometheus has nothing of it in this time"
        elif not usage.limit:
            yield f"{usage.resource.name} against its limit: none is set"


def now_section(
    used: Mapping[str, float], limits: Mapping[str, float], problems: Sequence[str], reason: str
) -> Section:
    """The moment's use; peaks are missing for ``reason``."""
    ratios = {name: used[name] / limits[name] for name in used if limits.get(name)}
    outcome, sentence = _verdict(ratios, "now")
    columns = (Column("Resource"), Column("Now"), Column("Limit"), Column("Of limit", Unit.RATIO))
    rows = [
        (item.name, item.say(used.get(item.name)), item.say(limits.get(item.name)), ratios.get(item.name))
        for item in RESOURCES
    ]
    lacking = [f"{item.name} now: {'; '.join(problems) or 'not told'}" for item in RESOURCES if item.name not in used]
    return Section(
        key=KEY,
        title=TITLE,
        outcome=worst((Outcome.UNKNOWN, outcome)),
        sentence=f"{sentence}; peaks are not known",
        figures=tuple(_now_figures(ratios)),
        tables=(Table.of("Use at the moment of this report", columns, rows),),
        notes=("CPU is the mean since the service started.",) if "CPU" in used else (),
        missing=(f"{MISSING_PEAKS}: {reason}", *lacking),
        mend=_mend(ratios),
    )


def _now_figures(ratios: Mapping[str, float]) -> Iterator[Figure]:
    for name, ratio in ratios.items():
        yield Figure(label=f"{name}, now", value=ratio, unit=Unit.RATIO, bound="< 80 %", outcome=_outcome(ratio))
