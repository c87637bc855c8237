"""A pacer with priorities: the gateway drops what comes faster than 50 messages a second.

Rules: at most ``messages_per_s`` messages leave in any second. What may leave leaves at once; what must wait
waits in one bounded queue a priority, and a cancel never waits behind anything but cancels. Data requests
may use only a part of the budget, so that a burst of them does not take the second that a cancel needs.
Nothing is dropped silently: whoever submitted a message is told when it will not be sent.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.events import RequestKind
from trader.gateway.timers import TimerHandle, Timers

DATA_SHARE: Final = 0.8
QUEUE_MAX: Final = 1_000
RECHECK_MIN_S: Final = 0.001


class Priority(IntEnum):
    """Who goes first; a lower number does."""

    CANCEL = 0
    REDUCE = 1
    NEW = 2
    DATA = 3


class Message(msgspec.Struct, gc=False):
    """One message to send. ``send`` hands it to the socket; ``drop`` is called instead, with the reason."""

    priority: Priority
    kind: RequestKind
    send: Callable[[], None]
    drop: Callable[[str], None]
    submitted_ns: int = 0


class Pacer:
    """``on_waited(kind, waited_s)`` is called for every message that could not leave at once."""

    def __init__(
        self, messages_per_s: int, clock: Clock, timers: Timers, on_waited: Callable[[RequestKind, float], None]
    ) -> None:
        self._limit = messages_per_s
        self._data_limit = max(1, int(messages_per_s * DATA_SHARE))
        self._clock = clock
        self._timers = timers
        self._on_waited = on_waited
        self._sent_ns: deque[int] = deque()
        self._queues: tuple[deque[Message], ...] = tuple(deque() for _ in Priority)
        self._wake: TimerHandle | None = None

    def submit(self, message: Message) -> None:
        """Send ``message`` now if it may leave, else queue it; calls its ``drop`` when the queue is full."""
        message.submitted_ns = self._clock.monotonic_ns()
        ahead = any(self._queues[priority] for priority in range(message.priority + 1))
        if not ahead and self._has_room(message.priority):
            self._send(message)
            return
        queue = self._queues[message.priority]
        if len(queue) >= QUEUE_MAX:
            message.drop(f"{QUEUE_MAX} messages of this priority are waiting already")
            return
        queue.append(message)
        self._schedule()

    def spend(self) -> None:
        """Count a message that must not wait (the heartbeat) and was sent past the queues."""
        self._sent_ns.append(self._clock.monotonic_ns())

    def drop_all(self, reason: str) -> None:
        """Give every waiting message back, most urgent first."""
        self._stop_timer()
        for queue in self._queues:
            while queue:
                queue.popleft().drop(reason)

    def waiting(self, priority: Priority | None = None) -> int:
        """How many messages wait, of one priority or of all."""
        if priority is not None:
            return len(self._queues[priority])
        return sum(len(queue) for queue in self._queues)

    def _has_room(self, priority: Priority) -> bool:
        self._forget_old()
        return len(self._sent_ns) < (self._data_limit if priority is Priority.DATA else self._limit)

    def _forget_old(self) -> None:
        horizon_ns = self._clock.monotonic_ns() - NANOSECONDS_PER_SECOND
        while self._sent_ns and self._sent_ns[0] <= horizon_ns:
            self._sent_ns.popleft()

    def _send(self, message: Message) -> None:
        # Counted before it is sent: sending may submit the next message.
        self._sent_ns.append(self._clock.monotonic_ns())
        message.send()

    def _drain(self) -> None:
        self._wake = None
        while (message := self._next()) is not None:
            waited_s = (self._clock.monotonic_ns() - message.submitted_ns) / NANOSECONDS_PER_SECOND
            self._send(message)
            self._on_waited(message.kind, waited_s)
        self._schedule()

    def _next(self) -> Message | None:
        for priority in Priority:
            if self._queues[priority]:
                return self._queues[priority].popleft() if self._has_room(priority) else None
        return None

    def _schedule(self) -> None:
        if self._wake is not None or not self.waiting():
            return
        self._wake = self._timers.call_later(self._next_room_s(), self._drain)

    def _next_room_s(self) -> float:
        urgent = next(priority for priority in Priority if self._queues[priority])
        limit = self._data_limit if urgent is Priority.DATA else self._limit
        blocking = max(0, len(self._sent_ns) - limit)
        if blocking >= len(self._sent_ns):
            return RECHECK_MIN_S
        free_at_ns = self._sent_ns[blocking] + NANOSECONDS_PER_SECOND
        return max(RECHECK_MIN_S, (free_at_ns - self._clock.monotonic_ns()) / NANOSECONDS_PER_SECOND)

    def _stop_timer(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
