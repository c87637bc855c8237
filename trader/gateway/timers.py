"""Waiting, injected: what the gateway's edge needs of an event loop besides its clock.

Rules: delays are seconds of the host's time, never of a simulated day.
"""

import asyncio
import heapq
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Protocol

from trader.clock import NANOSECONDS_PER_SECOND, ManualClock


class TimerHandle(Protocol):
    """A timer that can still be called off."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """``call_later`` runs ``callback`` once after ``delay_s`` unless its handle is cancelled first."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle: ...

    async def sleep(self, delay_s: float) -> None: ...


class LoopTimers:
    """The running event loop's own timers."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, callback)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class ManualTimer:
    """A timer of ``ManualTimers``."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualTimers:
    """Timers that move only with ``advance``, together with a manual clock."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._order = count()
        self._due: list[tuple[int, int, ManualTimer]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(callback)
        due_ns = self._clock.monotonic_ns() + round(delay_s * NANOSECONDS_PER_SECOND)
        heapq.heappush(self._due, (due_ns, next(self._order), timer))
        return timer

    async def sleep(self, delay_s: float) -> None:
        woken = asyncio.Event()
        timer = self.call_later(delay_s, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def advance(self, by_s: float) -> None:
        """Move the clock forward and run what falls due on the way, in order."""
        until_ns = self._clock.monotonic_ns() + round(by_s * NANOSECONDS_PER_SECOND)
        while self._due and self._due[0][0] <= until_ns:
            due_ns, _, timer = heapq.heappop(self._due)
            self._move_to(due_ns)
            if not timer.cancelled:
                timer.callback()
        self._move_to(until_ns)

    def _move_to(self, moment_ns: int) -> None:
        # The clock has microseconds: round up, so that what is due is never in its future.
        step_us = -((self._clock.monotonic_ns() - moment_ns) // 1_000)
        if step_us > 0:
            self._clock.advance(timedelta(microseconds=step_us))
