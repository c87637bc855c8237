"""All of observability, wired: what the composition root builds, starts, tells facts to and stops.

Rules: nothing of it is needed to trade. It reads the service through one function that returns a snapshot, and
hears of it through ``observers.publish``.
"""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from observability.catalogue import core
from observability.cgroup import CgroupCollector
from observability.collectors import BuildInfo, Guarded, ServiceCollector, SnapshotCollector, SnapshotSource
from observability.exporter import Exporter
from observability.families import counters, histogram, new_registry
from observability.instruments import Instruments
from observability.logs import FactLogger, LogPipeline
from observability.loops import LoopMonitor, LoopTicks
from observability.observers import Observe, Observers
from observability.process import OwnProcessCollector
from observability.tracing import Tracing, build_tracing
from observability.webhook import PolicyWebhook
from trader.clock import Clock
from trader.settings import Settings


class ObservabilityStack:
    """Metrics, logs, traces and health of one service."""

    def __init__(
        self,
        registry: CollectorRegistry,
        observers: Observers,
        exporter: Exporter,
        monitor: LoopMonitor,
        tracing: Tracing | None,
    ) -> None:
        self.registry = registry
        self.observers = observers
        self.exporter = exporter
        self._monitor = monitor
        self._tracing = tracing

    async def start(self) -> int:
        """Serve; the port. Raises ExporterUnavailable when the port cannot be had."""
        port = await self.exporter.start()
        self._monitor.start()
        if self._tracing is not None:
            self._tracing.start()
        return port

    async def stop(self) -> None:
        """Stop serving and hand over what is queued; can be called twice."""
        self._monitor.stop()
        await self.exporter.stop()
        if self._tracing is not None:
            self._tracing.stop()


def build(
    settings: Settings,
    snapshot: SnapshotSource,
    clock: Clock,
    build_info: BuildInfo,
    logs: LogPipeline | None = None,
    more_observers: Sequence[tuple[str, Observe]] = (),
    root: Path = Path("/"),
    webhook: PolicyWebhook | None = None,
    otlp_token: str | None = None,
) -> ObservabilityStack:
    """The stack for ``settings``. Raises TracingUnavailable when tracing is configured and cannot be done.

    ``logs`` is what ``configure_logging`` returned; without it facts are not logged. ``more_observers`` are told
    of facts after metrics, logs and traces. ``root`` is where /proc and the cgroups are. ``webhook`` takes the word
    of Alertmanager; ``otlp_token`` is the trace collector's.
    """
    registry = new_registry()
    ticks = LoopTicks(clock)
    instruments = Instruments(registry, ticks, (settings.strategy.name,))
    tracing = build_tracing(settings.tracing, otlp_token)
    service = ServiceCollector(
        build_info, instruments, ticks, settings.panic.flag, lambda: logs.dropped if logs is not None else 0
    )
    register_collectors(
        registry,
        {
            "snapshot": SnapshotCollector(snapshot, instruments),
            "service": service,
            "cgroup": CgroupCollector(root),
            "process": OwnProcessCollector(),
        },
    )
    observers = Observers([("metrics", instruments.observe)], instruments.observer_failures, clock)
    if logs is not None:
        observers.attach("logs", FactLogger(logs).observe)
    if tracing is not None:
        observers.attach("traces", tracing.observe)
    for name, observe in more_observers:
        observers.attach(name, observe)
    exporter = Exporter(registry, snapshot, ticks, clock, settings.metrics.host, settings.metrics.port, webhook)
    monitor = LoopMonitor(ticks, histogram(core.EVENT_LOOP_LAG, registry), clock)
    return ObservabilityStack(registry, observers, exporter, monitor, tracing)


def register_collectors(registry: CollectorRegistry, collectors: dict[str, Collector]) -> None:
    """Register each collector so that its failure is counted under its name and costs its own metrics only."""
    failures = counters(core.COLLECTOR_FAILURES, registry)
    for name, collector in collectors.items():
        registry.register(Guarded(name, collector, failures.get(name)))
