"""A clock that is read once for everything that arrives in one read of the socket.

Rules: inside a batch ``now`` stands still, so that facts of one read carry one time and times never go back
from one fact to the next; ``monotonic_ns`` always runs, durations are measured with it.
"""

from datetime import datetime

from trader.clock import Clock


class BatchClock:
    """``base`` is the clock that is read."""

    def __init__(self, base: Clock) -> None:
        self.base = base
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        return self._frozen if self._frozen is not None else self.base.now()

    def monotonic_ns(self) -> int:
        return self.base.monotonic_ns()

    def begin(self) -> datetime:
        """Read the clock for a batch; returns the reading."""
        self._frozen = self.base.now()
        return self._frozen

    def end(self) -> None:
        self._frozen = None
