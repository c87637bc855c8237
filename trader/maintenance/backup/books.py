"""The facts folded into the books, and where two books differ.

Rules: pure. The same parts fold here as in the service (``Ledger``, ``Orders``), in order and without gaps; facts that
contradict each other are damage. Memory is bounded as the service's is: ended orders go when a session opens.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import takewhile

from trader.contracts import TradingMode, TradingState
from trader.events import AnyDurableFact, ServiceStarted, SessionOpened, TradingStateChanged
from trader.journal.api import NumberedFact
from trader.ledger import Ledger
from trader.maintenance.backup.errors import BackupDamaged
from trader.maintenance.backup.model import Balance, Books, OpenOrder, Position
from trader.orders import IllegalTransition, Orders


def fold(facts: Iterable[NumberedFact], base_currency: str, where: object) -> Books:
    """The books after ``facts``, which begin with number 1; raises BackupDamaged naming ``where``."""
    folding = _Folding(base_currency)
    for sequence, fact in facts:
        if sequence != folding.sequence + 1:
            raise BackupDamaged(f"{where} is damaged: fact {folding.sequence + 1} is missing")
        try:
            folding.take(sequence, fact)
        except (AssertionError, IllegalTransition, KeyError) as error:
            raise BackupDamaged(f"{where} is damaged: fact {sequence} contradicts those before it ({error})") from error
    return folding.books()


def up_to(facts: Iterable[NumberedFact], last_sequence: int) -> Iterator[NumberedFact]:
    """The facts numbered ``last_sequence`` at most."""
    return takewhile(lambda numbered: numbered[0] <= last_sequence, facts)


class _Folding:
    def __init__(self, base_currency: str) -> None:
        self.sequence = 0
        self._base_currency = base_currency
        self._last_kind = ""
        self._last_at: datetime | None = None
        self._kinds: Counter[str] = Counter()
        self._trading_state = TradingState.ACTIVE
        self._mode: TradingMode | None = None
        self._account = ""
        self._orders = Orders()
        self._ledger = Ledger(base_currency)

    def take(self, sequence: int, fact: AnyDurableFact) -> None:
        self._orders.apply(fact)
        self._ledger.apply(fact)
        if isinstance(fact, SessionOpened):
            self._orders.forget_final(before=fact.opened_at)
        elif isinstance(fact, TradingStateChanged):
            self._trading_state = fact.new
        elif isinstance(fact, ServiceStarted):
            self._mode, self._account = fact.mode, fact.account
        self.sequence, self._last_kind, self._last_at = sequence, type(fact).__name__, fact.at
        self._kinds[self._last_kind] += 1

    def books(self) -> Books:
        self._ledger.check()
        return Books(
            base_currency=self._base_currency,
            mode=self._mode,
            account=self._account,
            last_sequence=self.sequence,
            last_kind=self._last_kind,
            last_at=self._last_at,
            facts=dict(sorted(self._kinds.items())),
            fills=self._ledger.fills_booked,
            trading_state=str(self._trading_state),
            positions=dict(self._positions()),
            balances=dict(self._balances()),
            open_orders={
                order.order_ref: OpenOrder(order.symbol, str(order.state), order.quantity, order.filled)
                for order in self._orders.open()
            },
        )

    def _positions(self) -> Iterator[tuple[str, Position]]:
        for book in self._ledger.books():
            held = book.current
            yield book.instrument.symbol, Position(held.quantity, held.cost, held.realized)

    def _balances(self) -> Iterator[tuple[str, Balance]]:
        for currency in self._ledger.currencies():
            pnl = self._ledger.pnl(currency, {}, session=False)
            yield currency, Balance(pnl.realized, pnl.commission)


def same_history(ours: Books, theirs: Books) -> bool:
    """Whether both end with the same fact."""
    return (ours.last_sequence, ours.last_kind, ours.last_at) == (
        theirs.last_sequence,
        theirs.last_kind,
        theirs.last_at,
    )


def difference(said: Books, found: Books) -> str:
    """Where ``found`` is not what was ``said``, in a few words; empty when they agree."""
    plain = ("base_currency", "mode", "account", "last_sequence", "last_kind", "last_at", "fills", "trading_state")
    for name in plain:
        if getattr(said, name) != getattr(found, name):
            return f"{name.replace('_', ' ')} {getattr(found, name)} instead of {getattr(said, name)}"
    parts: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
        "facts": (said.facts, found.facts),
        "position": (said.positions, found.positions),
        "balance": (said.balances, found.balances),
        "open order": (said.open_orders, found.open_orders),
    }
    for word, (before, now) in parts.items():
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                return f"{word} {key}: {_brief(now.get(key))} instead of {_brief(before.get(key))}"
    return ""


def _brief(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (Position, Balance, OpenOrder)):
        return " ".join(f"{name} {getattr(value, name)}" for name in value.__struct_fields__)
    return str(value)
