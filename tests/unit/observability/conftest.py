"""One of every fact, made from their types, and a snapshot in which everything is known."""

import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trader.clock import ManualClock
from trader.contracts import TradingMode, TradingState
from trader.events import AnyFact, MarketDataMode, MismatchKind
from trader.settings import Settings
from trader.snapshot import (
    ACK_BOUNDS_S,
    DATA_AGE_BOUNDS_S,
    DECISION_BOUNDS_S,
    ActivityView,
    ConnectionView,
    Histogram,
    HistogramView,
    MarketDataView,
    PnlView,
    RiskView,
    Snapshot,
)

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
PLAIN: dict[type, Any] = {
    str: "text",
    int: 7,
    float: 0.25,
    bool: True,
    Decimal: Decimal("12.50"),
    datetime: NOW,
    type(None): None,
}


def plausible(kind: Any) -> Any:
    """A value of type ``kind``: the first member of an enum or union, one element in a collection."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return plausible(arguments[0])
    if origin is tuple:
        return (plausible(arguments[0]),)
    if origin is dict:
        return {plausible(arguments[0]): plausible(arguments[1])}
    if kind in PLAIN:
        return PLAIN[kind]
    if issubclass(kind, Enum):
        return next(iter(kind))
    return make(kind)


def make(kind: Any, **given: Any) -> Any:
    """One ``kind`` of Struct with plausible values where none are ``given``."""
    hints = typing.get_type_hints(kind)
    values = {name: plausible(hints[name]) for name in kind.__struct_fields__ if name not in given}
    return kind(**values, **given)


FACT_KINDS: tuple[type[msgspec.Struct], ...] = typing.get_args(AnyFact)


def seen(bounds: tuple[float, ...], *values: float) -> HistogramView:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    return histogram.freeze()


def full_connection() -> ConnectionView:
    return ConnectionView(
        connected=True,
        upstream_connected=True,
        reconciled=True,
        client_id=1,
        server_version=178,
        last_heartbeat_at=NOW,
        clock_offset_s=0.02,
        farms={"usfarm": True, "ushmds": False},
    )


def full_pnl() -> PnlView:
    return PnlView(
        currency="USD",
        realized=Decimal("120.5"),
        unrealized=Decimal(-20),
        commission=Decimal("-3.5"),
        fees=Decimal(0),
        commissions_missing=1,
    )


def full_activity() -> ActivityView:
    return make(
        ActivityView,
        ticks=1_000,
        holds={"mean_reversion": 900},
        decision_duration=seen(DECISION_BOUNDS_S, 0.0001, 0.35, 0.4),
        data_age=seen(DATA_AGE_BOUNDS_S, 0.001),
        ack_duration=seen(ACK_BOUNDS_S, 2.0, 31.0),
    )


def full_snapshot() -> Snapshot:
    return make(
        Snapshot,
        mode=TradingMode.SIMULATED,
        strategy="mean_reversion",
        trading_state=TradingState.ACTIVE,
        state_reason="",
        problems=(),
        connection=full_connection(),
        market_data=make(MarketDataView, mode=MarketDataMode.LIVE),
        pnl_base=full_pnl(),
        pnl_by_currency=(full_pnl(),),
        risk=make(RiskView, drawdown_ratio=0.01, margin_cushion_ratio=0.9),
        mismatches={MismatchKind.POSITION: 1},
        activity=full_activity(),
        starts={"manual": 3},
    )


@pytest.fixture
def make_fact() -> Callable[..., Any]:
    """Makes a fact of a kind, with plausible values where none are given."""
    return make


@pytest.fixture
def every_fact() -> list[Any]:
    """One fact of every kind, an order's own in the order in which they come."""
    return [make(kind) for kind in FACT_KINDS]


@pytest.fixture
def snapshot() -> Snapshot:
    return full_snapshot()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"instruments": ["SPY"], "metrics": {"port": 0}})


def write_tree(root: Path, files: dict[str, str]) -> None:
    """Create ``files`` (by path below ``root``) with their contents."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


CGROUP_V2 = {
    "proc/self/cgroup": "0::/system.slice/trader.service\n",
    "proc/self/mountinfo": (
        "22 1 0:21 / /proc rw - proc proc rw\n31 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    ),
    "sys/fs/cgroup/system.slice/trader.service/memory.current": "200000000\n",
    "sys/fs/cgroup/system.slice/trader.service/memory.stat": "anon 90000000\ninactive_file 50000000\n",
    "sys/fs/cgroup/system.slice/trader.service/memory.max": "8589934592\n",
    "sys/fs/cgroup/system.slice/trader.service/memory.events": "low 0\nhigh 2\nmax 0\noom 1\noom_kill 1\n",
    "sys/fs/cgroup/system.slice/trader.service/cpu.stat": "usage_usec 2500000\nthrottled_usec 750000\n",
    "sys/fs/cgroup/system.slice/trader.service/cpu.max": "400000 100000\n",
    "sys/fs/cgroup/system.slice/trader.service/pids.current": "9\n",
    "sys/fs/cgroup/system.slice/trader.service/pids.max": "4096\n",
}
CGROUP_V1 = {
    "proc/self/cgroup": "9:pids:/trader\n4:memory:/docker/abc/trader\n2:cpu,cpuacct:/trader\n1:name=systemd:/\n0::/\n",
    "proc/self/mountinfo": (
        "30 1 0:30 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "31 1 0:31 /docker/abc /sys/fs/cgroup/memory ro shared:9 - cgroup cgroup rw,memory\n"
        "32 1 0:32 / /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n"
        "33 1 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    ),
    "sys/fs/cgroup/memory/trader/memory.usage_in_bytes": "150000000\n",
    "sys/fs/cgroup/memory/trader/memory.stat": "cache 1\ntotal_inactive_file 30000000\n",
    "sys/fs/cgroup/memory/trader/memory.limit_in_bytes": "8589934592\n",
    "sys/fs/cgroup/memory/trader/memory.failcnt": "5\n",
    "sys/fs/cgroup/memory/trader/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "sys/fs/cgroup/cpu,cpuacct/trader/cpuacct.usage": "2500000000\n",
    "sys/fs/cgroup/cpu,cpuacct/trader/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/trader/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/trader/cpu.stat": "nr_periods 9\nthrottled_time 250000000\n",
    "sys/fs/cgroup/pids/trader/pids.current": "12\n",
    "sys/fs/cgroup/pids/trader/pids.max": "max\n",
}


@pytest.fixture
def cgroup_v2_root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "v2", CGROUP_V2)
    return tmp_path / "v2"


@pytest.fixture
def cgroup_v1_root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "v1", CGROUP_V1)
    return tmp_path / "v1"
