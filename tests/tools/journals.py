"""Facts to write down, and databases to write them in, whatever kind they are."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from trader.clock import ManualClock
from trader.contracts import OrderType, Side, TradingState
from trader.events import Approved, Intent, OrderIdsReserved, OrderIntended, OrderTerms, TradingStateChanged
from trader.journal import Journal, JournalReader, PatientJournal
from trader.journal.api import Durability

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def reserved(number: int, at: datetime = START) -> OrderIdsReserved:
    return OrderIdsReserved(at=at, next_order_id=number)


def halted(at: datetime = START) -> TradingStateChanged:
    return TradingStateChanged(
        at=at, old=TradingState.ACTIVE, new=TradingState.HALTED, source="operator", reason="a look at the book"
    )


def intended() -> OrderIntended:
    terms = OrderTerms(
        symbol="SPY",
        side=Side.BUY,
        quantity=Decimal(100),
        order_type=OrderType.LIMIT,
        limit_price=Decimal("167.550"),
    )
    intent = Intent(terms=terms, strategy="mean_reversion", reason="z", reference_price=167.54, decided_ns=12)
    return OrderIntended(at=START, order_ref="r-1", order_id=7, approved=Approved(intent=intent, reduces=False))


class Database(NamedTuple):
    """Where a journal is or will be."""

    url: str

    def open(self, durability: Durability = "process", may_create: bool = True) -> Journal:
        return Journal.open(self.url, durability, ManualClock(START), may_create)

    def read(self) -> JournalReader:
        return JournalReader.open(self.url)

    def edit(self, statement: str) -> int:
        """Do something behind the journal's back; how many rows it changed."""
        with create_engine(self.url, poolclass=NullPool).begin() as connection:
            return connection.exec_driver_sql(statement).rowcount

    def rows(self) -> list[tuple[object, ...]]:
        """Every row of every table, in order."""
        with create_engine(self.url, poolclass=NullPool).connect() as connection:
            return [
                tuple(row)
                for query in ("SELECT * FROM meta ORDER BY key", "SELECT * FROM facts ORDER BY seq")
                for row in connection.execute(text(query))
            ]


def until(journal: PatientJournal, done: Callable[[], bool]) -> None:
    """Ask until it is so; the search's thread is waited for, not the time."""
    for _ in range(10_000):
        if done():
            return
        search = journal._search
        if search is not None:
            search._thread.join(0.01)
        journal.append([])
    raise AssertionError(f"still {journal.problem!r}")
