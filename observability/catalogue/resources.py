"""Resources: what the unit's cgroup and the process use, and what they may use at most."""

from typing import Final

from observability.catalogue.record import Group, Label, Source

GROUP: Final = Group("resources")
MEMORY_EVENTS: Final = ("low", "high", "max", "oom", "oom_kill")
CGROUP: Final = Source.CGROUP
PROCESS: Final = Source.PROCESS

MEMORY_WORKING_SET: Final = GROUP.gauge(
    "trader_unit_memory_working_set_bytes",
    "Memory of the unit without the file cache that can be dropped.",
    source=CGROUP,
    unit="bytes",
)
MEMORY_MAX: Final = GROUP.gauge(
    "trader_unit_memory_max_bytes",
    "Memory at which the unit is killed; absent without a limit.",
    source=CGROUP,
    unit="bytes",
)
MEMORY_EVENTS_TOTAL: Final = GROUP.counter(
    "trader_unit_memory_events_total",
    "Times that the unit met a memory limit, by event.",
    Label("event", MEMORY_EVENTS),
    source=CGROUP,
)
CPU_USAGE: Final = GROUP.counter(
    "trader_unit_cpu_usage_seconds_total", "CPU time of the unit.", source=CGROUP, unit="seconds"
)
CPU_LIMIT: Final = GROUP.gauge(
    "trader_unit_cpu_limit_cores",
    "CPUs that the unit may use at a time; absent without a quota.",
    source=CGROUP,
    unit="cores",
)
CPU_THROTTLED: Final = GROUP.counter(
    "trader_unit_cpu_throttled_seconds_total",
    "Time that the unit was held back by its CPU quota.",
    source=CGROUP,
    unit="seconds",
)
TASKS: Final = GROUP.gauge("trader_unit_tasks", "Threads and processes of the unit.", source=CGROUP)
TASKS_MAX: Final = GROUP.gauge(
    "trader_unit_tasks_max", "Threads and processes that the unit may have; absent without a limit.", source=CGROUP
)

VIRTUAL_MEMORY: Final = GROUP.gauge(
    "process_virtual_memory_bytes", "Virtual memory size in bytes.", source=PROCESS, unit="bytes"
)
RESIDENT_MEMORY: Final = GROUP.gauge(
    "process_resident_memory_bytes", "Resident memory size in bytes.", source=PROCESS, unit="bytes"
)
START_TIME: Final = GROUP.gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    source=PROCESS,
    unit="seconds",
)
CPU_SECONDS: Final = GROUP.counter(
    "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", source=PROCESS, unit="seconds"
)
OPEN_FDS: Final = GROUP.gauge("process_open_fds", "Number of open file descriptors.", source=PROCESS)
MAX_FDS: Final = GROUP.gauge("process_max_fds", "Maximum number of open file descriptors.", source=PROCESS)
