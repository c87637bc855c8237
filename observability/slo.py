"""The success metrics as they are written in ``alerts/slo.yaml``: typed, and refused when they cannot work.

Rules: objectives, windows, factors and thresholds are data and are only here. A file is refused as a whole, with
one sentence for each thing that is wrong: a key, a metric or label that nothing exports, a latency threshold that
is no bucket's bound, an alert that could never fire (``slo_gates.py``).
"""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from observability import selectors

FILE_MAX_BYTES: Final = 100_000
UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION: Final = re.compile(r"(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?")
LOUD_Z: Final = 2.33


class SpecError(Exception):
    """The file of objectives cannot be used; the text has one line for each problem."""


class Duration(str):
    """A duration as Prometheus writes it: ``5m``, ``6h30m``. ``seconds`` is its length."""

    __slots__ = ()

    @property
    def seconds(self) -> int:
        return sum(int(number) * UNIT_S[unit] for number, unit in re.findall(r"(\d+)([dhms])", self))


def _duration(value: Any) -> Duration:
    if not isinstance(value, str) or not value or not DURATION.fullmatch(value):
        raise ValueError(f"{value!r} is not a duration such as 30s, 5m or 6h30m")
    return Duration(value)


def _window(value: Any) -> Duration:
    window = _duration(value)
    if window.seconds <= 0:
        raise ValueError(f"{value!r} must be longer than nothing")
    return window


def _selector(value: Any) -> selectors.Selector:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    selector = selectors.parse(value)
    selectors.require_known(selector)
    selectors.require_alternatives(selector)
    return selector


def _metric(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    selectors.metric_called(value)
    return value


def _name_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Pause = Annotated[Duration, PlainValidator(_duration)]
Window = Annotated[Duration, PlainValidator(_window)]
SelectorField = Annotated[selectors.Selector, PlainValidator(_selector)]
MetricName = Annotated[str, PlainValidator(_metric)]
Objective = Annotated[float, Field(gt=0, lt=1)]
Severity: TypeAlias = Literal["page", "ticket"]
AlertName = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]+$")]
Names = Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z_]+$")], ...], BeforeValidator(_name_list)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)


class Holding(Model):
    """How long a condition must hold before its alert fires, and how long the alert outlasts it."""

    for_: Pause = Field(default=Duration("0s"), alias="for")
    keep_firing_for: Pause = Duration("0s")


class Target(Model):
    selector: str
    labels: Names
    expected_for: Window


class SessionSpec(Model):
    length: Window
    sessions_per_budget: Annotated[int, Field(ge=1, le=366)]
    calendar: str = ""


class Budget(Model):
    window: Window
    burn_window: Window
    min_events: Annotated[int, Field(ge=1)]
    exhausted: Holding


class BurnPair(Model):
    factor: Annotated[float, Field(gt=0)]
    long: Window
    short: Window

    @model_validator(mode="after")
    def _in_order(self) -> "BurnPair":
        if self.short.seconds >= self.long.seconds:
            raise ValueError(f"the short window {self.short} must be shorter than the long one, {self.long}")
        return self


class Burn(Holding):
    severity: Severity
    session_only: bool
    pairs: Annotated[tuple[BurnPair, ...], Field(min_length=1, max_length=6)]


class BurnAlerts(Model):
    fast: Burn
    slow: Burn


class Coverage(Holding):
    window: Window
    min_ratio: Objective
    min_session: Window


class Titled(Model):
    title: Annotated[str, Field(min_length=1)]


class TimeSlices(Titled):
    """Session time in slices; one is good when all conditions hold."""

    kind: Literal["time_slices"]
    objective: Objective
    fresh_within: Window
    planned_halts: Names


class Events(Titled):
    kind: Literal["events"]
    objective: Objective
    min_bad: Annotated[int, Field(ge=1)]
    bad: tuple[SelectorField, ...] = Field(min_length=1)
    total: tuple[SelectorField, ...] = Field(min_length=1)


class Latency(Titled):
    kind: Literal["latency"]
    objective: Objective
    min_bad: Annotated[int, Field(ge=1)]
    histogram: MetricName
    threshold_s: Annotated[float, Field(gt=0)]


class Few(Holding, Titled):
    """An objective over few events: broken when even the upper bound of the Wilson interval is below it."""

    objective: Objective
    alert: AlertName
    severity: Severity
    z: Annotated[float, Field(ge=1, le=5)]
    windows: Annotated[tuple[Window, ...], Field(min_length=1, max_length=4)]
    min_events: Annotated[int, Field(ge=1)]
    min_bad: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _loud_enough(self) -> "Few":
        if self.severity == "page" and self.z < LOUD_Z:
            raise ValueError(f"a page on few events needs z of {LOUD_Z} or more, not {self.z:g}")
        return self


class FewEvents(Few):
    kind: Literal["few_events"]
    good: tuple[SelectorField, ...] = Field(min_length=1)
    total: tuple[SelectorField, ...] = Field(min_length=1)


class FewLatency(Few):
    kind: Literal["few_latency"]
    histogram: MetricName
    threshold_s: Annotated[float, Field(gt=0)]


class Count(Titled):
    kind: Literal["count"]
    less_than: Annotated[int, Field(ge=1)]
    window: Window
    counter: SelectorField


class Resource(Model):
    used: MetricName
    limit: MetricName
    rate_window: Window | None = None


class Saturation(Titled):
    kind: Literal["saturation"]
    below_ratio: Objective
    resources: dict[str, Resource] = Field(min_length=1)


class Pnl(Holding, Titled):
    kind: Literal["pnl"]
    sessions: Annotated[int, Field(ge=1)]
    window: Window
    lookback: Window
    min_fills: Annotated[int, Field(ge=1)]
    cumulative: MetricName
    fills: SelectorField


Budgeted: TypeAlias = TimeSlices | Events | Latency
AnySlo: TypeAlias = TimeSlices | Events | Latency | FewEvents | FewLatency | Count | Saturation | Pnl
SloField = Annotated[AnySlo, Field(discriminator="kind")]
SloName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Spec(Model):
    """The whole of ``alerts/slo.yaml``."""

    target: Target
    evaluation_interval: Window
    long_evaluation_interval: Window
    session: SessionSpec
    runbook_base: Annotated[str, Field(min_length=1)]
    budget: Budget
    burn: BurnAlerts
    coverage: Coverage
    slos: Annotated[dict[SloName, SloField], Field(min_length=1)]

    @property
    def budget_session_seconds(self) -> int:
        """Session time in one budget window."""
        return self.session.length.seconds * self.session.sessions_per_budget

    def budgeted(self) -> dict[str, Budgeted]:
        """The SLOs that are judged by burn rate."""
        return {name: slo for name, slo in self.slos.items() if isinstance(slo, TimeSlices | Events | Latency)}

    def few(self) -> dict[str, FewEvents | FewLatency]:
        """The SLOs that are judged by Wilson bounds."""
        return {name: slo for name, slo in self.slos.items() if isinstance(slo, FewEvents | FewLatency)}

    def objectives(self) -> dict[str, float]:
        return {name: slo.objective for name, slo in (*self.budgeted().items(), *self.few().items())}

    def burn_windows(self) -> tuple[Duration, ...]:
        """Every window that a burn rate is taken over, the shortest first."""
        pairs = (*self.burn.fast.pairs, *self.burn.slow.pairs)
        windows = {window for pair in pairs for window in (pair.long, pair.short)} | {self.budget.burn_window}
        return tuple(sorted(windows, key=lambda window: window.seconds))

    def runbook_url(self, alert: str) -> str:
        return f"{self.runbook_base.rstrip('/')}/{alert}.md"


def load(file: Path) -> Spec:
    """The objectives in ``file``; raises SpecError with everything that is wrong with them."""
    try:
        if file.stat().st_size > FILE_MAX_BYTES:
            raise SpecError(f"{file}: is larger than {FILE_MAX_BYTES} bytes, so it is no list of objectives")
        return parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}") from error


def parse(text: str, name: str = "slo.yaml") -> Spec:
    """The objectives written as ``text``; ``name`` opens every line of an error."""
    from observability.slo_gates import problems

    try:
        spec = Spec.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise SpecError("\n".join(f"{name}: {_sentence(item)}" for item in error.errors())) from error
    found = tuple(problems(spec))
    if found:
        raise SpecError("\n".join(f"{name}: {problem}" for problem in found))
    return spec


def _sentence(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    return f"{key}: {item['msg'].removeprefix('Value error, ')}"
