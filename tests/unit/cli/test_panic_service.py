"""A panic that is left to the running service: for how long, and until when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trader.cli import panic_service
from trader.cli.panic_service import PATIENCE_S, flattened_by_service
from trader.clock import ManualClock
from trader.contracts import TradingState
from trader.control_messages import Command, ControlError, NoServiceError, Response
from trader.settings import Settings
from trader.snapshot import Snapshot

Make = Callable[..., Snapshot]
Script = list[Snapshot | ControlError]

SETTINGS = Settings.model_validate({"instruments": ["SPY"], "control": {"socket": Path("nowhere.sock")}})


class Line:
    """Answers STATUS by a script, the last line again and again; each question takes a second."""

    def __init__(self, script: Script, clock: ManualClock) -> None:
        self._script = script
        self._clock = clock
        self.asked: list[str] = []

    def call(self, command: str) -> Response:
        self.asked.append(command)
        if command == Command.PANIC:
            return Response.success()
        self._clock.advance(timedelta(seconds=1))
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(answer, ControlError):
            raise answer
        return Response.success(answer)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 15, 30, tzinfo=UTC))


@pytest.fixture
def serve(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Line]:
    def start(*script: Snapshot | ControlError) -> Line:
        line = Line(list(script), clock)
        monkeypatch.setattr(panic_service, "ControlClient", lambda path: line)
        return line

    monkeypatch.setattr(panic_service, "POLL_S", 0)
    return start


def panicking(make_snapshot: Make, **changes: Any) -> Snapshot:
    return make_snapshot(trading_state=TradingState.PANIC, panic_completed=False, **changes)


async def test_a_service_that_gets_there_is_all_it_takes(clock: ManualClock, serve: Any, make_snapshot: Make) -> None:
    said: list[str] = []
    serve(panicking(make_snapshot), make_snapshot(trading_state=TradingState.PANIC, panic_completed=True))
    assert await flattened_by_service(SETTINGS, clock, said.append, said.append)
    assert said[-1].startswith("flat: the service")


async def test_one_that_does_not_get_there_is_waited_for_and_no_longer(
    clock: ManualClock, serve: Any, make_snapshot: Make
) -> None:
    complaints: list[str] = []
    line = serve(panicking(make_snapshot))
    assert not await flattened_by_service(SETTINGS, clock, complaints.append, complaints.append)
    assert len(line.asked) == 1 + PATIENCE_S
    assert "not done after 15 s" in complaints[-1]


async def test_one_whose_orders_stand_at_the_broker_is_waited_for_while_they_do(
    clock: ManualClock, serve: Any, make_snapshot: Make
) -> None:
    works = panicking(make_snapshot)
    assert works.open_orders
    done = make_snapshot(trading_state=TradingState.PANIC, panic_completed=True)
    serve(*[works] * 500, done)
    assert await flattened_by_service(SETTINGS, clock, str, str, while_it_works=True)


def without_orders(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, open_orders=())


def without_a_link(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, connection=msgspec.structs.replace(snapshot.connection, connected=False))


def not_in_panic(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, trading_state=TradingState.ACTIVE)


@pytest.mark.parametrize("change", [without_orders, without_a_link, not_in_panic])
async def test_one_that_does_not_work_towards_it_is_left_to_itself(
    clock: ManualClock, serve: Any, make_snapshot: Make, change: Callable[[Snapshot], Snapshot]
) -> None:
    serve(change(panicking(make_snapshot)))
    assert not await flattened_by_service(SETTINGS, clock, str, str, while_it_works=True)


async def test_one_that_stops_answering_is_no_help(clock: ManualClock, serve: Any, make_snapshot: Make) -> None:
    complaints: list[str] = []
    serve(panicking(make_snapshot), ControlError("it did not answer within 15 s"))
    assert not await flattened_by_service(SETTINGS, clock, str, complaints.append, while_it_works=True)
    assert "does not answer" in complaints[0]


async def test_that_there_is_none_is_for_the_caller_to_hear(clock: ManualClock, serve: Any) -> None:
    serve(NoServiceError("no service is running"))
    with pytest.raises(NoServiceError):
        await flattened_by_service(SETTINGS, clock, str, str)
