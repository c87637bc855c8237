"""Journals with random trading in them, their books by SQL, a disk that fills up, a process that dies anywhere."""

import errno
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader.clock import ManualClock
from trader.contracts import Instrument, OrderType, Side, TradingMode, TradingState
from trader.events import (
    AnyDurableFact,
    Approved,
    CommissionBooked,
    CommissionLine,
    ExecutionLine,
    FillBooked,
    Intent,
    OrderIntended,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
    ServiceStarted,
    SessionOpened,
    StartReason,
    TradingStateChanged,
)
from trader.journal import Journal
from trader.maintenance.backup import Keep, Subject, create, disk

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
SYMBOLS = ("SPY", "AAPL", "ESH6")
SETTLED = (
    (OrderTrigger.SENT, OrderState.INTENDED, OrderState.SENT),
    (OrderTrigger.ACKNOWLEDGED, OrderState.SENT, OrderState.WORKING),
)


def traded(rng: random.Random, orders: int, first: int = 0, started: bool = False) -> list[AnyDurableFact]:
    """Facts of a day with so many orders, most of them filled in parts; the last one stays open."""
    at = START + timedelta(seconds=first)
    facts: list[AnyDurableFact] = []
    if not started:
        facts += [
            ServiceStarted(
                at=at, run_id="r", reason=StartReason.MANUAL, previous_exit_clean=True, version="0.1.0",
                mode=TradingMode.SIMULATED, account="DU7", config_hash="abc",
            ),
            SessionOpened(
                at=at, calendar="XNYS", session="2026-03-02", opened_at=at, closes_at=at + timedelta(hours=6)
            ),
        ]  # fmt: skip
    for number in range(first, first + orders):
        facts += _order(rng, number, at + timedelta(seconds=number - first), filled=number < first + orders - 1)
    if rng.random() < 0.5:
        facts.append(
            TradingStateChanged(
                at=at, old=TradingState.ACTIVE, new=TradingState.HALTED, source="operator", reason="a look"
            )
        )
    return facts


def _order(rng: random.Random, number: int, at: datetime, filled: bool) -> Iterator[AnyDurableFact]:
    symbol, side = rng.choice(SYMBOLS), rng.choice(list(Side))
    price, parts = Decimal(rng.randrange(10_000, 20_000)) / 100, rng.sample(range(1, 90), rng.randrange(1, 4))
    ref, quantity = f"r-{number}", Decimal(sum(parts))
    terms = OrderTerms(symbol=symbol, side=side, quantity=quantity, order_type=OrderType.LIMIT, limit_price=price)
    intent = Intent(terms=terms, strategy="s", reason="z", reference_price=float(price), decided_ns=1)
    yield OrderIntended(at=at, order_ref=ref, order_id=number + 1, approved=Approved(intent=intent, reduces=False))
    for trigger, old, new in SETTLED:
        yield OrderStateChanged(at=at, order_ref=ref, old=old, new=new, trigger=trigger, perm_id=1_000 + number)
    if not filled:
        return
    for part, amount in enumerate(parts):
        line = ExecutionLine(
            exec_id=f"{number:06d}.{part:02d}.01", order_id=number + 1, perm_id=1_000 + number, client_id=1,
            order_ref=ref, instrument=Instrument(symbol=symbol), side=side, quantity=Decimal(amount),
            price=price + Decimal(part) / 100, executed_at=at,
        )  # fmt: skip
        yield FillBooked(
            at=at, order_ref=ref, line=line, corrects=None, replaced_quantity=Decimal(0), slippage_ratio=0.0001,
            fill_duration_s=0.2,
        )  # fmt: skip
        cost = CommissionLine(exec_id=line.exec_id, amount=Decimal(rng.randrange(1, 300)) / 100, currency="USD")
        yield CommissionBooked(at=at, line=cost)
    yield OrderStateChanged(
        at=at, order_ref=ref, old=OrderState.WORKING, new=OrderState.FILLED, trigger=OrderTrigger.FULLY_FILLED
    )


def told_by_sql(path: Path) -> dict[str, Any]:
    """Counts, positions, cash and commissions of a journal's file, from its rows and by no part of the product."""
    with closing(sqlite3.connect(path)) as database:
        kinds = dict(database.execute("SELECT kind, count(*) FROM facts GROUP BY kind"))
        last = database.execute("SELECT max(seq) FROM facts").fetchone()[0]
        fills = [json.loads(body) for (body,) in database.execute("SELECT body FROM facts WHERE kind = 'FillBooked'")]
        costs = [json.loads(b) for (b,) in database.execute("SELECT body FROM facts WHERE kind = 'CommissionBooked'")]
    positions: dict[str, Decimal] = {}
    cash: dict[str, Decimal] = {}
    for fill in fills:
        line = fill["line"]
        signed = Decimal(line["quantity"]) * (1 if line["side"] == "BUY" else -1)
        symbol = line["instrument"]["symbol"]
        positions[symbol] = positions.get(symbol, Decimal(0)) + signed
        cash[symbol] = cash.get(symbol, Decimal(0)) - signed * Decimal(line["price"])
    return {
        "last": last,
        "kinds": kinds,
        "positions": positions,
        "cash": cash,
        "commission": sum((Decimal(cost["line"]["amount"]) for cost in costs), Decimal(0)),
    }


def told_by_books(books: Any) -> dict[str, Any]:
    """The same from a manifest's books; what was realized, less the cost of what is held, is the cash."""
    return {
        "last": books.last_sequence,
        "kinds": books.facts,
        "positions": {symbol: position.quantity for symbol, position in books.positions.items()},
        "cash": {symbol: position.realized - position.cost for symbol, position in books.positions.items()},
        "commission": books.balances["USD"].commission,
    }


class Killed(BaseException):
    """The process ends here: nothing that would come after it happens."""


class Place:
    """A state with a journal and a configuration, and a folder for its backups."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self.clock = ManualClock(datetime(2026, 3, 2, 22, 0, tzinfo=UTC))
        self.journal = folder / "state" / "journal.db"
        self.backups = folder / "backups"
        self.socket = folder / "state" / "control.sock"
        self.config = folder / "config.yaml"
        self.config.write_text("mode: simulated\naccount: DU7\ninstruments: [SPY]\n")
        self.orders = 0
        self.subject = Subject(
            journal_url=f"sqlite:///{self.journal}", mode=TradingMode.SIMULATED, account="DU7", base_currency="USD",
            config_hash="abc", version="0.1.0", files=(self.config,),
        )  # fmt: skip

    def trade(self, orders: int = 20) -> None:
        """Append a day's facts, as the service would."""
        with Journal.open(f"sqlite:///{self.journal}", clock=self.clock) as journal:
            journal.append(traded(self.rng, orders, self.orders, started=journal.last_sequence > 0))
        self.orders += orders

    def back_up(self, keep: Keep | None = None) -> Any:
        """A backup, a minute after whatever was before."""
        self.clock.advance(timedelta(minutes=1))
        return create(self.subject, self.backups, keep or Keep(), self.clock)


@pytest.fixture
def place(tmp_path: Path, seed: int) -> Place:
    made = Place(tmp_path, random.Random(seed))
    made.trade()
    return made


@pytest.fixture
def by_sql() -> Callable[[Path], dict[str, Any]]:
    return told_by_sql


@pytest.fixture
def by_books() -> Callable[[Any], dict[str, Any]]:
    return told_by_books


CALLS = ("write", "fsync", "replace", "unlink", "mkdir", "link", "remove_tree")


@pytest.fixture
def dying() -> Callable[[int], Any]:
    """``with dying(n) as died``: the n-th change of the file system does not happen, nor does any after it."""

    @contextmanager
    def until(last: int) -> Iterator[list[str]]:
        died: list[str] = []
        made = [0]
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(disk, name, _dying(name, getattr(disk, name), last, made, died))
            with suppress(Killed):
                yield died

    return until


def _dying(name: str, real: Callable[..., Any], last: int, made: list[int], died: list[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        made[0] += 1
        if made[0] >= last:
            died.append(name)
            raise Killed
        return real(*arguments, **options)

    return call


@pytest.fixture
def full_disk() -> Callable[[int], Any]:
    """``with full_disk(n)``: the n-th write and every later one finds no room."""

    @contextmanager
    def until(last: int) -> Iterator[None]:
        made = [0]

        def write(descriptor: int, content: Any) -> int:
            made[0] += 1
            if made[0] >= last:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, content)

        real = disk.write
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk, "write", write)
            yield

    return until
