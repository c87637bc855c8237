"""The control socket under anything: garbage, half messages, crowds, callers that do not read; the loop goes on."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import pytest

from tests.fuzz.conftest import Campaign
from tests.fuzz.mutations import NASTY_FIELDS, bad_bytes, pieces
from trader import control
from trader.control import MAX_CONNECTIONS, MAX_REQUEST_BYTES, ControlServer
from trader.control_messages import Command, Request, Response, unknown_command
from trader.events import MaintenanceKind, MaintenanceOutcome

PATIENCE_S = 60.0
DESCRIPTORS = Path("/proc/self/fd")


def handle(request: Request) -> Response:
    """Reads arguments the way the service does."""
    match request.command:
        case Command.STATUS:
            return Response.success({"state": "active"})
        case Command.HALT:
            return Response.success(request.text("reason", "operator"))
        case Command.RESUME:
            return Response.success(request.flag("accept_positions"))
        case Command.OVERRIDE_POLICY:
            return Response.success([request.number("for_s"), request.text("reason")])
        case Command.MAINTENANCE_FINISHED:
            request.choice("kind", MaintenanceKind)
            return Response.success(request.choices("tasks", MaintenanceOutcome))
        case _:
            return unknown_command(request)


def good_request(rng: Random) -> bytes:
    request: dict[str, object] = {"command": rng.choice([*Command, "", "no such thing"]), "arguments": {}}
    names = ("reason", "accept_positions", "for_s", "kind", "tasks", "outcome", "x")
    values = (None, True, -1, 1e308, 10**400, "x" * 600, [], {}, {"a": "ok"}, {str(n): "ok" for n in range(60)})
    request["arguments"] = {
        rng.choice(names): rng.choice((*values, *NASTY_FIELDS[:30])) for _ in range(rng.randrange(3))
    }
    return msgspec.json.encode({key: _plain(value) for key, value in request.items()}) + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, int) and abs(value) >= 2**64 else value


def request_of(rng: Random) -> bytes:
    match rng.randrange(7):
        case 0:
            return rng.randbytes(rng.choice((0, 1, 40, 5_000)))
        case 1:
            return b'{"command": "status", "arguments": ' + b"[" * rng.choice((10, 5_000, 60_000)) + b"\n"
        case 2:
            return b"x" * rng.choice((MAX_REQUEST_BYTES - 1, MAX_REQUEST_BYTES, MAX_REQUEST_BYTES * 3)) + b"\n"
        case 3:
            return good_request(rng)[: rng.randrange(20)]
        case 4 | 5:
            return bad_bytes(rng, good_request(rng))
        case _:
            return good_request(rng)


@pytest.fixture
async def path() -> AsyncIterator[Path]:
    with TemporaryDirectory() as folder:  # a Unix socket's path may have 107 bytes only
        server = ControlServer(Path(folder) / "control.sock", handle)
        await server.start()
        yield Path(folder) / "control.sock"
        await server.close()


async def answer_to(path: Path, data: list[bytes], *, ends: bool = True) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    with contextlib.suppress(OSError):
        for part in data:
            writer.write(part)
            await asyncio.sleep(0)
        if ends:
            writer.write_eof()
    answer = b""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
    writer.transport.abort()
    await asyncio.sleep(0)
    return answer


async def check_serves(path: Path) -> None:
    answer = await answer_to(path, [b'{"command": "status"}\n'])
    assert msgspec.json.decode(answer, type=Response).error is None


async def test_whatever_is_asked_is_answered_or_refused_in_a_sentence(campaign: Campaign, path: Path) -> None:
    before = len(os.listdir(DESCRIPTORS))
    for number, rng in enumerate(campaign.cases(400)):
        answer = await answer_to(path, pieces(rng, request_of(rng)))
        if answer:
            said = msgspec.json.decode(answer, type=Response)
            assert said.error is None or 0 < len(said.error) < 1_000
        if number % 20 == 0:
            await check_serves(path)
    assert len(os.listdir(DESCRIPTORS)) <= before  # an earlier test's may be let go meanwhile


async def test_callers_that_say_nothing_or_read_nothing_are_let_go_and_others_come_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "READ_TIMEOUT_S", 0.05)
    before = len(os.listdir(DESCRIPTORS))
    idle = [await asyncio.open_unix_connection(str(path)) for _ in range(MAX_CONNECTIONS * 3)]
    for number, (_, writer) in enumerate(idle):
        if number % 2:
            writer.write(b'{"command": "sta')
    async with asyncio.timeout(PATIENCE_S):
        for reader, _ in idle:
            with contextlib.suppress(OSError):
                await reader.read()
    await check_serves(path)
    for _, writer in idle:
        writer.transport.abort()
    await asyncio.sleep(0)
    await check_serves(path)
    assert len(os.listdir(DESCRIPTORS)) <= before  # an earlier test's may be let go meanwhile


async def test_a_caller_that_never_reads_a_long_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "READ_TIMEOUT_S", 0.05)
    with TemporaryDirectory() as folder:
        server = ControlServer(Path(folder) / "control.sock", lambda _: Response.success("x" * 8_000_000))
        await server.start()
        before = len(os.listdir(DESCRIPTORS))
        _, writer = await asyncio.open_unix_connection(str(Path(folder) / "control.sock"))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b'{"command": "status"}\n')
        async with asyncio.timeout(PATIENCE_S):
            while not server._connections:
                await asyncio.sleep(0)
            while server._connections:
                await asyncio.sleep(0)
            # Its end of the line is given up as well, though what was written to it was never taken.
            while len(os.listdir(DESCRIPTORS)) > before + 1:
                await asyncio.sleep(0)
        writer.transport.abort()
        await server.close()
