"""The panic procedure: what it wants next, for every answer of the broker."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from trader.clock import NANOSECONDS_PER_SECOND as SECOND
from trader.contracts import Instrument, Side
from trader.events import BrokerOrderStatus, BrokerStateReceived, OrderLine, PositionLine
from trader.flatten import NOTHING, FlattenPhase, FlattenProcedure

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
D = Decimal


def state(asked_s: float, positions: Any = (), orders: Any = ()) -> BrokerStateReceived:
    lines = (
        None
        if positions is None
        else tuple(
            PositionLine(instrument=Instrument(symbol=symbol), quantity=D(quantity), average_cost=D(1))
            for symbol, quantity in positions
        )
    )
    return BrokerStateReceived(
        at=NOW,
        requested_ns=int(asked_s * SECOND),
        positions=lines,
        open_orders=orders,
        completed_orders=(),
        executions=(),
    )


def order(ref: str, status: str = "Submitted") -> OrderLine:
    return OrderLine(
        order_id=1,
        perm_id=ord(ref),
        client_id=1,
        order_ref=ref,
        symbol="AAPL",
        side=Side.SELL,
        quantity=D(1),
        filled=D(0),
        status=BrokerOrderStatus(status),
    )


def at(seconds: float) -> int:
    return int(seconds * SECOND)


def begun() -> FlattenProcedure:
    procedure = FlattenProcedure(at(0))
    assert procedure.begin(at(0)).cancel_all
    return procedure


def test_it_cancels_and_asks_first() -> None:
    step = FlattenProcedure(at(0)).begin(at(0))
    assert (step.cancel_all, step.ask, step.orders) == (True, True, ())


def test_flat_and_quiet_is_done_at_once_and_stays_so() -> None:
    procedure = begun()
    assert procedure.on_state(state(0.1), (), at(0.2)).note
    assert procedure.phase is FlattenPhase.DONE
    assert procedure.on_timer(at(60)) == NOTHING
    assert procedure.begin(at(61)) == NOTHING
    assert procedure.on_state(state(62, [("AAPL", 5)]), (), at(62)) == NOTHING


def test_unknown_is_not_flat() -> None:
    procedure = begun()
    assert procedure.on_state(state(1, None), (), at(1)) == NOTHING
    assert procedure.on_state(state(1, (), None), (), at(1)) == NOTHING
    assert procedure.phase is FlattenPhase.CANCELLING


def test_it_asks_again_every_second_and_cancels_again_while_it_cancels() -> None:
    procedure = begun()
    assert procedure.on_timer(at(0.9)) == NOTHING
    step = procedure.on_timer(at(1))
    assert (step.ask, step.cancel_all) == (True, True)
    procedure.on_state(state(1, [("AAPL", 5)]), (), at(1.1))
    step = procedure.on_timer(at(2.2))
    assert (step.ask, step.cancel_all) == (True, False)


def test_it_closes_longs_and_shorts_at_once() -> None:
    step = begun().on_state(state(0.1, [("AAPL", 5), ("MSFT", -7), ("IBM", 0)]), (), at(0.2))
    assert [(o.instrument.symbol, o.side, o.quantity) for o in step.orders] == [
        ("AAPL", Side.SELL, 5),
        ("MSFT", Side.BUY, 7),
    ]


def test_orders_that_live_hold_it_up_for_five_seconds_and_ended_ones_do_not() -> None:
    procedure = begun()
    held = [("AAPL", 5)]
    assert procedure.on_state(state(4, held, (order("x"),)), (), at(4.9)) == NOTHING
    assert procedure.on_state(state(4, held, (order("x"),)), (), at(5)).orders
    assert begun().on_state(state(1, held, (order("x", "Cancelled"), order("y", "Filled"))), (), at(1)).orders


def test_a_new_connection_gives_cancels_their_time_again() -> None:
    procedure = begun()
    procedure.begin(at(100))
    assert procedure.on_state(state(101, [("AAPL", 5)], (order("x"),)), (), at(104)) == NOTHING


def test_it_waits_while_a_closing_order_lives() -> None:
    procedure = begun()
    procedure.on_state(state(0.1, [("AAPL", 5)]), (), at(0.2))
    assert procedure.on_state(state(30, [("AAPL", 5)], (order("c"),)), ("c",), at(30)) == NOTHING
    assert procedure.phase is FlattenPhase.FLATTENING


def test_positions_are_believed_only_a_moment_after_the_last_order_ended() -> None:
    procedure = begun()
    procedure.on_state(state(0.1, [("AAPL", 5)]), (), at(0.2))
    procedure.on_order_final(at(10))
    assert procedure.on_state(state(9, [("AAPL", 5)]), (), at(11)) == NOTHING
    assert procedure.on_state(state(10.9, [("AAPL", 5)]), (), at(11)) == NOTHING
    assert procedure.on_state(state(11, [("AAPL", 2)]), (), at(12)).orders[0].quantity == 2


def test_closing_orders_that_come_to_nothing_are_tried_again_with_growing_pauses() -> None:
    procedure, placed = begun(), []
    for second in range(1, 400):
        if procedure.on_state(state(second, [("AAPL", 5)]), (), at(second)).orders:
            placed.append(second)
            procedure.on_order_final(at(second))
    pauses = [later - earlier for earlier, later in pairwise(placed)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_flat_with_orders_alive_is_not_done_and_cancels_them() -> None:
    procedure = begun()
    step = procedure.on_state(state(6, (), (order("x"),)), (), at(6))
    assert (step.cancel_all, procedure.phase) == (True, FlattenPhase.FLATTENING)
    procedure.on_state(state(7), (), at(7))
    assert procedure.phase is FlattenPhase.DONE
