"""What a scrape reads from the snapshot and from the process."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from observability.collectors import BuildInfo, ServiceCollector, SnapshotCollector, finite
from observability.families import new_registry
from observability.instruments import Instruments
from observability.loops import LoopTicks
from observability.process import OwnProcessCollector
from observability.readings import halt_reason
from observability.stack import register_collectors
from trader.clock import ManualClock, booted_at_s
from trader.contracts import TradingState
from trader.events import (
    DecisionMade,
    DecisionOutcome,
    MarketDataMode,
    PolicyState,
    ServiceStarted,
    TradingStateChanged,
)
from trader.snapshot import PolicyView, Snapshot


class Scrape:
    """A registry over a snapshot that a test may exchange."""

    def __init__(self, snapshot: Snapshot, clock: ManualClock) -> None:
        self.snapshot = snapshot
        self.registry: CollectorRegistry = new_registry()
        self.instruments = Instruments(self.registry, LoopTicks(clock), ("mean_reversion",))
        self.registry.register(SnapshotCollector(lambda: self.snapshot, self.instruments))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def change(self, **changes: Any) -> None:
        self.snapshot = msgspec.structs.replace(self.snapshot, **changes)


@pytest.fixture
def scrape(snapshot: Snapshot, clock: ManualClock) -> Scrape:
    return Scrape(snapshot, clock)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (1.7976931348623157e308, None),
        (Decimal("NaN"), None),
        (Decimal("-2.5"), -2.5),
        (True, 1.0),
        (0, 0.0),
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 60.0),
    ],
)
def test_only_what_is_known_and_finite_is_a_number(value: Any, number: float | None) -> None:
    assert finite(value) == number


def test_what_is_not_known_is_absent_and_not_zero(scrape: Scrape) -> None:
    connection = msgspec.structs.replace(scrape.snapshot.connection, last_heartbeat_at=None, clock_offset_s=None)
    pnl = msgspec.structs.replace(scrape.snapshot.pnl_base, unrealized=None)
    scrape.change(connection=connection, pnl_net_cumulative=None, pnl_by_currency=(pnl,), pnl_as_of=None)
    assert scrape.value("trader_broker_heartbeat_last_success_timestamp_seconds") is None
    assert scrape.value("trader_broker_clock_offset_seconds") is None
    assert scrape.value("trader_pnl_net_cumulative_base", currency="USD") is None
    assert scrape.value("trader_pnl_session", currency="USD", component="unrealized") is None
    assert scrape.value("trader_pnl_session", currency="USD", component="realized") == 120.5
    text = generate_latest(scrape.registry).decode()
    assert "trader_pnl_as_of_timestamp_seconds" not in text


def test_a_policy_that_hears_nothing_is_as_old_as_the_service(scrape: Scrape) -> None:
    name = "trader_budget_policy_last_evaluation_timestamp_seconds"
    scrape.change(policy=PolicyView(states={}))
    assert scrape.value(name) is None
    scrape.change(policy=PolicyView(states={}, receiving=True))
    assert scrape.value(name) == scrape.snapshot.started_at.timestamp()
    scrape.change(policy=PolicyView(states={}, receiving=True, heard_at=datetime(2026, 3, 2, tzinfo=UTC)))
    assert scrape.value(name) == datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def test_the_policys_states_are_numbers_and_all_there_from_the_start(scrape: Scrape) -> None:
    scrape.change(policy=None)
    assert scrape.value("trader_budget_policy_state", slo="net_pnl") == 0
    scrape.change(policy=PolicyView(states={"net_pnl": PolicyState.NO_NEW_ENTRIES}))
    assert scrape.value("trader_budget_policy_state", slo="net_pnl") == 2
    assert scrape.value("trader_budget_policy_state", slo="fill_rate") == 0
    assert scrape.value("trader_budget_policy_override_expiry_timestamp_seconds") == 0


def test_no_unacknowledged_order_is_zero_because_that_is_known(scrape: Scrape) -> None:
    scrape.change(oldest_unacknowledged_at=None)
    assert scrape.value("trader_order_oldest_unacked_timestamp_seconds") == 0


def test_the_oldest_missing_commission_is_absent_when_none_is_missing(scrape: Scrape) -> None:
    name = "trader_commission_missing_oldest_timestamp_seconds"
    scrape.change(commission_missing_since=None)
    assert scrape.value(name) is None
    scrape.change(commission_missing_since=datetime(2026, 3, 2, tzinfo=UTC))
    assert scrape.value(name) == datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def test_one_mode_is_one_and_the_others_zero(scrape: Scrape) -> None:
    data = msgspec.structs.replace(scrape.snapshot.market_data, mode=MarketDataMode.DELAYED)
    scrape.change(market_data=data)
    modes = {mode: scrape.value("trader_market_data_mode", mode=mode) for mode in ("live", "delayed", "frozen")}
    assert modes == {"live": 0, "delayed": 1, "frozen": 0}


def test_hot_path_histograms_are_cumulative_and_have_the_objectives_buckets(scrape: Scrape) -> None:
    assert scrape.value("trader_decision_duration_seconds_bucket", le="0.35") == 2
    assert scrape.value("trader_decision_duration_seconds_bucket", le="+Inf") == 3
    assert scrape.value("trader_decision_duration_seconds_count") == 3
    assert scrape.value("trader_order_ack_duration_seconds_bucket", le="2.0") == 1
    assert scrape.value("trader_order_ack_duration_seconds_bucket", le="30.0") == 1
    assert scrape.value("trader_order_ack_duration_seconds_sum") == 33.0
    assert scrape.value("trader_market_data_age_at_decision_seconds_bucket", le="0.001") == 1


def test_holds_come_from_the_snapshot_and_the_other_decisions_from_facts(
    scrape: Scrape, make_fact: Callable[..., Any]
) -> None:
    scrape.instruments.observe(make_fact(DecisionMade, strategy="mean_reversion", outcome=DecisionOutcome.ENTER))
    assert scrape.value("trader_decisions_total", strategy="mean_reversion", outcome="hold") == 900
    assert scrape.value("trader_decisions_total", strategy="mean_reversion", outcome="enter") == 1
    assert scrape.value("trader_decisions_total", strategy="mean_reversion", outcome="error") == 0


def test_costs_are_negative_so_that_the_components_add_up_to_the_net(scrape: Scrape) -> None:
    parts = [
        scrape.value("trader_pnl_session", currency="USD", component=component)
        for component in ("realized", "unrealized", "commission", "fees")
    ]
    assert sum(part for part in parts if part is not None) == float(scrape.snapshot.pnl_by_currency[0].net or 0)


def test_farms_beyond_the_limit_share_one_series(scrape: Scrape) -> None:
    farms = {f"farm{number:02}": number != 29 for number in range(30)}
    scrape.change(connection=msgspec.structs.replace(scrape.snapshot.connection, farms=farms))
    text = generate_latest(scrape.registry).decode()
    assert text.count("trader_market_data_farm_connected{") == 16
    assert scrape.value("trader_market_data_farm_connected", farm="other") == 0


def test_currencies_beyond_the_limit_are_left_out(scrape: Scrape) -> None:
    pnl = scrape.snapshot.pnl_base
    many = tuple(msgspec.structs.replace(pnl, currency=f"C{number:02}") for number in range(20))
    scrape.change(pnl_by_currency=many)
    text = generate_latest(scrape.registry).decode()
    assert text.count("trader_pnl_session{") == 8 * 4


@pytest.mark.parametrize(
    ("state", "text", "label"),
    [
        (TradingState.ACTIVE, "operator resumed", None),
        (TradingState.HALTED, "operator: lunch", "operator"),
        (TradingState.REDUCE_ONLY, "risk the session's net P&L of -3.00 reached the daily loss limit", "daily_loss"),
        (TradingState.REDUCE_ONLY, "strategy strategy x failed", "strategy"),
        (TradingState.PANIC, "flag", "panic"),
        (TradingState.HALTED, "", "other"),
    ],
)
def test_the_reason_why_trading_is_not_active_is_one_of_a_few(
    state: TradingState, text: str, label: str | None
) -> None:
    assert halt_reason(state, text) == label


def test_who_halted_trading_is_known_from_the_fact(scrape: Scrape, make_fact: Callable[..., Any]) -> None:
    scrape.instruments.observe(make_fact(TradingStateChanged, new=TradingState.HALTED, source="operator"))
    scrape.change(trading_state=TradingState.HALTED, state_reason="lunch")
    assert scrape.value("trader_halted", reason="operator") == 1
    assert scrape.value("trader_halted", reason="panic") == 0


def test_the_text_parses(scrape: Scrape) -> None:
    families = list(text_string_to_metric_families(generate_latest(scrape.registry).decode()))
    assert len(families) > 40


class Broken(Collector):
    def collect(self) -> Iterator[Family]:
        raise RuntimeError("no state")


def test_a_collector_that_fails_costs_its_own_metrics_only(
    snapshot: Snapshot, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    registry = new_registry()
    instruments = Instruments(registry, LoopTicks(clock))
    register_collectors(registry, {"cgroup": Broken(), "snapshot": SnapshotCollector(lambda: snapshot, instruments)})
    with caplog.at_level(logging.ERROR):
        generate_latest(registry)
        text = generate_latest(registry).decode()
    assert "trader_ready 1.0" in text
    assert registry.get_sample_value("trader_collector_failures_total", {"collector": "cgroup"}) == 2
    assert len(caplog.records) == 1


@pytest.fixture
def service(clock: ManualClock, tmp_path: Path) -> tuple[CollectorRegistry, Instruments, Path]:
    registry = new_registry()
    ticks = LoopTicks(clock)
    instruments = Instruments(registry, ticks)
    flag = tmp_path / "panic.flag"
    registry.register(ServiceCollector(BuildInfo("1.0", "abc"), instruments, ticks, flag, lambda: 4))
    return registry, instruments, flag


def test_the_panic_flag_is_seen_where_it_is(service: tuple[CollectorRegistry, Instruments, Path]) -> None:
    registry, _, flag = service
    assert registry.get_sample_value("trader_panic_flag") == 0
    flag.touch()
    assert registry.get_sample_value("trader_panic_flag") == 1


def test_a_panic_flag_that_cannot_be_looked_at_is_not_known(clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    registry = new_registry()
    ticks = LoopTicks(clock)
    registry.register(
        ServiceCollector(BuildInfo("1"), Instruments(registry, ticks), ticks, tmp_path / "file" / "flag", lambda: 0)
    )
    assert registry.get_sample_value("trader_panic_flag") is None


def test_what_runs_is_told_by_the_start(
    service: tuple[CollectorRegistry, Instruments, Path], make_fact: Callable[..., Any]
) -> None:
    registry, instruments, _ = service
    instruments.observe(make_fact(ServiceStarted, version="2.0", config_hash="ff"))
    labels = {"version": "2.0", "revision": "abc", "config_hash": "ff"}
    assert registry.get_sample_value("trader_build_info", labels) == 1
    assert registry.get_sample_value("trader_log_records_dropped_total") == 4
    assert registry.get_sample_value("trader_config_reload_success_timestamp_seconds") is None


def test_the_process_is_measured_where_the_sandbox_hides_when_the_host_booted(tmp_path: Path) -> None:
    process = tmp_path / "self"
    (process / "fd").mkdir(parents=True)
    for descriptor in range(3):
        (process / "fd" / str(descriptor)).touch()
    (process / "stat").write_bytes(Path("/proc/self/stat").read_bytes())
    (process / "limits").write_bytes(Path("/proc/self/limits").read_bytes())

    families = {family.name: family.samples[0].value for family in OwnProcessCollector(str(tmp_path)).collect()}

    assert families["process_open_fds"] == 3
    assert families["process_start_time_seconds"] > booted_at_s()
    assert families["process_resident_memory_bytes"] > 0
