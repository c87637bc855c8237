"""Orders, whatever is said about them: the table is obeyed, executions decide, and the order of messages does not.

The first machine says anything at all. The other test tells one true story of a broker in every order, with
repetitions, and expects the same end.
"""

from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.properties.desk import CLIENT_ID, START, Books, charged, executed, intended
from tests.properties.effort import effort
from trader.contracts import Instrument, Side
from trader.engine.order_flow import (
    advance,
    book_commission,
    book_execution,
    on_error,
    on_open_order,
    on_send_failed,
    on_sent,
    on_status,
)
from trader.events import (
    BrokerErrorReceived,
    BrokerOrderStatus,
    ErrorClass,
    OpenOrderReceived,
    OrderLine,
    OrderSendFailed,
    OrderSent,
    OrderState,
    OrderStateChanged,
    OrderStatusReceived,
    OrderTrigger,
)
from trader.orders import FINAL_STATES, TRANSITIONS, Order

AAPL = Instrument(symbol="AAPL")
PRICE = Decimal("69.50")
DEAD = (BrokerOrderStatus.CANCELLED, BrokerOrderStatus.API_CANCELLED, BrokerOrderStatus.INACTIVE)
which = st.integers(0, 1_000)


def status(order: Order, word: BrokerOrderStatus, filled: int, perm_id: int) -> OrderStatusReceived:
    return OrderStatusReceived(
        at=START,
        order_id=order.order_id,
        perm_id=perm_id,
        client_id=CLIENT_ID,
        status=word,
        filled=Decimal(filled),
        remaining=max(order.quantity - filled, Decimal(0)),
        why_held="",
        received_ns=0,
    )


def described(order: Order, word: BrokerOrderStatus, perm_id: int) -> OpenOrderReceived:
    line = OrderLine(
        order_id=order.order_id,
        perm_id=perm_id,
        client_id=CLIENT_ID,
        order_ref=order.order_ref,
        symbol="AAPL",
        side=order.side,
        quantity=order.quantity,
        filled=Decimal(0),
        status=word,
    )
    return OpenOrderReceived(at=START, line=line, received_ns=0)


class OrdersMachine(RuleBasedStateMachine):
    """Up to a few orders of ours, and a broker that says anything about them."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.count = 0
        self.lines: dict[str, dict[str, int]] = {}
        self.was_filled: set[str] = set()

    # -- what may happen

    @precondition(lambda self: self.count < 5)
    @rule(side=st.sampled_from(Side), quantity=st.integers(1, 30), sent=st.booleans())
    def intend(self, side: Side, quantity: int, sent: bool) -> None:
        self.count += 1
        ref = f"ibt-r1-{self.count}"
        self.books.tell(intended(ref, self.count, side, quantity))
        self.lines[ref] = {}
        if sent:
            self.books.step(on_sent, OrderSent(at=START, order_ref=ref, order_id=self.count, sent_ns=1))

    def order(self, index: int) -> Order:
        return list(self.books.core.orders)[index % self.count]

    def perm_id(self, order: Order) -> int:
        return 17_000 + order.order_id

    @precondition(lambda self: self.count)
    @rule(index=which, failed=st.booleans())
    def tell_of_sending(self, index: int, failed: bool) -> None:
        order = self.order(index)
        if failed:
            self.books.step(on_send_failed, OrderSendFailed(at=START, order_ref=order.order_ref, detail="no link"))
        else:
            sent = OrderSent(at=START, order_ref=order.order_ref, order_id=order.order_id, sent_ns=1)
            self.books.step(on_sent, sent)

    @precondition(lambda self: self.count)
    @rule(index=which, word=st.sampled_from(BrokerOrderStatus), filled=st.integers(0, 40), known=st.booleans())
    def say_a_status(self, index: int, word: BrokerOrderStatus, filled: int, known: bool) -> None:
        order = self.order(index)
        self.books.step(on_status, status(order, word, filled, self.perm_id(order) if known else 0))

    @precondition(lambda self: self.count)
    @rule(index=which, word=st.sampled_from(BrokerOrderStatus))
    def describe(self, index: int, word: BrokerOrderStatus) -> None:
        order = self.order(index)
        self.books.step(on_open_order, described(order, word, self.perm_id(order)))

    @precondition(lambda self: self.count)
    @rule(index=which, share=st.integers(1, 30), name=st.integers(0, 6), revision=st.integers(1, 3))
    def execute(self, index: int, share: int, name: int, revision: int) -> None:
        """One of the order's executions, a version of it, for the first time or again; together never too much."""
        order = self.order(index)
        base = f"{order.order_ref}.{name}"
        told = self.lines[order.order_ref]
        exec_id = f"{base}.{revision:02}"
        latest = {key.rpartition(".")[0]: quantity for key, quantity in sorted(told.items())}
        room = int(order.quantity) - sum(quantity for key, quantity in latest.items() if key != base)
        quantity = told.setdefault(exec_id, min(share, room)) if exec_id in told or room > 0 else 0
        if quantity <= 0:
            return
        line = executed(exec_id, quantity * order.side.sign, PRICE, AAPL, order_ref=order.order_ref)
        self.books.step(book_execution, line, 2)

    @precondition(lambda self: self.count)
    @rule(index=which, kind=st.sampled_from(ErrorClass), code=st.sampled_from([201, 202, 10349, 399]))
    def complain(self, index: int, kind: ErrorClass, code: int) -> None:
        order_id = self.order(index).order_id
        error = BrokerErrorReceived(at=START, request_id=order_id, code=code, message="no", error_class=kind)
        self.books.step(on_error, error)

    @precondition(lambda self: self.books.core.orders.open())
    @rule(index=which, doubt=st.sampled_from([OrderTrigger.LINK_LOST, OrderTrigger.TIMED_OUT, OrderTrigger.NOT_FOUND]))
    def doubt(self, index: int, doubt: OrderTrigger) -> None:
        alive = self.books.core.orders.open()
        self.books.step(advance, alive[index % len(alive)], doubt)

    @precondition(lambda self: self.count)
    @rule(index=which)
    def find_open(self, index: int) -> None:
        order = self.order(index)
        self.books.step(advance, order, OrderTrigger.FOUND_OPEN, "", self.perm_id(order))

    # -- what must hold

    @invariant()
    def every_change_is_one_of_the_table(self) -> None:
        for fact in self.books.journal:
            if isinstance(fact, OrderStateChanged):
                assert TRANSITIONS[fact.old][fact.trigger] is fact.new

    @invariant()
    def what_is_filled_is_the_sum_of_the_latest_executions(self) -> None:
        for order in self.books.core.orders:
            latest: dict[str, tuple[int, int]] = {}
            for exec_id, quantity in self.lines[order.order_ref].items():
                base, _, revision = exec_id.rpartition(".")
                latest[base] = max(latest.get(base, (0, 0)), (int(revision), quantity))
            assert order.filled == sum(quantity for _, quantity in latest.values()) <= order.quantity

    @invariant()
    def open_orders_are_those_that_are_not_final(self) -> None:
        orders = self.books.core.orders
        assert {order.order_ref for order in orders.open()} == {
            order.order_ref for order in orders if order.state not in FINAL_STATES
        }

    @invariant()
    def a_full_fill_is_final(self) -> None:
        for order in self.books.core.orders:
            if order.filled >= order.quantity:
                self.was_filled.add(order.order_ref)
            if order.order_ref in self.was_filled:
                assert order.state is OrderState.FILLED

    @invariant()
    def an_order_is_found_by_its_perm_ids_and_by_no_others(self) -> None:
        orders = self.books.core.orders
        for order in orders:
            assert order.perm_ids <= {self.perm_id(order)}
            for perm_id in order.perm_ids:
                assert orders.find(perm_id=perm_id) is order
                assert orders.find(perm_id=perm_id + 500, order_id=order.order_id) is None

    def teardown(self) -> None:
        lived, replayed = list(self.books.core.orders), list(self.books.replayed().orders)
        assert lived == replayed


def test_orders_obey_their_table_whatever_is_said() -> None:
    run_state_machine_as_test(OrdersMachine, settings=effort(40, steps=30))


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """One order's life at the broker, as it really was."""
    quantity = draw(st.integers(1, 30))
    fills, room = [], quantity
    for _ in range(draw(st.integers(0, 4))):
        if room:
            fills.append(draw(st.integers(1, room)))
            room -= fills[-1]
    cancelled = bool(room) and draw(st.booleans())
    word = draw(st.sampled_from(DEAD))
    corrected = draw(st.lists(st.booleans(), min_size=len(fills), max_size=len(fills)))
    return {"quantity": quantity, "fills": fills, "end": word if cancelled else None, "corrected": corrected}


def messages(story: dict[str, Any], order: Order) -> list[tuple[Any, tuple[Any, ...]]]:
    """Everything that the broker says of it, each as a function and its arguments."""
    said: list[tuple[Any, tuple[Any, ...]]] = [(on_open_order, (described(order, BrokerOrderStatus.SUBMITTED, 17),))]
    filled = 0
    for number, quantity in enumerate(story["fills"]):
        filled += quantity
        for revision in range(1, 3 if story["corrected"][number] else 2):
            price = PRICE + revision
            line = executed(f"e.{number}.{revision:02}", quantity, price, AAPL, order_ref=order.order_ref, perm_id=17)
            said.append((book_execution, (line, 5)))
            said.append((book_commission, (charged(line.exec_id, Decimal(revision), "USD"),)))
        full = filled == story["quantity"]
        word = BrokerOrderStatus.FILLED if full else BrokerOrderStatus.SUBMITTED
        said.append((on_status, (status(order, word, filled, 17),)))
    if story["end"] is not None:
        said.append((on_status, (status(order, story["end"], filled, 17),)))
    return said


@effort(100)
@given(stories(), st.data())
def test_the_order_in_which_a_story_is_told_does_not_change_its_end(story: dict[str, Any], data: st.DataObject) -> None:
    books = Books()
    books.tell(intended("ibt-r1-1", 1, Side.BUY, story["quantity"]))
    books.step(on_sent, OrderSent(at=START, order_ref="ibt-r1-1", order_id=1, sent_ns=1))
    order = books.core.orders.get("ibt-r1-1")
    assert order is not None
    said = messages(story, order)
    repeated = data.draw(st.lists(st.sampled_from(said), max_size=4))
    for act, arguments in data.draw(st.permutations([*said, *repeated])):
        books.step(act, *arguments)
    filled = sum(story["fills"])
    expected = OrderState.WORKING if story["end"] is None else OrderState.CANCELLED
    assert order.state is (OrderState.FILLED if filled == story["quantity"] else expected)
    assert order.filled == filled
    assert order.perm_ids == {17}
    ledger = books.core.ledger
    assert ledger.position("AAPL") == filled
    assert ledger.pnl("USD", {}, session=False).commission == sum(2 if twice else 1 for twice in story["corrected"])
    marked = ledger.pnl("USD", {"AAPL": PRICE}, session=False)
    paid = sum(
        quantity * (2 if twice else 1) for quantity, twice in zip(story["fills"], story["corrected"], strict=True)
    )
    assert marked.unrealized == -paid
