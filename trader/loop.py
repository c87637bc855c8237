"""The loop of the money path: decide, make durable, send, tell.

Rules: one event at a time, in the order of arrival, on one thread; what a step causes is queued behind it.
Nothing is sent before the facts that intend it are in the journal; while that is away, cancels and what reduces a
position leave all the same, and an order that opens one is not sent. Whatever raises here ends the service: it is
restarted, and finds out from the broker where it stands.
"""

from collections import deque
from collections.abc import Callable, Sequence

from trader.clock import Clock
from trader.engine import Engine, Step
from trader.events import (
    AnyFact,
    Command,
    JournalLostReceived,
    JournalRestoredReceived,
    OrderSendFailed,
    OrdersJournaled,
    PlaceOrder,
)
from trader.gateway.protocol import Gateway
from trader.journal import Journal


class TradingLoop:
    """Takes events and carries each through to its end. ``failure`` is set once and for all when one raises.

    ``processed`` counts the events that were carried through: the engine's progress, which feeds the watchdog.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        publish: Callable[[Sequence[AnyFact]], None],
        on_failure: Callable[[], None],
        *,
        clock: Clock,
        tap: Callable[[AnyFact], None] | None = None,
    ) -> None:
        self.engine = engine
        self.journal = journal
        self.gateway: Gateway | None = None
        self.failure: Exception | None = None
        self.processed = 0
        self._publish = publish
        self._on_failure = on_failure
        self._tap = tap
        self._clock = clock
        self._inbox: deque[AnyFact] = deque()
        self._busy = False

    def post(self, event: AnyFact) -> None:
        """Process ``event`` now, or right after the one that is being processed."""
        if self.failure is not None:
            return
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                current = self._inbox.popleft()
                if self._tap is not None:
                    self._tap(current)
                self.take(self.engine.process(current))
                self.processed += 1
        except Exception as error:  # noqa: BLE001 - the caller is a socket's callback, which would swallow it
            self.failure = error
            self._on_failure()
        finally:
            self._busy = False

    def take(self, step: Step) -> None:
        """Journal, send, tell."""
        problem = self.journal.problem
        if not step.facts and not step.commands and not problem:
            return  # nearly every quote: nothing is to be done
        durable = step.durable()
        if durable or problem:
            started_ns = self._clock.monotonic_ns()
            self.journal.append(durable)
            if step.commands and not self.journal.problem:
                self._note_journaled(step, started_ns, self._clock.monotonic_ns())
            if self.journal.problem != problem:
                self._tell_of_journal()
        for command in step.commands:
            self._carry_out(command)
        if step.facts:
            self._publish(step.facts)

    def look_at_journal(self) -> None:
        """Notice a journal that went away or came back although nothing is written; raises JournalError."""
        problem = self.journal.problem
        self.journal.append(())
        if self.journal.problem != problem:
            self._tell_of_journal()

    def _carry_out(self, command: Command) -> None:
        if self.journal.problem and isinstance(command, PlaceOrder) and not command.approved.reduces:
            detail = f"the journal is unavailable: {self.journal.problem}"
            self.post(OrderSendFailed(at=self._clock.now(), order_ref=command.order_ref, detail=detail))
        elif self.gateway is not None:
            self.gateway.execute(command)

    def _tell_of_journal(self) -> None:
        """Tell the engine that the journal is away, or back; only a patient one is."""
        at, problem = self._clock.now(), self.journal.problem
        if problem:
            self.post(JournalLostReceived(at=at, problem=problem, waiting=self.journal.waiting))
        else:
            self.post(JournalRestoredReceived(at=at))

    def _note_journaled(self, step: Step, started_ns: int, ended_ns: int) -> None:
        """Tell the observers how long the intents of the step's orders took to be durable."""
        placed = tuple(command.order_ref for command in step.commands if isinstance(command, PlaceOrder))
        if placed:
            at = step.facts[-1].at
            step.facts.append(OrdersJournaled(at=at, order_refs=placed, started_ns=started_ns, ended_ns=ended_ns))
