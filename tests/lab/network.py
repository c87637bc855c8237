"""Work of this process in the network of a machine, so that a question costs a connection and no process.

Rules: only a thread that ends with the work enters the network; what it connects stays there. Paths are not the
machine's: what is asked by a path is asked at `/proc/PID/root`.
"""

import asyncio
import ctypes
import http.client
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.lab.errors import LabError

CLONE_NEWNET: Final = 0x40000000
TIMEOUT_S: Final = 20.0
LIBC: Final = ctypes.CDLL(None, use_errno=True)

Value = TypeVar("Value")


def in_network(leader_pid: int, work: Callable[[], Value]) -> Value:
    """What ``work`` returns or raises, done in the network of the machine whose PID 1 is ``leader_pid``."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_entered, leader_pid, work).result()


def run_in_network(leader_pid: int, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
    """The same for a coroutine, on a loop of its own."""
    return in_network(leader_pid, lambda: asyncio.run(work()))


def _entered(leader_pid: int, work: Callable[[], Value]) -> Value:
    network = os.open(Path(f"/proc/{leader_pid}/ns/net"), os.O_RDONLY)
    try:
        if LIBC.setns(network, CLONE_NEWNET) != 0:
            raise LabError(f"the network of process {leader_pid} cannot be entered: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(network)
    return work()


def http_get(leader_pid: int, port: int, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, str]:
    """Status and text of what answers on loopback; raises OSError or HTTPException when nobody does."""

    def ask() -> tuple[int, str]:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.status, answer.read().decode()
        finally:
            line.close()

    return in_network(leader_pid, ask)
