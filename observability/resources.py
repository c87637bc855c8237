"""Use of each limited resource as a ratio of its real limit, for ``trader status`` and the success metrics.

Rules: the same readings as the metrics of the cgroup; a resource without a limit has no ratio. CPU is the
mean since the last reading that is at least a second old.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

from observability import cgroup
from observability.catalogue import Metric, resources
from observability.readings import Readings
from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.snapshot import ResourceView

CPU_WINDOW_NS = NANOSECONDS_PER_SECOND


class ResourceMeter:
    """Reads the process's cgroup and limits; ``root`` is ``/`` but in tests."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock = clock
        self._root = root
        self._cpu_read_ns: int | None = None
        self._cpu_usage_s = 0.0
        self._cpu_ratio: float | None = None

    def read(self) -> ResourceView:
        found = cgroup.controllers(self._root)
        memory, tasks = _values(cgroup.memory(found)), _values(cgroup.tasks(found))
        return ResourceView(
            memory_ratio=_ratio(memory.get(resources.MEMORY_WORKING_SET), memory.get(resources.MEMORY_MAX)),
            cpu_ratio=self._cpu(_values(cgroup.cpu(found))),
            open_files_ratio=self._open_files(),
            tasks_ratio=_ratio(tasks.get(resources.TASKS), tasks.get(resources.TASKS_MAX)),
        )

    def _cpu(self, values: dict[Metric, float]) -> float | None:
        usage_s, limit = values.get(resources.CPU_USAGE), values.get(resources.CPU_LIMIT)
        if usage_s is None or limit is None:
            return None
        now_ns = self._clock.monotonic_ns()
        if self._cpu_read_ns is None:
            self._cpu_read_ns, self._cpu_usage_s = now_ns, usage_s
        elapsed_ns = now_ns - self._cpu_read_ns
        if elapsed_ns >= CPU_WINDOW_NS:
            used = (usage_s - self._cpu_usage_s) * NANOSECONDS_PER_SECOND / elapsed_ns
            self._cpu_ratio = used / limit
            self._cpu_read_ns, self._cpu_usage_s = now_ns, usage_s
        return self._cpu_ratio

    def _open_files(self) -> float | None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return None
        try:
            return sum(1 for _ in (self._root / "proc/self/fd").iterdir()) / limit
        except OSError:
            return None


def _values(readout: Iterator[tuple[Metric, Readings]]) -> dict[Metric, float]:
    """The unlabelled readings that are known numbers."""
    return {
        metric: float(value)
        for metric, readings in readout
        for labels, value in readings
        if not labels and isinstance(value, int | float)
    }


def _ratio(used: float | None, limit: float | None) -> float | None:
    return None if used is None or not limit else used / limit
