"""A thread that does what need not be done in the loop.

Rules: the caller pays for a put on a queue and nothing else. The queue is bounded: what does not fit is dropped
and counted. Stopping handles what is queued, within a limit.
"""

import contextlib
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")

STOP_TIMEOUT_S = 5.0


class _Stop:
    """Ends the thread when its turn comes."""


class Worker(Generic[ItemT]):
    """Hands every item that is put to ``handle``, in order, in a thread named ``name``."""

    def __init__(self, name: str, handle: Callable[[ItemT], None], capacity: int) -> None:
        self._handle = handle
        self._capacity = capacity
        self._items: queue.SimpleQueue[ItemT | _Stop] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._stopping = False
        self.dropped = 0
        self.failed = 0

    def start(self) -> None:
        self._thread.start()

    def put(self, item: ItemT) -> bool:
        """Queue ``item``; False, and counted, when the queue is full or the worker is stopped."""
        if self._stopping or self._items.qsize() >= self._capacity:
            self.dropped += 1
            return False
        self._items.put(item)
        return True

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Handle what is queued and end; False when that took longer than ``timeout_s``."""
        if not self._stopping:
            self._stopping = True
            self._items.put(_Stop())
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not isinstance(item := self._items.get(), _Stop):
            try:
                self._handle(item)
            except Exception:  # noqa: BLE001 # one bad item must not end the thread
                self._report()

    def _report(self) -> None:
        """The first failure goes to stderr as it is: the log itself may be what fails."""
        self.failed += 1
        if self.failed == 1:
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exc(file=sys.stderr)
