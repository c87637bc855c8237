"""What was traded in a period, folded from durable facts by the parts that the service itself folds them with.

Rules: pure. The books before the period come from all facts before it, those of the period follow one by one. Costs
are positive here, as in the ledger; amounts in the instrument's currency. What was not reported is counted as missing
and never taken as zero.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from trader.contracts import ZERO
from trader.engine.order_flow import is_eligible, outcome_of
from trader.events import (
    AnyDurableFact,
    CommissionBooked,
    DurableFact,
    ExecutionLine,
    FillBooked,
    OrderIntended,
    OrderOutcome,
    OrderStateChanged,
    OrderTrigger,
    ServiceStarted,
    SessionClosed,
    SessionOpened,
    SignalChanged,
)
from trader.ledger import base_exec_id
from trader.maintenance.folded import BOOK_FACTS, Books
from trader.orders import Order

PERIOD_FACTS: Final[tuple[type[DurableFact], ...]] = (*BOOK_FACTS, SessionClosed, SignalChanged, ServiceStarted)
FIRST_WORDS: Final = frozenset(
    {
        OrderTrigger.ACKNOWLEDGED,
        OrderTrigger.PARTLY_FILLED,
        OrderTrigger.FULLY_FILLED,
        OrderTrigger.REJECTED,
        OrderTrigger.CANCELLED,
    }
)
CURVE_STEP_S: Final = 60


class Slipped(NamedTuple):
    """One fill against the price that was decided on: ``cost`` is what was paid above it, ``value`` the whole."""

    symbol: str
    ratio: float
    cost: float
    value: float


class CurrencyResult(NamedTuple):
    """A period's profit and loss in one currency; ``flat`` when nothing was held at its begin and its end."""

    currency: str
    realized: Decimal
    commission: Decimal
    flat: bool


class SymbolResult(NamedTuple):
    """A period in one instrument; ``commission`` is what was reported, ``missing`` the fills without a report."""

    symbol: str
    currency: str
    signals: int
    orders: int
    fills: int
    units: Decimal
    turnover: Decimal
    realized: Decimal
    commission: Decimal
    missing: int
    position: Decimal
    slippage_ratio: float | None


class BaseResult(NamedTuple):
    """A period's profit and loss in the base currency, costs positive; None where it is not known."""

    realized: Decimal | None
    unrealized: Decimal | None
    commission: Decimal | None

    @property
    def gross(self) -> Decimal | None:
        return None if self.realized is None or self.unrealized is None else self.realized + self.unrealized

    @property
    def net(self) -> Decimal | None:
        return None if self.gross is None or self.commission is None else self.gross - self.commission


class Trading:
    """Follows the facts of a period on top of the books before it."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._realized_before = books.realized()
        self._costs_before = dict(books.costs)
        self._money_before = books.money()
        self._held_before = books.holdings()
        self._ended: dict[str, Order] = {}
        self._sent_at: dict[str, datetime] = {}
        self._lines: dict[str, ExecutionLine] = {}
        self._unpaid: set[str] = set()
        self._slipped: dict[str, Slipped] = {}
        self._curves: dict[str, dict[int, tuple[datetime, Decimal]]] = {}
        self.signals: Counter[str] = Counter()
        self.intended: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()
        self.ack_s: list[float] = []
        self.fill_s: list[float] = []
        self.last_fill_at: datetime | None = None
        self.opened_at: datetime | None = None
        self.closed: list[SessionClosed] = []

    def take_all(self, facts: Iterable[AnyDurableFact]) -> "Trading":
        for fact in facts:
            self.take(fact)
        return self

    def take(self, fact: AnyDurableFact) -> None:
        """The next fact of the period."""
        order = self.books.orders.get(fact.order_ref) if isinstance(fact, OrderStateChanged) else None
        was_final = order is not None and order.final
        self.books.apply(fact)
        match fact:
            case SignalChanged():
                self.signals[fact.symbol] += 1
            case OrderIntended():
                self.intended[fact.approved.intent.terms.symbol] += 1
            case OrderStateChanged():
                self._follow(fact, order, was_final)
            case FillBooked():
                self._fill(fact)
            case CommissionBooked():
                self._unpaid.discard(base_exec_id(fact.line.exec_id))
                self._point(fact.at, fact.line.currency)
            case SessionOpened():
                self.opened_at = self.opened_at or fact.opened_at
            case SessionClosed():
                self.closed.append(fact)
            case ServiceStarted():
                self.starts[fact.reason] += 1
            case _:
                pass

    def _follow(self, fact: OrderStateChanged, order: Order | None, was_final: bool) -> None:
        ref = fact.order_ref
        if fact.trigger is OrderTrigger.SENT:
            self._sent_at[ref] = fact.at
        elif fact.trigger is OrderTrigger.LINK_LOST:
            self._sent_at.pop(ref, None)  # what became of it is found out by asking, which says nothing of the broker
        elif fact.trigger in FIRST_WORDS and ref in self._sent_at:
            self.ack_s.append((fact.at - self._sent_at.pop(ref)).total_seconds())
        if order is not None and order.final and not was_final:
            self._ended[ref] = order

    def _fill(self, fact: FillBooked) -> None:
        line = fact.line
        key = base_exec_id(line.exec_id)
        self._lines[key] = line
        self.last_fill_at = fact.at
        if not self.books.ledger.charged(line.exec_id):
            self._unpaid.add(key)
        if fact.fill_duration_s is not None and not fact.corrects:
            self.fill_s.append(fact.fill_duration_s)
        if fact.slippage_ratio is not None:
            self._slipped[key] = slipped(line, fact.slippage_ratio)
        self._point(fact.at, line.instrument.currency)

    def _point(self, at: datetime, currency: str) -> None:
        """The curve has one point a minute at most: the last in it."""
        realized, commission = self.books.money().get(currency, (ZERO, ZERO))
        before = self._money_before.get(currency, (ZERO, ZERO))
        net = realized - commission - (before[0] - before[1])
        self._curves.setdefault(currency, {})[int(at.timestamp()) // CURVE_STEP_S] = (at, net)

    # -- what came of it

    def outcomes(self) -> Counter[OrderOutcome]:
        """How the orders ended that did so in the period."""
        return Counter(outcome_of(order) for order in self._ended.values() if order.final)

    def fill_rate(self) -> tuple[int, int]:
        """Filled and eligible orders, of those that ended in the period."""
        eligible = [order for order in self._ended.values() if order.final and is_eligible(order)]
        return sum(1 for order in eligible if outcome_of(order) is OrderOutcome.FILLED), len(eligible)

    @property
    def fills(self) -> int:
        return len(self._lines)

    @property
    def commissions_missing(self) -> int:
        """Fills of the period whose commission was not reported in it."""
        return len(self._unpaid)

    @property
    def unpaid(self) -> tuple[ExecutionLine, ...]:
        """The fills of the period whose commission was not reported in it, oldest first."""
        return tuple(line for key, line in self._lines.items() if key in self._unpaid)

    def slippage(self, symbol: str = "") -> float | None:
        """What was paid above the decisions' prices, over their value; of one instrument or of all."""
        lines = [item for item in self._slipped.values() if symbol in ("", item.symbol)]
        value = sum(item.value for item in lines)
        return sum(item.cost for item in lines) / value if value else None

    def worst_slippage(self) -> float | None:
        return max((item.ratio for item in self._slipped.values()), default=None)

    def by_currency(self) -> tuple[CurrencyResult, ...]:
        held = self.books.holdings()
        return tuple(
            CurrencyResult(
                currency,
                realized - self._money_before.get(currency, (ZERO, ZERO))[0],
                commission - self._money_before.get(currency, (ZERO, ZERO))[1],
                not held.get(currency) and not self._held_before.get(currency),
            )
            for currency, (realized, commission) in sorted(self.books.money().items())
        )

    def by_symbol(self) -> tuple[SymbolResult, ...]:
        """Every instrument that something happened in or that is held."""
        instruments = {book.instrument.symbol: book.instrument.currency for book in self.books.ledger.books()}
        symbols = instruments.keys() | self.signals.keys() | self.intended.keys()
        rows = (self._of_symbol(symbol, instruments.get(symbol, "")) for symbol in sorted(symbols))
        return tuple(row for row in rows if _says_something(row))

    def _of_symbol(self, symbol: str, currency: str) -> SymbolResult:
        lines = {key: line for key, line in self._lines.items() if line.instrument.symbol == symbol}
        turnover = sum((item.quantity * item.price * item.instrument.multiplier for item in lines.values()), ZERO)
        return SymbolResult(
            symbol=symbol,
            currency=currency,
            signals=self.signals[symbol],
            orders=self.intended[symbol],
            fills=len(lines),
            units=sum((line.quantity for line in lines.values()), ZERO),
            turnover=turnover,
            realized=self.books.realized().get(symbol, ZERO) - self._realized_before.get(symbol, ZERO),
            commission=self.books.costs.get(symbol, ZERO) - self._costs_before.get(symbol, ZERO),
            missing=len(self._unpaid & lines.keys()),
            position=self.books.ledger.position(symbol),
            slippage_ratio=self.slippage(symbol),
        )

    def curves(self) -> Mapping[str, tuple[tuple[datetime, Decimal], ...]]:
        """Realized P&L less commissions, by currency: from zero at the first opening, at fills and commissions."""
        return {
            currency: self._curve([point for _, point in sorted(p.items())]) for currency, p in self._curves.items()
        }

    def _curve(self, points: list[tuple[datetime, Decimal]]) -> tuple[tuple[datetime, Decimal], ...]:
        if self.opened_at is None or self.opened_at >= points[0][0]:
            return tuple(points)
        return (self.opened_at, ZERO), *points

    def in_base(self) -> BaseResult:
        """The period in the base currency: from the ledger where nothing else was traded, else as sessions told it.

        No exchange rate is in the journal, so with another currency in it only a session's own figures can tell.
        """
        base = self.books.base_currency
        results = {item.currency: item for item in self.by_currency()}
        if any(item.realized or item.commission or not item.flat for key, item in results.items() if key != base):
            return self._as_told()
        own = results[base]
        commission = None if self._unpaid else own.commission
        return BaseResult(own.realized, ZERO if own.flat else self._told("unrealized"), commission)

    def _as_told(self) -> BaseResult:
        costs = None if self._unpaid else self._told("commission")
        return BaseResult(self._told("realized"), self._told("unrealized"), None if costs is None else -costs)

    def _told(self, name: str) -> Decimal | None:
        """The sum over the sessions that closed; None without one, and when one did not know it."""
        amounts = [getattr(fact, name) for fact in self.closed]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, ZERO) if known and len(known) == len(amounts) else None


def slipped(line: ExecutionLine, ratio: float) -> Slipped:
    """``ratio`` is over the price that was decided on, which follows from it and the price paid."""
    reference = float(line.price) / (1.0 + ratio * line.side.sign)
    value = reference * float(line.quantity * line.instrument.multiplier)
    return Slipped(line.instrument.symbol, ratio, ratio * value, value)


def _says_something(row: SymbolResult) -> bool:
    return bool(row.signals or row.orders or row.fills or row.realized or row.commission or row.position)
