"""Panic against a real socket: with the service up, and with it killed."""

import asyncio
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader.clock import AnchoredClock
from trader.contracts import TradingState
from trader.events import AnyFact, BrokerStateReceived
from trader.gateway.ib import IbGateway
from trader.settings_file import load_settings

pytestmark = pytest.mark.e2e


def holds(quantity: int) -> Any:
    return lambda snapshot: [p.quantity for p in snapshot.positions] == [Decimal(quantity)]


def ask_broker(config: Path) -> BrokerStateReceived:
    """What the simulated broker holds, asked over a connection of the test's own."""

    async def ask() -> BrokerStateReceived:
        def ignore(fact: AnyFact) -> None: ...

        gateway = IbGateway(load_settings(config), {}, AnchoredClock(), ignore, client_id=77)
        await gateway.connect_once()
        try:
            return await gateway.broker_state("a test")
        finally:
            await gateway.close()

    return asyncio.run(ask())


def assert_flat(config: Path) -> None:
    state = ask_broker(config)
    assert state.positions is not None
    assert [line for line in state.positions if line.quantity] == []
    assert state.open_orders == ()


def test_panic_flattens_with_the_service_running_and_stays_until_resumed(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")

    panic = rig.command("panic")

    assert panic.returncode == 0, panic.stdout + panic.stderr
    assert "the service cancelled every order and closed every position" in panic.stdout
    assert_flat(rig.config)
    snapshot = rig.wait(lambda s: s.trading_state is TradingState.PANIC and not s.positions, "panic and flat")
    assert snapshot.panic_completed

    service.send_signal(signal.SIGTERM)
    assert service.wait(30) == 0, rig.log()
    rig.service()
    rig.wait(lambda s: s.ready and s.trading_state is TradingState.PANIC, "still in panic after a restart")

    resume = rig.command("resume")
    assert resume.returncode == 0, resume.stderr
    assert not (rig.folder / "panic.flag").exists()
    rig.wait(holds(100), "trading again after resume")


def test_panic_flattens_with_the_service_killed(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    service.send_signal(signal.SIGKILL)
    service.wait()

    panic = rig.command("panic")

    assert panic.returncode == 0, panic.stdout + panic.stderr
    assert "no service is running" in panic.stdout
    assert_flat(rig.config)

    rig.service()
    snapshot = rig.wait(lambda s: s.trading_state is TradingState.PANIC and s.panic_completed, "panic after a restart")
    assert snapshot.positions == ()
    assert snapshot.starts == {"deploy": 1, "crash": 1}


def test_touching_the_flag_is_enough(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(holds(100), "a position of 100")

    (rig.folder / "panic.flag").touch()

    rig.wait(lambda s: s.panic_completed, "the panic to complete")
    assert_flat(rig.config)


def test_panic_says_not_flat_when_the_gateway_is_gone(rig: Any) -> None:
    panic = rig.command("panic", "--timeout", "2")

    assert panic.returncode == 1
    assert "NOT FLAT" in panic.stderr
    assert (rig.folder / "panic.flag").exists()
