"""The control socket: who may use it, what it answers, and what it says when it cannot."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trader import control
from trader.contracts import TradingState
from trader.control import ControlClient, ControlServer
from trader.control_messages import (
    ControlError,
    HealthReport,
    NoServiceError,
    Request,
    Response,
    answer_question,
    unknown_command,
)
from trader.snapshot import OrderView, PositionView, Snapshot

Make = Callable[..., Snapshot]
Serve = Callable[[Callable[[Request], Response | Awaitable[Response]]], Awaitable[ControlServer]]


@pytest.fixture
def path() -> AsyncIterator[Path]:
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as folder:
        yield Path(folder) / "state" / "control.sock"


@pytest.fixture
async def serve(path: Path) -> AsyncIterator[Serve]:
    servers: list[ControlServer] = []

    async def start(handler: Callable[[Request], Response | Awaitable[Response]]) -> ControlServer:
        server = ControlServer(path, handler)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.close()


async def ask(path: Path, command: str, **arguments: object) -> Response:
    return await asyncio.to_thread(lambda: ControlClient(path, timeout_s=10.0).call(command, **arguments))


async def send_raw(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_request_reaches_the_handler_and_its_answer_comes_back(path: Path, serve: Serve) -> None:
    await serve(lambda request: Response.success([request.command, request.text("reason")]))
    answer = await ask(path, "halt", reason="a look at the book")
    assert answer.value(list[str]) == ["halt", "a look at the book"]


async def test_a_handler_may_be_a_coroutine(path: Path, serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response.success(request.flag("accept_positions"))

    await serve(handler)
    assert (await ask(path, "resume", accept_positions=True)).value(bool) is True


async def test_the_snapshot_arrives_as_it_was_sent(path: Path, serve: Serve, make_snapshot: Make) -> None:
    snapshot = make_snapshot()
    await serve(lambda request: answer_question(request, snapshot) or unknown_command(request))
    assert (await ask(path, "status")).value(Snapshot) == snapshot
    assert (await ask(path, "positions")).value(tuple[PositionView, ...]) == snapshot.positions
    assert (await ask(path, "orders")).value(tuple[OrderView, ...]) == snapshot.open_orders
    assert (await ask(path, "health")).value(HealthReport) == HealthReport(
        True, "ready, active, session open, last tick 0.3 s ago", 0.3
    )
    with pytest.raises(ControlError, match="'dance' is not a command; there are status"):
        await ask(path, "dance")


async def test_only_the_services_user_may_connect(path: Path, serve: Serve) -> None:
    await serve(lambda request: Response.success())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_refusal_of_the_handler_is_one_sentence(path: Path, serve: Serve) -> None:
    def handler(request: Request) -> Response:
        raise ControlError("positions differ from the broker's; look first, then resume with --accept-positions")

    await serve(handler)
    with pytest.raises(ControlError, match="positions differ"):
        await ask(path, "resume")


BAD_REQUESTS = [
    (b"not json\n", b"the request is not understood"),
    (b"[]\n", b"the request is not understood"),
    (b'{"command": "halt", "colour": 1}\n', b"colour"),
    (b"x" * (control.MAX_REQUEST_BYTES + 1) + b"\n", b"bytes at most"),
]


@pytest.mark.parametrize(("line", "words"), BAD_REQUESTS, ids=["text", "a list", "an unknown field", "too long"])
async def test_a_request_that_makes_no_sense_is_answered(path: Path, serve: Serve, line: bytes, words: bytes) -> None:
    await serve(lambda request: Response.success())
    assert words in await send_raw(path, line)
    await ask(path, "status")


async def test_arguments_of_the_wrong_kind_are_refused(path: Path, serve: Serve) -> None:
    await serve(lambda request: Response.success([request.text("reason"), request.flag("accept_positions")]))
    with pytest.raises(ControlError, match="reason must be a text"):
        await ask(path, "halt", reason=5)
    with pytest.raises(ControlError, match="accept_positions must be true or false"):
        await ask(path, "resume", accept_positions="yes")


async def test_a_silent_caller_is_sent_away(path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "READ_TIMEOUT_S", 0.001)
    await serve(lambda request: Response.success())
    assert b"no request came" in await send_raw(path, b"")


async def test_a_handler_that_hangs_is_given_up(path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HANDLER_TIMEOUT_S", 0.001)

    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response.success()

    await serve(handler)
    with pytest.raises(ControlError, match="did not finish"):
        await ask(path, "reload")


async def test_too_many_callers_are_turned_away(path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_CONNECTIONS", 0)
    await serve(lambda request: Response.success())
    with pytest.raises(ControlError, match=r"closed the line|gave no whole answer"):
        await ask(path, "status")


async def test_a_second_service_is_refused(path: Path, serve: Serve) -> None:
    await serve(lambda request: Response.success("first"))
    with pytest.raises(ControlError, match="another service already listens"):
        await serve(lambda request: Response.success("second"))
    assert (await ask(path, "status")).value(str) == "first"


async def test_the_socket_of_a_dead_service_is_replaced(path: Path, serve: Serve) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    await serve(lambda request: Response.success("alive"))
    assert (await ask(path, "status")).value(str) == "alive"


async def test_a_file_in_the_way_is_not_removed(path: Path, serve: Serve) -> None:
    path.parent.mkdir()
    path.write_text("notes")
    with pytest.raises(ControlError, match="is not one"):
        await serve(lambda request: Response.success())
    assert path.read_text() == "notes"


async def test_a_path_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="too long"):
        await ControlServer(tmp_path / ("x" * 120), lambda request: Response.success()).start()


async def test_closing_removes_the_socket(path: Path, serve: Serve) -> None:
    server = await serve(lambda request: Response.success())
    await server.close()
    await server.close()
    assert not path.exists()
    with pytest.raises(NoServiceError, match="no service is running"):
        await ask(path, "status")


def test_health_says_why_not(make_snapshot: Make) -> None:
    def reason(**changes: object) -> str:
        answer = answer_question(Request("health"), make_snapshot(ready=False, **changes))
        assert answer is not None
        return answer.value(HealthReport).reason

    assert reason(problems=("books are not reconciled", "no quotes")) == "books are not reconciled; no quotes"
    assert reason(trading_state=TradingState.REDUCE_ONLY) == "not ready (reduce only)"


def test_an_answer_of_another_version_is_said() -> None:
    with pytest.raises(ControlError, match="another version"):
        Response.success({"at": "yesterday"}).value(Snapshot)
