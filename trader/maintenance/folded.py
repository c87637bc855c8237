"""The books after the facts up to a moment: the service's own ledger and orders, and what each instrument cost.

Rules: pure. Facts that contradict those before them raise, as they do in the service.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from trader.contracts import ZERO
from trader.events import (
    AnyDurableFact,
    CancelIntended,
    CommissionBooked,
    CommissionLine,
    DurableFact,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    OrderAdopted,
    OrderIntended,
    OrderStateChanged,
    PositionAdopted,
    SessionOpened,
    SessionValued,
)
from trader.ledger import Ledger, base_exec_id
from trader.maintenance.sources import Unavailable
from trader.orders import IllegalTransition, Orders

BOOK_FACTS: Final[tuple[type[DurableFact], ...]] = (
    OrderIntended, OrderStateChanged, CancelIntended, OrderAdopted, FillBooked, CommissionBooked, PositionAdopted,
    ExecutionIgnored, SessionOpened, SessionValued,
)  # fmt: skip
CONTRADICTIONS: Final = (AssertionError, IllegalTransition, KeyError)


@dataclass
class Books:
    """Ledger and orders after the facts that were applied, and the costs of each instrument.

    Corrections of executions and commissions reach back to the session before, as in the ledger, which bounds memory.
    """

    base_currency: str
    ledger: Ledger = field(init=False)
    orders: Orders = field(default_factory=Orders)
    costs: dict[str, Decimal] = field(default_factory=dict)
    _symbols: dict[str, str] = field(default_factory=dict)
    _symbols_before: dict[str, str] = field(default_factory=dict)
    _charged: dict[str, CommissionLine] = field(default_factory=dict)
    _charged_before: dict[str, CommissionLine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.base_currency)

    def apply(self, fact: AnyDurableFact) -> None:
        self.orders.apply(fact)
        self.ledger.apply(fact)
        match fact:
            case SessionOpened():
                self.orders.forget_final(before=fact.opened_at)
                self._symbols_before, self._symbols = self._symbols, {}
                self._charged_before, self._charged = self._charged, {}
            case FillBooked():
                self._learn(fact.line)
            case CommissionBooked():
                self._charge(fact.line)
            case _:
                pass

    def _learn(self, line: ExecutionLine) -> None:
        key, symbol = base_exec_id(line.exec_id), line.instrument.symbol
        if self._symbol(key) == symbol:
            return
        early = self._charged.get(key) or self._charged_before.get(key)
        if early is not None:
            self._add(self._symbol(key), -early.amount)
            self._add(symbol, early.amount)
        self._symbols[key] = symbol

    def _charge(self, line: CommissionLine) -> None:
        key = base_exec_id(line.exec_id)
        earlier = self._charged.get(key) or self._charged_before.get(key)
        self._add(self._symbol(key), line.amount - (earlier.amount if earlier else ZERO))
        self._charged[key] = line

    def _symbol(self, key: str) -> str:
        """The instrument of an execution; empty before it is known."""
        return self._symbols.get(key) or self._symbols_before.get(key, "")

    def _add(self, symbol: str, amount: Decimal) -> None:
        self.costs[symbol] = self.costs.get(symbol, ZERO) + amount

    def realized(self) -> dict[str, Decimal]:
        return {book.instrument.symbol: book.current.realized for book in self.ledger.books()}

    def money(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Realized P&L and commissions since the books began, by currency."""
        every = {currency: self.ledger.pnl(currency, {}, session=False) for currency in self.ledger.currencies()}
        return {currency: (pnl.realized, pnl.commission) for currency, pnl in every.items()}

    def holdings(self) -> dict[str, frozenset[str]]:
        """The instruments held, by currency."""
        held: dict[str, set[str]] = {}
        for book in self.ledger.books():
            if book.current.quantity:
                held.setdefault(book.instrument.currency, set()).add(book.instrument.symbol)
        return {currency: frozenset(symbols) for currency, symbols in held.items()}


def fold(base_currency: str, facts: Iterable[AnyDurableFact]) -> Books:
    """The books after ``facts``; raises Unavailable where they contradict each other."""
    books = Books(base_currency)
    try:
        for fact in facts:
            books.apply(fact)
    except CONTRADICTIONS as error:
        raise contradicted(error) from error
    return books


def contradicted(error: Exception) -> Unavailable:
    """What a fact that cannot follow those before it means."""
    return Unavailable(f"the journal's facts contradict each other ({error}); verify it, or a backup of it")
