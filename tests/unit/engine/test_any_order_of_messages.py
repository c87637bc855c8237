"""Random days: whatever plausible things a broker says, in whatever order, some things always hold.

Nothing raises; the books conserve; no order is sent while another one lives on its instrument; once the broker
has answered everything, we hold what it holds; and the journal alone rebuilds the same state.
"""

import random
from decimal import Decimal
from typing import Any

import pytest

from trader.clock import ManualClock
from trader.engine import Engine
from trader.events import (
    CommissionLine,
    ErrorClass,
    HaltRequested,
    OrderSendFailed,
    PanicRequested,
    PositionReceived,
    ReduceOnlyRequested,
    ResumeRequested,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.journal.codec import from_row, to_row

RUNS = 12
MOVES = 250
STATUSES = ("PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel")


class Alive:
    """One order at the broker, as it really is."""

    def __init__(self, placed: Any) -> None:
        self.placed = placed
        self.open = True
        self.filled = 0

    @property
    def symbol(self) -> str:
        return symbol_of(self.placed)

    @property
    def quantity(self) -> int:
        return int(self.placed.approved.intent.terms.quantity)


def symbol_of(placed: Any) -> str:
    return placed.approved.intent.terms.symbol  # type: ignore[no-any-return]


class RandomBroker:
    """Moves a desk by one random, plausible event at a time. News may be late, repeated, reordered or lost."""

    def __init__(self, desk: Any, dice: random.Random) -> None:
        self.desk = desk
        self.dice = dice
        self.orders: list[Alive] = []
        self.seen = 0
        self.mail: list[Any] = []
        self.connected = True

    def move(self) -> None:
        self.take_commands()
        weights = {
            self.quote: 40, self.timer: 25, self.want: 15, self.deliver: 50, self.repeat: 6, self.trade: 25,
            self.correct: 3, self.error: 3, self.answer: 4, self.die: 5, self.chat: 8,
            self.link: 1 if self.connected else 40, self.upstream: 1, self.operator: 1,
        }  # fmt: skip
        self.dice.choices(list(weights), list(weights.values()))[0]()

    # -- what reaches the broker

    def take_commands(self) -> None:
        while self.seen < len(self.desk.commands):
            command = self.desk.commands[self.seen]
            self.seen += 1
            kind = type(command).__name__
            if kind == "PlaceOrder":
                self.placed(command)
            elif kind == "CancelOrder" and self.connected and self.dice.random() < 0.8:
                for order in self.orders:
                    if order.placed.order_id == command.order_id:
                        self.end(order)
            elif kind == "RequestBrokerState" and self.dice.random() < 0.8:
                self.mail.append(self.answer)
            elif kind == "CancelAllOrders" and self.connected:
                for order in self.orders:
                    self.end(order)

    def placed(self, command: Any) -> None:
        alive = [order.placed.order_ref for order in self.orders if order.open and order.symbol == symbol_of(command)]
        assert not alive or command.approved.intent.strategy == "panic", f"{command.order_ref} joins {alive}"
        if not self.connected or self.dice.random() < 0.05:
            failed = OrderSendFailed(at=self.desk.clock.now(), order_ref=command.order_ref, detail="not connected")
            self.desk.send(failed)
            return
        if self.dice.random() < 0.95:
            self.desk.sent(command)
        if self.dice.random() < 0.95:
            self.orders.append(Alive(command))

    def end(self, order: Alive) -> None:
        if order.open:
            order.open = False
            self.post_status(order, self.dice.choice(("Cancelled", "ApiCancelled", "Inactive")))

    # -- what happens there

    def pick(self) -> Alive | None:
        return self.dice.choice(self.orders) if self.orders else None

    def trade(self) -> None:
        order = self.pick()
        if order is None or not order.open:
            return
        self.execute(order, self.dice.randint(1, order.quantity - order.filled))

    def execute(self, order: Alive, quantity: int) -> None:
        order.filled += quantity
        line = self.desk.happen(self.desk.execution(quantity, f"{100 + self.dice.random():.2f}", order.placed))
        self.mail.append(lambda: self.desk.hear(line))
        if self.dice.random() < 0.9:
            self.mail.append(lambda: self.desk.commission(line.exec_id, self.dice.choice(("1.00", "0.50", "-1"))))
        if order.filled == order.quantity:
            order.open = False
            self.post_status(order, "Filled")
        else:
            self.post_status(order, "Submitted")

    def correct(self) -> None:
        """A price correction; quantities stay, so that the broker's positions do."""
        if not self.desk.executions:
            return
        index = self.dice.randrange(len(self.desk.executions))
        old = self.desk.executions[index]
        base, _, number = old.exec_id.rpartition(".")
        fields = {name: getattr(old, name) for name in old.__struct_fields__}
        new = type(old)(**{**fields, "exec_id": f"{base}.{int(number) + 1:02}", "price": old.price + Decimal("0.01")})
        self.desk.executions[index] = new
        self.mail.append(lambda: self.desk.hear(new))

    def die(self) -> None:
        order = self.pick()
        if order is not None:
            self.end(order)

    def post_status(self, order: Alive, text: str) -> None:
        if self.dice.random() < 0.85:
            filled, placed = order.filled, order.placed
            self.mail.append(lambda: self.desk.status(text, filled=filled, order=placed))

    def chat(self) -> None:
        order = self.pick()
        if order is not None and order.open:
            self.post_status(order, self.dice.choice(STATUSES))

    # -- what is delivered

    def deliver(self) -> None:
        if self.mail and self.connected:
            index = 0 if self.dice.random() < 0.7 else self.dice.randrange(len(self.mail))
            self.mail.pop(index)()

    def repeat(self) -> None:
        if self.mail and self.connected:
            self.dice.choice(self.mail)()

    def error(self) -> None:
        order = self.pick()
        if order is None or not self.connected:
            return
        if order.open and order.filled == 0 and self.dice.random() < 0.5:
            order.open = False
            self.desk.error(201, ErrorClass.ORDER_REJECTED, order.placed)
            self.post_status(order, "Inactive")
        else:
            self.desk.error(10349, ErrorClass.ORDER_LIVE, order.placed)

    def answer(self, complete: bool = False) -> None:
        if not self.connected:
            return
        desk, answers = self.desk, {}
        answers["open_orders"] = tuple(self.describe(order, "Submitted") for order in self.orders if order.open)
        answers["completed_orders"] = tuple(
            self.describe(order, "Filled" if order.filled == order.quantity else "Cancelled")
            for order in self.orders
            if not order.open
        )
        answers["commissions"] = tuple(
            CommissionLine(exec_id=line.exec_id, amount=Decimal("1.00"), currency="USD") for line in desk.executions
        )
        if not complete:
            for name in ("positions", "open_orders", "completed_orders", "executions"):
                if self.dice.random() < 0.1:
                    answers[name] = None
        desk.answer(**answers)

    def describe(self, order: Alive, text: str) -> Any:
        return self.desk.line(order.placed, text, filled=Decimal(order.filled))

    # -- the rest of the world

    def quote(self) -> None:
        for symbol in ("AAPL", "MSFT"):
            mid = 100 + self.dice.random()
            self.desk.quote(symbol, round(mid, 2), round(mid + 0.02, 2))

    def timer(self) -> None:
        self.desk.elapse(self.dice.choice((0.1, 0.5, 1.0, 1.0, 2.0, 2.0, 12.0)))

    def want(self) -> None:
        self.desk.want(self.dice.choice((-250, -100, 0, 0, 100, 180, 250)), self.dice.choice(("AAPL", "MSFT")))

    def link(self) -> None:
        if self.connected:
            self.desk.disconnect()
            self.mail.clear()
        else:
            self.desk.connect(next_valid_id=self.dice.randint(1, 5))
        self.connected = not self.connected

    def upstream(self) -> None:
        if self.connected:
            self.desk.send(UpstreamLostReceived(at=self.desk.clock.now(), code=1100))
            self.timer()
            code = self.dice.choice((1101, 1102))
            self.desk.send(UpstreamRestoredReceived(at=self.desk.clock.now(), code=code, data_lost=code == 1101))

    def operator(self) -> None:
        at = self.desk.clock.now()
        word = self.dice.choice(
            (
                HaltRequested(at=at, source="operator", reason="x"),
                ReduceOnlyRequested(at=at, source="operator", reason="x"),
                PanicRequested(at=at, source="flag"),
                PositionReceived(at=at, line=self.desk.position("AAPL", 5)),
            )
        )
        self.desk.send(word)
        self.desk.wait(2)
        self.desk.send(ResumeRequested(at=self.desk.clock.now(), source="operator"))

    def settle(self) -> None:
        """Calm down: connected, all mail delivered, everything answered."""
        if not self.connected:
            self.link()
        for _ in range(4):
            self.desk.elapse(5)
            self.take_commands()
            while self.mail:
                self.deliver()
            self.answer(complete=True)
            self.take_commands()


def play(desk: Any, dice: random.Random, moves: int = MOVES) -> RandomBroker:
    broker = RandomBroker(desk, dice)
    for _ in range(moves):
        broker.move()
    return broker


def durable_state(core: Any) -> dict[str, Any]:
    ledger = core.ledger
    return {
        "orders": {order.order_ref: order for order in core.orders},
        "open": {order.order_ref for order in core.orders.open()},
        "next id": core.orders.next_order_id,
        "books": {book.instrument.symbol: book for book in ledger.books()},
        "pnl": [ledger.pnl(currency, {}, session=True) for currency in ledger.currencies()],
        "baseline": ledger.unrealized_at_open,
        "state": (core.trading_state, core.state_reason, core.panic_completed),
        "targets": core.targets,
        "session": (core.session_name, core.session_opened_at),
        "reconciled": (core.ever_reconciled, core.reconciled_at, core.mismatches),
    }


@pytest.mark.parametrize("run", range(RUNS))
def test_nothing_raises_and_in_the_end_we_hold_what_the_broker_holds(make_desk: Any, seed: int, run: int) -> None:
    desk = make_desk().ready()
    broker = play(desk, random.Random(f"{seed}-{run}"))
    broker.settle()
    truth = {symbol: quantity for symbol, quantity in desk.truth.items() if quantity}
    assert desk.core.ledger.positions() == truth
    alive = {order.placed.order_ref for order in broker.orders if order.open}
    assert alive <= {order.order_ref for order in desk.core.orders.open()}


@pytest.mark.parametrize("run", range(RUNS))
def test_the_journal_alone_rebuilds_the_same_state(make_desk: Any, seed: int, run: int) -> None:
    desk = make_desk().ready()
    play(desk, random.Random(f"{seed}-{run}"))
    rows = [to_row(number, fact) for number, fact in enumerate(desk.journal, start=1)]
    facts = [from_row(row["seq"], row["body"], "a test") for row in rows]
    clock = ManualClock(desk.clock.now())
    rebuilt = Engine(desk.settings, desk.instruments, desk.strategy, desk.calendar, clock, "other")
    rebuilt.restore(facts)
    assert durable_state(rebuilt.core) == durable_state(desk.core)


@pytest.mark.parametrize("run", range(4))
def test_it_survives_being_killed_again_and_again(make_desk: Any, seed: int, run: int) -> None:
    dice = random.Random(f"{seed}-{run}")
    desk = make_desk().ready()
    broker = RandomBroker(desk, dice)
    for _ in range(5):
        for _ in range(60):
            broker.move()
        broker.take_commands()
        broker.desk = broker.desk.restart(run_id=f"r{dice.random()}")
        broker.seen, broker.connected = 0, False
        broker.mail.clear()
    broker.settle()
    truth = {symbol: quantity for symbol, quantity in broker.desk.truth.items() if quantity}
    assert broker.desk.core.ledger.positions() == truth


@pytest.mark.parametrize("run", range(4))
def test_a_panic_ends_flat_whatever_went_before(make_desk: Any, seed: int, run: int) -> None:
    dice = random.Random(f"{seed}-{run}")
    desk = make_desk().ready()
    broker = play(desk, dice, 120)
    if not broker.connected:
        broker.link()
    desk.send(PanicRequested(at=desk.clock.now(), source="flag"))
    for _ in range(150):
        desk.elapse(1)
        broker.take_commands()
        for order in broker.orders:
            if order.open and order.placed.approved.intent.strategy == "panic":
                broker.execute(order, order.quantity - order.filled)
        while broker.mail:
            broker.deliver()
        broker.answer(complete=True)
        if not desk.engine.flattening:
            break
    assert not desk.engine.flattening
    assert not {symbol: quantity for symbol, quantity in desk.truth.items() if quantity}
