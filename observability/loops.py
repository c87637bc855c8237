"""Is it alive: when each loop last came round, and how late the event loop runs its timers.

Rules: a loop that never came round is not known and not reported. Ages are measured with the monotonic clock;
the timestamps exported are the clock's.
"""

import asyncio
from datetime import datetime

import prometheus_client

from observability.catalogue.core import LOOPS
from trader.clock import NANOSECONDS_PER_SECOND, Clock

INTERVAL_S = 0.1


class LoopTicks:
    """The last time round of each loop of the service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ticks: dict[str, tuple[datetime, int]] = {}

    def tick(self, loop: str) -> None:
        """Say that ``loop`` came round now; a name that is not in the catalogue raises ValueError."""
        if loop not in LOOPS:
            raise ValueError(f"{loop!r} is not a loop of the catalogue ({', '.join(LOOPS)})")
        self._ticks[loop] = (self._clock.now(), self._clock.monotonic_ns())

    def last(self) -> dict[str, datetime]:
        return {loop: at for loop, (at, _) in self._ticks.items()}

    def ages_s(self) -> dict[str, float]:
        """Seconds since each loop came round."""
        now_ns = self._clock.monotonic_ns()
        return {loop: (now_ns - tick_ns) / NANOSECONDS_PER_SECOND for loop, (_, tick_ns) in self._ticks.items()}


class LoopMonitor:
    """Runs a timer in the event loop and observes by how much it is late."""

    def __init__(self, ticks: LoopTicks, lag: prometheus_client.Histogram, clock: Clock) -> None:
        self._ticks = ticks
        self._lag = lag
        self._clock = clock
        self._due_ns = 0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin in the running event loop."""
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def observe_tick(self) -> None:
        """The timer ran: note the tick and how long after its due time it came."""
        late_ns = self._clock.monotonic_ns() - self._due_ns
        self._lag.observe(max(0, late_ns) / NANOSECONDS_PER_SECOND)
        self._ticks.tick("event_loop")

    def expect_in(self, seconds: float) -> None:
        """The next tick is due in ``seconds``."""
        self._due_ns = self._clock.monotonic_ns() + int(seconds * NANOSECONDS_PER_SECOND)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self.expect_in(INTERVAL_S)
        self._handle = loop.call_later(INTERVAL_S, self._came_round, loop)

    def _came_round(self, loop: asyncio.AbstractEventLoop) -> None:
        self.observe_tick()
        self._schedule(loop)
