"""The simulated gateway's clock, as it tells it in account values.

Rules: the first telling anchors the service's clock, later ones correct it when it is off by more than a
message's way can explain, so that it does not jitter. A clock that cannot be anchored is left alone.
"""

from datetime import datetime
from typing import Final

from trader.clock import AnchoredClock, Clock
from trader.gateway.accounts import SIMULATOR_SPEED, SIMULATOR_TIME

TOLERANCE_S: Final = 0.1


class SimulatedTime:
    """``seen`` once the gateway has said that it is a simulated one."""

    def __init__(self, clock: Clock, *, follow: bool) -> None:
        self.seen = False
        self._clock = clock if follow and isinstance(clock, AnchoredClock) else None
        self._moment: datetime | None = None
        self._speed = 1.0

    def take(self, tag: str, value: str) -> None:
        """Note an account value; ValueError when it is a time or a speed that makes no sense."""
        if tag == SIMULATOR_TIME:
            self.seen = True
            self._moment = datetime.fromisoformat(value)
        elif tag == SIMULATOR_SPEED:
            self.seen = True
            self._speed = float(value)

    def settle(self) -> None:
        """Time and speed have both been read: let the clock follow them."""
        moment, self._moment = self._moment, None
        if moment is None or self._clock is None:
            return
        off_s = abs((moment - self._clock.now()).total_seconds())
        # A tenth of a second on the wire is that much more of a fast day.
        if self._clock.speed != self._speed or off_s > TOLERANCE_S * max(1.0, self._speed):
            self._clock.anchor(moment, self._speed)
