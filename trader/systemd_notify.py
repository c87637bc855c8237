"""What systemd wants to hear: ready, reloading, stopping, the watchdog's sign of life.

Rules: without ``$NOTIFY_SOCKET`` every call does nothing; a message that cannot be delivered is not an
error of the service. The watchdog is fed by progress, never by a timer alone.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping

from trader.clock import NANOSECONDS_PER_SECOND

MICROSECONDS_PER_SECOND = 1_000_000


def notify(message: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send ``message`` (``READY=1``, ``WATCHDOG=1``, ``STATUS=…``; several by line); True when it was handed over."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        # A leading "@" stands for the zero byte of Linux's abstract namespace.
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.send(message.encode())
        return True
    return False


def watchdog_interval_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often ``WATCHDOG=1`` is due: half the unit's ``WatchdogSec``; None when no watchdog waits for us."""
    limit_us = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", "")
    if not limit_us.isdigit() or int(limit_us) == 0 or (process and process != str(os.getpid())):
        return None
    return int(limit_us) / MICROSECONDS_PER_SECOND / 2


@contextlib.contextmanager
def reloading(monotonic_ns: int, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Tell systemd that a reload is under way, and after the block that it is done, however it ended."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1_000}", environment)
    try:
        yield
    finally:
        notify("READY=1", environment)


class Watchdog:
    """Feeds systemd's watchdog, twice in its limit, while ``progress`` moves on from one time to the next."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._interval_s = watchdog_interval_s(environment)
        self._fed_ns: int | None = None
        self._progress = -1

    def look(self, progress: int, now_ns: int) -> None:
        """Say what has been done so far, by a number that grows with it."""
        if self._interval_s is None or progress <= self._progress:
            return
        if self._fed_ns is None or now_ns - self._fed_ns >= self._interval_s * NANOSECONDS_PER_SECOND:
            notify("WATCHDOG=1", self._environment)
            self._fed_ns, self._progress = now_ns, progress
