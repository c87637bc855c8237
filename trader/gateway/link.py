"""The link to the gateway: one state machine for the socket, and beside it IB's servers and their farms.

Rules: the socket's states are a table, and an unlisted transition raises and changes nothing. Losing IB's
servers (1100) or a data farm (2103) says nothing about the socket and never tears it down. The clientId
stays the same for ever: orders belong to it. All durations are of the monotonic clock.
"""

from enum import StrEnum
from random import Random
from typing import Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND
from trader.events import DisconnectReason
from trader.gateway import codes

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_JITTER: Final = 0.2
# A gateway may hold on to the id of a client that died; it lets go within a few minutes or never.
CLIENT_ID_ATTEMPTS_MAX: Final = 10
# From the last sign of life to the verdict: an interval until the probe leaves, and the wait for its answer.
DETECTION_MAX_S: Final = 15.0
FARMS_MAX: Final = 64


class LinkState(StrEnum):
    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    STARTING = "starting"
    UP = "up"
    CLOSED = "closed"


class LinkEvent(StrEnum):
    ATTEMPTED = "attempted"
    HANDSHAKEN = "handshaken"
    STARTED = "started"
    FAILED = "failed"
    LOST = "lost"
    CLOSED = "closed"


TRANSITIONS: Final[dict[tuple[LinkState, LinkEvent], LinkState]] = {
    (LinkState.DISCONNECTED, LinkEvent.ATTEMPTED): LinkState.CONNECTING,
    (LinkState.CONNECTING, LinkEvent.HANDSHAKEN): LinkState.STARTING,
    (LinkState.CONNECTING, LinkEvent.FAILED): LinkState.DISCONNECTED,
    (LinkState.STARTING, LinkEvent.STARTED): LinkState.UP,
    (LinkState.STARTING, LinkEvent.FAILED): LinkState.DISCONNECTED,
    (LinkState.UP, LinkEvent.LOST): LinkState.DISCONNECTED,
    (LinkState.DISCONNECTED, LinkEvent.CLOSED): LinkState.CLOSED,
    (LinkState.CONNECTING, LinkEvent.CLOSED): LinkState.CLOSED,
    (LinkState.STARTING, LinkEvent.CLOSED): LinkState.CLOSED,
    (LinkState.UP, LinkEvent.CLOSED): LinkState.CLOSED,
    (LinkState.CLOSED, LinkEvent.CLOSED): LinkState.CLOSED,
}


class UnlistedTransition(Exception):
    """A link event that its state does not know: a defect of ours, never of the broker."""


class LinkFailure(Exception):
    """Why a connection could not be made or was lost. ``fatal`` ones are not tried again."""

    def __init__(self, reason: DisconnectReason, detail: str, *, fatal: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.fatal = fatal


class Link:
    """The socket's state, and how long to wait before the next attempt."""

    def __init__(self, backoff_max_s: float, rng: Random) -> None:
        self.state = LinkState.DISCONNECTED
        self._backoff_max_s = backoff_max_s
        self._rng = rng
        self._attempts = 0
        self._busy_attempts = 0

    @property
    def attempts(self) -> int:
        """Attempts since the link was last up."""
        return self._attempts

    @property
    def up(self) -> bool:
        return self.state is LinkState.UP

    @property
    def closed(self) -> bool:
        return self.state is LinkState.CLOSED

    def handle(self, event: LinkEvent) -> LinkState:
        """Move by the table; raises UnlistedTransition and changes nothing when it has no such row."""
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise UnlistedTransition(f"the link is {self.state} and cannot be {event}")
        self.state = following
        if event is LinkEvent.ATTEMPTED:
            self._attempts += 1
        elif event is LinkEvent.STARTED:
            self._attempts = self._busy_attempts = 0
        return following

    def retry_in_s(self) -> float:
        """Seconds to wait now: 1, 2, 4 … up to the cap, less a random part so that clients do not march in step."""
        exponent = min(max(self._attempts, 1) - 1, 16)
        base_s = min(BACKOFF_FIRST_S * 2.0**exponent, self._backoff_max_s)
        return base_s * (1.0 - BACKOFF_JITTER * self._rng.random())

    def gives_up_on(self, reason: DisconnectReason) -> bool:
        """Count a failure; True when a busy clientId was tried as often as is sensible."""
        if reason is not DisconnectReason.CLIENT_ID_BUSY:
            self._busy_attempts = 0
            return False
        self._busy_attempts += 1
        return self._busy_attempts >= CLIENT_ID_ATTEMPTS_MAX


class Heartbeat:
    """Server-time probes: when to send one, how long it took, and when silence means that the link is dead.

    The probe's own answer counts, not other traffic: market data may go on while requests are not served.
    """

    def __init__(self, interval_s: float, timeout_s: float) -> None:
        self.timeout_ns = int(timeout_s * NANOSECONDS_PER_SECOND)
        self.interval_ns = int(min(interval_s, DETECTION_MAX_S - timeout_s) * NANOSECONDS_PER_SECOND)
        self._probed_ns: int | None = None
        self._next_ns = 0

    def start(self, now_ns: int) -> None:
        """Begin anew with a connection that has just answered."""
        self._probed_ns = None
        self._next_ns = now_ns + self.interval_ns

    def wake_in_s(self, now_ns: int) -> float:
        """Seconds until there is something to decide."""
        wake_ns = self._next_ns if self._probed_ns is None else min(self._next_ns, self._probed_ns + self.timeout_ns)
        return max(0.001, (wake_ns - now_ns) / NANOSECONDS_PER_SECOND)

    def probe_due(self, now_ns: int) -> bool:
        """True when a probe is to be sent now; the caller sends it, and it counts from ``now_ns``."""
        if self._probed_ns is not None or now_ns < self._next_ns:
            return False
        self._probed_ns = now_ns
        self._next_ns = now_ns + self.interval_ns
        return True

    def answered(self, now_ns: int) -> float | None:
        """The outstanding probe's duration in seconds; None when none was outstanding."""
        if self._probed_ns is None:
            return None
        duration_s = (now_ns - self._probed_ns) / NANOSECONDS_PER_SECOND
        self._probed_ns = None
        return duration_s

    def missed_s(self, now_ns: int) -> float | None:
        """Seconds without an answer, once for each interval that passes so; else None."""
        if self._probed_ns is None or now_ns < min(self._next_ns, self._probed_ns + self.timeout_ns):
            return None
        self._next_ns = now_ns + self.interval_ns
        return (now_ns - self._probed_ns) / NANOSECONDS_PER_SECOND

    def dead(self, now_ns: int) -> bool:
        return self._probed_ns is not None and now_ns - self._probed_ns >= self.timeout_ns


class UpstreamChange(msgspec.Struct, frozen=True, gc=False):
    """IB's servers were lost or are back; ``data_lost`` asks for every subscription again."""

    connected: bool
    data_lost: bool = False


class Upstream:
    """Whether the gateway reaches IB's servers, and which of their farms it reaches."""

    def __init__(self) -> None:
        self.connected = True
        self.farms: dict[str, bool] = {}

    def handle(self, code: int) -> UpstreamChange | None:
        """The change that ``code`` makes. A repeated loss is no change; a restoration always counts."""
        if code in codes.UPSTREAM_LOST:
            changed, self.connected = self.connected, False
            return UpstreamChange(connected=False) if changed else None
        if code in (codes.UPSTREAM_RESTORED, codes.UPSTREAM_RESTORED_DATA_LOST):
            self.connected = True
            return UpstreamChange(connected=True, data_lost=code == codes.UPSTREAM_RESTORED_DATA_LOST)
        return None

    def farm_changed(self, farm: str, connected: bool) -> bool:
        """Note a farm's state; True when that is news."""
        if self.farms.get(farm) is connected or (farm not in self.farms and len(self.farms) >= FARMS_MAX):
            return False
        self.farms[farm] = connected
        return True
