"""One client's socket, read and written without an event loop in between.

Rules: whole frames are written in the order in which they are given, whoever gives them. What the socket does not take
waits. The moment of a read is taken before anybody looks at what was read.
"""

import asyncio
import select
import socket
import struct
from time import perf_counter_ns
from typing import Final

from benchmarks.options import BenchmarkFailed

READ_BYTES: Final = 1 << 18
WAITING_MAX_BYTES: Final = 64 << 20
LENGTH: Final = struct.Struct(">I")
PLACE_ORDER: Final = b"3\0"


class Line(asyncio.Transport):
    """The transport of the simulator's session, over a socket that does not block."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._waiting = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._waiting or self._closing:
            self._waiting += data
            self.flush()
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._waiting += memoryview(data)[sent:]

    def flush(self) -> bool:
        """Write what waits; whether nothing waits any more."""
        if len(self._waiting) > WAITING_MAX_BYTES:
            raise BenchmarkFailed("the client does not read what it is sent")
        try:
            while self._waiting and not self._closing:
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            return False
        return True

    def read(self) -> tuple[bytes, int] | None:
        """What has come, and when that was noticed; None when nothing has. BenchmarkFailed when the client is gone."""
        if not self._poll.poll(0):
            return None
        try:
            data = self._socket.recv(READ_BYTES)
        except ConnectionError as error:
            raise BenchmarkFailed(f"the client hung up in the middle of the benchmark: {error}") from error
        at_ns = perf_counter_ns()
        if not data:
            raise BenchmarkFailed("the client hung up in the middle of the benchmark")
        return data, at_ns

    # -- the rest of a transport

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def pause_reading(self) -> None:
        """Nothing: what is not asked for is not read."""

    def resume_reading(self) -> None:
        """Nothing, as above."""

    def close(self) -> None:
        self._closing = True
        self._socket.close()

    def abort(self) -> None:
        self.close()


class OrderReader:
    """Finds the orders in what a client sends, which begins with a whole frame."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[int]:
        """The contract ids of the orders that ``data`` completes."""
        buffer, position, found = self._buffer + data, 0, list[int]()
        while len(buffer) - position >= LENGTH.size:
            start = position + LENGTH.size
            stop = start + LENGTH.unpack_from(buffer, position)[0]
            if stop > len(buffer):
                break
            if buffer.startswith(PLACE_ORDER, start):
                found.append(int(buffer[start:stop].split(b"\0", 3)[2]))
            position = stop
        self._buffer = buffer[position:]
        return found
