"""The service and its simulated gateway as processes of their own: started, timed, asked, ended.

Rules: the service is what ``trader run`` starts, told by systemd's protocol where to say that it is ready; the gateway
is the demonstration's. Everything lies in one folder, on ports that the system gave, and ends with the block.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec
import yaml

from benchmarks.options import BenchmarkFailed
from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.demo import DemoError, DemoOptions, demo_settings, start_simulator, stop_simulator
from trader.drills.pair import environment
from trader.snapshot import Snapshot
from trader.stack.children import free_port

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 40.0
CONTROL_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.005
READY: Final = b"READY=1"
READYZ: Final = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
METRICS: Final = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n"
LOG_SHOWN_CHARS: Final = 600

Config = Mapping[str, Mapping[str, Any]]


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from spawning the process: until it said READY=1, and until /readyz said that it is ready."""

    told_s: float
    ready_s: float


class Service:
    """``trader run`` in ``folder``, with the demonstration's configuration and ``changes`` to its sections."""

    def __init__(self, folder: Path, gateway_port: int, changes: Config | None = None) -> None:
        self._folder = folder
        self.port = free_port()
        self._config_file = folder / "config.yaml"
        settings = demo_settings(DemoOptions(folder=folder, duration_s=0, metrics_port=self.port), gateway_port)
        values = settings.model_dump(mode="json", exclude_unset=True)
        for section, change in (changes or {}).items():
            values[section] = {**values.get(section, {}), **change}
        self._config_file.write_text(yaml.safe_dump(values))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Started:
        """Start it and wait until it is ready; raises BenchmarkFailed."""
        command = (sys.executable, "-m", "trader", "run", "--config", str(self._config_file))
        with _notify_socket(self._folder / "notify.sock") as heard:
            told = {"NOTIFY_SOCKET": str(self._folder / "notify.sock")}
            began_s = perf_counter()
            with (self._folder / "service.log").open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *command, env=environment() | told, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
                )
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await _until_told(heard)
                    told_s = perf_counter() - began_s
                    while not (await ask(self.port, READYZ)).startswith(b"HTTP/1.1 200"):
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                raise BenchmarkFailed(
                    f"the service was not ready in {START_TIMEOUT_S:g} s: {self._log_end()}"
                ) from None
            return Started(told_s=told_s, ready_s=perf_counter() - began_s)

    async def stop(self) -> float:
        """Stop it as systemd does; seconds until the process is gone. Raises BenchmarkFailed."""
        process = self._running()
        began_s = perf_counter()
        process.terminate()
        try:
            code = await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            raise BenchmarkFailed(f"the service did not stop in {STOP_TIMEOUT_S:g} s: {self._log_end()}") from None
        if code != 0:
            raise BenchmarkFailed(f"the service ended with exit code {code}: {self._log_end()}")
        return perf_counter() - began_s

    async def kill(self) -> None:
        """End it, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def scrape(self) -> bytes:
        """/metrics in the text format; raises BenchmarkFailed."""
        head, _, body = (await ask(self.port, METRICS)).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchmarkFailed(f"/metrics of the service did not answer: {self._log_end()}")
        return body

    async def snapshot(self) -> Snapshot:
        """What the service says of itself; raises BenchmarkFailed."""
        control = ControlClient(self._folder / "control.sock", CONTROL_TIMEOUT_S)
        try:
            return (await asyncio.to_thread(control.call, Command.STATUS)).value(Snapshot)
        except ControlError as error:
            raise BenchmarkFailed(f"the service does not answer: {error}") from None

    def resident_bytes(self) -> int:
        return resident_bytes(self._running().pid)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            raise BenchmarkFailed(f"the service does not run: {self._log_end()}")
        return self._process

    def _log_end(self) -> str:
        log = self._folder / "service.log"
        return log.read_text(errors="replace")[-LOG_SHOWN_CHARS:].strip() if log.exists() else "it said nothing"


def resident_bytes(pid: int) -> int:
    """What a process has in memory. Linux only."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def ask(port: int, request: bytes) -> bytes:
    """The whole answer of a server on loopback that closes the connection behind it; empty when nobody answers."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return b""
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@asynccontextmanager
async def simulated_gateway(folder: Path, seed: int, speed: float = 1.0, begin: str = "fixed") -> AsyncIterator[int]:
    """A running simulated gateway's port; raises BenchmarkFailed when it does not start."""
    try:
        process, port = await start_simulator(
            DemoOptions(folder=folder, duration_s=0, seed=seed, speed=speed, begin=begin)
        )
    except DemoError as error:
        raise BenchmarkFailed(str(error)) from None
    try:
        yield port
    finally:
        await stop_simulator(process)


def _notify_socket(path: Path) -> socket.socket:
    """Where the service says what systemd would hear."""
    path.unlink(missing_ok=True)
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    heard.bind(str(path))
    return heard


async def _until_told(heard: socket.socket) -> None:
    while READY not in (await asyncio.get_running_loop().sock_recv(heard, 4_096)).split(b"\n"):
        pass
