"""Goes, in the machine under test, to the limits of the unit that it runs in, and says where it was stopped.

Rules: imports nothing but Python's own library. What it takes it gives back. Times are the kernel's: of the processor
by CLOCK_PROCESS_CPUTIME_ID, of the wall by CLOCK_MONOTONIC.
"""

import errno
import os
import resource
import signal
import time
from typing import IO, Any

FILES_MAX = 200_000
CHILDREN_MAX = 5_000
BURNERS = 2
WINDOW_S = 2.0
WINDOWS = 4


def probe(what: str, *arguments: str) -> dict[str, Any]:
    """``files``, ``tasks`` or ``processor``."""
    return {"files": _files, "tasks": _tasks, "processor": _processor}[what](*arguments)


def _files() -> dict[str, Any]:
    """How many files there were open when the next one was refused, and with what."""
    opened: list[int] = []
    refused = ""
    try:
        while len(opened) < FILES_MAX:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        refused = errno.errorcode[error.errno or 0]
        # The highest number is the one below the limit; the count would leave out what was open before.
        return {"refused": refused, "open": max(opened) + 1, "limit": resource.getrlimit(resource.RLIMIT_NOFILE)}
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return {"refused": refused, "open": len(opened), "limit": resource.getrlimit(resource.RLIMIT_NOFILE)}


def _tasks() -> dict[str, Any]:
    """How many processes there were, with this one, when the next one was refused, and with what."""
    children: list[int] = []
    refused = ""
    try:
        while len(children) < CHILDREN_MAX:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError as error:
        refused = errno.errorcode[error.errno or 0]
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return {"refused": refused, "tasks": len(children) + 1}


def _processor() -> dict[str, Any]:
    """How many processors two processes used, in each window, that would take all they get."""
    burners = [_burner() for _ in range(BURNERS)]
    windows = [sum(float(shares.readline()) for _, shares in burners) for _ in range(WINDOWS)]
    for child, _ in burners:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"processors": windows}


def _burner() -> tuple[int, IO[str]]:
    """A process that takes all it gets, and what it writes: its share of one processor in each window."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            os.write(writer, f"{_burn()}\n".encode())
    os.close(writer)
    return child, os.fdopen(reader)


def _burn() -> float:
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() < began + WINDOW_S:
        pass
    return (time.process_time() - used) / (time.monotonic() - began)
