"""The operator's line to a running service: a Unix socket, one line of JSON each way, one request a connection.

Rules: the socket's mode is 0600, which is the whole of its access control; a request, an answer and every
wait has a limit; a caller that misbehaves costs the service one connection for a few seconds and nothing
else. The server knows no command: it hands requests to ``handler`` and sends what that answers.
"""

import asyncio
import contextlib
import inspect
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from trader.control_messages import ControlError, NoServiceError, Request, Response

MAX_REQUEST_BYTES = 64 * 1024
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 16
READ_TIMEOUT_S = 5.0
HANDLER_TIMEOUT_S = 10.0
MAX_PATH_BYTES = 107  # of a Unix socket, by the kernel

Handler = Callable[[Request], Response | Awaitable[Response]]


class ControlServer:
    """Answers requests on ``path`` in the loop that ``start`` is called in."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; raises ControlError when another service does, or when there can be no socket here."""
        listener = bind(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_REQUEST_BYTES)

    async def close(self) -> None:
        """Stop listening, drop open requests, remove the socket if it is still ours. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            response = await self._respond(reader)
            if response is not None:
                writer.write(msgspec.json.encode(response) + b"\n")
                await asyncio.wait_for(writer.drain(), READ_TIMEOUT_S)
        except (OSError, TimeoutError):
            # The caller is gone or does not read: its own loss. A polite close would wait for it for ever.
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader) -> Response | None:
        try:
            line = await asyncio.wait_for(reader.readline(), READ_TIMEOUT_S)
        except TimeoutError:
            return Response.failure(f"no request came within {READ_TIMEOUT_S:.0f} s")
        except ValueError:
            return Response.failure(f"a request may have {MAX_REQUEST_BYTES} bytes at most")
        if not line:
            return None
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return Response.failure(f"the request is not understood: {error}")
        return await self._handle(request)

    async def _handle(self, request: Request) -> Response:
        try:
            answer = self._handler(request)
            if inspect.isawaitable(answer):
                answer = await asyncio.wait_for(answer, HANDLER_TIMEOUT_S)
        except TimeoutError:
            return Response.failure(f"{request.command} did not finish within {HANDLER_TIMEOUT_S:.0f} s")
        except ControlError as error:
            return Response.failure(str(error))
        return answer


def bind(path: Path) -> socket.socket:
    """A listening socket at ``path``, mode 0600, replacing one that nobody listens on; raises ControlError."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ControlError(f"the path of the control socket is too long for Unix (107 bytes): {path}")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode at the moment of creation is what counts, so that nobody gets in before a chmod.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ControlError(f"the control socket {path} cannot be made ({error.strerror})") from error
    finally:
        os.umask(mask)
    listener.listen(MAX_CONNECTIONS)
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    """Make room at ``path``: a folder for it, and no socket of a service that died."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ControlError(f"the control socket {path} cannot be made ({error.strerror})") from error
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"{path} is in the way of the control socket and is not one; move it or set control.socket")
    if is_listening(path):
        raise ControlError(f"another service already listens at {path}; stop it or set control.socket")
    path.unlink(missing_ok=True)


def is_listening(path: Path) -> bool:
    """Whether a process accepts connections at ``path``. A full backlog means yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class ControlClient:
    """Asks a running service; blocking, for commands a person types."""

    def __init__(self, path: Path, timeout_s: float = 15.0) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def call(self, command: str, **arguments: Any) -> Response:
        """The answer to one request; raises NoServiceError when nobody listens, ControlError for a refusal."""
        request = msgspec.json.encode(Request(command=command, arguments=arguments)) + b"\n"
        response = decode_response(self._exchange(request), self._path)
        if response.error is not None:
            raise ControlError(response.error)
        return response

    def _exchange(self, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(self._timeout_s)
            connect(line, self._path)
            try:
                line.sendall(request)
                return _read_line(line)
            except TimeoutError as error:
                raise ControlError(
                    f"the service at {self._path} did not answer within {self._timeout_s:.0f} s; look at its log"
                ) from error
            except OSError as error:
                raise ControlError(f"the service at {self._path} closed the line ({error.strerror})") from error


def connect(line: socket.socket, path: Path) -> None:
    try:
        line.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoServiceError(f"no service is running: nobody listens at {path} (start one with: trader run)") from error
    except PermissionError as error:
        raise ControlError(f"{path} is another user's; run this as the user of the service (sudo -u …)") from error
    except OSError as error:
        raise ControlError(f"the control socket {path} cannot be used ({error.strerror or error})") from error


def _read_line(line: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = line.recv(65_536)
        if not chunk or len(received) > MAX_RESPONSE_BYTES:
            break
        received += chunk
    return bytes(received)


def decode_response(line: bytes, path: Path) -> Response:
    try:
        return msgspec.json.decode(line, type=Response)
    except msgspec.DecodeError as error:
        raise ControlError(f"the service at {path} gave no whole answer; it is stopping, or of another version") from (
            error
        )
