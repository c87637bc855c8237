"""Maintenance beside a service that runs: its end is in the journal, and the next start understands it."""

import signal
from typing import Any

import pytest

from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.events import MaintenanceFinished, MaintenanceKind, MaintenanceOutcome

pytestmark = pytest.mark.e2e

GOOD: dict[str, Any] = {
    "kind": "weekly", "period": "2026-11-20", "outcome": "failed", "duration_s": 12.5,
    "tasks": {"drills": "failed", "reauth": "ok"},
}  # fmt: skip
BAD: dict[str, dict[str, Any]] = {
    "kind must be one of daily, weekly, monthly": {"kind": "hourly"},
    "outcome must be one of": {"outcome": ""},
    "period must be a text": {"period": 5},
    "duration_s must be a number": {"duration_s": "long"},
    "tasks must be at most 50": {"tasks": ["drills"]},
    "tasks must be at most 50 of ok": {"tasks": {"drills": "splendid"}},
}


SENTENCE = "weekly maintenance of 2026-11-20 ended: failed; failed: drills"


def test_how_maintenance_ended_is_journaled_once_and_survives_a_restart(rig: Any, eventually: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")
    client = ControlClient(rig.folder / "state" / "control.sock")
    for refusal, change in BAD.items():
        with pytest.raises(ControlError, match=refusal):
            client.call(Command.MAINTENANCE_FINISHED, **{**GOOD, **change})

    client.call(Command.MAINTENANCE_FINISHED, **GOOD)
    eventually(lambda: SENTENCE in rig.log(), SENTENCE, rig.log)
    service.send_signal(signal.SIGKILL)
    service.wait()
    rig.service()
    rig.wait(lambda s: s.ready, "ready after the restart")

    (fact,) = [fact for fact in rig.facts() if isinstance(fact, MaintenanceFinished)]
    assert (fact.kind, fact.period, fact.duration_s) == (MaintenanceKind.WEEKLY, "2026-11-20", 12.5)
    assert fact.tasks == {"drills": MaintenanceOutcome.FAILED, "reauth": MaintenanceOutcome.OK}
