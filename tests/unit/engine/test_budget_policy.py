"""The budget policy in the engine: entries stop, exits go on, and nobody else's word is undone."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import TradingState
from trader.events import (
    AlertLine,
    HaltRequested,
    MetricsScraped,
    PanicRequested,
    PolicyAlertsReceived,
    PolicyOverrideRequested,
    PolicyState,
    ReduceOnlyRequested,
    ResumeRequested,
)

GONE = AlertLine(key="k", name="SLOBudgetExhausted", slo="decision_latency", firing=True)
BACK = AlertLine(key="k", name="SLOBudgetExhausted", slo="decision_latency", firing=False)


def hear(desk: Any, *lines: AlertLine) -> None:
    desk.send(MetricsScraped(at=desk.clock.now(), monotonic_ns=desk.now_ns))
    desk.send(PolicyAlertsReceived(at=desk.clock.now(), alerts=lines, heartbeat=None, monotonic_ns=desk.now_ns))


def override(desk: Any, seconds: float | None) -> None:
    until = None if seconds is None else desk.clock.now() + timedelta(seconds=seconds)
    desk.send(PolicyOverrideRequested(at=desk.clock.now(), source="operator", reason="known cause", until=until))


def state(desk: Any) -> TradingState:
    return desk.engine.trading_state  # type: ignore[no-any-return]


def test_an_exhausted_budget_refuses_entries_and_allows_exits(desk: Any) -> None:
    desk.hold(10)
    hear(desk, GONE)
    assert state(desk) is TradingState.REDUCE_ONLY
    desk.want(10, "MSFT")
    assert desk.told("IntentRefused")[-1].rule == "reduce_only"
    desk.want(0)
    assert desk.last.approved.reduces
    assert desk.last.approved.intent.terms.quantity == Decimal(10)


def test_it_never_flattens_by_itself(desk: Any) -> None:
    desk.hold(10)
    desk.clear()
    hear(desk, GONE)
    desk.wait(30)
    assert desk.commands == []
    assert desk.held == 10


def test_caution_changes_nothing_about_trading(desk: Any) -> None:
    hear(desk, AlertLine(key="k", name="SLOBurnFast", slo="decision_latency", firing=True))
    assert state(desk) is TradingState.ACTIVE
    assert desk.engine.snapshot().policy.states == {"decision_latency": PolicyState.CAUTION}


def test_what_was_wanted_in_the_meantime_is_pursued_when_the_budget_is_back(desk: Any) -> None:
    hear(desk, GONE)
    desk.want(10)
    assert desk.placed == []
    hear(desk, BACK)
    assert state(desk) is TradingState.ACTIVE
    desk.skip(10)
    assert desk.last.approved.intent.terms.quantity == Decimal(10)


def test_every_change_is_a_durable_fact_and_survives_a_restart(desk: Any) -> None:
    hear(desk, GONE)
    kinds = [type(fact).__name__ for fact in desk.journal]
    assert kinds[-2:] == ["PolicyChanged", "TradingStateChanged"]
    later = desk.restart()
    assert state(later) is TradingState.REDUCE_ONLY
    later.ready()
    assert state(later) is TradingState.REDUCE_ONLY
    hear(later, BACK)
    assert state(later) is TradingState.ACTIVE


@pytest.mark.parametrize(
    ("stop", "stopped"),
    [
        (lambda at: HaltRequested(at=at, source="operator", reason="lunch"), TradingState.HALTED),
        (lambda at: PanicRequested(at=at, source="operator"), TradingState.PANIC),
        (lambda at: ReduceOnlyRequested(at=at, source="operator", reason="tired"), TradingState.REDUCE_ONLY),
    ],
    ids=["halt", "panic", "reduce only"],
)
@pytest.mark.parametrize("first", ["policy", "operator"])
def test_a_budget_that_is_back_does_not_undo_an_operators_word(
    desk: Any, stop: Callable[..., Any], stopped: TradingState, first: str
) -> None:
    events = [lambda: hear(desk, GONE), lambda: desk.send(stop(desk.clock.now()))]
    for event in events if first == "policy" else reversed(events):
        event()
    assert state(desk) is stopped
    hear(desk, BACK)
    desk.wait(5)
    assert state(desk) is stopped


def test_a_strategy_that_fails_meanwhile_stays_stopped(desk: Any) -> None:
    hear(desk, GONE)
    desk.strategy.answer = RuntimeError("broken")
    desk.quote()
    hear(desk, BACK)
    assert state(desk) is TradingState.REDUCE_ONLY
    assert desk.told("TradingStateChanged")[-1].source == "strategy"


def test_a_daily_loss_that_is_reached_meanwhile_stays(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(risk={"daily_loss_limit": 50, "max_order_quantity": 1000}).ready()
    desk.hold(100)
    hear(desk, GONE)
    desk.quote(bid=99.0, ask=99.02)
    desk.elapse(0.1)
    hear(desk, BACK)
    assert state(desk) is TradingState.REDUCE_ONLY
    assert desk.told("TradingStateChanged")[-1].source == "risk"


def test_a_resume_does_not_open_positions_against_the_policy(desk: Any) -> None:
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="lunch"))
    hear(desk, GONE)
    desk.send(ResumeRequested(at=desk.clock.now(), source="operator"))
    assert state(desk) is TradingState.REDUCE_ONLY
    assert "trader policy override" in desk.engine.policy_notice()
    hear(desk, BACK)
    assert state(desk) is TradingState.ACTIVE


def test_an_override_opens_positions_until_it_expires(desk: Any) -> None:
    hear(desk, GONE)
    override(desk, 60)
    assert state(desk) is TradingState.ACTIVE
    assert desk.engine.policy_notice() is None
    desk.wait(59)
    assert state(desk) is TradingState.ACTIVE
    desk.wait(2)
    assert state(desk) is TradingState.REDUCE_ONLY
    assert [fact.until is None for fact in desk.told("PolicyOverridden")] == [False, True]


def test_an_override_survives_a_restart_and_expires_after_it(desk: Any) -> None:
    hear(desk, GONE)
    override(desk, 60)
    later = desk.restart().ready()
    assert state(later) is TradingState.ACTIVE
    later.wait(61)
    assert state(later) is TradingState.REDUCE_ONLY


def test_an_override_can_be_ended_and_ending_none_is_no_news(desk: Any) -> None:
    override(desk, None)
    assert desk.told("PolicyOverridden") == []
    hear(desk, GONE)
    override(desk, 60)
    override(desk, None)
    assert state(desk) is TradingState.REDUCE_ONLY


def test_an_override_lasts_at_most_as_long_as_is_configured(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(policy={"override_max_s": 100}).ready()
    override(desk, 10_000)
    until = desk.engine.snapshot().policy.override_until
    assert (until - desk.clock.now()).total_seconds() == 100


def test_an_override_does_not_undo_a_halt(desk: Any) -> None:
    hear(desk, GONE)
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="lunch"))
    override(desk, 60)
    assert state(desk) is TradingState.HALTED


def test_an_orders_decision_names_the_order(desk: Any) -> None:
    desk.want(10)
    assert desk.told("DecisionMade")[-1].order_ref == desk.last.order_ref
    asked_ns, approved_ns = desk.told("OrderIntended")[-1].risk_ns
    assert asked_ns <= approved_ns
