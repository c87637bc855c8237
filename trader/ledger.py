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
from typing import Final

from trader.contracts import ZERO, Instrument, Side
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
    SessionValued,
)

COST_STEP: Final = Decimal("1e-8")


def base_exec_id(exec_id: str) -> str:
    """An execution's identity without its correction number: all up to the last dot."""
    return exec_id.rpartition(".")[0] or exec_id


def revision(exec_id: str) -> int:
    """An execution's correction number: what follows the last dot, 0 when that is not a number."""
    suffix = exec_id.rpartition(".")[2]
    return int(suffix) if suffix.isdecimal() else 0


@dataclass(slots=True)
class Holding:
    """What is held of one instrument: signed quantity, signed cost without multiplier, realized gross P&L.

    The cost is kept as a total, because an average need not divide evenly: what a closed position has realized
    is exactly what its fills took in and paid out.
    """

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def average_cost(self) -> Decimal:
        return self.cost / self.quantity if self.quantity else ZERO

    def trade(self, signed_quantity: Decimal, price: Decimal, multiplier: Decimal) -> None:
        if self.quantity * signed_quantity < 0:
            closing = min(abs(signed_quantity), abs(self.quantity)).copy_sign(signed_quantity)
            released = self._release(closing)
            self.realized += (-closing * price - released) * multiplier
            self.quantity += closing
            self.cost -= released
            signed_quantity -= closing
        self.quantity += signed_quantity
        self.cost += signed_quantity * price

    def _release(self, closing: Decimal) -> Decimal:
        """The part of the cost that belongs to ``closing``, the signed quantity of a closing trade."""
        if closing == -self.quantity:
            return self.cost
        return (self.cost * closing / -self.quantity).quantize(COST_STEP)


@dataclass(slots=True)
class InstrumentBook:
    """One instrument's holding, and the fills since ``opening`` from which it can be computed again."""

    instrument: Instrument
    opening: Holding = field(default_factory=Holding)
    current: Holding = field(default_factory=Holding)
    fills_before: dict[str, ExecutionLine] = field(default_factory=dict)
    fills: dict[str, ExecutionLine] = field(default_factory=dict)

    def find(self, exec_id: str) -> ExecutionLine | None:
        """The booked execution that ``exec_id`` is, or is a correction of."""
        key = base_exec_id(exec_id)
        return self.fills.get(key) or self.fills_before.get(key)

    def book(self, line: ExecutionLine) -> None:
        key = base_exec_id(line.exec_id)
        corrects = self.find(line.exec_id) is not None
        fills = self.fills_before if key in self.fills_before else self.fills
        fills[key] = line
        if corrects:
            self.current = self._copy(self.opening)
            self._trade(self.current, self.fills_before)
            self._trade(self.current, self.fills)
        else:
            self.current.trade(line.quantity * line.side.sign, line.price, self.instrument.multiplier)

    def adopt(self, line: PositionLine) -> None:
        self.fills_before.clear()
        self.fills.clear()
        self.current = Holding(line.quantity, line.quantity * line.average_cost, self.current.realized)
        self.opening = self._copy(self.current)

    def roll(self) -> None:
        """Start a new session: corrections reach back to the one before it, no further."""
        self._trade(self.opening, self.fills_before)
        self.fills_before, self.fills = self.fills, {}

    def expected_quantity(self) -> Decimal:
        """What is held by the opening and the fills since, counted without regard to price."""
        total = self.opening.quantity
        for fills in (self.fills_before, self.fills):
            for line in fills.values():
                total += line.quantity if line.side is Side.BUY else -line.quantity
        return total

    def _trade(self, holding: Holding, fills: Mapping[str, ExecutionLine]) -> None:
        for line in fills.values():
            holding.trade(line.quantity * line.side.sign, line.price, self.instrument.multiplier)

    @staticmethod
    def _copy(holding: Holding) -> Holding:
        return Holding(holding.quantity, holding.cost, holding.realized)


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
        self._adopted_ids: set[str] = set()
        self._adopted_ids_before: set[str] = set()
        self._commissions_before: dict[str, CommissionLine] = {}
        self._newest_opened_at: datetime | None = None
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
        """Whether ``line`` says nothing new: it is booked, or that of a later correction is."""
        known = self._commission(base_exec_id(line.exec_id))
        return known is not None and (known == line or revision(known.exec_id) > revision(line.exec_id))

    def charged(self, exec_id: str) -> bool:
        """Whether the commission of this execution, or of another version of it, is booked."""
        return self._commission(base_exec_id(exec_id)) is not None

    def awaits_commission(self, exec_id: str) -> bool:
        """Whether this execution is booked, in any version, and its commission was never reported."""
        return base_exec_id(exec_id) in self._awaiting_commission

    def adopted(self, exec_id: str) -> bool:
        """Whether a position that was adopted contains this execution, or an earlier version of it."""
        key = base_exec_id(exec_id)
        return key in self._adopted_ids or key in self._adopted_ids_before

    def superseded(self, line: ExecutionLine) -> ExecutionLine | None:
        """The booked execution that ``line`` corrects, if there is one."""
        book = self._books.get(line.instrument.symbol)
        earlier = book.find(line.exec_id) if book else None
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
        return (mark * holding.quantity - holding.cost) * book.instrument.multiplier

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
        """P&L of all currencies in the base currency; None when a needed exchange rate is not known.

        A session's unrealized part is None also while it is not known what positions were worth when it began.
        """
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
        elif session and self.positions():
            unrealized = None
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
                self._adopt(fact.line)
            case ExecutionIgnored():
                self._known_exec_ids.add(fact.line.exec_id)
                self._adopted_ids.add(base_exec_id(fact.line.exec_id))
            case SessionOpened():
                self._roll(fact)
            case SessionValued():
                self.unrealized_at_open = fact.unrealized
            case _:
                pass

    def check(self) -> None:
        """Assert conservation: every holding is its opening plus its fills, every total the sum of its parts."""
        for book in self._books.values():
            expected = book.expected_quantity()
            assert book.current.quantity == expected, (
                f"{book.instrument.symbol}: holds {book.current.quantity}, fills say {expected}"
            )

    def _in(self, currency: str) -> Iterable[InstrumentBook]:
        return (b for b in self._books.values() if b.instrument.currency == currency)

    def _book(self, instrument: Instrument) -> InstrumentBook:
        book = self._books.get(instrument.symbol)
        if book is None:
            book = self._books[instrument.symbol] = InstrumentBook(instrument)
        return book

    def _adopt(self, line: PositionLine) -> None:
        self.unrealized_at_open = None  # what was gained or lost on it before is not this session's
        book = self._book(line.instrument)
        self._adopted_ids.update(book.fills_before, book.fills)
        book.adopt(line)

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
        newest_at = self._newest_opened_at
        if newest_at is None or fact.opened_at > newest_at:
            self._newest_opened_at = fact.opened_at
            self._forget_oldest()
        self.unrealized_at_open = fact.unrealized
        for currency in self.currencies():
            self._realized_at_open[currency] = sum((b.current.realized for b in self._in(currency)), ZERO)
            self._commission_at_open[currency] = self._commission_totals.get(currency, ZERO)

    def _forget_oldest(self) -> None:
        """Forget what is of the session before the last; one that a clock gone back opens again is no new one."""
        self._known_exec_ids_before, self._known_exec_ids = self._known_exec_ids, set()
        self._adopted_ids_before, self._adopted_ids = self._adopted_ids, set()
        self._commissions_before, self._commissions = self._commissions, {}
        for book in self._books.values():
            book.roll()
