"""The simulated clock: a recorded or invented time that runs at a multiple of real time.

Rules: it stands at the market's start until ``run``; afterwards it is where real time has taken it. It never
goes back. Real time is passed in, so that it can be tested without waiting.
"""

from datetime import datetime, timedelta
from typing import Final

# A standing clock has to report a positive speed, too.
STANDING: Final = 1e-9


class SimulatedClock:
    """``speed`` is simulated seconds in one real second; real time is in seconds from any origin."""

    def __init__(self, start: datetime, speed: float) -> None:
        self._start = start
        self._speed = speed
        self._origin_s: float | None = None

    @property
    def running(self) -> bool:
        return self._origin_s is not None

    @property
    def reported_speed(self) -> float:
        return self._speed if self.running else STANDING

    def run(self, real_s: float) -> None:
        """Start to run; does nothing when it runs already."""
        if self._origin_s is None:
            self._origin_s = real_s

    def at(self, real_s: float) -> datetime:
        """The simulated time at a real one."""
        if self._origin_s is None:
            return self._start
        return self._start + timedelta(seconds=(real_s - self._origin_s) * self._speed)

    def real_seconds_until(self, moment: datetime, real_s: float) -> float:
        """How long in real seconds until the clock shows ``moment``; negative when it has."""
        return (moment - self.at(real_s)).total_seconds() / self._speed
