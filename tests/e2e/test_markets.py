"""Stocks, futures and currencies traded end to end, recorded, and the recording used again."""

import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

INSTRUMENTS = [
    "SPY",
    {
        "symbol": "ES",
        "security_type": "FUT",
        "exchange": "CME",
        "expiry": "202603",
        "multiplier": 50,
        "tick_size": 0.25,
    },
    {
        "symbol": "EUR.USD",
        "security_type": "CASH",
        "exchange": "IDEALPRO",
        "ib_symbol": "EUR",
        "tick_size": 0.00005,
    },
]
CONFIG: dict[str, Any] = {
    "instruments": INSTRUMENTS,
    "strategy": {"name": "own_strategies:Everything", "parameters": {"quantity": 1}},
    "risk": {"max_order_notional": 500_000, "max_position_notional": 500_000, "max_gross_exposure": 900_000},
}


def record(rig: Any) -> Path:
    """Trade every kind of instrument until each has a position, and stop; returns the recording."""
    rig.configure(**CONFIG, recorder={"directory": "recordings"})
    rig.simulator("--symbols", "SPY,ES,EUR.USD", "--speed", "20")
    service = rig.service()
    snapshot = rig.wait(lambda s: len(s.positions) == 3 and s.activity.ticks > 500, "a position in each")
    assert snapshot.pnl_base.net is not None
    assert snapshot.risk.gross_exposure > Decimal(250_000)  # a future counts with its multiplier
    state = rig.broker_state()
    assert {line.instrument.security_type: line.quantity for line in state.positions} == {
        "STK": 1,
        "FUT": 1,
        "CASH": 1,
    }
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    (recording,) = (rig.folder / "recordings").iterdir()
    return Path(recording)


def test_every_kind_of_instrument_trades_and_its_recording_trades_again(rig: Any) -> None:
    recording = record(rig)

    replay = rig.command("replay", str(recording), "--json")
    assert replay.returncode == 0, replay.stderr
    assert json.loads(replay.stdout)["fills"] == 3

    rig.configure(**CONFIG)
    rig.end()
    (rig.folder / "state" / "journal.db").unlink()
    rig.simulator("--market", str(recording), "--hours", "always", "--speed", "20", "--start-on", "subscribed")
    rig.service()
    rig.wait(lambda s: len(s.positions) == 3, "a position in each, again")
