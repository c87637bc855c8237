"""The broker's truth against ours: pure comparisons, no decisions.

Rules: an answer that did not come is ``None`` and leads to nothing; an empty answer means "none". Orders
are matched by reference, then permId, never by order id alone. An order of ours that none of open orders,
completed orders and executions know is "not found" only when all three answered and it was sent well
before they were asked.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trader.contracts import ZERO
from trader.events import (
    BrokerStateReceived,
    MismatchKind,
    OrderLine,
    OrderState,
    OrderTrigger,
)
from trader.orders import DEAD_STATUSES, Order, Orders, has_ended, live_lines


class OrderUpdate(msgspec.Struct, frozen=True, gc=False):
    """What the broker's answers say happened to one order of ours; ``order_id`` is the living one's, or 0."""

    order_ref: str
    trigger: OrderTrigger
    perm_id: int
    detail: str
    order_id: int = 0


class Mismatch(msgspec.Struct, frozen=True, gc=False):
    kind: MismatchKind
    subject: str
    ours: str
    theirs: str


class OrderFindings(msgspec.Struct, frozen=True):
    """``foreign`` are live orders that are not in our books.

    ``duplicates`` live beyond the one order that a reference stands for, or although that one was filled long ago.
    """

    updates: tuple[OrderUpdate, ...]
    foreign: tuple[OrderLine, ...]
    duplicates: tuple[OrderLine, ...]


def unanswered(state: BrokerStateReceived) -> tuple[str, ...]:
    """The names of the requests whose answer is not known."""
    answers = {
        "positions": state.positions,
        "open orders": state.open_orders,
        "completed orders": state.completed_orders,
        "executions": state.executions,
    }
    return tuple(name for name, answer in answers.items() if answer is None)


def order_findings(
    orders: Orders, state: BrokerStateReceived, settled: frozenset[str], client_id: int | None = None
) -> OrderFindings:
    """Compare the order books. ``settled`` are the references sent, or filled, long enough before the request.

    ``client_id`` is this client's own, whose order is rather meant by a reference than another client's.
    """
    lines: dict[str, list[OrderLine]] = {}
    foreign: list[OrderLine] = []
    for line in live_lines(state.open_orders or ()):
        order = orders.find(order_ref=line.order_ref, perm_id=line.perm_id)
        if order is None:
            foreign.append(line)
        else:
            lines.setdefault(order.order_ref, []).append(line)
    live: dict[str, OrderLine] = {}
    duplicates: list[OrderLine] = []
    for ref, found in lines.items():
        meant = orders.get(ref)
        if meant is not None and meant.state is not OrderState.FILLED:
            live[ref] = _likest(found, meant, client_id)
            duplicates += [line for line in found if line is not live[ref]]
        elif ref in settled:
            duplicates += found
    updates = [
        OrderUpdate(
            order_ref=ref,
            trigger=OrderTrigger.FOUND_OPEN,
            perm_id=line.perm_id,
            detail=f"open at the broker: {line.status}",
            order_id=line.order_id if line.client_id == client_id else 0,
        )
        for ref, line in live.items()
    ]
    completed = _completed_by_ref(orders, state)
    for order in orders.open():
        if order.order_ref not in live:
            update = _gone(order, completed.get(order.order_ref), state, order.order_ref in settled)
            if update is not None:
                updates.append(update)
    return OrderFindings(tuple(updates), tuple(foreign), tuple(duplicates))


def _likest(lines: list[OrderLine], order: Order, client_id: int | None) -> OrderLine:
    """The one of ``lines`` that is most surely ``order``."""
    return max(lines, key=lambda line: (line.perm_id in order.perm_ids, line.client_id == client_id))


def _completed_by_ref(orders: Orders, state: BrokerStateReceived) -> dict[str, OrderLine]:
    found: dict[str, OrderLine] = {}
    for line in (*(state.open_orders or ()), *(state.completed_orders or ())):
        order = orders.find(order_ref=line.order_ref, perm_id=line.perm_id)
        if order is not None and has_ended(line) and order.may_be(line.perm_id):
            found[order.order_ref] = line
    return found


def _gone(order: Order, completed: OrderLine | None, state: BrokerStateReceived, settled: bool) -> OrderUpdate | None:
    if state.open_orders is None:
        return None
    if completed is not None and state.executions is None and completed.filled > order.filled:
        return None  # it ended, but not before its executions are known: the next order is sized by them
    if completed is not None and completed.status in DEAD_STATUSES:
        return OrderUpdate(order.order_ref, OrderTrigger.CANCELLED, completed.perm_id, "completed at the broker")
    if not settled or state.completed_orders is None or state.executions is None:
        return None
    detail = "the broker does not know it" if completed is None else "filled at the broker, but it has no execution"
    return OrderUpdate(order.order_ref, OrderTrigger.NOT_FOUND, 0, detail)


def position_mismatches(ours: Mapping[str, Decimal], state: BrokerStateReceived) -> tuple[Mismatch, ...]:
    """Positions that differ; empty also when the broker's positions are not known."""
    if state.positions is None:
        return ()
    theirs: dict[str, Decimal] = {}
    for line in state.positions:
        symbol = line.instrument.symbol
        theirs[symbol] = theirs.get(symbol, ZERO) + line.quantity
    return tuple(
        Mismatch(MismatchKind.POSITION, symbol, str(ours.get(symbol, ZERO)), str(theirs.get(symbol, ZERO)))
        for symbol in sorted(ours.keys() | theirs.keys())
        if ours.get(symbol, ZERO) != theirs.get(symbol, ZERO)
    )
