"""Snapshot and service to metrics, at the scrape: what is a state, and what the loop counts in plain lists.

Rules: a value that is not known or not finite is not exported, and never becomes 0: a rule on an absent series
can be written, one on a wrong zero cannot. A collector that fails leaves its metrics out and is counted; the
rest of the scrape goes on.
"""

import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from observability.catalogue import Kind, Metric, core, market_data, orders, risk
from observability.exemplars import Exemplars
from observability.instruments import Instruments
from observability.loops import LoopTicks
from observability.readings import COUNTERS, GAUGES, Number, Readings, halt_reason, one_hot
from trader.events import DecisionOutcome
from trader.snapshot import HistogramView, Snapshot

logger = logging.getLogger(__name__)

SnapshotSource: TypeAlias = Callable[[], Snapshot]


def finite(value: Number | None) -> float | None:
    """``value`` as a float, moments as Unix time; None when it is not known, not finite or IB's "unset"."""
    if value is None:
        return None
    number = value.timestamp() if isinstance(value, datetime) else float(value)
    if not math.isfinite(number) or abs(number) >= sys.float_info.max:
        return None
    return number


def family_of(metric: Metric, readings: Readings) -> Family | None:
    """The family with every known reading, at most as many as the catalogue allows; None when none is known."""
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.label_names)
    for labels, value in readings:
        number = finite(value)
        if number is not None and len(family.samples) < metric.max_series:
            family.add_metric(labels, number)
    return family if family.samples else None


def histogram_of(metric: Metric, view: HistogramView, exemplars: Exemplars | None = None) -> Family:
    """The histogram family of a list-backed histogram; without sum and count when it has negative bounds."""
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    below = 0
    examples = exemplars.read() if exemplars is not None else [None] * len(view.counts)
    for bound, count, example in zip((*view.bounds, math.inf), view.counts, examples, strict=True):
        below += count
        le = str(floatToGoString(bound))  # type: ignore[no-untyped-call]
        buckets.append((le, below) if example is None else (le, below, example))
    return HistogramMetricFamily(metric.name, metric.help, buckets=buckets, sum_value=view.total)


class SnapshotCollector(Collector):
    """The state of the engine and its hot-path counts, from one snapshot a scrape."""

    def __init__(self, snapshot: SnapshotSource, instruments: Instruments) -> None:
        self._snapshot = snapshot
        self._instruments = instruments

    def collect(self) -> Iterator[Family]:
        snapshot = self._snapshot()
        self._instruments.trading_state = snapshot.trading_state
        for metric, read in (*GAUGES, *COUNTERS):
            family = family_of(metric, read(snapshot))
            if family is not None:
                yield family
        yield from self._halted(snapshot)
        yield self._decisions(snapshot)
        activity = snapshot.activity
        told = self._instruments
        yield histogram_of(orders.DECISION_DURATION, activity.decision_duration, told.decision_exemplars)
        yield histogram_of(orders.ACK_DURATION, activity.ack_duration, told.ack_exemplars)
        yield histogram_of(orders.SLIPPAGE, self._instruments.slippage.freeze())
        yield histogram_of(market_data.AGE_AT_DECISION, activity.data_age)

    def _halted(self, snapshot: Snapshot) -> Iterator[Family]:
        """Why trading is not active: who said so is in the fact, why in the snapshot."""
        text = f"{self._instruments.state_source} {snapshot.state_reason}"
        reason = halt_reason(snapshot.trading_state, text)
        family = family_of(risk.HALTED, one_hot(risk.HALT_REASONS, reason))
        if family is not None:
            yield family

    def _decisions(self, snapshot: Snapshot) -> Family:
        """Decisions that were facts, and holds, which are too many to be facts."""
        holds: dict[str, int] = {}
        for strategy, count in snapshot.activity.holds.items():
            label = self._instruments.strategy_label(strategy)
            holds[label] = holds.get(label, 0) + count
        family = CounterMetricFamily(orders.DECISIONS.name, orders.DECISIONS.help, labels=orders.DECISIONS.label_names)
        for (strategy, outcome), count in sorted(self._instruments.decisions.items()):
            held = holds.get(strategy, 0) if outcome == DecisionOutcome.HOLD else 0
            family.add_metric((strategy, outcome), count + held)
        return family


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What runs. ``revision`` is the source's, ``config_hash`` that of the effective configuration."""

    version: str
    revision: str = "unknown"
    config_hash: str = "unknown"


class ServiceCollector(Collector):
    """What the process knows of itself: what runs, its loops, the last reload, the panic flag, dropped logs."""

    def __init__(
        self,
        build: BuildInfo,
        instruments: Instruments,
        ticks: LoopTicks,
        panic_flag: Path,
        dropped_logs: Callable[[], int],
    ) -> None:
        self._build = build
        self._instruments = instruments
        self._ticks = ticks
        self._panic_flag = panic_flag
        self._dropped_logs = dropped_logs

    def collect(self) -> Iterator[Family]:
        version, config_hash = self._instruments.config or (self._build.version, self._build.config_hash)
        readings: tuple[tuple[Metric, Readings], ...] = (
            (core.BUILD_INFO, [((version, self._build.revision, config_hash), 1)]),
            (core.LOOP_LAST_TICK, [((loop,), at) for loop, at in self._ticks.last().items()]),
            (core.CONFIG_RELOAD_SUCCESS, [((), self._instruments.reloaded_at)]),
            (core.LOG_RECORDS_DROPPED, [((), self._dropped_logs())]),
            (risk.PANIC_FLAG, [((), _is_there(self._panic_flag))]),
        )
        for metric, reading in readings:
            family = family_of(metric, reading)
            if family is not None:
                yield family


class Guarded(Collector):
    """A collector whose failure costs its own metrics and nothing else."""

    def __init__(self, name: str, collector: Collector, failures: prometheus_client.Counter) -> None:
        self._name = name
        self._collector = collector
        self._failures = failures
        self._failing = False

    def describe(self) -> Sequence[Family]:
        """Nothing: what it collects is not known before a scrape."""
        return ()

    def collect(self) -> Iterable[Family]:
        try:
            yield from self._collector.collect()
            self._failing = False
        except Exception:  # whatever it is, the other collectors' metrics must still be served
            self._failures.inc()
            if not self._failing:
                logger.exception("collector %s failed; its metrics are missing until it works again", self._name)
            self._failing = True


def _is_there(path: Path) -> bool | None:
    """Whether ``path`` exists; None when that cannot be told."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True
