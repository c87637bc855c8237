"""A journal that is away: no order of the strategy's, but cancels and the panic, and trading only after agreement."""

from decimal import Decimal
from typing import Any

import pytest

from trader.events import (
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    HaltRequested,
    JournalLostReceived,
    JournalRestoredReceived,
    OrderSendFailed,
    OrderState,
    PanicRequested,
    PlaceOrder,
)

PROBLEM = "no room is left on the disk"
SENTENCE = f"journal unavailable: {PROBLEM}"


@pytest.fixture
def away(desk: Any) -> Any:
    """A desk with a working order whose journal is away."""
    desk.want(100)
    lose(desk)
    desk.clear()
    return desk


def lose(desk: Any, problem: str = PROBLEM) -> Any:
    return desk.send(JournalLostReceived(at=desk.clock.now(), problem=problem, waiting=1))


def restore(desk: Any) -> Any:
    return desk.send(JournalRestoredReceived(at=desk.clock.now()))


def test_readiness_says_why(away: Any) -> None:
    snapshot = away.engine.snapshot()
    assert (snapshot.ready, snapshot.problems, snapshot.journal_problem) == (False, (SENTENCE,), PROBLEM)


def test_no_order_is_made_for_a_target(desk: Any) -> None:
    lose(desk)
    desk.want(100)
    assert desk.sent_commands("PlaceOrder") == []
    (refused,) = desk.told("IntentRefused")
    assert SENTENCE in refused.detail


def test_a_halt_still_cancels(away: Any) -> None:
    step = away.send(HaltRequested(at=away.clock.now(), source="operator", reason="x"))
    assert any(isinstance(command, CancelOrder) for command in step.commands)


def test_a_panic_still_cancels_and_flattens(away: Any) -> None:
    step = away.send(PanicRequested(at=away.clock.now(), source="operator"))
    assert any(isinstance(command, CancelAllOrders) for command in step.commands)
    away.elapse(6)
    held = away.answer(positions=(away.position("AAPL", 50),))
    closing = [command for command in held.commands if isinstance(command, PlaceOrder)]
    assert [(c.approved.reduces, c.approved.intent.terms.quantity) for c in closing] == [(True, Decimal(50))]


def test_an_order_that_was_held_back_ends_as_not_sent(desk: Any) -> None:
    desk.want(100)
    (order,) = desk.core.orders.open()
    desk.send(OrderSendFailed(at=desk.clock.now(), order_ref=order.order_ref, detail=SENTENCE))
    assert order.state is OrderState.NOT_SENT


def test_it_trades_again_only_when_the_broker_agrees(desk: Any) -> None:
    lose(desk)
    early = desk.state()
    desk.elapse(0.1)
    step = restore(desk)
    assert [type(command).__name__ for command in step.commands] == ["RequestBrokerState"]
    assert desk.core.problems == ("not reconciled since the journal was away",)
    desk.send(early)
    assert desk.core.problems == ("not reconciled since the journal was away",)
    assert isinstance(early, BrokerStateReceived)
    desk.answer()
    assert desk.core.problems == ()


def test_a_journal_that_is_back_while_disconnected_leaves_it_to_the_connection(desk: Any) -> None:
    lose(desk)
    desk.disconnect()
    assert restore(desk).commands == []
    assert "not connected to the gateway" in desk.core.problems[0]
