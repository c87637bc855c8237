"""The books against a second bookkeeping that is too simple to be wrong, whatever is filled, corrected and charged.

The second one keeps, for each instrument, the list of what happened to it, and counts with fractions: the position is
the sum of the fills, and what was gained is what was taken in, less what was paid, plus what is still held.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.properties.desk import START, Books, charged, executed
from tests.properties.effort import effort
from trader.contracts import Instrument
from trader.engine.order_flow import book_commission, book_execution
from trader.events import PositionAdopted, PositionLine, SessionOpened

INSTRUMENTS = (
    Instrument(symbol="AAPL"),
    Instrument(symbol="SAP", currency="EUR"),
    Instrument(symbol="ESZ3", multiplier=Decimal(50), tick_size=Decimal("0.25")),
    Instrument(symbol="6JZ3", multiplier=Decimal(12_500_000), tick_size=Decimal("0.0000005")),
)
RATES = {"EUR": Decimal("1.3571")}
CURRENCIES = ("USD", "EUR")
# What a closing fill releases of the cost is rounded to this, times the multiplier.
STEP = Fraction(1, 10**8)

quantities = st.integers(-40, 40).filter(bool)
ticks = st.integers(1, 4_000)
which = st.integers(0, 10_000)


class Fill:
    """One execution as it stands after its corrections."""

    def __init__(self, base: str, instrument: Instrument, signed: int, price: Decimal, session: int) -> None:
        self.base = base
        self.instrument = instrument
        self.signed = signed
        self.price = price
        self.session = session
        self.revision = 1
        self.settled = False  # part of a position that was adopted

    @property
    def exec_id(self) -> str:
        return f"{self.base}.{self.revision:02}"


class LedgerMachine(RuleBasedStateMachine):
    """Fills, flips, corrections, commissions and sessions in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.session = 1
        self.count = 0
        self.history: dict[str, list[Any]] = {item.symbol: [] for item in INSTRUMENTS}
        self.fills: list[Fill] = []
        self.commissions: dict[str, tuple[int, Decimal, str]] = {}
        self.early: list[str] = []
        self.adopted: set[str] = set()

    @initialize()
    def open_first(self) -> None:
        self.open_session()

    def open_session(self) -> None:
        fact = SessionOpened(
            at=START,
            calendar="XNYS",
            session=str(self.session),
            opened_at=START,
            closes_at=START,
            unrealized=Decimal(0),
        )
        self.books.tell(fact)

    # -- what may happen

    @rule(kind=which, signed=quantities, tick=ticks)
    def fill(self, kind: int, signed: int, tick: int) -> None:
        instrument = INSTRUMENTS[kind % len(INSTRUMENTS)]
        self.count += 1
        base = self.early.pop() if self.early and kind % 3 == 0 else f"0001.{self.count}"
        made = Fill(base, instrument, signed, tick * instrument.tick_size, self.session)
        self.fills.append(made)
        self.history[instrument.symbol].append(made)
        self.tell(made)

    @rule(kind=which, signed=st.integers(-3, 3).filter(bool), parts=st.integers(2, 5), tick=ticks)
    def fill_in_parts(self, kind: int, signed: int, parts: int, tick: int) -> None:
        for _ in range(parts):
            self.fill(kind, signed, tick)

    @precondition(lambda self: self.held())
    @rule(kind=which, beyond=st.integers(0, 20), tick=ticks)
    def close_or_flip(self, kind: int, beyond: int, tick: int) -> None:
        symbol, quantity = self.held()[kind % len(self.held())]
        index = next(place for place, item in enumerate(INSTRUMENTS) if item.symbol == symbol)
        self.fill(index, -quantity - beyond if quantity > 0 else -quantity + beyond, tick)

    @precondition(lambda self: self.recent())
    @rule(index=which, signed=quantities, tick=ticks, skipped=st.integers(1, 3))
    def correct(self, index: int, signed: int, tick: int, skipped: int) -> None:
        changed = self.recent()[index % len(self.recent())]
        changed.revision += skipped
        if not changed.settled:
            changed.signed, changed.price = signed, tick * changed.instrument.tick_size
        line = executed(changed.exec_id, signed, tick * changed.instrument.tick_size, changed.instrument)
        self.books.step(book_execution, line, None)

    @precondition(lambda self: self.recent())
    @rule(index=which, signed=quantities, back=st.integers(0, 3))
    def repeat_or_come_late(self, index: int, signed: int, back: int) -> None:
        """The same again, or an earlier version after a later one: no news."""
        known = self.recent()[index % len(self.recent())]
        if back == 0:
            self.tell(known)
        elif known.revision - back >= 1:
            line = executed(f"{known.base}.{known.revision - back:02}", signed, Decimal(1), known.instrument)
            self.books.step(book_execution, line, None)

    @rule(index=which, cents=st.integers(-300, 900), currency=st.sampled_from(CURRENCIES), early=st.booleans())
    def charge(self, index: int, cents: int, currency: str, early: bool) -> None:
        """A commission, its correction, its repetition, or one that comes before its execution."""
        if early or not self.recent():
            self.count += 1
            base, revision = f"0002.{self.count}", 1
            self.early.append(base)
        else:
            found = self.recent()[index % len(self.recent())]
            if found.settled and found.base in self.commissions:
                return
            base, revision = found.base, 1 + index % found.revision
        amount = Decimal(cents) / 100
        self.books.step(book_commission, charged(f"{base}.{revision:02}", amount, currency))
        known = self.commissions.get(base)
        if amount != -1 and (known is None or known[0] <= revision):
            self.commissions[base] = (revision, amount, currency)

    @precondition(lambda self: self.recent())
    @rule(index=which)
    def say_that_a_commission_is_not_known_yet(self, index: int) -> None:
        known = self.recent()[index % len(self.recent())]
        self.books.step(book_commission, charged(known.exec_id, Decimal(-1), "USD"))

    @rule()
    def begin_a_session(self) -> None:
        self.session += 1
        self.early.clear()
        self.open_session()

    @rule(kind=which, quantity=st.integers(-50, 50), tick=ticks)
    def adopt(self, kind: int, quantity: int, tick: int) -> None:
        """An operator's word: what is held is what the broker says."""
        instrument = INSTRUMENTS[kind % len(INSTRUMENTS)]
        cost = tick * instrument.tick_size
        line = PositionLine(instrument=instrument, quantity=Decimal(quantity), average_cost=cost)
        self.books.tell(PositionAdopted(at=START, line=line))
        for known in self.fills:
            known.settled = known.settled or known.instrument is instrument
        self.history[instrument.symbol].append((quantity, cost))
        self.adopted.add(instrument.symbol)

    # -- what must hold

    @invariant()
    def positions_are_sums_of_fills(self) -> None:
        held = {item.symbol: self.model(item)[0] for item in INSTRUMENTS}
        assert self.books.core.ledger.positions() == {symbol: units for symbol, units in held.items() if units}

    @invariant()
    def nothing_is_gained_or_lost_on_the_way(self) -> None:
        ledger = self.books.core.ledger
        marks = {item.symbol: 1_234 * item.tick_size for item in INSTRUMENTS}
        for currency in CURRENCIES:
            gained = sum(
                (self.gained(item, marks[item.symbol]) for item in INSTRUMENTS if item.currency == currency),
                Fraction(0),
            )
            paid = sum((amount for _, amount, paid_in in self.commissions.values() if paid_in == currency), Decimal(0))
            pnl = ledger.pnl(currency, marks, session=False)
            assert pnl.unrealized is not None
            # Exactly so; but what rounding moved from the cost to the gain stays there when a position is adopted.
            moved = sum((self.rounded(item) for item in INSTRUMENTS if item.symbol in self.adopted), Fraction(0))
            assert abs(Fraction(pnl.realized) + Fraction(pnl.unrealized) - gained) <= moved
            assert pnl.commission == paid
        self.check_base(marks)

    @invariant()
    def what_was_realized_is_measured_by_the_average_cost(self) -> None:
        for book in self.books.core.ledger.books():
            realized = self.model(book.instrument)[2] * Fraction(book.instrument.multiplier)
            assert abs(Fraction(book.current.realized) - realized) <= self.rounded(book.instrument)

    def rounded(self, instrument: Instrument) -> Fraction:
        return STEP * Fraction(instrument.multiplier) * len(self.history[instrument.symbol])

    def check_base(self, marks: dict[str, Decimal]) -> None:
        ledger = self.books.core.ledger
        parts = [(ledger.pnl(c, marks, session=False), RATES.get(c, Decimal(1))) for c in CURRENCIES]
        base = ledger.pnl_base(marks, RATES, session=False)
        assert base is not None
        assert base.realized == sum(pnl.realized * rate for pnl, rate in parts)
        assert base.commission == sum(pnl.commission * rate for pnl, rate in parts)

    @invariant()
    def it_knows_which_commissions_are_missing(self) -> None:
        missing = {known.base for known in self.fills} - self.commissions.keys()
        assert self.books.core.ledger.pnl("USD", {}, session=False).commissions_missing == len(missing)

    def teardown(self) -> None:
        """Folding the journal gives the same books as having lived through it."""
        lived, replayed = self.books.core.ledger, self.books.replayed().ledger
        assert replayed.positions() == lived.positions()
        for session in (False, True):
            for currency in CURRENCIES:
                assert replayed.pnl(currency, {}, session=session) == lived.pnl(currency, {}, session=session)
        for known in self.fills:
            assert replayed.knows(known.exec_id) == lived.knows(known.exec_id)

    # -- the second bookkeeping

    def recent(self) -> list[Fill]:
        """What can still be corrected: the fills of this session and the one before it."""
        return [known for known in self.fills if known.session >= self.session - 1]

    def held(self) -> list[tuple[str, int]]:
        return [(item.symbol, units) for item in INSTRUMENTS if (units := self.model(item)[0])]

    def tell(self, known: Fill) -> None:
        self.books.step(book_execution, executed(known.exec_id, known.signed, known.price, known.instrument), None)

    def model(self, instrument: Instrument) -> tuple[int, Fraction, Fraction]:
        """Units held, what they cost (or brought) by the average, and what was realized; without the multiplier."""
        units, cost, realized = 0, Fraction(0), Fraction(0)
        for event in self.history[instrument.symbol]:
            if isinstance(event, tuple):
                units, cost = event[0], Fraction(event[0]) * Fraction(event[1])
                continue
            for one in range(abs(event.signed)):
                step = 1 if event.signed > 0 else -1
                price = Fraction(event.price)
                if units * step < 0:
                    average = cost / units
                    realized += (price - average) * -step
                    cost -= average * -step
                else:
                    cost += price * step
                units += step
                assert one >= 0
        return units, cost, realized

    def gained(self, instrument: Instrument, mark: Decimal) -> Fraction:
        units, cost, realized = self.model(instrument)
        return (realized + units * Fraction(mark) - cost) * Fraction(instrument.multiplier)


def test_the_ledger_agrees_with_a_second_bookkeeping() -> None:
    run_state_machine_as_test(LedgerMachine, settings=effort(30, steps=25))
