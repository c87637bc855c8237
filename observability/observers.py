"""Who is told of facts, each isolated from the others and from the money path.

Rules: an observer that raises is caught, counted and logged, and stays attached. Nothing an observer does comes
back to the caller. The log says the first failure of an observer in full, and then at most one a minute with how
many there were.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import prometheus_client

from observability.catalogue import OTHER, core
from observability.families import Children
from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.events import AnyFact

logger = logging.getLogger(__name__)

LOG_EVERY_NS = 60 * NANOSECONDS_PER_SECOND
MAX_OBSERVERS = 16

Observe: TypeAlias = Callable[[AnyFact], None]


class Observers:
    """Tells every observer of every fact, in the order in which they were attached."""

    def __init__(
        self, observers: Iterable[tuple[str, Observe]], failures: Children[prometheus_client.Counter], clock: Clock
    ) -> None:
        self._guarded: list[_Guarded] = []
        self._failures = failures
        self._clock = clock
        for name, observe in observers:
            self.attach(name, observe)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(guarded.name for guarded in self._guarded)

    def attach(self, name: str, observe: Observe) -> None:
        """Add an observer; ValueError when there are already ``MAX_OBSERVERS``."""
        if len(self._guarded) >= MAX_OBSERVERS:
            raise ValueError(f"observer {name!r} is one too many: at most {MAX_OBSERVERS} can be attached")
        self._guarded.append(self._guard(name, observe))

    def tap(self, name: str, observe: Observe) -> Observe:
        """``observe`` as a call that never raises, for what is told apart from the published facts."""
        guarded = self._guard(name, observe)

        def tell(fact: AnyFact) -> None:
            try:
                observe(fact)
            except Exception as error:  # noqa: BLE001 # an observer must never stop trading
                guarded.failed(fact, error)

        return tell

    def _guard(self, name: str, observe: Observe) -> "_Guarded":
        label = name if name in core.OBSERVERS else OTHER
        return _Guarded(name, observe, self._failures.get(label), self._clock)

    def publish(self, facts: Sequence[AnyFact]) -> None:
        """Tell all observers of ``facts``; never raises because of one."""
        for guarded in self._guarded:
            observe = guarded.observe
            for fact in facts:
                try:
                    observe(fact)
                except Exception as error:  # noqa: BLE001 # an observer must never stop trading
                    guarded.failed(fact, error)


class _Guarded:
    """One observer, and the account of its failures."""

    def __init__(self, name: str, observe: Observe, failures: prometheus_client.Counter, clock: Clock) -> None:
        self.name = name
        self.observe = observe
        self._failures = failures
        self._clock = clock
        self._logged_ns: int | None = None
        self._unlogged = 0

    def failed(self, fact: AnyFact, error: Exception) -> None:
        self._failures.inc()
        self._unlogged += 1
        now_ns = self._clock.monotonic_ns()
        if self._logged_ns is not None and now_ns - self._logged_ns < LOG_EVERY_NS:
            return
        logger.error(
            "observer %s failed on %s (%d since the last such message): %s",
            self.name,
            type(fact).__name__,
            self._unlogged,
            error,
            exc_info=error if self._logged_ns is None else None,
        )
        self._logged_ns = now_ns
        self._unlogged = 0
