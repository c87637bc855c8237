"""A monitoring system that reads /metrics once a second, in steps that never wait."""

import select
import socket
from time import perf_counter_ns
from typing import Final

INTERVAL_NS: Final = 1_000_000_000
READ_BYTES: Final = 1 << 18
REQUEST: Final = (
    b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n"
)


class Scraper:
    """Scrapes ``port`` whenever ``step`` is called often enough; ``scrapes`` counts whole answers."""

    def __init__(self, port: int) -> None:
        self.scrapes = 0
        self.answer = ""
        self._port = port
        self._due_ns = perf_counter_ns()
        self._socket: socket.socket | None = None
        self._read = bytearray()
        self._poll = select.poll()

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        return self._socket is not None

    def step(self) -> None:
        """Begin a scrape that is due, or take what has come of the one under way."""
        if self._socket is None:
            if perf_counter_ns() >= self._due_ns:
                self._begin()
        elif self._poll.poll(0):
            self._take(self._socket)

    def close(self) -> None:
        if self._socket is not None:
            self._end(self._socket)

    def _begin(self) -> None:
        self._due_ns = perf_counter_ns() + INTERVAL_NS
        try:
            # On loopback the kernel answers for the service: this does not wait for it.
            connection = socket.create_connection(("127.0.0.1", self._port), timeout=1.0)
        except OSError:
            return
        connection.sendall(REQUEST)
        connection.setblocking(False)
        self._poll.register(connection, select.POLLIN)
        self._socket = connection
        self._read.clear()

    def _take(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(READ_BYTES)
        except ConnectionError:
            self._end(connection)
            return
        if data:
            self._read += data
            return
        self.answer = self._read.decode(errors="replace")
        self.scrapes += 1
        self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        self._poll.unregister(connection)
        connection.close()
        self._socket = None


def sample(answer: str, name: str) -> float:
    """The value of the metric ``name`` without labels in a scrape's answer; 0 when it has none."""
    for line in answer.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split(" ")[1])
    return 0.0
