"""The loop of the money path: nothing is sent before it is durable, and whatever raises ends it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from trader.clock import ManualClock
from trader.contracts import Instrument, OrderType, Side
from trader.engine.core import Step
from trader.events import (
    AnyFact,
    Approved,
    CancelAllOrders,
    CancelOrder,
    CancelReason,
    DurableFact,
    Intent,
    JournalLostReceived,
    JournalRestoredReceived,
    OrderIntended,
    OrderSendFailed,
    OrdersJournaled,
    OrderTerms,
    PanicRequested,
    PlaceOrder,
)
from trader.journal import JournalFull, MemoryJournal
from trader.loop import TradingLoop

NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)
TERMS = OrderTerms(symbol="SPY", side=Side.BUY, quantity=Decimal(1), order_type=OrderType.MARKET)
INTENT = Intent(terms=TERMS, strategy="test", reason="test", reference_price=None, decided_ns=0)
APPROVED = Approved(intent=INTENT, reduces=False)
PLACE = PlaceOrder(approved=APPROVED, instrument=Instrument("SPY"), order_ref="r1", order_id=1)
EVENT = PanicRequested(at=NOW, source="test")


class Ordering:
    """An engine that orders once an event, and a gateway and a journal that note what came when."""

    problem = ""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def process(self, event: AnyFact) -> Step:
        core: Any = SimpleNamespace(apply=lambda fact: None, statistics=SimpleNamespace(observe=lambda fact: None))
        step = Step(core)
        step.emit(OrderIntended(at=NOW, order_ref="r1", order_id=1, approved=APPROVED))
        step.send(PLACE)
        return step

    def append(self, facts: Sequence[DurableFact]) -> None:
        self.seen.append("journaled")

    def execute(self, command: Any) -> None:
        self.seen.append("sent")

    def publish(self, facts: Sequence[AnyFact]) -> None:
        self.seen.append("told")


def loop_over(parts: Any, journal: Any = None) -> TradingLoop:
    loop = TradingLoop(
        parts, journal or parts, parts.publish, lambda: parts.seen.append("failed"), clock=ManualClock(NOW)
    )
    loop.gateway = parts
    return loop


def test_observers_are_told_how_long_an_order_took_to_be_durable() -> None:
    parts: Any = Ordering()
    told: list[AnyFact] = []
    clock = ManualClock(NOW)
    parts.append = lambda facts: clock.advance(timedelta(milliseconds=3))
    loop = TradingLoop(parts, parts, told.extend, lambda: None, clock=clock)
    loop.gateway = parts
    loop.post(EVENT)
    assert told[-1] == OrdersJournaled(at=NOW, order_refs=("r1",), started_ns=0, ended_ns=3_000_000)


def test_an_order_is_journaled_then_sent_then_told() -> None:
    parts: Any = Ordering()

    loop_over(parts).post(EVENT)

    assert parts.seen == ["journaled", "sent", "told"]


def test_no_order_leaves_when_the_journal_cannot_take_it() -> None:
    class Full(MemoryJournal):
        def append(self, facts: Sequence[DurableFact]) -> None:
            raise JournalFull("the disk is full")

    parts: Any = Ordering()
    loop = loop_over(parts, Full())

    loop.post(EVENT)

    assert parts.seen == ["failed"]
    assert isinstance(loop.failure, JournalFull)


def test_nothing_is_processed_after_a_failure() -> None:
    parts: Any = Ordering()
    parts.process = lambda event: 1 / 0
    loop = loop_over(parts)

    loop.post(EVENT)
    parts.process = Ordering().process
    loop.post(EVENT)

    assert parts.seen == ["failed"]
    assert isinstance(loop.failure, ZeroDivisionError)


def test_what_a_step_causes_waits_until_the_step_is_over() -> None:
    parts: Any = Ordering()
    loop = loop_over(parts)
    answered = []

    def execute(command: Any) -> None:
        parts.seen.append("sent")
        if not answered:
            answered.append(True)
            loop.post(EVENT)

    parts.execute = execute

    loop.post(EVENT)

    assert parts.seen == ["journaled", "sent", "told"] * 2


def test_the_tap_sees_every_event() -> None:
    parts: Any = Ordering()
    tapped: list[AnyFact] = []
    loop = TradingLoop(parts, parts, parts.publish, lambda: None, clock=ManualClock(NOW), tap=tapped.append)

    loop.post(EVENT)

    assert tapped == [EVENT]


class Away(MemoryJournal):
    """A journal whose ``problem`` after each append is the next of ``problems``."""

    def __init__(self, *problems: str) -> None:
        super().__init__()
        self._problems = list(problems)

    def append(self, facts: Sequence[DurableFact]) -> None:
        self.problem = self._problems.pop(0) if self._problems else self.problem


def test_while_the_journal_is_away_no_entry_leaves_but_what_cancels_or_reduces_does() -> None:
    parts: Any = Ordering()
    others = [
        PlaceOrder(
            approved=Approved(intent=INTENT, reduces=True), instrument=Instrument("SPY"), order_ref="r2", order_id=2
        ),
        CancelOrder(order_ref="r3", order_id=3),
        CancelAllOrders(reason=CancelReason.PANIC),
    ]
    step = parts.process(EVENT)
    for command in others:
        step.send(command)
    posted: list[AnyFact] = []
    sent: list[Any] = []

    def process(event: AnyFact) -> Step:
        posted.append(event)
        return step if event is EVENT else Step(parts)

    parts.process, parts.execute = process, sent.append
    loop_over(parts, Away("the disk is full")).post(EVENT)

    assert sent == others
    detail = "the journal is unavailable: the disk is full"
    assert posted[1] == JournalLostReceived(at=NOW, problem="the disk is full", waiting=0)
    assert posted[2] == OrderSendFailed(at=NOW, order_ref="r1", detail=detail)


def test_the_engine_is_told_when_the_journal_is_lost_and_when_it_is_back() -> None:
    parts: Any = Ordering()
    posted: list[AnyFact] = []

    def process(event: AnyFact) -> Step:
        posted.append(event)
        return Ordering().process(event) if event is EVENT else Step(parts)

    parts.process = process
    loop = loop_over(parts, Away("the disk is full", "the disk is full", ""))
    for _ in range(2):
        loop.post(EVENT)

    told = [event for event in posted if isinstance(event, JournalLostReceived | JournalRestoredReceived)]
    assert told == [JournalLostReceived(at=NOW, problem="the disk is full", waiting=0), JournalRestoredReceived(at=NOW)]


def test_an_event_without_facts_finds_the_journal_back() -> None:
    parts: Any = Ordering()
    parts.process = lambda event: Step(parts)
    journal = Away("")
    journal.problem = "the disk is full"
    loop_over(parts, journal).post(EVENT)
    assert journal.problem == ""


def test_a_journal_that_is_away_is_noticed_although_nothing_is_written() -> None:
    class TakenAway(MemoryJournal):
        def append(self, facts: Sequence[DurableFact]) -> None:
            self.problem = "the journal is gone"

    parts: Any = Ordering()
    events: list[AnyFact] = []

    def process(event: AnyFact) -> Step:
        core: Any = SimpleNamespace()
        events.append(event)
        return Step(core)

    parts.process = process
    loop = loop_over(parts, TakenAway())

    loop.look_at_journal()
    loop.look_at_journal()

    assert events == [JournalLostReceived(at=NOW, problem="the journal is gone", waiting=0)]
