"""Our orders: the state machine as a table, and the book of them.

Rules: an unlisted transition raises and changes nothing. Executions decide: a fill counts in every state,
also after "cancelled". An order is known by its reference first, then by permId, and by order id only for
this client while nothing else is known, because IB's order ids can roll back. State changes through
``apply`` of durable facts alone, so that replaying the journal gives the same book.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from trader.contracts import ZERO, Side
from trader.events import (
    Approved,
    BrokerOrderStatus,
    CancelIntended,
    CancelReason,
    DurableFact,
    FillBooked,
    Intent,
    OrderAdopted,
    OrderIdsReserved,
    OrderIntended,
    OrderLine,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
)

S, T = OrderState, OrderTrigger

DEAD_STATUSES: Final = frozenset(
    {BrokerOrderStatus.CANCELLED, BrokerOrderStatus.API_CANCELLED, BrokerOrderStatus.INACTIVE}
)
FINAL_STATES: Final = frozenset({S.FILLED, S.CANCELLED, S.REJECTED, S.NOT_SENT, S.VANISHED})
# The strategy that a panic's orders are of, and what their references begin with, whichever process sends them.
PANIC: Final = "panic"
CLOSING_REFERENCES: Final = "ibt-panic-"

# Fills and reports that may come in any live state; what a broker says about an order that we gave up on
# brings it back, because a live order that nobody watches is worse than a surprise.
_LIVE: Final = {
    T.ACKNOWLEDGED: S.WORKING,
    T.FOUND_OPEN: S.WORKING,
    T.PARTLY_FILLED: S.WORKING,
    T.FULLY_FILLED: S.FILLED,
    T.CANCELLED: S.CANCELLED,
    T.REJECTED: S.REJECTED,
    T.TIMED_OUT: S.UNKNOWN,
    T.LINK_LOST: S.UNKNOWN,
    T.NOT_FOUND: S.VANISHED,
}
_GIVEN_UP: Final = {
    T.ACKNOWLEDGED: S.WORKING,
    T.FOUND_OPEN: S.WORKING,
    T.PARTLY_FILLED: S.WORKING,
    T.FULLY_FILLED: S.FILLED,
    T.CANCELLED: S.CANCELLED,
    T.REJECTED: S.REJECTED,
}
TRANSITIONS: Final[dict[OrderState, dict[OrderTrigger, OrderState]]] = {
    S.INTENDED: {T.SENT: S.SENT, T.SEND_FAILED: S.NOT_SENT, **_LIVE},
    S.SENT: _LIVE,
    S.WORKING: _LIVE,
    # "Certainly not sent" may come after the link was lost, and settles the doubt.
    S.UNKNOWN: {T.SENT: S.UNKNOWN, T.SEND_FAILED: S.NOT_SENT, **_LIVE},
    S.REJECTED: _GIVEN_UP,
    S.VANISHED: _GIVEN_UP,
    S.NOT_SENT: _GIVEN_UP,
    # IB repeats and reorders statuses: a late "Submitted" does not revive a cancelled order, only an
    # answer to our own question (FOUND_OPEN) does. A full fill is final whatever comes after it.
    S.CANCELLED: {
        T.ACKNOWLEDGED: S.CANCELLED,
        T.FOUND_OPEN: S.WORKING,
        T.PARTLY_FILLED: S.CANCELLED,
        T.FULLY_FILLED: S.FILLED,
        T.CANCELLED: S.CANCELLED,
        T.REJECTED: S.CANCELLED,
    },
    S.FILLED: {
        T.ACKNOWLEDGED: S.FILLED,
        T.FOUND_OPEN: S.FILLED,
        T.PARTLY_FILLED: S.FILLED,
        T.FULLY_FILLED: S.FILLED,
        T.CANCELLED: S.FILLED,
        T.REJECTED: S.FILLED,
    },
}


def is_closing_reference(order_ref: str) -> bool:
    """Whether an order closes a position for a panic, this process's or another one's."""
    return order_ref.startswith(CLOSING_REFERENCES)


def has_ended(line: OrderLine) -> bool:
    """Whether the broker describes an order that cannot trade any more."""
    return line.status in DEAD_STATUSES or line.status is BrokerOrderStatus.FILLED


def live_lines(lines: Iterable[OrderLine]) -> list[OrderLine]:
    """The orders among ``lines`` that can still trade, each once: a broker lists some twice, and some that ended."""
    live = {
        (line.perm_id, 0) if line.perm_id else (line.client_id, line.order_id): line
        for line in lines
        if not has_ended(line)
    }
    return list(live.values())


class IllegalTransition(Exception):
    """Something happened to an order that cannot happen in its state: a broken invariant."""


def next_state(state: OrderState, trigger: OrderTrigger) -> OrderState:
    """The state after ``trigger``; raises IllegalTransition for a pair that the table does not list."""
    try:
        return TRANSITIONS[state][trigger]
    except KeyError:
        raise IllegalTransition(f"an order that is {state} cannot become {trigger}") from None


@dataclass(slots=True)
class Order:
    """One order of ours, or one that we found at the broker and adopted (``approved`` is None then).

    ``client_id`` is whose order id an adopted one has; None stands for this client's.
    """

    order_ref: str
    order_id: int
    symbol: str
    side: Side
    quantity: Decimal
    intended_at: datetime
    approved: Approved | None
    state: OrderState = S.INTENDED
    filled: Decimal = ZERO
    perm_ids: set[int] = field(default_factory=set)
    cancel_reason: CancelReason | None = None
    acknowledged: bool = False
    client_id: int | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    def may_be(self, perm_id: int) -> bool:
        """Whether the broker's order ``perm_id`` can be this one: it is, or neither's permId is known."""
        return not perm_id or not self.perm_ids or perm_id in self.perm_ids

    @property
    def remaining(self) -> Decimal:
        return max(self.quantity - self.filled, ZERO)

    @property
    def signed_remaining(self) -> Decimal:
        return self.remaining * self.side.sign

    @property
    def terms(self) -> OrderTerms | None:
        return self.approved.intent.terms if self.approved else None

    @property
    def intent(self) -> Intent | None:
        return self.approved.intent if self.approved else None


class Orders:
    """The book of orders, by reference, permId and (for this client's own) order id."""

    def __init__(self) -> None:
        self._by_ref: dict[str, Order] = {}
        self._open: dict[str, Order] = {}
        self._ref_by_perm_id: dict[int, str] = {}
        self._ref_by_order_id: dict[int, str] = {}
        self.next_order_id = 1

    def __iter__(self) -> Iterator[Order]:
        return iter(self._by_ref.values())

    def get(self, order_ref: str) -> Order | None:
        return self._by_ref.get(order_ref)

    def open(self) -> tuple[Order, ...]:
        return tuple(self._open.values())

    def open_for(self, symbol: str) -> tuple[Order, ...]:
        return tuple(order for order in self._open.values() if order.symbol == symbol)

    def find(self, *, order_ref: str = "", perm_id: int = 0, order_id: int = 0) -> Order | None:
        """The order meant: by reference, else by permId, else by this client's order id (0 = not given)."""
        if order_ref:
            return self._by_ref.get(order_ref)
        ref = self._ref_by_perm_id.get(perm_id) if perm_id else None
        if ref is None and order_id:
            ref = self._ref_by_order_id.get(order_id)
        order = self._by_ref.get(ref) if ref else None
        if order and not order.may_be(perm_id):
            return None  # an order id that was issued twice: this is somebody else's order
        return order

    def apply(self, fact: DurableFact) -> None:
        match fact:
            case OrderIntended():
                self._intend(fact)
            case OrderStateChanged():
                self._change_state(fact)
            case CancelIntended():
                self._by_ref[fact.order_ref].cancel_reason = fact.reason
            case FillBooked():
                self._fill(fact)
            case OrderAdopted():
                self._adopt(fact.line, fact.at)
            case OrderIdsReserved():
                self.next_order_id = max(self.next_order_id, fact.next_order_id)
            case _:
                pass

    def forget_final(self, before: datetime) -> None:
        """Drop final orders that were intended before ``before``; late news of them counts as foreign."""
        for order in [o for o in self._by_ref.values() if o.final and o.intended_at < before]:
            del self._by_ref[order.order_ref]
            for perm_id in order.perm_ids:
                self._ref_by_perm_id.pop(perm_id, None)
            if self._ref_by_order_id.get(order.order_id) == order.order_ref:
                del self._ref_by_order_id[order.order_id]

    def _intend(self, fact: OrderIntended) -> None:
        if fact.order_ref in self._by_ref:
            raise IllegalTransition(f"order reference {fact.order_ref} is used twice")
        terms = fact.approved.intent.terms
        self._add(
            Order(
                order_ref=fact.order_ref,
                order_id=fact.order_id,
                symbol=terms.symbol,
                side=terms.side,
                quantity=terms.quantity,
                intended_at=fact.at,
                approved=fact.approved,
            )
        )
        self._ref_by_order_id[fact.order_id] = fact.order_ref
        self.next_order_id = max(self.next_order_id, fact.order_id + 1)

    def _add(self, order: Order) -> None:
        self._by_ref[order.order_ref] = order
        self._open[order.order_ref] = order

    def _adopt(self, line: OrderLine, at: datetime) -> None:
        order = Order(
            order_ref=line.order_ref or f"foreign-{line.perm_id}",
            order_id=line.order_id,
            symbol=line.symbol,
            side=line.side,
            quantity=line.quantity,
            intended_at=at,
            approved=None,
            state=S.WORKING,
            filled=line.filled,
            perm_ids={line.perm_id} if line.perm_id else set(),
            acknowledged=True,
            client_id=line.client_id,
        )
        self._add(order)
        if line.perm_id:
            self._ref_by_perm_id[line.perm_id] = order.order_ref

    def _change_state(self, fact: OrderStateChanged) -> None:
        order = self._by_ref[fact.order_ref]
        order.state = fact.new
        if fact.trigger in (T.ACKNOWLEDGED, T.FOUND_OPEN, T.PARTLY_FILLED, T.FULLY_FILLED):
            order.acknowledged = True
        if fact.perm_id:
            order.perm_ids.add(fact.perm_id)
            self._ref_by_perm_id[fact.perm_id] = order.order_ref
        if order.final:
            self._open.pop(order.order_ref, None)
        else:
            self._open[order.order_ref] = order

    def _fill(self, fact: FillBooked) -> None:
        order = self._by_ref.get(fact.order_ref)
        if order is None:
            return
        order.filled += fact.line.quantity - fact.replaced_quantity
        if fact.line.perm_id and order.may_be(fact.line.perm_id):
            order.perm_ids.add(fact.line.perm_id)
            self._ref_by_perm_id[fact.line.perm_id] = order.order_ref
