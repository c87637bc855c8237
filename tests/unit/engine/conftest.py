"""A desk: one engine on a clock that a test moves, a broker that says what the test says, and what came of it.

Every step is checked on the way: an order leaves only with its intent durable in the same step, no instrument
has two live orders of one side, and the books conserve what was filled.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

import pytest

from trader import risk
from trader.clock import ManualClock
from trader.contracts import Instrument, Quote, Side
from trader.engine import Engine, Step
from trader.events import (
    AnyDurableFact,
    AnyFact,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    BrokerOrderStatus,
    BrokerStateReceived,
    CommissionLine,
    CommissionReceived,
    DisconnectReason,
    ErrorClass,
    ExecutionLine,
    ExecutionReceived,
    OpenOrderReceived,
    OrderLine,
    OrderSent,
    OrderStatusReceived,
    PlaceOrder,
    PositionLine,
    QuoteReceived,
    ScheduleFired,
    StartReason,
    SubscriptionChangedReceived,
    SubscriptionStatus,
    TimerElapsed,
)
from trader.orders import Order
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.strategy.api import MarketView, Target

CLIENT_ID = 7
# A Monday in a session of the New York exchange, which is open from 13:30 to 20:00 UTC.
START = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
F = TypeVar("F")


class Scripted:
    """A strategy that wants what the test says, at the next quote or schedule."""

    name = "scripted"

    def __init__(self) -> None:
        self.answer: Any = ()
        self.asked = 0
        self.view: MarketView | None = None

    def on_quote(self, quote: Quote, view: MarketView) -> Any:
        return self._next(view)

    def on_schedule(self, view: MarketView) -> Any:
        return self._next(view)

    def _next(self, view: MarketView) -> Any:
        self.asked += 1
        self.view = view
        answer, self.answer = self.answer, ()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Desk:
    """An engine and everything around it. ``truth`` is what the broker would say the account holds."""

    def __init__(
        self,
        symbols: Sequence[Any] = ("AAPL", "MSFT"),
        start: datetime = START,
        history: Iterable[AnyDurableFact] = (),
        strategy: Any = None,
        calendar: SessionCalendar | None = None,
        run_id: str = "r1",
        reason: StartReason = StartReason.MANUAL,
        clock: Callable[[datetime], ManualClock] = ManualClock,
        **sections: Any,
    ) -> None:
        self.settings = Settings(instruments=tuple(symbols), **sections)
        self.instruments = {item.symbol: item.instrument() for item in self.settings.instruments}
        self.clock = clock(start)
        self.strategy = strategy or Scripted()
        self.calendar = calendar or SessionCalendar.load(self.settings.session.calendar)
        self.engine = Engine(self.settings, self.instruments, self.strategy, self.calendar, self.clock, run_id)
        self.facts: list[AnyFact] = []
        self.commands: list[Any] = []
        self.journal: list[AnyDurableFact] = list(history)
        self.truth: dict[str, Decimal] = {}
        self.executions: list[ExecutionLine] = []
        self.placed: list[PlaceOrder] = []
        self._exec_ids = count(1)
        self.engine.restore(self.journal)
        self.take(self.engine.start(reason, "0.1", "hash"))

    # -- driving

    @property
    def core(self) -> Any:
        return self.engine.core

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    def send(self, event: AnyFact) -> Step:
        return self.take(self.engine.process(event))

    def take(self, step: Step) -> Step:
        self._check(step)
        self.facts += step.facts
        self.commands += step.commands
        self.placed += [command for command in step.commands if isinstance(command, PlaceOrder)]
        self.journal += step.durable()
        return step

    def _check(self, step: Step) -> None:
        written = {fact.order_ref for fact in step.durable() if type(fact).__name__ == "OrderIntended"}
        for command in step.commands:
            if isinstance(command, PlaceOrder):
                assert command.order_ref in written, f"{command.order_ref} leaves without its intent"
                self._check_alone(command)
        self.core.ledger.check()

    def _check_alone(self, command: PlaceOrder) -> None:
        """No order is sent while another of its side lives. (One that was given up may be revived by late news.)"""
        intent = command.approved.intent
        beside = [
            order.order_ref
            for order in self.core.orders.open_for(intent.terms.symbol)
            if order.side is intent.terms.side and order.order_ref != command.order_ref
        ]
        assert not beside or intent.strategy == "panic", f"{command.order_ref} is sent beside {beside}"

    def elapse(self, seconds: float = 0.0) -> Step:
        """Move the clock and let a timer elapse."""
        self.clock.advance(timedelta(seconds=seconds))
        return self.send(TimerElapsed(at=self.clock.now(), monotonic_ns=self.now_ns))

    def wait(self, seconds: float) -> None:
        """Let a timer elapse every second of ``seconds``."""
        for _ in range(int(seconds)):
            self.elapse(1.0)

    def skip(self, seconds: float) -> Step:
        """Time passes, and the market goes on quoting the same prices."""
        self.clock.advance(timedelta(seconds=seconds))
        self.requote()
        return self.elapse(0.0)

    def quote(self, symbol: str = "AAPL", bid: float = 100.0, ask: float = 100.02, at: datetime | None = None) -> Step:
        moment = at or self.clock.now()
        quote = Quote(symbol, bid, 500.0, ask, 500.0, moment)
        return self.send(QuoteReceived(at=moment, quote=quote, received_ns=self.now_ns))

    def want(self, quantity: int | str | Decimal, symbol: str = "AAPL", **prices: float) -> Step:
        """A quote comes, and the strategy answers it with a target."""
        self.strategy.answer = (Target(symbol, Decimal(quantity), "as told"),)
        return self.quote(symbol, **prices)

    def schedule(self) -> Step:
        return self.send(ScheduleFired(at=self.clock.now(), strategy=self.strategy.name, monotonic_ns=self.now_ns))

    # -- the broker's words

    def connect(self, next_valid_id: int = 1) -> Step:
        return self.send(
            BrokerConnectedReceived(
                at=self.clock.now(),
                server_version=178,
                client_id=CLIENT_ID,
                accounts=("DU1",),
                next_valid_id=next_valid_id,
                monotonic_ns=self.now_ns,
            )
        )

    def subscribe(self) -> None:
        for symbol in self.instruments:
            status = SubscriptionStatus.SUBSCRIBED
            self.send(SubscriptionChangedReceived(at=self.clock.now(), symbol=symbol, status=status))

    def disconnect(self) -> Step:
        return self.send(
            BrokerDisconnectedReceived(
                at=self.clock.now(), reason=DisconnectReason.CLOSED, detail="", monotonic_ns=self.now_ns
            )
        )

    def state(self, **answers: Any) -> BrokerStateReceived:
        """The broker's answers: the truth, no order, every execution, where ``answers`` does not say otherwise."""
        known: dict[str, Any] = {
            "requested_ns": self.now_ns,
            "positions": tuple(self.position(s, q) for s, q in self.truth.items() if q),
            "open_orders": (),
            "completed_orders": (),
            "executions": tuple(self.executions),
        }
        return BrokerStateReceived(at=self.clock.now(), **{**known, **answers})

    def answer(self, **answers: Any) -> Step:
        return self.send(self.state(**answers))

    def ready(self) -> "Desk":
        """Connected, subscribed, quoted, reconciled, in session."""
        self.connect()
        self.subscribe()
        self.answer()
        self.elapse(0.0)
        return self.requote()

    def requote(self) -> "Desk":
        """A fresh quote of the same prices for every instrument."""
        for symbol in self.instruments:
            last = self.core.market_data.quotes.get(symbol)
            self.quote(symbol, last.bid if last else 100.0, last.ask if last else 100.02)
        return self

    def position(self, symbol: str, quantity: Decimal | int, cost: str = "100") -> PositionLine:
        return PositionLine(instrument=self.instrument(symbol), quantity=Decimal(quantity), average_cost=Decimal(cost))

    def instrument(self, symbol: str) -> Instrument:
        return self.instruments.get(symbol) or Instrument(symbol=symbol)

    @property
    def last(self) -> PlaceOrder:
        return self.placed[-1]

    def perm_id(self, order: PlaceOrder) -> int:
        return 900_000 + order.order_id

    def sent(self, order: PlaceOrder | None = None) -> Step:
        order = order or self.last
        return self.send(
            OrderSent(at=self.clock.now(), order_ref=order.order_ref, order_id=order.order_id, sent_ns=self.now_ns)
        )

    def status(self, text: str, filled: int = 0, order: PlaceOrder | None = None, **changes: Any) -> Step:
        order = order or self.last
        quantity = order.approved.intent.terms.quantity
        fields: dict[str, Any] = {
            "order_id": order.order_id,
            "perm_id": self.perm_id(order),
            "client_id": CLIENT_ID,
            "status": BrokerOrderStatus(text),
            "filled": Decimal(filled),
            "remaining": quantity - filled,
            "why_held": "",
            "received_ns": self.now_ns,
        }
        return self.send(OrderStatusReceived(at=self.clock.now(), **{**fields, **changes}))

    def line(self, order: PlaceOrder | None = None, status: str = "Submitted", **changes: Any) -> OrderLine:
        """How the broker describes an order of ours."""
        order = order or self.last
        terms = order.approved.intent.terms
        fields: dict[str, Any] = {
            "order_id": order.order_id,
            "perm_id": self.perm_id(order),
            "client_id": CLIENT_ID,
            "order_ref": order.order_ref,
            "symbol": terms.symbol,
            "side": terms.side,
            "quantity": terms.quantity,
            "filled": Decimal(0),
            "status": BrokerOrderStatus(status),
        }
        return OrderLine(**{**fields, **changes})

    def foreign_order(self) -> PlaceOrder:
        """An order that somebody else placed, in the shape of one of ours."""
        approved = risk.approve_flatten("AAPL", Side.BUY, Decimal(70), reason="x", decided_ns=0)
        return PlaceOrder(approved=approved, instrument=self.instrument("AAPL"), order_ref="", order_id=0)

    def open_order(self, **changes: Any) -> Step:
        return self.send(OpenOrderReceived(at=self.clock.now(), line=self.line(**changes), received_ns=self.now_ns))

    def execution(
        self, quantity: int, price: str = "100.02", order: PlaceOrder | None = None, exec_id: str = "", **changes: Any
    ) -> ExecutionLine:
        order = order or self.last
        fields: dict[str, Any] = {
            "exec_id": exec_id or f"e{next(self._exec_ids)}.01",
            "order_id": order.order_id,
            "perm_id": self.perm_id(order),
            "client_id": CLIENT_ID,
            "order_ref": order.order_ref,
            "instrument": order.instrument,
            "side": order.approved.intent.terms.side,
            "quantity": Decimal(quantity),
            "price": Decimal(price),
            "executed_at": self.clock.now(),
        }
        return ExecutionLine(**{**fields, **changes})

    def happen(self, line: ExecutionLine) -> ExecutionLine:
        """An execution takes place at the broker; nobody has told us yet."""
        self.executions.append(line)
        symbol = line.instrument.symbol
        self.truth[symbol] = self.truth.get(symbol, Decimal(0)) + line.quantity * line.side.sign
        return line

    def hear(self, line: ExecutionLine) -> Step:
        return self.send(ExecutionReceived(at=self.clock.now(), line=line, received_ns=self.now_ns))

    def fill(self, quantity: int, price: str = "100.02", order: PlaceOrder | None = None, **changes: Any) -> Step:
        return self.hear(self.happen(self.execution(quantity, price, order, **changes)))

    def commission(self, exec_id: str, amount: str = "1.00", currency: str = "USD") -> Step:
        line = CommissionLine(exec_id=exec_id, amount=Decimal(amount), currency=currency)
        return self.send(CommissionReceived(at=self.clock.now(), line=line))

    def error(self, code: int, error_class: ErrorClass, order: PlaceOrder | None = None) -> Step:
        order = order or self.last
        return self.send(
            BrokerErrorReceived(
                at=self.clock.now(),
                request_id=order.order_id,
                code=code,
                message="as the broker words it",
                error_class=error_class,
            )
        )

    # -- short stories

    def work(self, quantity: int, symbol: str = "AAPL") -> PlaceOrder:
        """An order is placed, sent and acknowledged."""
        before = len(self.placed)
        self.want(quantity, symbol)
        assert len(self.placed) == before + 1, self.told("IntentRefused")
        self.sent()
        self.status("Submitted")
        return self.last

    def hold(self, quantity: int, symbol: str = "AAPL", price: str = "100.02") -> PlaceOrder:
        """A position is taken, completely filled and settled."""
        order = self.work(quantity, symbol)
        self.fill(abs(quantity), price, order, exec_id=f"h{order.order_id}.01")
        self.commission(f"h{order.order_id}.01")
        return order

    def restart(self, **changes: Any) -> "Desk":
        """The process ends here, and another one starts on its journal and the same broker."""
        later = Desk(
            symbols=self.settings.instruments,
            start=self.clock.now(),
            history=self.journal,
            calendar=self.calendar,
            **{"run_id": "r2", **self._sections(), **changes},
        )
        later.truth, later.executions, later._exec_ids = self.truth, self.executions, self._exec_ids
        return later

    def _sections(self) -> dict[str, Any]:
        names = ("execution", "risk", "session", "stop", "market_data", "gateway", "base_currency")
        return {name: getattr(self.settings, name) for name in names}

    # -- asking

    def told(self, *kinds: str) -> list[Any]:
        """All facts of these kinds so far, in order."""
        return [fact for fact in self.facts if type(fact).__name__ in kinds]

    def sent_commands(self, kind: str) -> list[Any]:
        return [command for command in self.commands if type(command).__name__ == kind]

    def order(self, placed: PlaceOrder | None = None) -> Order:
        found = self.core.orders.get((placed or self.last).order_ref)
        assert found is not None
        return found  # type: ignore[no-any-return]

    @property
    def held(self) -> Decimal:
        return self.core.ledger.position("AAPL")  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Forget what was told and asked for so far."""
        self.facts.clear()
        self.commands.clear()
        self.placed.clear()


@pytest.fixture
def make_desk() -> Callable[..., Desk]:
    """Build a desk; keyword arguments are its instruments, start, history, and sections of the configuration."""
    return Desk


@pytest.fixture
def desk() -> Desk:
    """A desk that is ready to trade AAPL and MSFT, with nothing held and nothing working."""
    made = Desk().ready()
    made.clear()
    return made
