"""A scraper as a process of its own, so that what it does costs the measured process nothing.

Rules: does one thing after the other, as it is told by lines on its input: ``get PORT ACCEPT…`` or ``wait SECONDS``.
It answers each with one line: how long it took, in nanoseconds, and how many bytes came.
"""

import asyncio
import http.client
import sys
import time
from typing import Final

import msgspec

from benchmarks.options import BenchmarkFailed

HTTP_TIMEOUT_S: Final = 60.0
TEXT: Final = "text/plain; version=0.0.4"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"


class Scraped(msgspec.Struct, frozen=True):
    duration_s: float
    size_bytes: int


class Scraper:
    """The process, from the side that it scrapes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Scraper":
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=pipe, stdout=pipe))

    async def stop(self) -> None:
        """End it by closing its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def get(self, port: int, accept: str) -> Scraped:
        """One scrape of ``/metrics`` on loopback; raises BenchmarkFailed when it is not answered with 200."""
        return await self._ask(f"get {port} {accept}")

    async def wait(self, duration_s: float) -> Scraped:
        """Scrape nothing for as long as a scrape takes."""
        return await self._ask(f"wait {duration_s}")

    async def _ask(self, command: str) -> Scraped:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        line = await self._process.stdout.readline()
        if not line.strip():
            raise BenchmarkFailed(f"the scraper ended at '{command}'; its error is above")
        duration_ns, size = line.split()
        return Scraped(int(duration_ns) / 1e9, int(size))


def carry_out(command: str) -> int:
    """Do as one line says; the number of bytes that came."""
    name, argument, *rest = command.split(maxsplit=2)
    if name == "wait":
        time.sleep(float(argument))
        return 0
    connection = http.client.HTTPConnection("127.0.0.1", int(argument), timeout=HTTP_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics", headers={"Accept": rest[0].strip()})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise BenchmarkFailed(f"/metrics answered {answer.status}")
    return len(body)


def main() -> None:
    for line in sys.stdin:
        began_ns = time.perf_counter_ns()
        size = carry_out(line)
        print(time.perf_counter_ns() - began_ns, size, flush=True)


if __name__ == "__main__":
    main()
