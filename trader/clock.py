"""Time, injected.

Rules: nothing in the product calls ``datetime.now`` or ``time.monotonic`` but this module. ``now`` is
aware and in UTC and may jump (a recorded day, a stepped host clock); ``monotonic_ns`` never goes back
and is what durations are measured with.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NANOSECONDS_PER_SECOND = 1_000_000_000


class Clock(Protocol):
    """What the time is, and how much of it has passed."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start, never decreasing."""
        ...


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when it is told to; both readings move together."""

    def __init__(self, start: datetime) -> None:
        require_aware(start)
        self._now = start.astimezone(UTC)
        self._monotonic_ns = 0

    def now(self) -> datetime:
        return self._now

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, by: timedelta) -> None:
        """Move forward by ``by``; a negative step raises ValueError."""
        if by < timedelta(0):
            raise ValueError(f"a clock cannot be advanced by {by}")
        self._now += by
        self._monotonic_ns += by // timedelta(microseconds=1) * 1_000

    def advance_to(self, moment: datetime) -> None:
        """Move forward to ``moment``; a moment in the past raises ValueError."""
        self.advance(moment - self._now)


class AnchoredClock:
    """A clock that follows another one: anchored to a moment, running at ``speed`` times real time.

    In mode ``simulated`` the service's clock follows the simulated gateway's, so that sessions, timers and
    reports fall on the recorded day. Until it is anchored it reads the host's clock.
    """

    def __init__(self, base: Clock | None = None) -> None:
        self._base: Clock = base or SystemClock()
        self._anchor: datetime | None = None
        self._anchor_monotonic_ns = 0
        self._speed = 1.0

    @property
    def speed(self) -> float:
        """Seconds of this clock in one second of the host's."""
        return self._speed

    @property
    def anchored(self) -> bool:
        return self._anchor is not None

    def anchor(self, moment: datetime, speed: float = 1.0) -> None:
        """Say that it is ``moment`` now, and that time runs at ``speed`` from here on."""
        require_aware(moment)
        if not speed > 0:
            raise ValueError(f"a clock's speed must be positive, not {speed}")
        self._anchor = moment.astimezone(UTC)
        self._anchor_monotonic_ns = self._base.monotonic_ns()
        self._speed = speed

    def now(self) -> datetime:
        if self._anchor is None:
            return self._base.now()
        elapsed_ns = self._base.monotonic_ns() - self._anchor_monotonic_ns
        return self._anchor + timedelta(microseconds=elapsed_ns * self._speed / 1_000)

    def monotonic_ns(self) -> int:
        return self._base.monotonic_ns()


def require_aware(moment: datetime) -> None:
    """Raise ValueError when ``moment`` carries no time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")


def uptime_s() -> float:
    """Seconds since the host booted, by the kernel's clock: readable in any sandbox, unlike ``/proc/uptime``."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def booted_at_s() -> float:
    """When the host booted, in seconds since the Unix epoch."""
    return time.time() - uptime_s()
