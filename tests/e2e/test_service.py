"""The service as a process: starts, trades, reloads, stops, and survives what breaks around it."""

import json
import os
import signal
import sqlite3
import urllib.request
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import TradingState

pytestmark = pytest.mark.e2e


def holds(quantity: int) -> Any:
    return lambda snapshot: [p.quantity for p in snapshot.positions] == [Decimal(quantity)]


def test_it_trades_serves_metrics_and_stops_cleanly_on_sigterm(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")

    with urllib.request.urlopen(f"http://127.0.0.1:{rig.metrics_port}/metrics", timeout=60) as answer:
        metrics = answer.read().decode()
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.metrics_port}/readyz", timeout=60) as answer:
        assert answer.status == 200
    assert 'trader_orders_final_total{eligible="true",outcome="filled"} 1.0' in metrics
    assert "trader_ready 1.0" in metrics
    assert rig.command("health").returncode == 0

    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0, rig.log()
    last = json.loads(rig.log().splitlines()[-1])
    assert (last["fact"], last["clean"]) == ("ServiceStopped", True)


def test_a_restart_finds_its_position_again_and_sends_no_second_order(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    service.send_signal(signal.SIGKILL)
    service.wait()

    rig.service()

    snapshot = rig.wait(lambda s: s.ready and s.activity.ticks > 5, "ready after the crash")
    assert [p.quantity for p in snapshot.positions] == [Decimal(100)]
    assert snapshot.activity.orders_submitted == 0
    assert snapshot.previous_exit_clean is False


def test_it_reconnects_when_the_gateway_comes_back(rig: Any) -> None:
    state = rig.folder / "simulator.json"
    simulator = rig.simulator("--state", str(state))
    rig.service()
    rig.wait(holds(100), "a position of 100")

    simulator.send_signal(signal.SIGTERM)
    simulator.wait(60)
    rig.wait(lambda s: not s.ready and not s.connection.connected, "the loss to be noticed")
    rig.simulator("--state", str(state))

    snapshot = rig.wait(lambda s: s.ready, "ready again")
    assert [p.quantity for p in snapshot.positions] == [Decimal(100)]


def test_a_reload_applies_limits_and_an_invalid_one_changes_nothing(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")

    rig.configure(risk={"daily_loss_limit": 777})
    service.send_signal(signal.SIGHUP)
    rig.wait(lambda s: s.risk.daily_loss_limit == 777, "the new limit")

    rig.configure(risk={"daily_loss_limit": -1})
    service.send_signal(signal.SIGHUP)
    rig.wait(lambda s: "ReloadFinished" in rig.log() and "daily_loss_limit" in rig.log(), "the refusal")
    assert rig.snapshot().risk.daily_loss_limit == 777


def test_the_reload_command_ends_when_it_is_done_and_says_what_changed_or_why_nothing_did(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(lambda s: s.ready, "ready")

    rig.configure(risk={"daily_loss_limit": 777})
    done = rig.command("reload")

    assert (done.returncode, done.stdout) == (0, "reloaded: risk.daily_loss_limit\n"), done.stderr
    assert rig.snapshot().risk.daily_loss_limit == 777

    rig.configure(risk={"daily_loss_limit": -1, "max_open_orders": 0})
    refused = rig.command("reload")

    assert refused.returncode == 1
    assert "risk.daily_loss_limit: must be greater than 0" in refused.stderr
    assert "risk.max_open_orders: must be at least 1" in refused.stderr
    assert rig.snapshot().risk.daily_loss_limit == 777

    rig.configure(mode="paper")
    assert "mode cannot change while the service runs" in rig.command("reload").stderr


def test_a_strategy_that_raises_is_suspended_and_only_exits_are_allowed(rig: Any) -> None:
    rig.configure(strategy={"name": "own_strategies:Raiser"})
    rig.simulator()
    rig.service()

    snapshot = rig.wait(lambda s: s.trading_state is TradingState.REDUCE_ONLY, "reduce only")

    assert "this strategy is broken" in snapshot.state_reason
    assert snapshot.activity.orders_submitted == 0


def test_halt_cancels_and_resume_trades_again(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(holds(100), "a position of 100")

    assert rig.command("halt", "--reason", "lunch").returncode == 0
    snapshot = rig.wait(lambda s: s.trading_state is TradingState.HALTED, "halted")
    assert snapshot.state_reason == "lunch"
    assert rig.command("resume").returncode == 0
    rig.wait(lambda s: s.trading_state is TradingState.ACTIVE, "active")


def stderr_of_failed_start(rig: Any, exit_code: int = 2) -> str:
    process = rig.service()
    assert process.wait(60) == exit_code, rig.log()
    return str(rig.log())


def test_a_metrics_port_in_use_is_one_sentence(rig: Any) -> None:
    rig.configure(metrics={"port": rig.port})
    rig.simulator()

    said = stderr_of_failed_start(rig)

    assert f"127.0.0.1:{rig.port}: another program listens there" in said
    assert "ServiceStarted" not in said
    assert "Traceback" not in said


def test_a_second_service_on_the_same_journal_is_refused(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(lambda s: s.ready, "ready")
    (rig.folder / "service.log").rename(rig.folder / "first.log")

    said = stderr_of_failed_start(rig)

    assert "journal" in said
    assert "Traceback" not in said


def test_a_damaged_journal_is_one_sentence_and_stays_as_it_is(rig: Any) -> None:
    journal = rig.folder / "state" / "journal.db"
    journal.parent.mkdir()
    journal.write_bytes(b"this is not a database" * 100)

    said = stderr_of_failed_start(rig)

    assert str(journal) in said
    assert "Traceback" not in said
    assert journal.read_bytes() == b"this is not a database" * 100


def test_a_journal_of_another_mode_is_refused(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")
    service.send_signal(signal.SIGTERM)
    service.wait(60)
    rig.configure(mode="paper")

    assert "is of mode simulated, the configuration says paper" in stderr_of_failed_start(rig, os.EX_CONFIG)


def test_paper_mode_does_not_trade_on_the_simulator(rig: Any) -> None:
    rig.configure(mode="paper")
    rig.simulator()

    said = stderr_of_failed_start(rig)

    assert "simulat" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_an_unknown_symbol_is_named(rig: Any) -> None:
    rig.configure(instruments=["SPY", "NOSUCH"])
    rig.simulator()

    said = stderr_of_failed_start(rig)

    assert "NOSUCH" in said.splitlines()[-1]


def test_a_busy_client_id_is_said_and_tried_again(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(lambda s: s.ready, "ready")
    other = rig.folder / "other"
    other.mkdir()
    (other / "config.yaml").write_text(rig.config.read_text().replace(str(rig.metrics_port), "0"))
    first, rig.config, rig.folder = rig.folder, other / "config.yaml", other

    rig.service()

    rig.wait(lambda s: "client_id_busy" in rig.log() or "326" in rig.log(), "the refusal to be said")
    assert not rig.snapshot().ready
    rig.folder = first


def test_every_order_in_the_journal_was_intended_before_it_was_sent(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    service.send_signal(signal.SIGTERM)
    service.wait(60)

    with closing(sqlite3.connect(rig.folder / "state" / "journal.db")) as journal:
        kinds = [kind for (kind,) in journal.execute("select kind from facts order by seq")]

    assert kinds.index("OrderIntended") < kinds.index("OrderStateChanged") < kinds.index("FillBooked")
