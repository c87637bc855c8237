"""One program of the stack as a child process: started, found ready, stopped, and never left behind.

Rules: a child is told to end when its parent dies, however that happens; a terminal's Ctrl-C does not reach it, so that
the parent decides the order of things. It writes to a file of its own, whose end is shown when it fails.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from trader.stack.errors import StackError
from trader.stack.relocate import working_folder

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
READY_POLL_S: Final = 0.05
READY_REQUEST_TIMEOUT_S: Final = 2.0
LOG_SHOWN_CHARS: Final = 600
PR_SET_PDEATHSIG: Final = 1


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """A program that serves HTTP on a loopback port and says at ``ready_path`` that it is ready."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        url: str,
        ready_path: str,
        log: Path,
        clock: Clock | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self._command = [str(part) for part in command]
        self._ready_path = ready_path
        self._log = log
        self._clock = clock or SystemClock()
        self._environment = None if environment is None else dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the child runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the program and wait until it is ready; raises StackError with the end of its log. Idempotent."""
        if self.pid is not None:
            return
        self._process = await self._spawn()
        try:
            await self._wait_until_ready()
        except BaseException:
            await self.stop()
            raise

    async def launch(self) -> None:
        """Start the program and do not wait for it; ``pid`` says whether it still runs."""
        self._process = await self._spawn()

    async def run(self, timeout_s: float) -> int | None:
        """Run a program that ends by itself: its exit code, or None when it had to be ended after ``timeout_s``."""
        self._process = await self._spawn()
        try:
            return await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            return None
        finally:
            await self.kill()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_end_with_parent(), cwd=working_folder(Path(self._command[0])), env=self._environment,
            )  # fmt: skip

    async def end(self, timeout_s: float) -> int | None:
        """Ask the program to end: its exit code, or None when it had not ended after ``timeout_s``."""
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            process.terminate()
        try:
            return await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            return None

    async def stop(self) -> None:
        """End the program: politely, then not. Idempotent."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def kill(self) -> None:
        """End the program as a power cut would."""
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP to hang it or SIGHUP to have it read its files again."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def log_end(self) -> str:
        """The last lines that the program wrote."""
        try:
            return self._log.read_text(errors="replace")[-LOG_SHOWN_CHARS:].strip()
        except OSError:
            return ""

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline_ns = self._clock.monotonic_ns() + int(START_TIMEOUT_S * NANOSECONDS_PER_SECOND)
        timeout = aiohttp.ClientTimeout(total=READY_REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while self._clock.monotonic_ns() < deadline_ns:
                if self._process.returncode is not None:
                    raise StackError(f"{self.name} ended at once: {self.log_end() or 'it said nothing'}")
                if await self._answers(session):
                    return
                await asyncio.sleep(READY_POLL_S)
        raise StackError(f"{self.name} was not ready within {START_TIMEOUT_S:.0f} s: {self.log_end()}")

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.url + self._ready_path) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def _end_with_parent() -> Callable[[], None] | None:
    """What a child does before it becomes the program: ask the kernel to end it with its parent. Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
