"""What the benchmark of the journal writes and how it counts: real facts, in a real journal, by every side the same."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from benchmarks.journal import BASELINE, Round, tables_of, timed
from benchmarks.journal_facts import INSTRUMENTS, intent, session_facts, write_sessions
from benchmarks.journal_recovery import new_engine, recover
from benchmarks.journal_writers import Write, orm, plain_sqlite, service_journal
from trader.events import DurableFact, FillBooked, OrderIntended
from trader.journal import JournalReader
from trader.journal.codec import to_row


def fold(path: Path) -> tuple[list[DurableFact], int]:
    """The facts of a journal, and how many fills a new engine books from them."""
    engine = new_engine()
    with JournalReader.open(f"sqlite:///{path}") as journal:
        facts = [fact for _, fact in journal.read()]
    engine.restore(facts)
    engine.core.ledger.check()
    assert not engine.core.orders.open()
    assert not engine.core.ledger.positions()
    assert engine.core.ledger.commissions_missing_since() is None
    return facts, engine.core.ledger.fills_booked


def test_sessions_are_a_journal_that_folds_to_flat_books(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    count = write_sessions(path, sessions=3, orders=40)
    facts, fills = fold(path)
    assert len(facts) == count
    assert sum(isinstance(fact, OrderIntended) for fact in facts) == 120
    assert fills == sum(isinstance(fact, FillBooked) for fact in facts) == 150


def test_an_order_in_the_journal_is_as_large_as_one_of_the_service() -> None:
    rows = [to_row(1, fact) for fact in session_facts(0, 400)]
    assert 2_400 < sum(len(str(row["body"])) + 50 for row in rows) / 400 < 3_200


def test_every_session_has_references_and_executions_of_its_own() -> None:
    facts = [fact for day in range(3) for fact in session_facts(day, 20)]
    orders = [fact.order_ref for fact in facts if isinstance(fact, OrderIntended)]
    fills = [fact.line.exec_id for fact in facts if isinstance(fact, FillBooked)]
    assert len(set(orders)) == len(orders) == 60
    assert len(set(fills)) == len(fills)


def test_what_is_bought_is_sold_again_of_the_same_instrument() -> None:
    held = dict.fromkeys(INSTRUMENTS, Decimal(0))
    for fact in session_facts(0, 100):
        if isinstance(fact, FillBooked):
            held[fact.line.instrument.symbol] += fact.line.quantity * fact.line.side.sign
    assert set(held.values()) == {Decimal(0)}


def test_a_start_reads_all_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    facts = write_sessions(path, sessions=1, orders=10)
    found = recover(path, facts)
    assert found.open_s > 0
    assert found.fold_s > 0


SIDES: dict[str, Callable[[Path], AbstractContextManager[Write]]] = {
    "facts": lambda path: service_journal(f"sqlite:///{path}", "power"),
    "facts of sqlite3": lambda path: plain_sqlite(path, "FULL"),
    "facts_of_orm": lambda path: orm(f"sqlite:///{path}"),
}


@pytest.mark.parametrize("side", SIDES)
def test_every_side_has_written_each_intent_once_and_in_order(tmp_path: Path, side: str) -> None:
    path = tmp_path / "side.db"
    with SIDES[side](path) as write:
        for number in range(1, 6):
            write(intent(number))
    query = f"SELECT seq, kind, json_extract(body, '$.order_id') FROM {side.split()[0]} ORDER BY seq"
    with create_engine(f"sqlite:///{path}").connect() as connection:
        assert [tuple(row) for row in connection.execute(text(query))] == [(n, "OrderIntended", n) for n in range(1, 6)]


def test_a_round_ends_when_its_time_is_over_or_all_is_written() -> None:
    wrote: list[DurableFact] = []
    intents = [intent(number) for number in range(1, 11)]
    assert len(timed(wrote.append, intents, limit_s=0.0)) == 1
    assert len(timed(wrote.append, intents, limit_s=3_600.0)) == 10
    assert wrote == [intents[0], *intents]


def test_ratios_are_of_medians_to_the_one_that_writes_in_line() -> None:
    found = {
        "ours": [Round([2.0], [5.0, 5.0], 100.0)],
        BASELINE: [Round([4.0], [10.0], 50.0), Round([4.0], [10.0], 50.0)],
    }
    paced, burst, rates = tables_of(found, " Nothing was left out.")
    assert [item.ratio for item in paced.figures] == [0.5, 1.0]
    assert [item.ratio for item in burst.figures] == [0.5, 1.0]
    assert [item.ratio for item in rates.figures] == [2.0, 1.0]
    assert [item.samples for item in paced.figures] == [2, 2]
    assert paced.note.endswith(" Nothing was left out.")
