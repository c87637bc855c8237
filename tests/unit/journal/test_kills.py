"""A writer that is killed at any moment leaves whole steps: no half of one, and all that it had reported."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import pytest

from tests.tools.journals import Database
from trader.events import OrderIdsReserved
from trader.journal.verify import verify

# For more of them: TRADER_TEST_KILLS=500 pytest tests/unit/journal/test_kills.py
ROUNDS = int(os.environ.get("TRADER_TEST_KILLS", "16"))
STEP_FACTS = 5
STEPS_MAX = 40

# Forks a writer for each line it reads, so that Python and SQLAlchemy are loaded once. A writer says the number of each
# step after its append has returned.
WRITERS = """
import os, sys
from datetime import UTC, datetime
from trader.events import OrderIdsReserved
from trader.journal import Journal, JournalLocked

AT = datetime(2026, 3, 2, tzinfo=UTC)
for line in sys.stdin:
    url, facts = line.split()
    writer = os.fork()
    if writer == 0:
        journal = None
        while journal is None:
            try:
                journal = Journal.open(url)
            except JournalLocked:  # the server has not missed the last one yet
                pass
        step = journal.last_sequence // int(facts)
        while True:
            first = step * int(facts)
            journal.append([OrderIdsReserved(at=AT, next_order_id=first + n) for n in range(int(facts))])
            step += 1
            os.write(1, f"step {step}\\n".encode())
    os.write(1, f"writer {writer}\\n".encode())
    os.waitpid(writer, 0)
    os.write(1, b"ended\\n")
"""


@pytest.fixture
def writers() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def killed_after(writers: "subprocess.Popen[str]", database: Database, lines: int) -> int:
    """Start a writer, kill it once it has said so many steps; the last step that it said."""
    assert writers.stdin is not None
    assert writers.stdout is not None
    writers.stdin.write(f"{database.url} {STEP_FACTS}\n")
    writer = said = 0
    for number in count():
        match writers.stdout.readline().split():
            case ["writer", process]:
                writer = int(process)
            case ["step", step]:
                said = int(step)
            case _:
                return said
        if number >= lines and writer:
            os.kill(writer, signal.SIGKILL)
            lines = sys.maxsize
    raise AssertionError


def test_a_writer_that_is_killed_leaves_every_step_it_reported_and_no_half_of_another(
    database: Database, writers: "subprocess.Popen[str]", seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        said = killed_after(writers, database, chance.randrange(1, STEPS_MAX))
        with database.read() as journal:
            numbers = [fact.next_order_id for _, fact in journal.read() if isinstance(fact, OrderIdsReserved)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) % STEP_FACTS == 0
        assert len(numbers) >= said * STEP_FACTS > 0
    assert verify(database.url, lambda fact: None).problems == []
