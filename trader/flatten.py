"""The panic procedure: cancel everything, then flatten, then see that it is flat.

Rules: pure, and depends on nothing but what the broker says: no P&L, no configuration of limits, no
strategy, no quote. Both the running service and ``trader panic`` without a service follow it. An unknown
answer is never "flat". Positions are flattened once, from an answer that was asked for after the last
flattening order ended, so that no position is closed twice. Closing orders of another process count as well:
while one of them stands nothing is closed from here, and of two that stand the later reference is withdrawn.
"""

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND
from trader.contracts import Instrument, Side
from trader.events import BrokerStateReceived
from trader.orders import is_closing_reference, live_lines

# Positions are believed only this long after a closing order ended: the broker's own books need a moment.
SETTLE_NS: Final = 1 * NANOSECONDS_PER_SECOND
# Closing orders that came to nothing are tried again after this, then twice as long each time, at most a minute.
RETRY_FIRST_NS: Final = 2 * NANOSECONDS_PER_SECOND
RETRY_MAX_NS: Final = 60 * NANOSECONDS_PER_SECOND
ASK_AGAIN_AFTER_NS: Final = 1 * NANOSECONDS_PER_SECOND
# Cancels that are not confirmed by then do not hold up the flattening any longer.
CANCEL_PATIENCE_NS: Final = 5 * NANOSECONDS_PER_SECOND


class FlattenPhase(StrEnum):
    CANCELLING = "cancelling"
    FLATTENING = "flattening"
    DONE = "done"


class ClosingOrder(msgspec.Struct, frozen=True, gc=False):
    instrument: Instrument
    side: Side
    quantity: Decimal


class FlattenStep(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What to do now; nothing when all is empty. ``withdraw``: cancel our own closing orders."""

    cancel_all: bool = False
    withdraw: bool = False
    ask: bool = False
    orders: tuple[ClosingOrder, ...] = ()
    note: str = ""


NOTHING: Final = FlattenStep()
TWICE: Final = FlattenStep(withdraw=True, note="another process closes the same positions: withdrawing our orders")


def _is_flat(state: BrokerStateReceived) -> bool:
    return not any(line.quantity for line in state.positions or ())


class FlattenProcedure:
    """Follows one panic from the first cancel to "flat". Times are monotonic nanoseconds."""

    def __init__(self, started_ns: int) -> None:
        self.phase = FlattenPhase.CANCELLING
        self.started_ns = started_ns
        self._asked_ns: int | None = None
        self._positions_after_ns = started_ns
        self._patient_until_ns = started_ns + CANCEL_PATIENCE_NS
        self._orders_after_ns = started_ns
        self._retry_ns = RETRY_FIRST_NS

    def begin(self, now_ns: int) -> FlattenStep:
        """Start, or start again on a new connection: cancel everything and ask what there is."""
        if self.phase is FlattenPhase.DONE:
            return NOTHING
        self._asked_ns = now_ns
        self._patient_until_ns = now_ns + CANCEL_PATIENCE_NS
        return FlattenStep(cancel_all=True, ask=True, note="cancelling every order")

    def on_timer(self, now_ns: int) -> FlattenStep:
        """Ask again when no answer has come or the last one did not settle it."""
        if self.phase is FlattenPhase.DONE:
            return NOTHING
        if self._asked_ns is not None and now_ns - self._asked_ns < ASK_AGAIN_AFTER_NS:
            return NOTHING
        self._asked_ns = now_ns
        return FlattenStep(cancel_all=self.phase is FlattenPhase.CANCELLING, ask=True)

    def on_order_final(self, now_ns: int) -> None:
        """An order ended: positions are believed only from answers asked for a moment after this."""
        self._positions_after_ns = now_ns + SETTLE_NS

    def on_state(self, state: BrokerStateReceived, closing_refs: Collection[str], now_ns: int) -> FlattenStep:
        """Take the broker's answers; ``closing_refs`` are our closing orders that are still alive."""
        if self.phase is FlattenPhase.DONE or state.positions is None or state.open_orders is None:
            return NOTHING
        others = [line for line in live_lines(state.open_orders) if line.order_ref not in closing_refs]
        if self.phase is FlattenPhase.CANCELLING:
            if others and now_ns < self._patient_until_ns:
                return NOTHING
            self.phase = FlattenPhase.FLATTENING
        theirs = [line.order_ref for line in others if is_closing_reference(line.order_ref)]
        if theirs:
            self._positions_after_ns = now_ns + SETTLE_NS
        if closing_refs:
            return TWICE if theirs and min(theirs) < min(closing_refs) else NOTHING
        if state.requested_ns < self._positions_after_ns and not (theirs and _is_flat(state)):
            return NOTHING
        orders = tuple(
            ClosingOrder(line.instrument, Side.SELL if line.quantity > 0 else Side.BUY, abs(line.quantity))
            for line in state.positions
            if line.quantity
        )
        if orders and now_ns < self._orders_after_ns:
            return NOTHING
        if orders:
            self._asked_ns = now_ns
            self._orders_after_ns, self._retry_ns = now_ns + self._retry_ns, min(self._retry_ns * 2, RETRY_MAX_NS)
            count = f"{len(orders)} positions" if len(orders) > 1 else "a position"
            return FlattenStep(orders=orders, note=f"closing {count}")
        if others:
            return FlattenStep(cancel_all=True, note=f"{len(others)} orders are still open")
        self.phase = FlattenPhase.DONE
        return FlattenStep(note="no order is open and every position is flat")
