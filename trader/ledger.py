"""The books: positions, realized and unrealized P&L, commissions, per currency and in the base currency.

Rules: an execution is booked once, by its id; a correction (same id up to the last dot) replaces what it
corrects. Average cost; realized P&L is gross, costs are kept apart and are positive here. A commission is
unknown until it is reported. Positions the service was never told to trade are kept but not valued. State
changes through ``apply`` of durable facts alone; ``check`` asserts that the books conserve what was filled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from trader.contracts import ZERO, Instrument
from trader.events import (
    CommissionBooked,
    CommissionLine,
    DurableFact,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    PositionAdopted,
    PositionLine,
    SessionOpened,
)


def base_exec_id(exec_id: str) -> str:
    """An execution's identity without its correction number: all up to the last dot."""
    return exec_id.rpartition(".")[0] or exec_id


@dataclass(slots=True)
class Holding:
    """What is held of one instrument: signed quantity, average cost a unit, realized gross P&L."""

    quantity: Decimal = ZERO
    average_cost: Decimal = ZERO
    realized: Decimal = ZERO

    def trade(self, signed_quantity: Decimal, price: Decimal, multiplier: Decimal) -> None:
        if self.quantity * signed_quantity >= 0:
            total = self.quantity + signed_quantity
            cost = self.average_cost * self.quantity + price * signed_quantity
            self.average_cost = cost / total if total else ZERO
            self.quantity = total
            return
        closed = min(abs(signed_quantity), abs(self.quantity))
        direction = 1 if self.quantity > 0 else -1
        self.realized += (price - self.average_cost) * closed * direction * multiplier
        self.quantity += signed_quantity
        if self.quantity == 0:
            self.average_cost = ZERO
        elif self.quantity * direction < 0:
            self.average_cost = price


@dataclass(slots=True)
class InstrumentBook:
    """One instrument's holding, and the fills since ``opening`` from which it can be computed again."""

    instrument: Instrument
    opening: Holding = field(default_factory=Holding)
    current: Holding = field(default_factory=Holding)
    fills: dict[str, ExecutionLine] = field(default_factory=dict)

    def book(self, line: ExecutionLine) -> None:
        key = base_exec_id(line.exec_id)
        corrects = key in self.fills
        self.fills[key] = line
        if corrects:
            self.recompute()
        else:
            self.current.trade(line.quantity * line.side.sign, line.price, self.instrument.multiplier)

    def recompute(self) -> None:
        self.current = self._copy(self.opening)
        for line in self.fills.values():
            self.current.trade(line.quantity * line.side.sign, line.price, self.instrument.multiplier)

    def adopt(self, line: PositionLine) -> None:
        self.fills.clear()
        self.current = Holding(line.quantity, line.average_cost, self.current.realized)
        self.opening = self._copy(self.current)

    def roll(self) -> None:
        """Start a new day: corrections reach back to the current day only."""
        self.opening = self._copy(self.current)
        self.fills.clear()

    @staticmethod
    def _copy(holding: Holding) -> Holding:
        return Holding(holding.quantity, holding.average_cost, holding.realized)


@dataclass(frozen=True, slots=True)
class Pnl:
    """Amounts in one currency, costs positive. ``unrealized`` is None where a mark is missing."""

    realized: Decimal
    unrealized: Decimal | None
    commission: Decimal
    commissions_missing: int


class Ledger:
    """All books of one account."""

    def __init__(self, base_currency: str) -> None:
        self.base_currency = base_currency
        self._books: dict[str, InstrumentBook] = {}
        self._commissions: dict[str, CommissionLine] = {}
        # Brokers repeat executions of the current day only: two sessions of ids are enough, and bounded.
        self._known_exec_ids: set[str] = set()
        self._known_exec_ids_before: set[str] = set()
        self._commissions_before: dict[str, CommissionLine] = {}
        self._awaiting_commission: dict[str, datetime] = {}
        self._commission_totals: dict[str, Decimal] = {}
        self._realized_at_open: dict[str, Decimal] = {}
        self._commission_at_open: dict[str, Decimal] = {}
        self.unrealized_at_open: Decimal | None = None
        self.fills_booked = 0

    # -- questions

    def knows(self, exec_id: str) -> bool:
        return exec_id in self._known_exec_ids or exec_id in self._known_exec_ids_before

    def commission_known(self, line: CommissionLine) -> bool:
        return self._commission(base_exec_id(line.exec_id)) == line

    def superseded(self, line: ExecutionLine) -> ExecutionLine | None:
        """The booked execution that ``line`` corrects, if there is one."""
        book = self._books.get(line.instrument.symbol)
        earlier = book.fills.get(base_exec_id(line.exec_id)) if book else None
        return earlier if earlier and earlier.exec_id != line.exec_id else None

    def position(self, symbol: str) -> Decimal:
        book = self._books.get(symbol)
        return book.current.quantity if book else ZERO

    def flat_line(self, instrument: Instrument) -> PositionLine:
        """The position line that says: nothing is held of ``instrument``."""
        return PositionLine(instrument=instrument, quantity=ZERO, average_cost=ZERO)

    def books(self) -> Iterable[InstrumentBook]:
        return self._books.values()

    def positions(self) -> dict[str, Decimal]:
        """Signed quantities by symbol, without the flat ones."""
        return {s: b.current.quantity for s, b in self._books.items() if b.current.quantity}

    def commissions_missing_since(self) -> datetime | None:
        """When the oldest execution without a commission report was booked; None when none is missing."""
        return min(self._awaiting_commission.values(), default=None)

    def unrealized(self, book: InstrumentBook, mark: Decimal) -> Decimal:
        holding = book.current
        return (mark - holding.average_cost) * holding.quantity * book.instrument.multiplier

    # -- profit and loss

    def pnl(self, currency: str, marks: Mapping[str, Decimal | None], *, session: bool) -> Pnl:
        """P&L in ``currency``; of this session when ``session``, else since the books began.

        ``marks`` holds the instruments that are valued; a None mark of a held one makes unrealized unknown.
        """
        realized = sum((b.current.realized for b in self._in(currency)), ZERO)
        commission = self._commission_totals.get(currency, ZERO)
        if session:
            realized -= self._realized_at_open.get(currency, ZERO)
            commission -= self._commission_at_open.get(currency, ZERO)
        unrealized: Decimal | None = ZERO
        for book in self._in(currency):
            if book.current.quantity == 0 or book.instrument.symbol not in marks:
                continue
            mark = marks[book.instrument.symbol]
            if mark is None:
                unrealized = None
                break
            unrealized += self.unrealized(book, mark)  # type: ignore[operator]
        return Pnl(realized, unrealized, commission, len(self._awaiting_commission))

    def currencies(self) -> tuple[str, ...]:
        used = {b.instrument.currency for b in self._books.values()} | set(self._commission_totals)
        return tuple(sorted(used | {self.base_currency}))

    def pnl_base(
        self, marks: Mapping[str, Decimal | None], rates: Mapping[str, Decimal], *, session: bool
    ) -> Pnl | None:
        """P&L of all currencies in the base currency; None when a needed exchange rate is not known."""
        parts: list[tuple[Pnl, Decimal]] = []
        for currency in self.currencies():
            pnl = self.pnl(currency, marks, session=session)
            rate = Decimal(1) if currency == self.base_currency else rates.get(currency)
            if rate is None:
                if pnl.realized or pnl.commission or pnl.unrealized != ZERO:
                    return None
                continue
            parts.append((pnl, rate))
        unrealized: Decimal | None = ZERO
        for pnl, rate in parts:
            if pnl.unrealized is None or unrealized is None:
                unrealized = None
            else:
                unrealized += pnl.unrealized * rate
        if session and unrealized is not None and self.unrealized_at_open is not None:
            unrealized -= self.unrealized_at_open
        return Pnl(
            realized=sum((p.realized * r for p, r in parts), ZERO),
            unrealized=unrealized,
            commission=sum((p.commission * r for p, r in parts), ZERO),
            commissions_missing=len(self._awaiting_commission),
        )

    # -- changes

    def apply(self, fact: DurableFact) -> None:
        match fact:
            case FillBooked():
                self._book_fill(fact)
            case CommissionBooked():
                self._book_commission(fact.line)
            case PositionAdopted():
                self._book(fact.line.instrument).adopt(fact.line)
            case ExecutionIgnored():
                self._known_exec_ids.add(fact.line.exec_id)
            case SessionOpened():
                self._roll(fact)
            case _:
                pass

    def check(self) -> None:
        """Assert conservation: every holding is its opening plus its fills, every total the sum of its parts."""
        for book in self._books.values():
            filled = sum((line.quantity * line.side.sign for line in book.fills.values()), ZERO)
            assert book.current.quantity == book.opening.quantity + filled, (
                f"{book.instrument.symbol}: holds {book.current.quantity}, fills say {book.opening.quantity + filled}"
            )

    def _in(self, currency: str) -> Iterable[InstrumentBook]:
        return (b for b in self._books.values() if b.instrument.currency == currency)

    def _book(self, instrument: Instrument) -> InstrumentBook:
        book = self._books.get(instrument.symbol)
        if book is None:
            book = self._books[instrument.symbol] = InstrumentBook(instrument)
        return book

    def _book_fill(self, fact: FillBooked) -> None:
        line = fact.line
        assert not self.knows(line.exec_id), f"execution {line.exec_id} is booked twice"
        self._known_exec_ids.add(line.exec_id)
        self._book(line.instrument).book(line)
        self.fills_booked += 1
        if self._commission(base_exec_id(line.exec_id)) is None:
            self._awaiting_commission.setdefault(base_exec_id(line.exec_id), fact.at)

    def _book_commission(self, line: CommissionLine) -> None:
        key = base_exec_id(line.exec_id)
        earlier = self._commission(key)
        if earlier is not None:
            self._commission_totals[earlier.currency] -= earlier.amount
        self._commissions[key] = line
        self._commission_totals[line.currency] = self._commission_totals.get(line.currency, ZERO) + line.amount
        self._awaiting_commission.pop(key, None)

    def _commission(self, base_id: str) -> CommissionLine | None:
        return self._commissions.get(base_id) or self._commissions_before.get(base_id)

    def _roll(self, fact: SessionOpened) -> None:
        self._known_exec_ids_before, self._known_exec_ids = self._known_exec_ids, set()
        self._commissions_before, self._commissions = self._commissions, {}
        self.unrealized_at_open = fact.unrealized
        for currency in self.currencies():
            self._realized_at_open[currency] = sum((b.current.realized for b in self._in(currency)), ZERO)
            self._commission_at_open[currency] = self._commission_totals.get(currency, ZERO)
        for book in self._books.values():
            book.roll()
