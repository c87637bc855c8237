"""Counts and latencies of one process."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import OrderType
from trader.events import (
    DecisionMade,
    DecisionOutcome,
    DecodeFailed,
    OrderAcknowledged,
    OrderFinalized,
    OrderOutcome,
    RequestFinished,
    RequestKind,
    RequestOutcome,
    SignalChanged,
    StrategyFailed,
)
from trader.snapshot import ActivityView
from trader.statistics import Statistics

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)


def after(*facts: Any, ticks: int = 0) -> ActivityView:
    statistics = Statistics("s")
    for fact in facts:
        statistics.observe(fact)
    return statistics.freeze(ticks)


def decision(outcome: DecisionOutcome) -> DecisionMade:
    return DecisionMade(at=NOW, strategy="s", symbol="AAPL", outcome=outcome, duration_s=0.2, data_age_s=0.5)


def final(outcome: OrderOutcome, eligible: bool = True) -> OrderFinalized:
    return OrderFinalized(
        at=NOW,
        order_ref="a",
        symbol="AAPL",
        order_type=OrderType.LIMIT,
        outcome=outcome,
        eligible=eligible,
        filled=Decimal(0),
        duration_s=1.0,
    )


def request(outcome: RequestOutcome) -> RequestFinished:
    return RequestFinished(at=NOW, kind=RequestKind.POSITIONS, outcome=outcome, duration_s=0.1)


@pytest.mark.parametrize(
    ("fact", "failed"),
    [
        (decision(DecisionOutcome.ENTER), 0),
        (decision(DecisionOutcome.BLOCKED), 0),
        (decision(DecisionOutcome.ERROR), 1),
        (final(OrderOutcome.FILLED), 0),
        (final(OrderOutcome.UNFILLED), 0),
        (final(OrderOutcome.REJECTED), 1),
        (final(OrderOutcome.ERROR), 1),
        (request(RequestOutcome.OK), 0),
        (request(RequestOutcome.TIMEOUT), 1),
        (request(RequestOutcome.ERROR), 1),
        (DecodeFailed(at=NOW, message_kind="x", detail="", critical=True), 1),
        (StrategyFailed(at=NOW, strategy="s", symbol="", error=""), 1),
    ],
)
def test_what_counts_as_an_error(fact: Any, failed: int) -> None:
    assert after(fact).errors == failed


def test_the_fill_rate_counts_eligible_orders_only() -> None:
    view = after(
        final(OrderOutcome.FILLED),
        final(OrderOutcome.UNFILLED),
        final(OrderOutcome.PARTIAL),
        final(OrderOutcome.CANCELLED_BY_US, eligible=False),
    )
    assert (view.orders_final, view.orders_eligible, view.orders_eligible_filled) == (4, 3, 1)


def test_holds_are_decisions_too() -> None:
    statistics = Statistics("s")
    for _ in range(3):
        statistics.hold(0.001)
    statistics.observe(decision(DecisionOutcome.ENTER))
    view = statistics.freeze(ticks=9)
    assert (view.decisions, view.holds, view.ticks) == (4, {"s": 3}, 9)
    assert view.decision_duration.count == 4
    assert view.decision_duration.share_within(0.1) == 0.75


def test_acknowledgements_and_signals_are_counted() -> None:
    signal = SignalChanged(
        at=NOW, strategy="s", symbol="A", previous=Decimal(0), target=Decimal(1), price=1.0, reason=""
    )
    view = after(OrderAcknowledged(at=NOW, order_ref="a", duration_s=1.5), signal)
    assert (view.signals, view.ack_duration.share_within(2.0)) == (1, 1.0)
