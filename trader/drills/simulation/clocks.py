"""The simulated time, and the host's clock as one process reads it.

Rules: the world's time never goes back and is moved by its scheduler alone. The host's clock can be stepped, either
way; the monotonic reading of a process never goes back, and begins anew with a boot.
"""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Final

QUEUE_MAX: Final = 100_000
ONE_MICROSECOND: Final = timedelta(microseconds=1)


class Scheduler:
    """What is to happen in the world, in the order of time, and of asking where the time is the same."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.now = start
        self._queue: list[tuple[datetime, int, Callable[[], None]]] = []
        self._sequence = count()

    @property
    def elapsed_s(self) -> float:
        return (self.now - self.start).total_seconds()

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen in ``delay_s`` seconds."""
        if len(self._queue) >= QUEUE_MAX:
            raise OverflowError(f"more than {QUEUE_MAX} things wait to happen in the simulated world")
        due = self.now + timedelta(seconds=delay_s)
        heapq.heappush(self._queue, (due, next(self._sequence), action))

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen ``at_s`` seconds after the world's start."""
        self.later(max(0.0, at_s - self.elapsed_s), action)

    def next(self, until: datetime) -> Callable[[], None] | None:
        """The next thing that happens by ``until``, with the time moved to it; None when there is none."""
        if not self._queue or self._queue[0][0] > until:
            self.now = max(self.now, until)
            return None
        due, _, action = heapq.heappop(self._queue)
        self.now = max(self.now, due)
        return action


class HostClock:
    """The host's clock: the world's time, off by the steps that were made."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._step = timedelta(0)
        self._booted_at = scheduler.now - timedelta(hours=1)

    def step(self, by_s: float) -> None:
        self._step += timedelta(seconds=by_s)

    def boot(self) -> None:
        """The host was booted just now."""
        self._booted_at = self._scheduler.now

    def now(self) -> datetime:
        return self._scheduler.now + self._step

    def monotonic_ns(self) -> int:
        return (self._scheduler.now - self._booted_at) // ONE_MICROSECOND * 1_000
