"""Host and systemd: latency, restarts, throttling, memory, disk, clock and unit states on one time axis.

Rules: the panels stack over one another with the same width and time, so that a cause is above or below its effect;
the trader and its machine
have the same instance, and different jobs.
"""

from grafana_foundation_sdk.builders import statetimeline, timeseries

from observability.dashboards.flow import decision_latency, order_latency
from observability.dashboards.frame import Board, Row
from observability.dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    lines_panel,
    query,
    timeline_panel,
)
from observability.dashboards.promql import count, node, of_traders, quantile, trader, unit
from observability.dashboards.targets import Targets

REAL_DISKS = 'fstype!~"tmpfs|ramfs|squashfs|overlay|fuse.*"'


def host(targets: Targets) -> Board:
    """The board that puts the trader and its machine on one time axis."""
    return Board(
        uid="trader-host",
        title="Host and systemd",
        description="The trader and its machine on one time axis: a cause stands above or below its effect.",
        hosts=True,
        span="now-3h",
        rows=(
            Row("What is felt", (decision_latency(targets), order_latency(targets), _lag())),
            Row("The unit", (_memory(), _cpu(), _throttled(), _starts(), _limits(), _events())),
            Row("systemd", (_unit_states(), _unit_restarts())),
            Row(
                "The machine",
                (_host_cpu(), _host_memory(), _pressure(), _disk_space(targets), _disk_time(), _network()),
            ),
            Row("Clocks", (_clock(targets), _synchronised())),
        ),
    )


def _lag() -> timeseries.Panel:
    return lines_panel(
        "Event loop lag",
        "How much later than due the event loop ran a timer: the first sign of a busy or throttled CPU.",
        "s",
        query(quantile(0.99, "trader_event_loop_lag_seconds"), "p99 {{instance}}"),
        query(quantile(0.5, "trader_event_loop_lag_seconds"), "p50 {{instance}}"),
        colors={"/^p99/": ORANGE, "/^p50/": BLUE},
        logarithmic=True,
    )


def _memory() -> timeseries.Panel:
    return lines_panel(
        "Memory of the unit",
        "Working set and the limit at which the unit is killed, if there is one.",
        "bytes",
        query(trader("trader_unit_memory_working_set_bytes"), "working set {{instance}}"),
        query(trader("trader_unit_memory_max_bytes"), "limit {{instance}}"),
        query(of_traders(trader("process_resident_memory_bytes")), "resident {{instance}}"),
        colors={"/^limit/": RED, "/^working/": BLUE, "/^resident/": GREY},
    )


def _cpu() -> timeseries.Panel:
    return lines_panel(
        "CPU of the unit",
        "CPUs used, and how many it may use, if there is a quota.",
        "none",
        query(f"rate({trader('trader_unit_cpu_usage_seconds_total')}[$__rate_interval])", "unit {{instance}}"),
        query(of_traders(f"rate({trader('process_cpu_seconds_total')}[$__rate_interval])"), "process {{instance}}"),
        query(trader("trader_unit_cpu_limit_cores"), "quota {{instance}}"),
        colors={"/^quota/": RED, "/^unit/": BLUE, "/^process/": GREY},
        decimals=2,
        reach=1,
    )


def _throttled() -> timeseries.Panel:
    return lines_panel(
        "CPU throttling",
        "Share of the time that the unit was held back by its quota.",
        "percentunit",
        query(f"rate({trader('trader_unit_cpu_throttled_seconds_total')}[$__rate_interval])", "throttled {{instance}}"),
        colors={"/.*/": ORANGE},
        decimals=1,
        reach=0.1,
    )


def _starts() -> timeseries.Panel:
    return lines_panel(
        "Starts",
        "Starts of the service within the rate interval, by reason.",
        "none",
        query(count(trader("trader_starts_total"), "reason") + " > 0 or " + _quiet_starts(), "{{reason}} {{instance}}"),
        colors={"/^(crash|watchdog|oom)/": RED, "/^(deploy|boot|manual)/": BLUE},
        bars=True,
        reach=1,
        decimals=0,
        calcs=(),
    )


def _quiet_starts() -> str:
    planned = 'reason="deploy"'
    return count(trader("trader_starts_total", planned), "reason")


def _limits() -> timeseries.Panel:
    return lines_panel(
        "Files and tasks",
        "Open files and tasks of the unit.",
        "none",
        query(of_traders(trader("process_open_fds")), "files {{instance}}"),
        query(trader("trader_unit_tasks"), "tasks {{instance}}"),
        decimals=0,
    )


def _events() -> timeseries.Panel:
    return lines_panel(
        "Memory limits met",
        "Times that the unit met a memory limit within the rate interval; oom_kill ends it.",
        "none",
        query(count(trader("trader_unit_memory_events_total"), "event"), "{{event}} {{instance}}"),
        colors={"/^oom/": RED, "/^(max|high)/": ORANGE, "/^low/": GREY},
        bars=True,
        reach=1,
        decimals=0,
        calcs=(),
    )


def _unit_states() -> statetimeline.Panel:
    active = unit("unit:state", 'state="active"')
    failed = unit("unit:state", 'state="failed"')
    starting = unit("unit:state", 'state="activating"')
    number = " + ".join(
        f"{factor}sum by (instance, name) ({state})"
        for factor, state in (("", active), ("2 * ", starting), ("3 * ", failed))
    )
    return timeline_panel(
        "Units",
        "State of every unit that the host reports. A unit in a crash loop shows as starting, not as failed.",
        query(number, "{{name}} {{instance}}"),
        states={0: ("inactive", GREY), 1: ("active", GREEN), 2: ("starting", YELLOW), 3: ("failed", RED)},
        span=16,
    )


def _unit_restarts() -> timeseries.Panel:
    return lines_panel(
        "Unit restarts",
        "Restarts by systemd within the rate interval.",
        "none",
        query(
            f"round(sum by (instance, name) (increase({unit('unit:restarts_total')}[$__rate_interval])))",
            "{{name}} {{instance}}",
        ),
        bars=True,
        reach=1,
        decimals=0,
        calcs=(),
    )


def _host_cpu() -> timeseries.Panel:
    seconds = "node_cpu_seconds_total"
    return lines_panel(
        "CPU of the host",
        "Share of all CPUs by what they did; stolen time was taken by the hypervisor.",
        "percentunit",
        query(
            _cpu_modes(seconds),
            "{{mode}} {{instance}}",
        ),
        stacked=True,
        maximum=1,
        decimals=0,
        calcs=(),
        colors={"/^iowait/": ORANGE, "/^steal/": RED, "/^user/": BLUE, "/^system/": YELLOW},
    )


def _cpu_modes(seconds: str) -> str:
    busy = node(seconds, 'mode=~"user|system|iowait|steal|softirq|nice"')
    return f"avg by (job, instance, mode) (sum by (job, instance, cpu, mode) (rate({busy}[$__rate_interval])))"


def _host_memory() -> timeseries.Panel:
    return lines_panel(
        "Memory of the host",
        "Memory that is available without swapping, of what there is.",
        "bytes",
        query(node("node_memory_MemAvailable_bytes"), "available {{instance}}"),
        query(node("node_memory_MemTotal_bytes"), "total {{instance}}"),
        colors={"/^total/": GREY, "/^available/": GREEN},
    )


def _pressure() -> timeseries.Panel:
    kinds = ("cpu_waiting", "memory_waiting", "io_waiting")
    return lines_panel(
        "Pressure",
        "Share of the time that something waited for CPU, memory or disk (the kernel's PSI).",
        "percentunit",
        *(
            query(
                f"rate({node(f'node_pressure_{kind}_seconds_total')}[$__rate_interval])",
                kind.split("_")[0] + " {{instance}}",
            )
            for kind in kinds
        ),
        decimals=1,
        reach=0.1,
        calcs=("max",),
    )


def _disk_space(targets: Targets) -> timeseries.Panel:
    free = node("node_filesystem_avail_bytes", REAL_DISKS)
    size = node("node_filesystem_size_bytes", REAL_DISKS)
    return lines_panel(
        "Disk space free",
        "Share of each file system that is free. The journal needs room to trade.",
        "percentunit",
        query(f"min by (job, instance, device) ({free} / {size})", "{{device}} {{instance}}"),
        limits=[(None, RED), (targets.disk_free, GREEN)],
        maximum=1,
        decimals=1,
        calcs=("lastNotNull", "min"),
    )


def _disk_time() -> timeseries.Panel:
    return lines_panel(
        "Disk busy",
        "Share of the time that a disk worked. A journal on a busy disk is slow to write.",
        "percentunit",
        query(f"rate({node('node_disk_io_time_seconds_total')}[$__rate_interval])", "{{device}} {{instance}}"),
        decimals=1,
        reach=0.1,
        calcs=(),
    )


def _network() -> timeseries.Panel:
    received = node("node_network_receive_bytes_total", 'device!="lo"')
    sent = node("node_network_transmit_bytes_total", 'device!="lo"')
    return lines_panel(
        "Network",
        "Bytes received and (below 0) sent a second.",
        "Bps",
        query(f"sum by (job, instance) (rate({received}[$__rate_interval]))", "received {{instance}}"),
        query(f"-sum by (job, instance) (rate({sent}[$__rate_interval]))", "sent {{instance}}"),
        minimum=None,
    )


def _clock(targets: Targets) -> timeseries.Panel:
    return lines_panel(
        "Clock offset",
        "The host's clock against its time source, and the gateway's against the trader's.",
        "s",
        query(node("node_timex_offset_seconds"), "host {{instance}}"),
        query(trader("trader_broker_clock_offset_seconds"), "gateway {{instance}}"),
        limits=[(None, RED), (-targets.clock_skew_s, GREEN), (targets.clock_skew_s, RED)],
        span=12,
        reach=0.06,
        minimum=None,
        calcs=("lastNotNull", "min", "max"),
    )


def _synchronised() -> statetimeline.Panel:
    return timeline_panel(
        "Clock synchronised",
        "Whether the kernel considers its clock disciplined by a time source.",
        query(node("node_timex_sync_status"), "{{instance}}"),
        span=12,
    )
