"""A service trades, is backed up meanwhile, loses everything, and goes on from the backup without a second order."""

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader.contracts import TradingState

pytestmark = pytest.mark.e2e


def told_by_sql(journal: Path, last: int | None = None) -> dict[str, Any]:
    """Counts, positions and commissions of a journal up to a fact, from its rows and by no part of the product."""
    with closing(sqlite3.connect(journal)) as database:
        rows = database.execute(
            "SELECT seq, kind, body FROM facts WHERE seq <= ? ORDER BY seq", (last or 2**62,)
        ).fetchall()
    counts: dict[str, int] = {}
    positions: dict[str, Decimal] = {}
    commission = Decimal(0)
    for _, kind, body in rows:
        counts[kind] = counts.get(kind, 0) + 1
        line = json.loads(body).get("line", {})
        if kind == "FillBooked":
            signed = Decimal(line["quantity"]) * (1 if line["side"] == "BUY" else -1)
            symbol = line["instrument"]["symbol"]
            positions[symbol] = positions.get(symbol, Decimal(0)) + signed
        elif kind == "CommissionBooked":
            commission += Decimal(line["amount"])
    return {"last": rows[-1][0], "counts": counts, "positions": positions, "commission": commission}


def told_by_backup(backup: dict[str, Any]) -> dict[str, Any]:
    """The same from what ``trader backup verify --json`` says."""
    return {
        "last": backup["last_sequence"],
        "counts": backup["facts"],
        "positions": {symbol: Decimal(held["quantity"]) for symbol, held in backup["positions"].items()},
        "commission": Decimal(backup["balances"]["USD"]["commission"]),
    }


def holds(quantity: int) -> Callable[[Any], bool]:
    return lambda snapshot: [p.quantity for p in snapshot.positions] == [Decimal(quantity)]


def test_a_state_that_was_destroyed_comes_back_and_the_service_sends_no_second_order(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    rig.wait(lambda s: s.ready and s.pnl_base.commissions_missing == 0, "ready, with every commission")
    backup = rig.back_up()
    state = rig.folder / "state"
    assert told_by_backup(backup) == told_by_sql(state / "journal.db", backup["last_sequence"])

    service.send_signal(signal.SIGKILL)
    service.wait()
    shutil.rmtree(state)
    restored = rig.command("backup", "restore", "newest")
    assert restored.returncode == 0, restored.stderr
    assert "next: start the service" in restored.stdout
    assert told_by_sql(state / "journal.db") == told_by_backup(backup)

    rig.service()
    snapshot = rig.wait(lambda s: s.ready and s.activity.ticks > 5, "ready on the restored state")
    assert [p.quantity for p in snapshot.positions] == [Decimal(100)]
    assert snapshot.activity.orders_submitted == 0
    assert snapshot.trading_state is TradingState.ACTIVE
    assert sum(snapshot.mismatches.values()) == 0
    (position,) = rig.broker_state().positions
    assert position.quantity == Decimal(100)


def test_what_was_traded_after_the_backup_is_told_by_the_broker_again_and_the_books_agree(rig: Any) -> None:
    rig.configure(strategy={"name": "own_strategies:Turner", "parameters": {"period_s": 20}})
    rig.simulator("--speed", "20")
    service = rig.service()
    rig.wait(lambda s: s.activity.fills > 10, "trading")
    backup = rig.back_up()
    rig.wait(lambda s: s.activity.fills > backup["fills"] + 10, "trading after the backup")
    assert rig.snapshot().ready
    service.send_signal(signal.SIGKILL)
    service.wait()
    shutil.rmtree(rig.folder / "state")
    assert rig.command("backup", "restore", "newest").returncode == 0
    rig.configure(strategy={"name": "observe"})

    rig.service()

    rig.wait(lambda s: s.ready, "ready: the books are the broker's")
    ours = {p.symbol: p.quantity for p in rig.snapshot().positions if p.quantity}
    theirs = {p.instrument.symbol: p.quantity for p in rig.broker_state().positions if p.quantity}
    assert ours == theirs


def test_it_trades_on_undisturbed_while_it_is_backed_up(rig: Any, measured: Callable[..., None]) -> None:
    rig.configure(strategy={"name": "own_strategies:Turner", "parameters": {"period_s": 10}})
    rig.simulator("--speed", "20")
    rig.service()
    before = rig.wait(lambda s: s.activity.fills > 10, "trading").activity.decision_duration
    for _ in range(3):
        backup = rig.back_up()
    after = rig.snapshot()
    assert after.ready
    assert after.activity.decision_duration.count > before.count
    assert told_by_backup(backup) == told_by_sql(rig.folder / "state" / "journal.db", backup["last_sequence"])
    measured("decisions while three backups were made", after.activity.decision_duration.count - before.count, "")
    verified = rig.command("backup", "verify", "--all", "--json")
    assert [each["whole"] for each in json.loads(verified.stdout)] == [True] * 3


def test_a_restore_is_refused_while_the_service_runs(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(holds(100), "a position of 100")
    rig.back_up()

    refused = rig.command("backup", "restore", "newest", "--replace")

    assert refused.returncode == 2
    assert "a service is running" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert rig.wait(lambda s: s.ready, "still ready").positions
