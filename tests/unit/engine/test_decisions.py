"""From a quote to an order: strategies, targets, plans, refusals, and the operator's states."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import OrderType, Side, TradingState
from trader.events import (
    AccountValue,
    AccountValuesReceived,
    BadTickReason,
    DecisionOutcome,
    HaltRequested,
    OrderOutcome,
    ReduceOnlyRequested,
    ResumeRequested,
    RiskRule,
    StartReason,
)
from trader.strategy.api import Target


def terms(placed: Any) -> tuple[Side, int]:
    found = placed.approved.intent.terms
    return found.side, int(found.quantity)


def refusals(desk: Any) -> list[RiskRule]:
    return [fact.rule for fact in desk.told("IntentRefused")]


def resume(desk: Any) -> None:
    desk.send(ResumeRequested(at=desk.clock.now(), source="operator"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2013-10-07T{text}").replace(tzinfo=UTC)


# -- towards the target


def test_it_places_nothing_while_an_order_is_live_or_unknown_on_the_instrument(desk: Any) -> None:
    desk.work(100)
    desk.want(200)
    desk.want(300)
    assert len(desk.placed) == 1
    desk.disconnect()
    desk.connect()
    desk.want(250)
    assert len(desk.placed) == 1


def test_a_reversal_takes_an_exit_and_then_an_entry(desk: Any) -> None:
    desk.hold(100)
    desk.clear()
    desk.want(-50)
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 100)]
    assert desk.last.approved.reduces
    desk.sent()
    desk.fill(100, "99.99")
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 100), (Side.SELL, 50)]
    assert not desk.last.approved.reduces


def test_a_large_exit_goes_in_slices(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(risk={"max_order_quantity": 100})
    desk.truth["AAPL"] = Decimal(250)
    desk.ready()
    desk.want(0)
    for _ in range(3):
        desk.sent()
        desk.fill(int(desk.last.approved.intent.terms.quantity), "99.99")
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 100), (Side.SELL, 100), (Side.SELL, 50)]
    assert desk.held == 0


def test_a_superseded_order_is_cancelled_and_the_new_plan_follows_at_once(desk: Any) -> None:
    order = desk.work(100)
    desk.fill(40, order=order)
    desk.clear()
    desk.want(-10)
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [order.order_id]
    desk.want(-10)
    desk.quote()
    assert len(desk.sent_commands("CancelOrder")) == 1, "one cancel is enough"
    assert desk.placed == []
    desk.status("Cancelled", filled=40, order=order)
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 40)]


def test_an_order_on_the_way_to_a_further_target_is_left_to_work(desk: Any) -> None:
    order = desk.work(100)
    desk.want(150)
    assert desk.sent_commands("CancelOrder") == []
    desk.fill(100, order=order)
    assert terms(desk.last) == (Side.BUY, 50)


def test_a_superseded_order_that_fills_first_is_taken_into_account(desk: Any) -> None:
    order = desk.work(100)
    desk.want(30)
    desk.fill(100, order=order)
    assert terms(desk.last) == (Side.SELL, 70)


def test_a_market_order_has_no_price(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(execution={"order_type": OrderType.MARKET}).ready()
    desk.want(10)
    assert desk.last.approved.intent.terms.limit_price is None


# -- strategies


NONSENSE = {
    "raises": RuntimeError("boom"),
    "nothing iterable": 7,
    "none": None,
    "not a target": ("AAPL",),
    "unknown symbol": (Target("NOPE", Decimal(1), ""),),
    "symbol of no text": (Target(["AAPL"], Decimal(1), ""),),  # type: ignore[arg-type]
    "reason of no text": (Target("AAPL", Decimal(1), None),),  # type: ignore[arg-type]
    "fractional": (Target("AAPL", Decimal("0.5"), ""),),
    "not a number": (Target("AAPL", Decimal("NaN"), ""),),
    "infinite": (Target("AAPL", Decimal("Infinity"), ""),),
    "absurd": (Target("AAPL", Decimal("1e999999"), ""),),
    "a float": (Target("AAPL", 100.0, ""),),  # type: ignore[arg-type]
    "none quantity": (Target("AAPL", None, ""),),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_strategy_that_fails_is_suspended_and_only_exits_remain(desk: Any, name: str, scheduled: bool) -> None:
    desk.hold(100)
    desk.clear()
    desk.strategy.answer = NONSENSE[name]
    desk.schedule() if scheduled else desk.quote()
    assert len(desk.told("StrategyFailed")) == 1
    assert [fact.outcome for fact in desk.told("DecisionMade")] == [DecisionOutcome.ERROR]
    assert desk.core.trading_state is TradingState.REDUCE_ONLY
    asked = desk.strategy.asked
    desk.quote()
    assert desk.strategy.asked == asked
    assert desk.placed == []
    resume(desk)
    desk.quote()
    assert desk.strategy.asked == asked + 1


def test_a_strategy_that_raises_halfway_is_suspended(desk: Any) -> None:
    def targets() -> Any:
        yield Target("AAPL", Decimal(10), "")
        raise ValueError("halfway")

    desk.strategy.answer = targets()
    desk.quote()
    assert len(desk.told("StrategyFailed")) == 1
    assert desk.placed == []


class Slow:
    """Takes ``takes_s`` of the clock's time for a decision, and wants a position."""

    name = "slow"

    def __init__(self) -> None:
        self.clock: Any = None
        self.takes_s = 0.0
        self.asked = 0

    def on_quote(self, quote: Any, view: Any) -> Any:
        self.asked += 1
        if not self.takes_s:
            return []
        self.clock.advance(timedelta(seconds=self.takes_s))
        return [Target("AAPL", Decimal(100), "slowly")]

    def on_schedule(self, view: Any) -> Any:
        return self.on_quote(None, view)


@pytest.fixture
def slow_desk(make_desk: Any) -> Any:
    desk = make_desk(strategy=Slow()).ready()
    desk.strategy.clock = desk.clock
    return desk


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_strategy_that_takes_too_long_is_suspended_and_its_answer_is_not_followed(
    slow_desk: Any, scheduled: bool
) -> None:
    desk = slow_desk
    desk.strategy.takes_s = 1.5
    desk.clear()
    desk.schedule() if scheduled else desk.quote()
    (failed,) = desk.told("StrategyFailed")
    assert failed.error == "a decision took 1.50 s and may take 1 s (strategy.decision_time_max_s)"
    assert desk.core.trading_state is TradingState.REDUCE_ONLY
    assert desk.core.targets == {}
    asked = desk.strategy.asked
    desk.quote()
    assert desk.strategy.asked == asked
    assert desk.placed == []


def test_a_strategy_may_take_as_long_as_the_limit(slow_desk: Any) -> None:
    slow_desk.strategy.takes_s = 1.0
    slow_desk.clear()
    slow_desk.quote()
    assert slow_desk.told("StrategyFailed") == []


def test_a_suspended_strategy_stays_suspended_after_a_restart_until_an_operator_resumes(desk: Any) -> None:
    desk.strategy.answer = RuntimeError("broken")
    desk.quote()
    later = desk.restart().ready()
    asked = later.strategy.asked
    later.quote()
    assert later.strategy.asked == asked
    resume(later)
    later.quote()
    assert later.strategy.asked == asked + 1


def test_what_the_watchdog_ended_once_is_asked_again_and_twice_in_a_day_is_suspended(make_desk: Any) -> None:
    once = make_desk(reason=StartReason.WATCHDOG)
    assert once.core.trading_state is TradingState.ACTIVE
    twice = once.restart(reason=StartReason.WATCHDOG)
    assert twice.core.trading_state is TradingState.REDUCE_ONLY
    assert "the watchdog ended the service 2 times today" in twice.told("StrategyFailed")[0].error
    twice.ready()
    assert twice.strategy.asked == 0
    resume(twice)
    twice.quote()
    assert twice.strategy.asked == 1


def test_a_target_that_is_repeated_is_a_hold(desk: Any) -> None:
    desk.hold(100)
    before = desk.engine.snapshot().activity.holds.get("scripted", 0)
    desk.clear()
    desk.want(100)
    assert desk.facts == []
    assert desk.engine.snapshot().activity.holds["scripted"] == before + 1


def test_the_strategy_sees_its_own_targets_and_the_sessions_close(desk: Any) -> None:
    desk.want(100)
    desk.quote("MSFT")
    view = desk.strategy.view
    assert view.targets == {"AAPL": Decimal(100)}
    assert view.session_closes_at == at("20:00")
    assert set(view.quotes) == {"AAPL", "MSFT"}


def test_a_bad_tick_is_told_and_goes_nowhere(desk: Any) -> None:
    asked = desk.strategy.asked
    desk.quote(bid=101.0, ask=100.0)
    assert [fact.reason for fact in desk.told("BadTickDropped")] == [BadTickReason.CROSSED]
    assert desk.strategy.asked == asked


def test_a_decision_is_timed_from_what_caused_it(desk: Any) -> None:
    desk.work(100)
    desk.status("Cancelled")
    desk.clear()
    desk.wait(4)
    desk.requote()
    desk.elapse(2)
    (decision,) = desk.told("DecisionMade")
    assert decision.duration_s == 0.0
    assert decision.data_age_s == 2.0


# -- refusals


def test_a_refused_entry_is_told_with_its_rule_and_tried_again_later(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(risk={"max_order_notional": 5_000}).ready()
    desk.want(100)
    desk.requote()
    assert refusals(desk) == [RiskRule.ORDER_NOTIONAL]
    assert desk.told("DecisionMade")[-1].outcome is DecisionOutcome.BLOCKED
    desk.elapse(5)
    assert refusals(desk) == [RiskRule.ORDER_NOTIONAL] * 2
    assert desk.placed == []


def test_it_orders_nothing_on_a_stale_quote(desk: Any) -> None:
    desk.want(100)
    desk.sent()
    desk.status("Cancelled")
    desk.clear()
    desk.elapse(15.5)
    assert refusals(desk) == [RiskRule.STALE_QUOTE]
    assert desk.told("DecisionMade")[-1].outcome is DecisionOutcome.STALE
    assert desk.placed == []


def test_the_order_rate_counts_the_last_minute(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(risk={"max_orders_per_minute": 2}).ready()
    for quantity in (10, 20, 30):
        desk.want(quantity)
        if len(desk.placed) * 10 == quantity:
            desk.sent()
            desk.fill(10)
    assert refusals(desk) == [RiskRule.ORDER_RATE]
    desk.skip(59)
    assert len(desk.placed) == 2
    desk.skip(10)
    assert (len(desk.placed), terms(desk.last)) == (3, (Side.BUY, 10))


def test_the_order_rate_counts_what_an_earlier_process_sent(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(risk={"max_orders_per_minute": 2}).ready()
    desk.hold(100)
    desk.hold(-100)
    later = desk.restart().ready()
    later.want(100)
    assert refusals(later)[-1] is RiskRule.ORDER_RATE
    assert later.placed == []


def test_an_instrument_in_another_currency_needs_its_rate(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(symbols=({"symbol": "SAP", "currency": "EUR"}, "AAPL")).ready()
    desk.want(100, "SAP")
    assert refusals(desk) == [RiskRule.ORDER_NOTIONAL]
    values = (AccountValue("ExchangeRate", "EUR", "1.30"), AccountValue("ExchangeRate", "BASE", "1"))
    desk.send(AccountValuesReceived(at=desk.clock.now(), values=values))
    desk.elapse(5)
    assert terms(desk.last) == (Side.BUY, 100)
    assert desk.engine.snapshot().risk.gross_exposure == Decimal("100.01") * 100 * Decimal("1.30")


# -- the operator's states


def test_halted_cancels_everything_and_orders_nothing_not_even_exits(desk: Any) -> None:
    desk.hold(100)
    order = desk.work(50, "MSFT")
    desk.clear()
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="lunch"))
    assert [command.order_id for command in desk.sent_commands("CancelOrder")] == [order.order_id]
    desk.status("Cancelled", order=order)
    (final,) = desk.told("OrderFinalized")
    assert (final.outcome, final.eligible) == (OrderOutcome.CANCELLED_BY_US, False)
    desk.want(0)
    desk.elapse(10)
    assert desk.placed == []
    resume(desk)
    desk.requote()
    assert sorted(terms(placed) for placed in desk.placed) == [(Side.BUY, 50), (Side.SELL, 100)]


def test_reduce_only_lets_exits_through_and_nothing_else(desk: Any) -> None:
    desk.hold(100)
    desk.send(ReduceOnlyRequested(at=desk.clock.now(), source="operator", reason="careful"))
    desk.clear()
    desk.want(150)
    desk.want(50, "MSFT")
    assert refusals(desk) == [RiskRule.REDUCE_ONLY] * 2
    desk.want(-30)
    assert [terms(placed) for placed in desk.placed] == [(Side.SELL, 100)]
    desk.sent()
    desk.fill(100)
    desk.elapse(10)
    assert len(desk.placed) == 1
    assert desk.held == 0


def test_the_states_of_trading_stay_over_a_restart(desk: Any) -> None:
    desk.send(HaltRequested(at=desk.clock.now(), source="operator", reason="lunch"))
    later = desk.restart().ready()
    later.want(100)
    assert (later.core.trading_state, later.core.state_reason, later.placed) == (TradingState.HALTED, "lunch", [])


def test_the_daily_loss_limit_leads_to_reduce_only_once_and_again_after_a_resume(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(risk={"daily_loss_limit": 500}).ready()
    desk.hold(100, price="100.00")
    desk.quote(bid=95.01, ask=95.03)
    desk.elapse(1)
    assert desk.core.trading_state is TradingState.ACTIVE, "498 lost and 1 paid"
    desk.quote(bid=95.00, ask=95.02)
    desk.elapse(1)
    desk.elapse(1)
    (change,) = desk.told("TradingStateChanged")
    assert (change.new, change.source) == (TradingState.REDUCE_ONLY, "risk")
    desk.want(0, bid=95.00, ask=95.02)
    assert terms(desk.last) == (Side.SELL, 100)
    resume(desk)
    desk.elapse(1)
    assert desk.core.trading_state is TradingState.REDUCE_ONLY
