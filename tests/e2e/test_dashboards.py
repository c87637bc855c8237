"""Every query of every dashboard, asked of a real Prometheus that scrapes a trading service with the shipped rules.

What cannot be had on every machine, or only when something is wrong, is listed with its reason; everything else has to
have data.
"""

import asyncio
import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from observability.dashboards.queries import PanelQuery, defaults, interpolate, queries_of
from trader.clock import SystemClock
from trader.control_messages import Command
from trader.stack import Programs, Stack, StackOptions

pytestmark = pytest.mark.e2e
FOLDER: Final = Path(__file__).resolve().parents[2] / "dashboards"
BOARDS: Final = tuple(json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")))
VALUES: Final = defaults(rate_interval="1m", range_="10m")
ATTEMPTS: Final = 120
PAUSE_S: Final = 1.0

# By panel and query: why there may be nothing.
MAY_BE_EMPTY: Final = {
    ("Memory of the unit", "B"): "the test's process has no memory limit on every machine",
    ("CPU of the unit", "C"): "the test's process has no CPU quota on every machine",
    ("Files and tasks", "B"): "not every control group counts tasks",
    ("Firing alerts", "A"): "nothing has to fire",
    ("Age of the P&L", "C"): "no commission has to be missing",
    ("Pressure", "A"): "not every kernel measures pressure",
    ("Pressure", "B"): "not every kernel measures pressure",
    ("Pressure", "C"): "not every kernel measures pressure",
    ("Disk busy", "A"): "a container may show no disk",
    ("Disk space free", "A"): "a container may show no file system but an overlay",
    ("Network", "A"): "a container may have no network but loopback",
    ("Network", "B"): "a container may have no network but loopback",
}
FAULTS: Final = {
    "seed": 7,
    "reject_ratio": 0.2,
    "link": [{"at_s": 12, "kind": "restart", "duration_s": 2, "roll_back_ids": 0}],
}


def machine(now: float) -> str:
    """What node_exporter tells of a machine with systemd, scheduled tasks and a broker that resets."""
    lines = [
        f"trader_broker_reset_start_timestamp_seconds {now + 3600}",
        f"trader_broker_reset_end_timestamp_seconds {now + 7200}",
        f'trader_maintenance_start_timestamp_seconds{{kind="updates"}} {now + 3600}',
        f'trader_maintenance_end_timestamp_seconds{{kind="updates"}} {now + 7200}',
        f'trader_calendar_valid_until_timestamp_seconds{{calendar="XNYS"}} {now + 9e6}',
        f'trader_task_last_success_timestamp_seconds{{task="backup"}} {now - 60}',
        'trader_task_max_staleness_seconds{task="backup"} 90000',
        'trader_task_last_duration_seconds{task="backup"} 4',
        'trader_task_last_exit_code{task="backup"} 0',
        'trader_drill_duration_seconds{drill="panic_service_up"} 3.5',
        'trader_drill_bound_seconds{drill="panic_service_up"} 15',
        'node_systemd_service_restart_total{name="trader.service"} 0',
        f'node_systemd_timer_last_trigger_seconds{{name="trader-backup.timer"}} {now - 60}',
    ]
    states = ("active", "activating", "deactivating", "inactive", "failed")
    for state in states:
        series = f'{{name="trader.service",state="{state}",type="notify"}}'
        lines.append(f"node_systemd_unit_state{series} {int(state == 'active')}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def trading(rig: Any) -> Any:
    """A service that trades, is refused orders by the broker now and then, and loses its gateway once."""
    (rig.folder / "faults.yaml").write_text(yaml.safe_dump(FAULTS))
    (rig.folder / "policy-token").touch(0o600)
    (rig.folder / "policy-token").write_text("a-token-of-some-length")
    rig.configure(
        strategy={"name": "own_strategies:Turner", "parameters": {"period_s": 2}},
        risk={"max_position_notional": 40_000},  # too little for 100 shares of SPY
        policy={"token_file": str(rig.folder / "policy-token")},
    )
    rig.simulator("--begin", "now", "--faults", str(rig.folder / "faults.yaml"))
    rig.service()
    return rig


def stack_of(rig: Any, programs: Programs) -> Stack:
    return Stack(
        StackOptions(
            folder=rig.folder / "stack",
            traders=(f"127.0.0.1:{rig.metrics_port}",),
            scrape_interval_s=1.0,
            evaluation_interval_s=1.0,
            calendar="always",
            token="a-token-of-some-length",
            programs=programs,
        )
    )


async def has_data(stack: Stack, query: PanelQuery) -> bool:
    """Whether Prometheus has a number for the query now, or had one in the minutes before."""
    expr, now = interpolate(query.expr, VALUES), SystemClock().now()
    if query.instant:
        return any(math.isfinite(sample.value) for sample in await stack.query(expr))
    series = await stack.query_range(expr, now - timedelta(minutes=5), now, 1.0)
    return any(math.isfinite(value) for one in series for _, value in one.values)


async def test_every_panel_of_every_board_has_data(trading: Any, programs: Programs) -> None:
    async with stack_of(trading, programs) as stack:
        (stack.textfile_folder / "machine.prom").write_text(machine(SystemClock().now().timestamp()))
        await stack.wait_until_scraped()
        await asyncio.to_thread(trading.wait, lambda s: s.activity.fills > 4, "some fills")
        await asyncio.to_thread(trading.ask, Command.HALT)
        missing = [query for board in BOARDS for query in queries_of(board)]
        everything = len(missing)
        for attempt in range(ATTEMPTS):
            missing = [query for query in missing if not await has_data(stack, query)]
            if not [query for query in missing if (query.panel, query.ref) not in MAY_BE_EMPTY]:
                break
            await step(trading, attempt)
            await asyncio.sleep(PAUSE_S)
        unexpected = [query for query in missing if (query.panel, query.ref) not in MAY_BE_EMPTY]
        listed = "\n".join(f"{query.board}: {query.panel} {query.ref}: {query.expr}" for query in unexpected)
        assert not unexpected, f"{len(unexpected)} of {everything} queries have no data:\n{listed}"
        print(f"{everything - len(missing)} of {everything} queries have data; {len(missing)} cannot here")


async def step(trading: Any, attempt: int) -> None:
    """Trade on after the halt, and later panic once: what the boards show of these needs them."""
    if attempt == 5:
        await asyncio.to_thread(trading.ask, Command.RESUME)
    if attempt == 15:
        await asyncio.to_thread(trading.ask, Command.PANIC)


def test_the_list_of_panels_that_may_be_empty_names_panels_that_exist() -> None:
    known = {(query.panel, query.ref) for board in BOARDS for query in queries_of(board)}
    assert set(MAY_BE_EMPTY) <= known
