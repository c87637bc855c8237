"""The judge of the kills: what it has to see when the books are not the broker's."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trader.contracts import Instrument, Side
from trader.drills.killed_books import KilledBooks
from trader.events import BrokerStateReceived, ExecutionLine, FillBooked, OrderIdsReserved, PositionLine
from trader.journal import Journal
from trader.settings import Settings
from trader.snapshot import Snapshot

AT = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
SPY: Instrument = Settings.model_validate({"instruments": ["SPY"]}).instruments[0].instrument()


class Broker:
    """Answers what the test says."""

    def __init__(self, **answers: Any) -> None:
        nothing: dict[str, Any] = {"positions": (), "open_orders": (), "completed_orders": (), "executions": ()}
        self.answers = {**nothing, **answers}

    async def broker_state(self, reason: str) -> BrokerStateReceived:
        return BrokerStateReceived(at=AT, requested_ns=0, **self.answers)


def execution(exec_id: str = "a.01", perm_id: int = 9, **changes: Any) -> ExecutionLine:
    line = ExecutionLine(
        exec_id=exec_id, executed_at=AT, instrument=SPY, side=Side.BUY, quantity=Decimal(100), price=Decimal(500),
        order_ref="ibt-r-1", order_id=1, perm_id=perm_id, client_id=1,
    )  # fmt: skip
    return msgspec.structs.replace(line, **changes)


def booked(line: ExecutionLine) -> FillBooked:
    return FillBooked(
        at=AT, order_ref=line.order_ref, line=line, corrects=None, replaced_quantity=Decimal(0), slippage_ratio=None,
        fill_duration_s=None,
    )  # fmt: skip


@pytest.fixture
def judge(tmp_path: Path, make_snapshot: Callable[..., Snapshot]) -> Any:
    async def compare(broker: Broker, *lines: ExecutionLine) -> tuple[KilledBooks, list[str]]:
        url = f"sqlite:///{tmp_path}/journal.db"
        journal = Journal.open(url)
        journal.append([OrderIdsReserved(at=AT, next_order_id=1)])
        journal.append([booked(line) for line in lines])
        journal.close()
        books = KilledBooks(url, broker)  # type: ignore[arg-type]
        return books, await books.compare(make_snapshot(positions=()))

    return compare


async def test_it_sees_nothing_where_nothing_is_wrong(judge: Any) -> None:
    _, problems = await judge(Broker())
    assert problems == []


async def test_it_sees_an_execution_that_is_not_in_the_journal(judge: Any) -> None:
    books, problems = await judge(Broker(executions=(execution(),)))
    assert problems == ["the broker knows what the journal does not: a.01, ibt-r-1"]
    assert books.lost == {"a.01", "ibt-r-1"}


async def test_it_sees_an_execution_that_is_booked_twice(judge: Any) -> None:
    books, problems = await judge(Broker(executions=(execution(),)), execution(), execution())
    assert books.doubled == {"a.01"}
    assert "there is twice what may be there once: a.01" in problems


async def test_it_sees_a_reference_with_two_orders(judge: Any) -> None:
    books, _ = await judge(Broker(executions=(execution(), execution("b.01", perm_id=10))))
    assert books.doubled == {"ibt-r-1"}


async def test_it_sees_an_execution_that_never_was(judge: Any) -> None:
    _, problems = await judge(Broker(), execution())
    assert problems == ["the journal has executions that the broker never told: a.01"]


async def test_it_sees_a_position_that_is_not_ours(judge: Any) -> None:
    held = PositionLine(instrument=SPY, quantity=Decimal(100), average_cost=Decimal(500))
    _, problems = await judge(Broker(positions=(held,)))
    assert problems == ["positions differ: ours nothing, the broker's SPY 100"]


async def test_it_takes_no_answer_for_a_difference(judge: Any) -> None:
    _, problems = await judge(Broker(executions=None))
    assert problems == ["the broker did not answer what it holds and what it executed"]
