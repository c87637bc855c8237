"""What systemd wants to hear: ready, reloading, stopping, the watchdog's sign of life.

Rules: without ``$NOTIFY_SOCKET`` every call does nothing; a message that cannot be delivered is not an
error of the service.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

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
