"""A state without a service around it: durable facts in, the same journal folded again for comparison."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trader.clock import ManualClock
from trader.contracts import Instrument, OrderType, Side
from trader.engine.core import Core, Step
from trader.events import (
    AnyDurableFact,
    Approved,
    CommissionLine,
    ExecutionLine,
    Intent,
    OrderIntended,
    OrderTerms,
)
from trader.journal.codec import from_row, to_row
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.strategy.observe import Observe

START = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
CLIENT_ID = 7
SETTINGS = Settings(instruments=("AAPL",))  # type: ignore[arg-type]
CALENDAR = SessionCalendar.load("XNYS")


def new_core() -> Core:
    core = Core(SETTINGS, {"AAPL": Instrument(symbol="AAPL")}, Observe(), CALENDAR, ManualClock(START), "r1")
    core.link.client_id = CLIENT_ID
    core.link.connected = core.link.upstream = True
    return core


class Books:
    """One core, and everything durable that was told of it, as it is in a journal."""

    def __init__(self) -> None:
        self.core = new_core()
        self.journal: list[AnyDurableFact] = []

    def step(self, act: Any, *arguments: Any) -> Step:
        """Let ``act(core, step, …)`` happen."""
        step = Step(self.core)
        act(self.core, step, *arguments)
        self.journal += [from_row(1, to_row(1, fact)["body"], "the journal") for fact in step.durable()]
        self.core.ledger.check()
        return step

    def tell(self, fact: Any) -> None:
        self.step(lambda _, step: step.emit(fact))

    def replayed(self) -> Core:
        core = new_core()
        for fact in self.journal:
            core.apply(fact)
        return core


def intended(order_ref: str, order_id: int, side: Side, quantity: int) -> OrderIntended:
    terms = OrderTerms(symbol="AAPL", side=side, quantity=Decimal(quantity), order_type=OrderType.MARKET)
    intent = Intent(terms=terms, strategy="s", reason="", reference_price=None, decided_ns=0)
    approved = Approved(intent=intent, reduces=False)
    return OrderIntended(at=START, order_ref=order_ref, order_id=order_id, approved=approved)


def executed(exec_id: str, signed: int, price: Decimal, instrument: Instrument, **order: Any) -> ExecutionLine:
    values = {"order_id": 0, "perm_id": 0, "client_id": CLIENT_ID, "order_ref": "", **order}
    return ExecutionLine(
        exec_id=exec_id,
        instrument=instrument,
        side=Side.BUY if signed > 0 else Side.SELL,
        quantity=Decimal(abs(signed)),
        price=price,
        executed_at=START,
        **values,
    )


def charged(exec_id: str, amount: Decimal, currency: str) -> CommissionLine:
    return CommissionLine(exec_id=exec_id, amount=amount, currency=currency)
