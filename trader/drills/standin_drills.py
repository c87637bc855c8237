"""Drills on a stand-in exporter: series that one machine cannot bring about by itself.

Rules: one entry an alert and severity; the series have the names and labels of the exporter that is stood in for.
"""

from typing import Final

from trader.clock import SystemClock
from trader.drills.model import Drill, On
from trader.drills.standin import rising
from trader.drills.steps import nothing, shows_series, start_exporter, steps_up, stop_exporter

TRADER: Final = On.TRADER_STANDIN
NODE: Final = On.NODE_STANDIN

_DISK: Final = 'device="/dev/sda1",fstype="ext4",mountpoint="/drill"'
_AVAILABLE: Final = f"node_filesystem_avail_bytes{{{_DISK}}}"
_SIZE: Final = f"node_filesystem_size_bytes{{{_DISK}}}"
_READ_ONLY: Final = f"node_filesystem_readonly{{{_DISK}}}"
_USED: Final = "trader_unit_memory_working_set_bytes"
_ACTIVE: Final = 'node_systemd_unit_state{name="ibkr-trading.service",state="active",type="notify"}'
_FAILED: Final = 'node_systemd_unit_state{name="ibkr-backup.service",state="failed",type="oneshot"}'
_TIMER: Final = 'node_systemd_timer_last_trigger_seconds{name="ibkr-backup.timer"}'
_OOM: Final = 'trader_unit_memory_events_total{event="oom_kill"}'
_LOGS_FAIL: Final = 'trader_observer_failures_total{observer="logs"}'
_LIVE: Final = 'trader_mode{mode="live"}'
_EXPIRY: Final = "trader_broker_auth_expiry_timestamp_seconds"
_LOOP: Final = 'trader_loop_last_tick_timestamp_seconds{loop="engine"}'
_POLICY: Final = "trader_budget_policy_last_evaluation_timestamp_seconds"
_DECISIONS: Final = 'trader_decisions_total{strategy="drill",outcome="hold"}'
_PNL: Final = "trader_pnl_as_of_timestamp_seconds"
_SESSION_PNL: Final = 'trader_pnl_session_base{currency="USD",component="realized"}'


def _now(elapsed_s: float) -> float:
    """A timestamp that keeps up with the time."""
    return SystemClock().now().timestamp()


RESOURCES: Final = (
    Drill(
        alert="UnitMemoryHigh", severity="ticket", on=TRADER, fault="the working set is at 85 % of its limit",
        series={_USED: 4e9, "trader_unit_memory_max_bytes": 8e9},
        inject=shows_series({_USED: 6.8e9}), repair=shows_series({_USED: 4e9}),
    ),
    Drill(
        alert="UnitMemoryCritical", severity="page", on=TRADER, fault="the working set is at 95 % of its limit",
        series={_USED: 4e9, "trader_unit_memory_max_bytes": 8e9},
        inject=shows_series({_USED: 7.6e9}), repair=shows_series({_USED: 4e9}),
    ),
    Drill(
        alert="UnitCPUHigh", severity="ticket", on=TRADER, fault="the unit uses more than its CPUs",
        series={"trader_unit_cpu_usage_seconds_total": rising(0.5), "trader_unit_cpu_limit_cores": 4},
        inject=shows_series({"trader_unit_cpu_usage_seconds_total": rising(6.0, 5000)}),
        repair=shows_series({"trader_unit_cpu_usage_seconds_total": rising(0.5, 9000)}), detect_s=8, clear_s=12,
    ),
    Drill(
        alert="CPUThrottled", severity="ticket", on=TRADER, fault="the quota holds the service back 20 % of the time",
        series={"trader_unit_cpu_throttled_seconds_total": rising(0.0)},
        inject=shows_series({"trader_unit_cpu_throttled_seconds_total": rising(0.2)}),
        repair=shows_series({"trader_unit_cpu_throttled_seconds_total": rising(0.0, 2000)}), detect_s=8, clear_s=12,
    ),
    Drill(
        alert="TasksHigh", severity="ticket", on=TRADER, fault="90 % of the tasks are in use",
        series={"trader_unit_tasks": 20, "trader_unit_tasks_max": 4096},
        inject=shows_series({"trader_unit_tasks": 3700}), repair=shows_series({"trader_unit_tasks": 20}),
    ),
    Drill(
        alert="UnitOOMKilled", severity="page", on=TRADER, fault="the kernel kills a process of the unit",
        series={_OOM: 0}, inject=steps_up(_OOM), repair=nothing, clear_s=25,
    ),
)  # fmt: skip

TRADING: Final = (
    Drill(
        alert="BrokerReauthDue", severity="ticket", on=TRADER, fault="the login ends within minutes",
        series={_EXPIRY: 4e9}, inject=shows_series({_EXPIRY: lambda s: _now(s) + 600}),
        repair=shows_series({_EXPIRY: 4e9}),
    ),
    Drill(
        alert="BrokerDecodeFailures", severity="page", on=TRADER, fault="a message is not understood",
        series={"trader_broker_decode_failures_total": 0},
        inject=steps_up("trader_broker_decode_failures_total"), repair=nothing, clear_s=25,
    ),
    Drill(
        alert="DecisionLoopStalled", severity="page", on=TRADER, fault="the engine's loop does not come round",
        series={_LOOP: _now}, inject=shows_series({_LOOP: _now(0)}), repair=shows_series({_LOOP: _now}), detect_s=8,
    ),
    Drill(
        alert="NoDecisions", severity="page", on=TRADER, fault="ticks come and nothing is decided",
        series={
            _DECISIONS: rising(5.0), "trader_market_data_ticks_total": rising(5.0),
            'trader_trading_state{state="active"}': 1,
        },
        inject=shows_series({_DECISIONS: 1e6}), repair=shows_series({_DECISIONS: rising(5.0, 1e6)}),
        detect_s=10, clear_s=12,
    ),
    Drill(
        alert="PnLNotTrustworthy", severity="page", on=TRADER, fault="the profit and loss is of an old moment",
        series={"trader_ready": 1, _PNL: _now, _SESSION_PNL: 1.0},
        inject=shows_series({_PNL: lambda s: _now(s) - 600}), repair=shows_series({_PNL: _now}),
    ),
    Drill(
        alert="TradingWhileHalted", severity="page", on=TRADER, fault="an order is decided although trading is halted",
        series={"trader_orders_while_halted_total": 0},
        inject=steps_up("trader_orders_while_halted_total"), repair=nothing, clear_s=25,
    ),
    Drill(
        alert="ObserverFailing", severity="ticket", on=TRADER, fault="the logs fail on a fact",
        series={_LOGS_FAIL: 0}, inject=steps_up(_LOGS_FAIL), repair=nothing, clear_s=25,
    ),
    Drill(
        alert="BudgetPolicyStale", severity="ticket", on=TRADER, fault="the policy hears nothing of Alertmanager",
        series={_POLICY: _now}, inject=shows_series({_POLICY: lambda s: _now(s) - 1200}),
        repair=shows_series({_POLICY: _now}),
    ),
    Drill(
        alert="SampleLimitHit", severity="ticket", on=TRADER, fault="a trader exports 2,000 series",
        series={"trader_ready": 1}, by_instance=False,
        inject=shows_series({f'drill_series{{number="{n}"}}': 1.0 for n in range(2000)}),
        repair=shows_series({f'drill_series{{number="{n}"}}': None for n in range(2000)}), clear_s=25,
    ),
)  # fmt: skip

SYSTEMD: Final = (
    Drill(
        alert="TraderNotActive", severity="page", on=NODE, fault="systemd says that the service is not active",
        series={_ACTIVE: 1}, inject=shows_series({_ACTIVE: 0}), repair=shows_series({_ACTIVE: 1}), detect_s=8,
    ),
    Drill(
        alert="UnitFailed", severity="ticket", on=NODE, fault="a unit is in the state failed",
        series={_FAILED: 0}, inject=shows_series({_FAILED: 1}), repair=shows_series({_FAILED: 0}), clear_s=12,
    ),
    Drill(
        alert="TimerMissing", severity="ticket", on=NODE, fault="a timer is gone",
        series={_TIMER: 1e9}, inject=shows_series({_TIMER: None}), repair=shows_series({_TIMER: 1e9}), detect_s=8,
    ),
)  # fmt: skip

HOST: Final = (
    Drill(
        alert="HostDown", severity="page", on=NODE, fault="nothing on the host answers",
        series={"node_boot_time_seconds": 1e9}, inject=stop_exporter, repair=start_exporter,
    ),
    Drill(
        alert="DiskFillsIn24h", severity="ticket", on=NODE, fault="the disk loses a gigabyte each second",
        series={_SIZE: 1e13, _AVAILABLE: 3.5e12},
        inject=shows_series({_AVAILABLE: rising(-1e9, 3.5e12)}), repair=shows_series({_AVAILABLE: 5e12}), detect_s=15,
    ),
    Drill(
        alert="DiskLow", severity="ticket", on=NODE, fault="10 % of the disk is left",
        series={_SIZE: 1e12, _AVAILABLE: 5e11},
        inject=shows_series({_AVAILABLE: 1e11}), repair=shows_series({_AVAILABLE: 5e11}),
    ),
    Drill(
        alert="DiskLow", severity="page", on=NODE, fault="2 % of the disk is left",
        series={_SIZE: 1e12, _AVAILABLE: 5e11},
        inject=shows_series({_AVAILABLE: 2e10}), repair=shows_series({_AVAILABLE: 5e11}),
    ),
    Drill(
        alert="ClockSkew", severity="ticket", on=NODE, fault="the clock is 0.1 s off",
        series={"node_timex_offset_seconds": 0.001},
        inject=shows_series({"node_timex_offset_seconds": 0.1}),
        repair=shows_series({"node_timex_offset_seconds": 0.001}),
    ),
    Drill(
        alert="ClockSkew", severity="page", on=NODE, fault="the clock is 2 s off",
        series={"node_timex_offset_seconds": 0.001},
        inject=shows_series({"node_timex_offset_seconds": -2.0}),
        repair=shows_series({"node_timex_offset_seconds": 0.001}),
    ),
    Drill(
        alert="ClockNotSynchronising", severity="ticket", on=NODE, fault="the clock follows no time server",
        series={"node_timex_sync_status": 1, "node_timex_maxerror_seconds": 0.1},
        inject=shows_series({"node_timex_sync_status": 0, "node_timex_maxerror_seconds": 16}),
        repair=shows_series({"node_timex_sync_status": 1, "node_timex_maxerror_seconds": 0.1}), detect_s=8,
    ),
    Drill(
        alert="MemoryStall", severity="ticket", on=NODE, fault="every task waits for memory a third of the time",
        series={"node_pressure_memory_stalled_seconds_total": rising(0.0)},
        inject=shows_series({"node_pressure_memory_stalled_seconds_total": rising(0.3)}),
        repair=shows_series({"node_pressure_memory_stalled_seconds_total": rising(0.0, 3000)}), detect_s=8, clear_s=12,
    ),
    Drill(
        alert="FilesystemReadOnly", severity="page", on=NODE, fault="a filesystem becomes read-only",
        series={_READ_ONLY: 0}, inject=shows_series({_READ_ONLY: 1}), repair=shows_series({_READ_ONLY: 0}),
    ),
    Drill(
        alert="CollectorFailed", severity="ticket", on=NODE, fault="node_exporter's collector of filesystems fails",
        series={'node_scrape_collector_success{collector="filesystem"}': 1},
        inject=shows_series({'node_scrape_collector_success{collector="filesystem"}': 0}),
        repair=shows_series({'node_scrape_collector_success{collector="filesystem"}': 1}),
    ),
)  # fmt: skip

STANDIN_DRILLS: Final = (*RESOURCES, *TRADING, *SYSTEMD, *HOST)
