"""A service whose journal is in PostgreSQL, while that server is dead: no entries, but cancels and the panic."""

import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.tools.postgres import PostgresServer
from trader.events import OrderIntended
from trader.journal import JournalReader

pytestmark = pytest.mark.e2e

EXIT_UNUSABLE = 2


class MortalServer:
    """The database server, dead and alive; alive at the end in any case."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.alive = True

    def die(self) -> None:
        self._server.stop()
        self.alive = False

    def come_back(self) -> None:
        self._server.start()
        self.alive = True


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[MortalServer]:
    mortal = MortalServer(postgres_server)
    yield mortal
    if not mortal.alive:
        mortal.come_back()


@pytest.fixture
def turning(rig: Any, postgres_url: str) -> Any:
    """A rig that trades all the time and keeps its journal in PostgreSQL."""
    rig.configure(journal={"url": postgres_url}, strategy={"name": "own_strategies:Turner"})
    rig.simulator("--speed", "20")
    return rig


def readiness(rig: Any) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{rig.metrics_port}/readyz", timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def metric(rig: Any, name: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.metrics_port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name} "))


def assert_flat(rig: Any) -> None:
    state = rig.broker_state()
    assert state.positions is not None
    assert [line for line in state.positions if line.quantity] == []
    assert state.open_orders == ()


def test_a_dead_database_stops_entries_says_why_and_trading_goes_on_when_it_is_back(
    turning: Any, database: MortalServer, postgres_url: str
) -> None:
    rig = turning
    rig.service()
    rig.wait(lambda s: s.activity.fills >= 2, "some fills")

    database.die()
    away = rig.wait(lambda s: s.journal_problem, "the journal to be missed")
    assert "journal unavailable: the journal postgresql+psycopg://" in readiness(rig)
    assert metric(rig, "trader_journal_up") == "0.0"
    assert "the journal cannot be written" in rig.log()
    count = away.activity.orders_submitted
    assert rig.wait(lambda s: s.activity.ticks > away.activity.ticks + 20, "ticks").activity.orders_submitted == count

    database.come_back()
    back = rig.wait(lambda s: s.ready and s.activity.orders_submitted > count, "trading again")
    assert (back.mismatches, back.journal_problem) == ({}, "")
    with JournalReader.open(postgres_url) as journal:
        known = {fact.order_ref for _, fact in journal.read() if isinstance(fact, OrderIntended)}
    state = rig.broker_state()
    assert {line.order_ref for line in (*state.open_orders, *state.completed_orders, *state.executions)} <= known


def test_a_panic_flattens_while_the_database_is_dead(rig: Any, database: MortalServer, postgres_url: str) -> None:
    rig.configure(journal={"url": postgres_url})
    rig.simulator()
    rig.service()
    rig.wait(lambda s: [p.quantity for p in s.positions] == [Decimal(100)], "a position of 100")
    database.die()

    panic = rig.command("panic")

    assert panic.returncode == 0, panic.stdout + panic.stderr
    assert "the service cancelled every order and closed every position" in panic.stdout
    assert_flat(rig)
    database.come_back()
    rig.wait(lambda s: s.ready and s.panic_completed, "agreement with the broker, still in panic")


def test_neither_a_start_nor_a_stop_hides_that_the_database_is_dead_and_the_panic_needs_neither(
    turning: Any, database: MortalServer
) -> None:
    rig = turning
    service = rig.service()
    rig.wait(lambda s: s.positions, "a position")
    database.die()
    rig.wait(lambda s: s.journal_problem, "the journal to be missed")
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == EXIT_UNUSABLE
    assert "facts are lost, and the next start asks the broker for what they told" in rig.log().splitlines()[-1]

    assert rig.service().wait(60) == EXIT_UNUSABLE
    assert "check the server and the URL" in rig.log().splitlines()[-1]
    assert "Traceback" not in rig.log()

    panic = rig.command("panic")
    assert panic.returncode == 0, panic.stdout + panic.stderr
    assert "no service is running" in panic.stdout
    assert_flat(rig)
