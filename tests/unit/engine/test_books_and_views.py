"""What the engine books and shows: commissions, profit and loss, staleness, the snapshot."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from trader.contracts import OrderType
from trader.events import CommissionLine, MarketDataMode, MarketDataModeReceived, PositionAdopted
from trader.settings import RiskSettings


def pnl(desk: Any) -> tuple[Any, ...]:
    view = desk.engine.snapshot().pnl_base
    return view.realized, view.unrealized, view.commission, view.fees, view.commissions_missing


def test_profit_and_loss_has_its_components_and_adds_up(desk: Any) -> None:
    desk.hold(100, price="100.00")
    desk.want(40, bid=102.00, ask=102.02)
    desk.sent()
    desk.fill(60, "102.00", exec_id="x.01")
    desk.commission("x.01", "0.50")
    desk.quote(bid=103.00, ask=103.02)
    assert pnl(desk) == (120, Decimal("120.40"), Decimal("-1.50"), 0, 0)
    snapshot = desk.engine.snapshot()
    assert snapshot.pnl_base.net == snapshot.pnl_net_cumulative == Decimal("238.90")
    assert snapshot.pnl_base.gross == Decimal("240.40")


def test_a_commission_is_missing_late_early_repeated_or_replaced(desk: Any) -> None:
    desk.work(100)
    desk.commission("late.01", "-1")
    assert desk.told("CommissionBooked") == [], "minus one is how a gateway says that it does not know yet"
    desk.commission("early.01", "0.60")
    desk.fill(40, exec_id="early.01")
    desk.fill(60, exec_id="late.01")
    assert pnl(desk)[2:] == (Decimal("-0.60"), 0, 1)
    for _ in range(2):
        desk.commission("late.01", "0.90")
    assert pnl(desk)[2:] == (Decimal("-1.50"), 0, 0)
    desk.commission("late.01", "0.80")
    assert pnl(desk)[2:] == (Decimal("-1.40"), 0, 0)
    assert len(desk.told("CommissionBooked")) == 3


def test_the_oldest_missing_commission_is_told_until_it_is_reported(desk: Any) -> None:
    desk.work(100)
    booked_at = desk.clock.now()
    desk.fill(40, exec_id="first.01")
    desk.elapse(60)
    desk.fill(60, exec_id="second.01")
    assert desk.engine.snapshot().commission_missing_since == booked_at
    desk.commission("first.01", "0.60")
    assert desk.engine.snapshot().commission_missing_since > booked_at
    desk.commission("second.01", "0.60")
    assert desk.engine.snapshot().commission_missing_since is None


def test_what_a_fill_cost_is_booked_also_after_the_brokers_position_was_taken(desk: Any) -> None:
    desk.work(100)
    desk.fill(100, exec_id="before.01")
    line = desk.position("AAPL", 70, cost="100")
    desk.core.apply(PositionAdopted(at=desk.clock.now(), line=line))
    for _ in range(2):
        desk.commission("before.01", "0.60")
    assert pnl(desk)[2:] == (Decimal("-0.60"), 0, 0)
    desk.commission("before.02", "0.70")
    assert pnl(desk)[2:] == (Decimal("-0.60"), 0, 0), "what was settled with the position is not corrected"


def test_repeating_all_commissions_with_every_answer_books_nothing_again(desk: Any) -> None:
    desk.hold(100)
    desk.hear(desk.execution(100, order=desk.placed[0], exec_id="h1.02"))
    desk.commission("h1.02", "0.80")
    desk.clear()
    lines = tuple(
        CommissionLine(exec_id=exec_id, amount=Decimal(amount), currency="USD")
        for exec_id, amount in (("h1.01", "1.00"), ("h1.02", "0.80"))
    )
    for _ in range(3):
        desk.answer(commissions=lines)
    assert desk.told("CommissionBooked") == []
    assert pnl(desk)[2] == Decimal("-0.80")


def test_drawdown_is_counted_within_the_session(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(session={"flatten_before_close_s": 0}, risk={"daily_loss_limit": 10_000}).ready()
    desk.hold(100, price="100.00")
    for bid in (104.99, 102.99):
        desk.quote(bid=bid, ask=bid + 0.02)
        desk.elapse(1)
    assert desk.engine.snapshot().risk.drawdown_ratio == 0.002
    desk.elapse(23 * 3600)
    assert desk.engine.snapshot().session_open
    assert desk.engine.snapshot().risk.drawdown_ratio == 0.0


def test_staleness_is_told_once_when_it_begins_and_once_when_it_ends(desk: Any) -> None:
    desk.elapse(14)
    desk.quote("MSFT")
    desk.elapse(2)
    desk.elapse(1)
    (stale,) = desk.told("QuoteStalenessChanged")
    assert (stale.symbol, stale.stale, stale.age_s) == ("AAPL", True, 16.0)
    assert desk.engine.snapshot().market_data.stale == 1
    desk.quote("AAPL")
    desk.elapse(1)
    assert [(fact.symbol, fact.stale) for fact in desk.told("QuoteStalenessChanged")][1:] == [("AAPL", False)]


def test_without_a_link_quotes_grow_stale_and_are_said_to(desk: Any) -> None:
    desk.disconnect()
    desk.elapse(20)
    view = desk.engine.snapshot().market_data
    assert (view.subscribed, view.stale) == (0, 2)


def test_the_snapshot_shows_orders_positions_and_quotes(desk: Any) -> None:
    desk.hold(100, price="100.00")
    desk.work(-50, "MSFT")
    desk.send(MarketDataModeReceived(at=desk.clock.now(), symbol="MSFT", mode=MarketDataMode.DELAYED))
    snapshot = desk.engine.snapshot()
    (position,) = snapshot.positions
    assert (position.symbol, position.quantity, position.mark) == ("AAPL", 100, Decimal("100.010"))
    assert (position.market_value, position.unrealized) == (Decimal("10001.000"), Decimal("1.000"))
    (order,) = snapshot.open_orders
    assert (order.symbol, order.quantity, order.order_type, order.cancel_requested) == (
        "MSFT",
        50,
        OrderType.LIMIT,
        False,
    )
    assert snapshot.market_data.mode is MarketDataMode.DELAYED
    assert (snapshot.risk.gross_exposure, snapshot.risk.net_exposure) == (Decimal("15001.500"), Decimal("10001.000"))
    assert (snapshot.activity.signals, snapshot.activity.orders_submitted, snapshot.activity.fills) == (2, 2, 1)
    assert snapshot.orders_unknown == 0


def test_an_unknown_and_an_unanswered_order_are_counted(desk: Any) -> None:
    desk.want(100)
    desk.disconnect()
    snapshot = desk.engine.snapshot()
    assert (snapshot.orders_unknown, snapshot.oldest_unacknowledged_at) == (1, desk.clock.now())


def test_new_limits_count_from_the_next_order_on(desk: Any) -> None:
    desk.hold(100)
    settings = desk.settings.model_copy(update={"risk": RiskSettings(max_order_notional=Decimal(100))})
    desk.engine.reconfigure(settings)
    desk.want(50, "MSFT")
    assert [fact.rule.value for fact in desk.told("IntentRefused")] == ["order_notional"]


def test_what_a_position_lost_before_it_was_adopted_is_not_this_sessions_loss(make_desk: Callable[..., Any]) -> None:
    desk = make_desk()
    desk.connect()
    desk.answer(positions=(desk.position("AAPL", 100, cost="150"),))
    assert pnl(desk)[1] is None
    desk.want(50, "MSFT")
    assert [fact.rule.value for fact in desk.told("IntentRefused")] == ["gross_exposure"], "not known, so no entry"
    desk.quote()
    desk.elapse(1)
    assert [fact.unrealized for fact in desk.told("SessionValued")] == [Decimal("-4999.000")]
    assert pnl(desk)[1] == 0
    desk.quote(bid=101.00, ask=101.02)
    desk.elapse(1)
    assert pnl(desk)[1] == Decimal("100.000")
    assert desk.engine.snapshot().trading_state.value == "active"
    assert len(desk.told("SessionValued")) == 1


def test_a_position_kept_overnight_counts_from_the_first_mark_after_a_restart(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(session={"flatten_before_close_s": 0}).ready()
    desk.hold(100, price="100.00")
    desk.clock.advance(timedelta(hours=23))
    later = desk.restart()
    later.elapse(0)
    assert later.told("SessionOpened")[0].unrealized is None
    later.connect()
    later.answer()
    later.quote(bid=89.99, ask=90.01)
    later.elapse(1)
    assert later.engine.snapshot().trading_state.value == "active"
    later.quote(bid=74.99, ask=75.01)
    later.elapse(1)
    assert pnl(later)[1] == -1500, "not what was lost since it was bought"
    again = later.restart()
    again.quote(bid=74.99, ask=75.01)
    again.elapse(1)
    assert pnl(again)[1] == -1500, "a restart forgets nothing"
    assert again.told("SessionValued") == []
