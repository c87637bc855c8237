"""Facts as a service journals them: one order's, a trading day's, a year's; and journals that are full of them.

Rules: deterministic by what they are given. A round trip is flat again, so days follow one another without end. A
large journal is written past the journal's own writer, row for row the same, because a year a fact at a time takes
long; it is opened and read as any other.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Final

from trader.clock import ManualClock
from trader.contracts import Instrument, OrderType, Side, TradingMode
from trader.events import (
    Approved,
    CommissionBooked,
    CommissionLine,
    DurableFact,
    ExecutionLine,
    FillBooked,
    Intent,
    OrderIntended,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
    ReconciliationFinished,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SignalChanged,
    StartReason,
)
from trader.journal import Journal
from trader.journal.codec import to_row

FIRST_OPEN: Final = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
SESSION: Final = timedelta(hours=6, minutes=30)
SYMBOLS: Final = ("SPY", "IBM", "BAC", "AIG", "QQQ", "IWM", "XOM", "KO", "JPM", "DIS")
INSTRUMENTS: Final = {symbol: Instrument(symbol, con_id=number) for number, symbol in enumerate(SYMBOLS, start=1)}
STRATEGY: Final = "mean_reversion"
ROWS_AT_ONCE: Final = 5_000
PARTS: Final = (Decimal(40), Decimal(60))
WHOLE: Final = sum(PARTS, Decimal(0))


class _Order:
    """The facts of order ``number`` of a run that began in session ``day``."""

    def __init__(self, day: int, number: int, at: datetime) -> None:
        self.at = at
        self.ref = f"ibt-hk2{day:05x}-{number}"
        self.order_id = day * 100_000 + number
        self.symbol = SYMBOLS[number // 2 % len(SYMBOLS)]
        self.side = Side.SELL if number % 2 else Side.BUY
        self.price = Decimal(167) + Decimal(number % 400) / 100

    def facts(self) -> Iterator[DurableFact]:
        """All that is journaled of it, from the signal to the last commission; every fourth fills in two parts."""
        yield self._signal()
        yield self.intended()
        yield self._changed(OrderState.INTENDED, OrderState.SENT, OrderTrigger.SENT)
        yield self._changed(OrderState.SENT, OrderState.WORKING, OrderTrigger.ACKNOWLEDGED)
        parts = PARTS if self.order_id % 4 == 0 else (WHOLE,)
        for number, quantity in enumerate(parts, start=1):
            yield self._fill(number, quantity)
            if number < len(parts):
                yield self._changed(OrderState.WORKING, OrderState.WORKING, OrderTrigger.PARTLY_FILLED)
        yield self._changed(OrderState.WORKING, OrderState.FILLED, OrderTrigger.FULLY_FILLED)
        for number in range(1, len(parts) + 1):
            line = CommissionLine(exec_id=self._exec_id(number), amount=Decimal("1.0000"), currency="USD")
            yield CommissionBooked(at=self.at, line=line)

    def intended(self) -> OrderIntended:
        terms = OrderTerms(
            symbol=self.symbol, side=self.side, quantity=WHOLE, order_type=OrderType.LIMIT, limit_price=self.price
        )
        intent = Intent(
            terms=terms,
            strategy=STRATEGY,
            reason="-2.13 deviations from the mean of 167.5421",
            reference_price=float(self.price),
            decided_ns=self.order_id * 1_000_003,
        )
        approved = Approved(intent=intent, reduces=self.side is Side.SELL)
        risk_ns = (self.order_id * 1_000_003 + 9_000, self.order_id * 1_000_003 + 52_000)
        return OrderIntended(at=self.at, order_ref=self.ref, order_id=self.order_id, approved=approved, risk_ns=risk_ns)

    def _signal(self) -> SignalChanged:
        return SignalChanged(
            at=self.at,
            strategy=STRATEGY,
            symbol=self.symbol,
            previous=WHOLE if self.side is Side.SELL else Decimal(0),
            target=WHOLE if self.side is Side.BUY else Decimal(0),
            price=float(self.price),
            reason="-2.13 deviations from the mean of 167.5421",
        )

    def _changed(self, old: OrderState, new: OrderState, trigger: OrderTrigger) -> OrderStateChanged:
        perm_id = 0 if trigger is OrderTrigger.SENT else 1_000_000_000 + self.order_id
        return OrderStateChanged(at=self.at, order_ref=self.ref, old=old, new=new, trigger=trigger, perm_id=perm_id)

    def _exec_id(self, number: int) -> str:
        return f"0000e0d5.{self.order_id:08x}.{number:02d}.01"

    def _fill(self, number: int, quantity: Decimal) -> FillBooked:
        line = ExecutionLine(
            exec_id=self._exec_id(number),
            order_id=self.order_id,
            perm_id=1_000_000_000 + self.order_id,
            client_id=1,
            order_ref=self.ref,
            instrument=INSTRUMENTS[self.symbol],
            side=self.side,
            quantity=quantity,
            price=self.price,
            executed_at=self.at,
        )
        return FillBooked(
            at=self.at,
            order_ref=self.ref,
            line=line,
            corrects=None,
            replaced_quantity=Decimal(0),
            slippage_ratio=0.00002,
            fill_duration_s=0.082,
        )


def intent(number: int) -> OrderIntended:
    """What is journaled before order ``number`` may leave."""
    return _Order(0, number, FIRST_OPEN + timedelta(milliseconds=number)).intended()


def session_facts(day: int, orders: int) -> Iterator[DurableFact]:
    """One session's facts: a run that starts, trades ``orders`` orders, half of them to exit, and stops."""
    opens_at = FIRST_OPEN + timedelta(days=day)
    closes_at, run = opens_at + SESSION, f"hk2{day:05x}"
    name = f"{opens_at:%Y-%m-%d}"
    yield ServiceStarted(
        at=opens_at,
        run_id=run,
        reason=StartReason.MANUAL,
        previous_exit_clean=True,
        version="1",
        mode=TradingMode.SIMULATED,
        account="DU1234567",
        config_hash="0123456789ab",
    )
    yield ReconciliationFinished(at=opens_at, clean=True, unanswered=(), mismatches={}, duration_s=0.02)
    yield SessionOpened(at=opens_at, calendar="XNYS", session=name, opened_at=opens_at, closes_at=closes_at)
    for number in range(orders):
        yield from _Order(day, number, opens_at + SESSION * (number + 1) / (orders + 2)).facts()
    zero = Decimal(0)
    yield SessionClosed(
        at=closes_at, calendar="XNYS", session=name, realized=zero, unrealized=zero, commission=zero, fees=zero
    )
    yield ServiceStopped(at=closes_at, run_id=run, reason="stopped", clean=True)


def write_sessions(path: Path, sessions: int, orders: int) -> int:
    """Make the journal ``path`` of so many sessions of so many orders; returns how many facts are in it."""
    Journal.open(f"sqlite:///{path}", clock=ManualClock(FIRST_OPEN)).close()
    facts = (fact for day in range(sessions) for fact in session_facts(day, orders))
    rows = (tuple(to_row(sequence, fact).values()) for sequence, fact in enumerate(facts, start=1))
    with closing(sqlite3.connect(path)) as connection:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            connection.executemany("INSERT INTO facts (seq, at, kind, body) VALUES (?, ?, ?, ?)", some)
            connection.commit()
        return int(connection.execute("SELECT max(seq) FROM facts").fetchone()[0])
