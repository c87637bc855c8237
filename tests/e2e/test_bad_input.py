"""What a user gets wrong, or finds broken: one clear sentence, nothing lost, no order sent in doubt."""

import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import TradingState
from trader.events import OrderIntended, OrderStateChanged, OrderTrigger

pytestmark = pytest.mark.e2e

ROWS = "time,symbol,bid,bid_size,ask,ask_size,last,last_size\n2013-10-07T13:30:00Z,SPY,167.5,100,167.6,100,,\n"
EXIT_UNUSABLE = 2
EXIT_MISCONFIGURED = 78
LESS_THAN_A_PAGE = 4_000


def trader(rig: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the rig's folder."""
    return subprocess.run(
        [sys.executable, "-m", "trader", *arguments],
        capture_output=True, text=True, timeout=60, env=rig.environment, cwd=rig.folder, check=False,
    )  # fmt: skip


CONFIGURATIONS = {
    "an unknown key": ({"riks": {"max_open_orders": 1}}, "riks: unknown key; did you mean risk?"),
    "a wrong type": ({"gateway": {"port": "abc"}}, "gateway.port: must be a whole number, not 'abc'"),
    "another host": ({"gateway": {"host": "10.0.0.1"}}, "gateway.host: '10.0.0.1' is not a loopback address"),
    "live without account": ({"mode": "live"}, "account: mode live needs the account to be named"),
    "an unknown strategy": ({"strategy": {"name": "nosuch"}}, "there is no strategy 'nosuch'"),
    "an unknown parameter": ({"strategy": {"parameters": {"quantty": 1}}}, "quantty"),
    "an unknown calendar": ({"session": {"calendar": "MARS"}}, "there is no calendar 'MARS'"),
    "a bad schedule": ({"strategy": {"schedule": "often"}}, "'often'"),
    "another database": ({"journal": {"url": "mysql://books"}}, "a journal cannot be kept in mysql"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_refused_with_one_sentence_before_anything_starts(rig: Any, name: str) -> None:
    changes, sentence = CONFIGURATIONS[name]
    rig.configure(**changes)

    refused = trader(rig, "run", "--config", "config.yaml")

    assert refused.returncode == EXIT_MISCONFIGURED
    assert sentence in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert not (rig.folder / "state" / "journal.db").exists()


COMMANDS = {
    "a data file that is not there": (["replay", "no.csv"], EXIT_UNUSABLE, "no.csv: there is no such file"),
    "a row that is none": (["replay", "bad.csv"], EXIT_UNUSABLE, "bad.csv, line 3: 1 fields instead of 8"),
    "a simulated row that is none": (["simulate", "--port", "0", "--market", "bad.csv"], EXIT_UNUSABLE, "line 3"),
    "a demonstrated row that is none": (
        ["demo", "--metrics-port", "0", "--market", "bad.csv"],
        EXIT_UNUSABLE,
        "line 3",
    ),
    "a file cut short": (["replay", "short.csv.gz"], EXIT_UNUSABLE, "it is truncated"),
    "a fault that is none": (["simulate", "--faults", "config.yaml"], EXIT_UNUSABLE, "config.yaml: Object contains"),
    "another address": (["simulate", "--host", "0.0.0.0"], EXIT_UNUSABLE, "listens on this machine only"),
    "no configuration": (["status", "--config", "no.yaml"], EXIT_UNUSABLE, "no.yaml: there is no such file"),
    "no service": (["status"], 1, "no service is running"),
    "no service to halt": (["halt"], 1, "trader panic cancels and flattens"),
    "no journal": (["journal", "list"], 1, "there is no journal at"),
    "no such command": (["buy"], EXIT_UNUSABLE, "No such command 'buy'"),
    "no such option": (["status", "--all"], EXIT_UNUSABLE, "No such option: --all"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_cannot_be_done_says_why(rig: Any, name: str) -> None:
    arguments, code, sentence = COMMANDS[name]
    (rig.folder / "bad.csv").write_text(ROWS + "garbage\n")
    (rig.folder / "short.csv.gz").write_bytes(bytes.fromhex("1f8b08000000000000034b"))

    done = trader(rig, *arguments)

    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_simulator_on_a_port_in_use_says_so(rig: Any) -> None:
    rig.simulator()

    second = trader(rig, "simulate", "--port", str(rig.port))

    assert second.returncode == EXIT_UNUSABLE
    assert f"port {rig.port} on 127.0.0.1 is in use" in second.stderr


def test_a_disk_that_refuses_the_journal_holds_orders_back_until_it_has_room(rig: Any) -> None:
    rig.configure(strategy={"name": "own_strategies:Turner"}, logging={"level": "ERROR"})
    rig.simulator("--speed", "20")
    service = rig.service()
    rig.wait(lambda s: s.activity.fills >= 2, "some fills")
    _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)

    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (LESS_THAN_A_PAGE, hard))
    away = rig.wait(lambda s: s.journal_problem, "the journal to be missed")
    assert away.problems[0].startswith("journal unavailable: ")
    assert "journal.db cannot be used (disk I/O error); check the path and the disk" in rig.log()
    count = away.activity.orders_submitted
    assert rig.wait(lambda s: s.activity.ticks > away.activity.ticks + 20, "ticks").activity.orders_submitted == count

    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (hard, hard))
    back = rig.wait(lambda s: s.ready and s.activity.orders_submitted > count, "trading once the disk has room")
    assert back.mismatches == {}
    assert "Traceback" not in rig.log()
    require_known_orders(rig)


def require_known_orders(rig: Any) -> None:
    """The intent of every order that the broker was ever sent is in the journal."""
    known = {fact.order_ref for fact in rig.facts() if isinstance(fact, OrderIntended)}
    state = rig.broker_state()
    assert {line.order_ref for line in (*state.open_orders, *state.completed_orders, *state.executions)} <= known


FOOL = """

class Fool(Buyer):
    name = "fool"

    def on_quote(self, quote, view):
        return ANSWER
"""


@pytest.mark.parametrize("answer", ["None", "[Target('NOPE', Decimal(1), 'x')]"])
def test_a_strategy_that_answers_nonsense_is_suspended(rig: Any, answer: str) -> None:
    file = rig.folder / "own_strategies.py"
    file.write_text(file.read_text() + FOOL.replace("ANSWER", answer))
    rig.configure(strategy={"name": "own_strategies:Fool"})
    rig.simulator()
    rig.service()

    snapshot = rig.wait(lambda s: s.trading_state is TradingState.REDUCE_ONLY, "reduce only")

    assert snapshot.state_reason.startswith("strategy fool failed: ")
    assert not [fact for fact in rig.facts() if isinstance(fact, OrderIntended)]


def test_a_damaged_row_of_the_journal_is_named_and_nothing_is_traded(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.positions, "a position")
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    with closing(sqlite3.connect(rig.folder / "state" / "journal.db")) as journal, journal:
        assert journal.execute("update facts set body = 'gone' where seq = 3").rowcount == 1

    refused = trader(rig, "run", "--config", "config.yaml")

    assert refused.returncode == EXIT_UNUSABLE
    assert "fact 3 of" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert [line.quantity for line in rig.broker_state().positions] == [Decimal(100)]


def test_a_journal_locked_while_it_trades_holds_orders_back_until_it_is_free(rig: Any) -> None:
    rig.configure(strategy={"name": "own_strategies:Turner"})
    rig.simulator("--speed", "20")
    rig.service()
    rig.wait(lambda s: s.activity.fills >= 2, "some fills")

    with sqlite3.connect(rig.folder / "state" / "journal.db") as other:
        other.execute("begin immediate")
        away = rig.wait(lambda s: s.journal_problem, "the journal to be missed")
        assert "journal.db is locked by another program; close that program" in away.problems[0]
        count = rig.wait(lambda s: s.orders_unknown == 0 and s, "no order in doubt").activity.orders_submitted
        assert (
            rig.wait(lambda s: s.activity.ticks > away.activity.ticks + 20, "ticks").activity.orders_submitted == count
        )
        other.rollback()

    back = rig.wait(lambda s: s.ready and s.activity.orders_submitted > count, "trading again")
    assert back.mismatches == {}
    require_known_orders(rig)


def test_an_order_whose_fate_is_not_known_is_found_out_and_not_sent_again(rig: Any) -> None:
    faults = rig.folder / "faults.yaml"
    faults.write_text("no_callback_ratio: 1\n")
    rig.configure(execution={"ack_timeout_s": 0.5}, gateway={"request_timeout_s": 2})
    rig.simulator("--faults", str(faults))
    rig.service()

    rig.wait(lambda s: [p.quantity for p in s.positions] == [Decimal(100)], "the fill to be found")

    facts = rig.facts()
    assert len([fact for fact in facts if isinstance(fact, OrderIntended)]) == 1
    triggers = [fact.trigger for fact in facts if isinstance(fact, OrderStateChanged)]
    assert OrderTrigger.TIMED_OUT in triggers
