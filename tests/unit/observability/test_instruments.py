"""What each fact counts."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from observability.families import new_registry
from observability.instruments import MAX_ORDERS_TO_SEND, Instruments
from observability.loops import LoopMonitor, LoopTicks
from trader.clock import ManualClock
from trader.contracts import TradingState
from trader.events import (
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    ConnectFailedReceived,
    DecisionMade,
    DecisionOutcome,
    DisconnectReason,
    ErrorClass,
    FillBooked,
    HeartbeatReceived,
    IntentRefused,
    OrderFinalized,
    OrderIntended,
    OrderOutcome,
    OrderSendFailed,
    OrderSent,
    QuotesConflated,
    ReloadFinished,
    RiskRule,
    TimerElapsed,
    TradingStateChanged,
)

MakeFact = Callable[..., Any]


@pytest.fixture
def registry() -> CollectorRegistry:
    return new_registry()


@pytest.fixture
def instruments(registry: CollectorRegistry, clock: ManualClock) -> Instruments:
    return Instruments(registry, LoopTicks(clock), ("mean_reversion",))


@pytest.fixture
def value(registry: CollectorRegistry) -> Callable[..., float | None]:
    return lambda name, **labels: registry.get_sample_value(name, labels)


def test_every_fact_is_taken_without_failure(instruments: Instruments, every_fact: list[Any]) -> None:
    for fact in every_fact:
        instruments.observe(fact)


def test_a_decision_is_counted_by_strategy_and_outcome(instruments: Instruments, make_fact: MakeFact) -> None:
    instruments.observe(make_fact(DecisionMade, strategy="mean_reversion", outcome=DecisionOutcome.EXIT))
    assert instruments.decisions["mean_reversion", "exit"] == 1
    assert instruments.decisions["mean_reversion", "enter"] == 0


def test_strategies_beyond_the_limit_share_one_label(instruments: Instruments, make_fact: MakeFact) -> None:
    for number in range(20):
        instruments.observe(make_fact(DecisionMade, strategy=f"s{number}", outcome=DecisionOutcome.ENTER))
    strategies = {strategy for strategy, _ in instruments.decisions}
    assert strategies == {"mean_reversion", "s0", "s1", "other"}
    assert instruments.decisions["other", "enter"] == 18


def test_an_order_counts_as_submitted_when_it_was_handed_over(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(OrderIntended, order_ref="a"))
    assert value("trader_orders_submitted_total", order_type="MKT") == 0
    instruments.observe(make_fact(OrderSent, order_ref="a"))
    assert value("trader_orders_submitted_total", order_type="MKT") == 1


def test_an_order_that_could_not_be_sent_is_not_submitted(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(OrderIntended, order_ref="a"))
    instruments.observe(make_fact(OrderSendFailed, order_ref="a"))
    instruments.observe(make_fact(OrderSent, order_ref="a"))
    assert value("trader_orders_submitted_total", order_type="MKT") == 0


def test_orders_that_are_never_sent_do_not_pile_up(instruments: Instruments, make_fact: MakeFact) -> None:
    for number in range(MAX_ORDERS_TO_SEND + 5):
        instruments.observe(make_fact(OrderIntended, order_ref=str(number)))
    assert len(instruments._types_to_send) == MAX_ORDERS_TO_SEND


@pytest.mark.parametrize(
    ("state", "reduces", "forbidden"),
    [
        (TradingState.ACTIVE, False, 0),
        (TradingState.REDUCE_ONLY, True, 0),
        (TradingState.REDUCE_ONLY, False, 1),
        (TradingState.HALTED, True, 1),
        (TradingState.PANIC, True, 0),
        (TradingState.PANIC, False, 1),
    ],
)
def test_an_order_that_the_trading_state_forbids_is_counted(
    instruments: Instruments,
    make_fact: MakeFact,
    value: Callable[..., float | None],
    state: TradingState,
    reduces: bool,
    forbidden: int,
) -> None:
    intended = make_fact(OrderIntended)
    approved = type(intended.approved)(intent=intended.approved.intent, reduces=reduces)
    instruments.observe(make_fact(TradingStateChanged, new=state))
    instruments.observe(make_fact(OrderIntended, approved=approved))
    assert value("trader_orders_while_halted_total") == forbidden


def test_quotes_that_were_conflated_are_counted_one_by_one(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    assert value("trader_market_data_quotes_conflated_total") == 0
    for superseded in (400, 7):
        instruments.observe(make_fact(QuotesConflated, superseded=superseded))
    assert value("trader_market_data_quotes_conflated_total") == 407


def test_a_final_order_is_counted_with_whether_it_was_eligible(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(OrderFinalized, outcome=OrderOutcome.CANCELLED_BY_US, eligible=False))
    assert value("trader_orders_final_total", outcome="cancelled_by_us", eligible="false") == 1


def test_a_fill_is_timed_and_its_slippage_taken_with_its_sign(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(FillBooked, fill_duration_s=0.3, slippage_ratio=-0.0003))
    assert value("trader_order_fill_duration_seconds_sum") == pytest.approx(0.3)
    slippage = instruments.slippage.freeze()
    assert dict(zip(slippage.bounds, slippage.counts, strict=False))[-0.0002] == 1


def test_a_fill_without_duration_or_price_to_compare_is_not_timed(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(FillBooked, fill_duration_s=None, slippage_ratio=float("nan")))
    assert value("trader_order_fill_duration_seconds_count") == 0
    assert instruments.slippage.freeze().count == 0


@pytest.mark.parametrize(
    ("code", "error_class", "label"),
    [
        (1100, "connectivity", "1100"),
        (4711, "unknown", "other"),
        (1100, "notice", "other"),
        (503, "connectivity", "other"),
        (201, "order_rejected", "201"),
    ],
)
def test_a_broker_error_is_counted_by_its_code_when_that_is_known(
    instruments: Instruments,
    make_fact: MakeFact,
    value: Callable[..., float | None],
    code: int,
    error_class: str,
    label: str,
) -> None:
    instruments.observe(make_fact(BrokerErrorReceived, code=code, error_class=ErrorClass(error_class)))
    assert value("trader_broker_errors_total", **{"class": error_class, "code": label}) == 1


def test_a_link_that_is_back_is_a_notice_and_no_error(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(BrokerErrorReceived, code=1102, error_class=ErrorClass.CONNECTIVITY))
    assert value("trader_broker_errors_total", **{"class": "notice", "code": "1102"}) == 1
    assert value("trader_broker_errors_total", **{"class": "connectivity", "code": "other"}) == 0


def test_the_first_session_of_a_run_is_no_reconnect(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(BrokerConnectedReceived))
    assert value("trader_broker_reconnects_total", outcome="connected") == 0
    instruments.observe(make_fact(BrokerDisconnectedReceived, reason=DisconnectReason.HEARTBEAT_LOST))
    instruments.observe(make_fact(ConnectFailedReceived))
    instruments.observe(make_fact(BrokerConnectedReceived))
    assert value("trader_broker_disconnects_total", reason="heartbeat_lost") == 1
    assert value("trader_broker_reconnects_total", outcome="failed") == 1
    assert value("trader_broker_reconnects_total", outcome="connected") == 1


def test_a_refusal_is_counted_by_its_rule(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(IntentRefused, rule=RiskRule.STALE_QUOTE, quantity=Decimal(1)))
    assert value("trader_risk_blocks_total", rule="stale_quote") == 1


def test_a_heartbeat_is_timed(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(HeartbeatReceived, duration_s=0.02))
    assert value("trader_broker_heartbeat_duration_seconds_bucket", le="0.025") == 1


def test_a_reload_with_problems_is_refused_and_changes_no_time_of_success(
    instruments: Instruments, make_fact: MakeFact, value: Callable[..., float | None]
) -> None:
    instruments.observe(make_fact(ReloadFinished, problems=("risk: no",)))
    assert instruments.reloaded_at is None
    fact = make_fact(ReloadFinished, problems=())
    instruments.observe(fact)
    assert instruments.reloaded_at == fact.at
    assert value("trader_config_reload_total", outcome="refused") == 1
    assert value("trader_config_reload_total", outcome="applied") == 1


def test_nothing_exports_when_it_was_created(instruments: Instruments, registry: CollectorRegistry) -> None:
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert not [name for name in names if name.endswith("_created")]


def test_a_timer_says_that_the_engine_came_round(clock: ManualClock, make_fact: MakeFact) -> None:
    ticks = LoopTicks(clock)
    Instruments(new_registry(), ticks).observe(make_fact(TimerElapsed))
    clock.advance(timedelta(seconds=3))
    assert ticks.ages_s() == {"engine": 3.0}


def test_a_loop_that_is_late_is_seen_in_the_lag(clock: ManualClock, instruments: Instruments) -> None:
    from prometheus_client import Histogram

    registry = new_registry()
    monitor = LoopMonitor(LoopTicks(clock), Histogram("lag", "Lag.", registry=registry, buckets=(0.01, 1.0)), clock)
    monitor.expect_in(0.1)
    clock.advance(timedelta(seconds=0.6))
    monitor.observe_tick()
    assert registry.get_sample_value("lag_sum") == pytest.approx(0.5)


def test_a_loop_that_is_not_in_the_catalogue_is_refused(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="not a loop of the catalogue"):
        LoopTicks(clock).tick("side")
