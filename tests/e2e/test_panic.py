"""Panic against a real socket: with the service up, and with it killed."""

import signal
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import Side, TradingState

pytestmark = pytest.mark.e2e


def holds(quantity: int) -> Any:
    return lambda snapshot: [p.quantity for p in snapshot.positions] == [Decimal(quantity)]


def assert_flat(rig: Any) -> None:
    state = rig.broker_state()
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
    assert_flat(rig)
    snapshot = rig.wait(lambda s: s.trading_state is TradingState.PANIC and not s.positions, "panic and flat")
    assert snapshot.panic_completed

    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0, rig.log()
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
    assert_flat(rig)

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
    assert_flat(rig)


def test_panic_says_not_flat_when_the_gateway_is_gone(rig: Any) -> None:
    panic = rig.command("panic", "--timeout", "2")

    assert panic.returncode == 1
    assert "NOT FLAT" in panic.stderr
    assert (rig.folder / "panic.flag").exists()


def hold(rig: Any) -> Any:
    """``trader panic --hold``, as the unit of the flag runs it."""
    return rig.start("panic", "--hold", "--config", str(rig.config))


def test_a_held_panic_leaves_the_flattening_to_a_service_that_obeys(rig: Any) -> None:
    rig.simulator()
    rig.service()
    rig.wait(holds(100), "a position of 100")
    (rig.folder / "panic.flag").touch()

    held = hold(rig)

    rig.wait(lambda s: s.panic_completed, "the panic to complete")
    assert_flat(rig)
    assert held.poll() is None
    assert rig.command("resume").returncode == 0
    assert held.wait(60) == 0
    said = held.stdout.read()
    assert "flat: the service cancelled every order and closed every position" in said
    assert "connected as client" not in said


def test_a_held_panic_flattens_with_the_service_killed(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    service.send_signal(signal.SIGKILL)
    service.wait()
    (rig.folder / "panic.flag").touch()

    held = hold(rig)

    line = ""
    while "holding until the panic flag is removed" not in line:
        line = held.stdout.readline()
        assert line, "it ended"
    assert_flat(rig)
    held.send_signal(signal.SIGTERM)
    assert held.wait(60) == -signal.SIGTERM
    assert (rig.folder / "panic.flag").exists()


def test_a_held_panic_beside_the_command_closes_every_position_once(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    service.send_signal(signal.SIGKILL)
    service.wait()
    (rig.folder / "panic.flag").touch()

    held = hold(rig)
    panic = rig.command("panic")

    assert panic.returncode == 0, panic.stdout + panic.stderr
    assert_flat(rig)
    (rig.folder / "panic.flag").unlink()
    assert held.wait(60) == 0
    said = panic.stdout + held.stdout.read()
    assert said.count("closing a position") == 1
    assert sum(line.side is Side.SELL for line in rig.broker_state().executions) == 1


def test_a_held_panic_flattens_beside_a_service_that_hangs(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(holds(100), "a position of 100")
    service.send_signal(signal.SIGSTOP)
    (rig.folder / "panic.flag").touch()

    held = hold(rig)

    line = ""
    while "holding until the panic flag is removed" not in line:
        line = held.stdout.readline()
        assert line, "it ended"
    assert_flat(rig)
    service.send_signal(signal.SIGCONT)
    rig.wait(lambda s: s.panic_completed and not s.positions, "the service to see that it is flat")
    assert_flat(rig)
    assert sum(line.side is Side.SELL for line in rig.broker_state().executions) == 1
