"""Flattens the account without the service: nothing but the gateway and a clientId of its own.

Rules: follows the same procedure as the service does, and reads no journal, strategy, limit or price. It ends
only when the broker itself says that no order is open and no position is held, or when time is up, and then it
says so.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from trader import risk
from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.events import (
    AnyFact,
    BrokerConnectedReceived,
    BrokerErrorReceived,
    BrokerOrderStatus,
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    CancelReason,
    ErrorClass,
    OrderStatusReceived,
    PlaceOrder,
)
from trader.flatten import ClosingOrder, FlattenPhase, FlattenProcedure, FlattenStep
from trader.gateway.ib import IbGateway
from trader.gateway.protocol import GatewayError
from trader.orders import CLOSING_REFERENCES, live_lines
from trader.settings import Settings

ENDED: Final = frozenset(
    {
        BrokerOrderStatus.FILLED,
        BrokerOrderStatus.CANCELLED,
        BrokerOrderStatus.API_CANCELLED,
        BrokerOrderStatus.INACTIVE,
    }
)
CONNECT_PAUSE_S: Final = 1.0
STEP_PAUSE_S: Final = 0.2
# An order that was placed less than this before a question may be missing from its answer.
SETTLED_AFTER_NS: Final = 2 * NANOSECONDS_PER_SECOND

Tell = Callable[[str], None]


class PanicError(Exception):
    """The account is not known to be flat; the text says why and what remains."""


async def flatten_account(settings: Settings, clock: Clock, tell: Tell, timeout_s: float) -> float:
    """Cancel every order and close every position; the seconds it took. Raises PanicError after ``timeout_s``."""
    started_ns = clock.monotonic_ns()
    deadline_ns = started_ns + int(timeout_s * NANOSECONDS_PER_SECOND)
    book = _ClosingOrders(clock)
    gateway = await _connect(settings, clock, book, tell, deadline_ns)
    try:
        tell(f"connected as client {settings.gateway.panic_client_id}")
        await _follow(gateway, book, clock, tell, deadline_ns)
    finally:
        await gateway.close()
    return (clock.monotonic_ns() - started_ns) / NANOSECONDS_PER_SECOND


async def _connect(settings: Settings, clock: Clock, book: "_ClosingOrders", tell: Tell, deadline_ns: int) -> IbGateway:
    said = ""
    while True:
        gateway = IbGateway(settings, {}, clock, book.take, client_id=settings.gateway.panic_client_id)
        try:
            await gateway.connect_once()
        except GatewayError as error:
            await gateway.close()
            if clock.monotonic_ns() > deadline_ns:
                raise PanicError(f"the gateway cannot be reached, nothing was cancelled or closed: {error}") from error
            if str(error) != said:
                said = str(error)
                tell(f"{error}; trying again")
            await asyncio.sleep(CONNECT_PAUSE_S)
        else:
            return gateway


async def _follow(gateway: IbGateway, book: "_ClosingOrders", clock: Clock, tell: Tell, deadline_ns: int) -> None:
    procedure = FlattenProcedure(clock.monotonic_ns())
    step = procedure.begin(clock.monotonic_ns())
    while True:
        if step.note:
            tell(step.note)
        _carry_out(gateway, book, step)
        if procedure.phase is FlattenPhase.DONE:
            return
        if clock.monotonic_ns() > deadline_ns:
            raise PanicError(
                f"time is up and the account is not known to be flat: {book.last_error or procedure.phase}"
            )
        await asyncio.sleep(STEP_PAUSE_S)
        state = await gateway.broker_state("panic")
        book.compare(state)
        for _ in range(book.ended_since_asked()):
            procedure.on_order_final(book.last_end_ns)
        now_ns = clock.monotonic_ns()
        step = procedure.on_state(state, book.alive(), now_ns)
        if step == FlattenStep():
            step = procedure.on_timer(now_ns)


def _carry_out(gateway: IbGateway, book: "_ClosingOrders", step: FlattenStep) -> None:
    if step.cancel_all:
        gateway.execute(CancelAllOrders(reason=CancelReason.PANIC))
    if step.withdraw:
        for cancel in book.cancels():
            gateway.execute(cancel)
    for closing in step.orders:
        gateway.execute(book.order(closing))


class _ClosingOrders:
    """Our closing orders: which are alive, by the broker's statuses."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run = clock.monotonic_ns()
        self._alive: dict[int, str] = {}
        self._placed_ns: dict[int, int] = {}
        self._ended = 0
        self._next_order_id = 1
        self.last_end_ns = self._run
        self.last_error = ""

    def take(self, fact: AnyFact) -> None:
        match fact:
            case BrokerConnectedReceived():
                self._next_order_id = max(self._next_order_id, fact.next_valid_id)
            case OrderStatusReceived() if fact.status in ENDED and fact.order_id in self._alive:
                self._end(fact.order_id)
            case BrokerErrorReceived():
                self.last_error = f"{fact.code}: {fact.message}"
                refused = fact.error_class is ErrorClass.ORDER_REJECTED and not fact.provisional
                if fact.request_id in self._alive and refused:
                    self._end(fact.request_id)
            case _:
                pass

    def compare(self, state: BrokerStateReceived) -> None:
        """What was placed well before the question and is not open in the answer has ended, told or not."""
        if state.open_orders is None:
            return
        live = {line.order_ref for line in live_lines(state.open_orders)}
        for order_id, order_ref in list(self._alive.items()):
            if order_ref not in live and state.requested_ns - self._placed_ns[order_id] >= SETTLED_AFTER_NS:
                self._end(order_id)

    def alive(self) -> list[str]:
        return list(self._alive.values())

    def cancels(self) -> list[CancelOrder]:
        return [CancelOrder(order_ref=ref, order_id=order_id) for order_id, ref in self._alive.items()]

    def ended_since_asked(self) -> int:
        ended, self._ended = self._ended, 0
        return ended

    def order(self, closing: ClosingOrder) -> PlaceOrder:
        order_id = self._next_order_id
        self._next_order_id += 1
        order_ref = f"{CLOSING_REFERENCES}{self._run}-{order_id}"
        self._alive[order_id] = order_ref
        self._placed_ns[order_id] = self._clock.monotonic_ns()
        approved = risk.approve_flatten(
            closing.instrument.symbol,
            closing.side,
            closing.quantity,
            reason="panic",
            decided_ns=self._clock.monotonic_ns(),
        )
        return PlaceOrder(approved=approved, instrument=closing.instrument, order_ref=order_ref, order_id=order_id)

    def _end(self, order_id: int) -> None:
        del self._alive[order_id]
        self._ended += 1
        self.last_end_ns = self._clock.monotonic_ns()
