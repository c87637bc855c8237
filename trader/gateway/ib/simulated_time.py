"""The simulated gateway's clock, as it tells it in account values.

Rules: the first telling anchors the service's clock, later ones correct it when it is off by more than a
message's way can explain, so that it does not jitter. A clock that cannot be anchored is left alone.
"""

from datetime import datetime
from typing import Final

from trader.clock import AnchoredClock, Clock, require_aware
from trader.gateway.accounts import SIMULATOR_SPEED, SIMULATOR_TIME

TOLERANCE_S: Final = 0.1
# As fast as a simulated gateway goes, and any day that may have been recorded: beyond them a clock would overflow.
SPEED_MAX: Final = 1_000_000
YEARS: Final = range(1900, 2200)


class SimulatedTime:
    """``seen`` once the gateway has said that it is a simulated one."""

    def __init__(self, clock: Clock, *, follow: bool) -> None:
        self.seen = False
        self._clock = clock if follow and isinstance(clock, AnchoredClock) else None
        self._moment: datetime | None = None
        self._speed = 1.0
        self._told = False

    def take(self, tag: str, value: str) -> None:
        """Note an account value; ValueError when it is a time or a speed that makes no sense."""
        if tag == SIMULATOR_TIME:
            self.seen = True
            moment = datetime.fromisoformat(value)
            require_aware(moment)
            if moment.year not in YEARS:
                raise ValueError(f"a clock cannot be set to {value}")
            self._moment, self._told = moment, True
        elif tag == SIMULATOR_SPEED:
            self.seen = True
            speed = float(value)
            if not 0 < speed <= SPEED_MAX:
                raise ValueError(f"a clock cannot run at a speed of {value}")
            self._speed, self._told = speed, True

    def settle(self) -> None:
        """All values of a batch have been read: let the clock follow them."""
        if not self._told:
            return  # nearly always: batches of ticks tell no time
        clock = self._clock
        told, self._moment, self._told = self._moment, None, False
        if clock is None or (told is None and not clock.anchored):
            return
        # Values that did not change are not sent again: a gateway whose time begins to run tells its speed alone.
        moment = told or clock.now()
        off_s = abs((moment - clock.now()).total_seconds())
        # A tenth of a second on the wire is that much more of a fast day.
        tolerable = off_s <= TOLERANCE_S * max(1.0, self._speed)
        if not (clock.anchored and clock.speed == self._speed and tolerable):
            clock.anchor(moment, self._speed)
