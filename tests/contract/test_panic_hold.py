"""Panics from outside of the service, against the simulated gateway: one that holds, and two at once."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ib_async import MarketOrder

from trader.cli import panic_hold
from trader.cli.panic_hold import PanicHold
from trader.clock import AnchoredClock
from trader.panic import flatten_account
from trader.settings import Settings

WAIT_S = 20.0


class Told(asyncio.DatagramProtocol):
    """What systemd is told, in order."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._more = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.messages.append(data.decode())
        self._more.set()

    async def until(self, holds: Callable[[str], bool]) -> str:
        async with asyncio.timeout(WAIT_S):
            while True:
                for message in self.messages:
                    if holds(message):
                        return message
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture
async def told(folder: Path) -> AsyncIterator[Told]:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    receiver.bind(str(folder / "notify"))
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Told, sock=receiver)
    yield protocol
    transport.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panic_hold, "POLL_S", 0.05)
    monkeypatch.setattr(panic_hold, "RETRY_S", 0.05)
    monkeypatch.setattr(panic_hold, "LOOK_AGAIN_S", 0.1)


def settings(folder: Path, port: int) -> Settings:
    return Settings.model_validate(
        {
            "instruments": ["AAPL"],
            "gateway": {"port": port, "connect_timeout_s": 5},
            "panic": {"flag": folder / "panic.flag"},
            "control": {"socket": folder / "control.sock"},
        }
    )


def holding(folder: Path, port: int) -> PanicHold:
    (folder / "panic.flag").touch()
    return PanicHold(settings(folder, port), AnchoredClock(), {"NOTIFY_SOCKET": str(folder / "notify")})


def quantities(desk: Any) -> list[float]:
    return [position.position for position in desk.ib.positions() if position.position]


async def bought(desk: Any, quantity: int = 100) -> None:
    trade = desk.place(MarketOrder("BUY", quantity))
    await desk.reaches(trade, "Filled")
    await desk.until(lambda: quantities(desk) == [quantity])


def is_ready(message: str) -> bool:
    return message.startswith("READY=1")


async def test_without_a_flag_it_ends_at_once_and_says_so(folder: Path, told: Told, capsys: Any) -> None:
    hold = PanicHold(settings(folder, 1), AnchoredClock(), {"NOTIFY_SOCKET": str(folder / "notify")})
    await hold.run()
    assert "nothing to do" in capsys.readouterr().out
    assert "nothing to do" in await told.until(is_ready)


async def test_it_is_ready_when_the_broker_says_flat_and_ends_when_the_flag_is_gone(
    folder: Path, told: Told, desk: Any
) -> None:
    await bought(desk)
    task = asyncio.create_task(holding(folder, desk.server.port).run())

    assert "flat" in await told.until(is_ready)

    await desk.until(lambda: quantities(desk) == [])
    assert not task.done()
    (folder / "panic.flag").unlink()
    async with asyncio.timeout(WAIT_S):
        await task
    await told.until(lambda text: text == "STATUS=the panic flag was removed: done")


async def test_what_comes_back_while_the_flag_is_raised_is_closed_again(
    folder: Path, told: Told, desk: Any, capsys: Any
) -> None:
    task = asyncio.create_task(holding(folder, desk.server.port).run())
    await told.until(is_ready)

    await bought(desk)
    await desk.until(lambda: quantities(desk) == [])
    told.messages.clear()
    await told.until(lambda text: text.startswith("STATUS=flat when looked at"))

    assert "ERROR positions came back while the panic flag was raised" in capsys.readouterr().err
    (folder / "panic.flag").unlink()
    async with asyncio.timeout(WAIT_S):
        await task


async def test_it_goes_on_until_there_is_a_gateway_to_flatten_by(
    folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(panic_hold, "ATTEMPT_S", 0.1)
    task = asyncio.create_task(holding(folder, 1).run())

    await told.until(lambda text: text.startswith("STATUS=NOT FLAT, trying again"))
    assert "ERROR NOT FLAT" in capsys.readouterr().err
    assert not any(is_ready(text) for text in told.messages)

    (folder / "panic.flag").unlink()
    async with asyncio.timeout(WAIT_S):
        await task
    assert "removed before the account was known to be flat" in await told.until(is_ready)
    assert "look at the account" in capsys.readouterr().err


async def test_two_panics_at_once_close_a_position_once(folder: Path, desk: Any) -> None:
    await bought(desk)
    said: list[str] = []

    def flatten() -> Any:
        return flatten_account(settings(folder, desk.server.port), AnchoredClock(), said.append, WAIT_S)

    async with asyncio.timeout(2 * WAIT_S):
        await asyncio.gather(flatten(), flatten(), flatten())

    await desk.until(lambda: quantities(desk) == [])
    assert said.count("closing a position") == 1
    assert said.count("no order is open and every position is flat") == 3
