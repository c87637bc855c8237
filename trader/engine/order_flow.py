"""How orders progress: what the broker says about them, and what follows.

Rules: executions decide. A status of "cancelled" or "filled" that claims more than was executed waits for
the executions, because the next order is sized by what is held. Error messages are hints: they move an
order only while nothing better was said about it.
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Final

from trader.clock import NANOSECONDS_PER_SECOND
from trader.contracts import ZERO, OrderType
from trader.engine.core import AwaitedFills, Core, Step
from trader.events import (
    BrokerErrorReceived,
    BrokerOrderStatus,
    CancelIntended,
    CancelOrder,
    CancelReason,
    CommissionBooked,
    CommissionLine,
    ErrorClass,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    OpenOrderReceived,
    OrderAcknowledged,
    OrderFinalized,
    OrderIdsReserved,
    OrderLine,
    OrderOutcome,
    OrderSendFailed,
    OrderSent,
    OrderState,
    OrderStateChanged,
    OrderStatusReceived,
    OrderTrigger,
)
from trader.ledger import revision
from trader.orders import Order, next_state

STATUS_TRIGGERS: Final = {
    BrokerOrderStatus.PRE_SUBMITTED: OrderTrigger.ACKNOWLEDGED,
    BrokerOrderStatus.SUBMITTED: OrderTrigger.ACKNOWLEDGED,
    BrokerOrderStatus.PENDING_CANCEL: OrderTrigger.ACKNOWLEDGED,
    BrokerOrderStatus.FILLED: OrderTrigger.ACKNOWLEDGED,
    BrokerOrderStatus.CANCELLED: OrderTrigger.CANCELLED,
    BrokerOrderStatus.API_CANCELLED: OrderTrigger.CANCELLED,
    BrokerOrderStatus.INACTIVE: OrderTrigger.CANCELLED,
}
BY_US_INELIGIBLE: Final = frozenset(
    {CancelReason.HALT, CancelReason.PANIC, CancelReason.SHUTDOWN, CancelReason.DUPLICATE}
)
# IB has sent -1 for "not known yet"; a true rebate is never exactly that.
COMMISSION_NOT_KNOWN: Final = -1
RETRY_PAUSE_MAX_S: Final = 60.0
# What is in doubt is asked about after this: time for the broker's own word to come first.
DOUBT_S: Final = 1.0


def on_sent(core: Core, step: Step, event: OrderSent) -> None:
    order = core.orders.get(event.order_ref)
    if order is None:
        return
    core.sent_ns[event.order_ref] = event.sent_ns
    if order.state is OrderState.INTENDED:
        advance(core, step, order, OrderTrigger.SENT)


def on_send_failed(core: Core, step: Step, event: OrderSendFailed) -> None:
    order = core.orders.get(event.order_ref)
    if order is not None and order.state in (OrderState.INTENDED, OrderState.UNKNOWN):
        advance(core, step, order, OrderTrigger.SEND_FAILED, event.detail)


def on_status(core: Core, step: Step, event: OrderStatusReceived) -> None:
    own = event.client_id == core.link.client_id
    order = core.orders.find(perm_id=event.perm_id, order_id=event.order_id if own else 0)
    trigger = STATUS_TRIGGERS.get(event.status)
    if order is None or trigger is None:
        return
    hint = core.reject_hints.get(order.order_ref, "")
    if trigger is OrderTrigger.CANCELLED and hint and order.filled == 0:
        trigger = OrderTrigger.REJECTED
    if event.filled > order.filled:
        dead = trigger is not OrderTrigger.ACKNOWLEDGED
        _await_fills(core, order, event.filled, dead, event.received_ns)
        if dead:
            return
    advance(core, step, order, trigger, hint or event.status, event.perm_id, event.received_ns)


def _await_fills(core: Core, order: Order, quantity: Decimal, dead: bool, received_ns: int) -> None:
    """Expect executions up to ``quantity``; an end that was told once stays told, whatever comes repeated later."""
    if order.final:
        ask_soon(core)
        return
    before = core.awaited_fills.get(order.order_ref)
    if before is not None:
        quantity, dead, received_ns = max(quantity, before.quantity), dead or before.cancelled, before.since_ns
    core.awaited_fills[order.order_ref] = AwaitedFills(quantity, dead, received_ns)


def ask_soon(core: Core) -> None:
    core.link.plan_question(core.clock.monotonic_ns(), DOUBT_S)


def on_open_order(core: Core, step: Step, event: OpenOrderReceived) -> None:
    """An open order's description gives the permId early; its life is told by statuses and executions."""
    line = event.line
    reserve_ids(core, step, (line,))
    order = core.orders.find(order_ref=line.order_ref, perm_id=line.perm_id)
    trigger = STATUS_TRIGGERS.get(line.status)
    if order is None or trigger is not OrderTrigger.ACKNOWLEDGED:
        return
    if order.may_be(line.perm_id):
        advance(core, step, order, trigger, line.status, line.perm_id, event.received_ns)
    elif core.link.asked_ns is None:
        ask_soon(core)  # a second order lives under our reference: what is to be done is decided on a whole answer


def reserve_ids(core: Core, step: Step, lines: Iterable[OrderLine | ExecutionLine]) -> None:
    """No id that this client was ever seen to use may be used again, whatever the gateway says is next."""
    used = max((line.order_id for line in lines if line.client_id == core.link.client_id), default=0)
    if used >= core.orders.next_order_id:
        step.emit(OrderIdsReserved(at=core.now(), next_order_id=used + 1))


def book_execution(core: Core, step: Step, line: ExecutionLine, received_ns: int | None) -> None:
    """Book an execution once; a correction replaces what it corrects, an outdated one is ignored.

    ``received_ns`` is None when it was found by asking: then nothing is said of how long it took.
    """
    if core.ledger.knows(line.exec_id):
        return
    if core.ledger.adopted(line.exec_id):
        step.emit(ExecutionIgnored(at=core.now(), line=line, reason="corrects a part of a position that was adopted"))
        return
    replaced = core.ledger.superseded(line)
    if replaced is not None and revision(replaced.exec_id) > revision(line.exec_id):
        return
    order = _order_of(core, line)
    step.emit(
        FillBooked(
            at=core.now(),
            order_ref=order.order_ref if order else "",
            line=line,
            corrects=replaced.exec_id if replaced else None,
            replaced_quantity=replaced.quantity if replaced else ZERO,
            slippage_ratio=_slippage(order, line),
            fill_duration_s=_since_sent_s(core, order, received_ns),
        )
    )
    core.ledger.check()
    core.unmet.add(line.instrument.symbol)
    if order is not None:
        _after_fill(core, step, order, line.perm_id, received_ns)


def _order_of(core: Core, line: ExecutionLine) -> Order | None:
    order = core.orders.find(order_ref=line.order_ref, perm_id=line.perm_id)
    if order is None and not line.order_ref and line.client_id == core.link.client_id:
        order = core.orders.find(perm_id=line.perm_id, order_id=line.order_id)
    return order


def _after_fill(core: Core, step: Step, order: Order, perm_id: int, received_ns: int | None) -> None:
    if not order.may_be(perm_id):
        perm_id = 0  # another order under our reference: its fill is ours, its life is not this order's
        ask_soon(core)
    full = order.filled >= order.quantity
    trigger = OrderTrigger.FULLY_FILLED if full else OrderTrigger.PARTLY_FILLED
    advance(core, step, order, trigger, "", perm_id, received_ns)
    awaited = core.awaited_fills.get(order.order_ref)
    if awaited is None or order.filled < awaited.quantity:
        return
    del core.awaited_fills[order.order_ref]
    if awaited.cancelled and not order.final:
        advance(core, step, order, OrderTrigger.CANCELLED, "cancelled after its fills", perm_id)


def _slippage(order: Order | None, line: ExecutionLine) -> float | None:
    reference = order.intent.reference_price if order and order.intent else None
    if not reference:
        return None
    return (float(line.price) / reference - 1.0) * line.side.sign


def _since_sent_s(core: Core, order: Order | None, received_ns: int | None) -> float | None:
    sent_ns = core.sent_ns.get(order.order_ref) if order else None
    return None if sent_ns is None or received_ns is None else (received_ns - sent_ns) / NANOSECONDS_PER_SECOND


def book_commission(core: Core, step: Step, line: CommissionLine) -> None:
    """Book what an execution cost, once; one that came with an adopted position was never paid by these books."""
    ledger = core.ledger
    if line.amount == COMMISSION_NOT_KNOWN or ledger.commission_known(line):
        return
    if ledger.adopted(line.exec_id) and not ledger.awaits_commission(line.exec_id):
        return
    step.emit(CommissionBooked(at=core.now(), line=line))


def on_error(core: Core, step: Step, event: BrokerErrorReceived) -> None:
    order = core.orders.find(order_id=event.request_id) if event.request_id > 0 else None
    if order is None or order.final or event.error_class is not ErrorClass.ORDER_REJECTED:
        return
    hint = f"{event.code}: {event.message}"
    core.reject_hints[order.order_ref] = hint
    if not order.acknowledged:
        # What may live all the same keeps its instrument until the broker has been asked.
        trigger = OrderTrigger.TIMED_OUT if event.provisional else OrderTrigger.REJECTED
        advance(core, step, order, trigger, hint)
        ask_soon(core)


def advance(
    core: Core,
    step: Step,
    order: Order,
    trigger: OrderTrigger,
    detail: str = "",
    perm_id: int = 0,
    received_ns: int | None = None,
) -> None:
    """Move ``order`` along the table; tells the change, the first acknowledgement and the end of the order."""
    new = next_state(order.state, trigger)
    first_word = not order.acknowledged and trigger in (
        OrderTrigger.ACKNOWLEDGED,
        OrderTrigger.PARTLY_FILLED,
        OrderTrigger.FULLY_FILLED,
        OrderTrigger.REJECTED,
        OrderTrigger.CANCELLED,
    )
    news = new is not order.state or (perm_id and perm_id not in order.perm_ids)
    if not news and not (first_word and trigger is OrderTrigger.ACKNOWLEDGED):
        return
    was_final = order.final
    now = core.now()
    step.emit(
        OrderStateChanged(
            at=now,
            order_ref=order.order_ref,
            old=order.state,
            new=new,
            trigger=trigger,
            detail=detail,
            perm_id=perm_id,
        )
    )
    duration_s = _since_sent_s(core, order, received_ns)
    if first_word and duration_s is not None:
        step.emit(OrderAcknowledged(at=now, order_ref=order.order_ref, duration_s=duration_s))
    if order.final and not was_final:
        finalize(core, step, order)
    elif was_final and not order.final:
        ask_soon(core)  # it came back to life: find out what it is


def finalize(core: Core, step: Step, order: Order) -> None:
    """Tell that ``order`` ended, and how it counts."""
    now = core.now()
    core.sent_ns.pop(order.order_ref, None)
    core.ended_ns[order.order_ref] = core.clock.monotonic_ns()
    outcome = outcome_of(order)
    if outcome is OrderOutcome.FILLED:
        core.retry_s.pop(order.symbol, None)
    elif order.cancel_reason in (None, CancelReason.TIMEOUT):
        delay_next_order(core, order.symbol)
    if core.panic is not None:
        core.panic.on_order_final(core.clock.monotonic_ns())
    step.emit(
        OrderFinalized(
            at=now,
            order_ref=order.order_ref,
            symbol=order.symbol,
            order_type=order.terms.order_type if order.terms else OrderType.LIMIT,
            outcome=outcome,
            eligible=is_eligible(order),
            filled=order.filled,
            duration_s=(now - order.intended_at).total_seconds(),
        )
    )


def is_eligible(order: Order) -> bool:
    """Whether an order that ended counts for the fill rate: it reached the broker, and we did not call it off."""
    reached = order.acknowledged or order.state in (OrderState.REJECTED, OrderState.CANCELLED)
    return reached and order.cancel_reason not in BY_US_INELIGIBLE


def outcome_of(order: Order) -> OrderOutcome:
    if order.filled >= order.quantity:
        return OrderOutcome.FILLED
    if order.state is OrderState.REJECTED:
        return OrderOutcome.REJECTED
    if order.state in (OrderState.NOT_SENT, OrderState.VANISHED):
        return OrderOutcome.ERROR
    if order.filled > 0:
        return OrderOutcome.PARTIAL
    return OrderOutcome.CANCELLED_BY_US if order.cancel_reason in BY_US_INELIGIBLE else OrderOutcome.UNFILLED


def delay_next_order(core: Core, symbol: str) -> None:
    """Wait before the next order in ``symbol``: longer after each one that came to nothing, at most a minute."""
    wait_s = core.retry_s.get(symbol, core.settings.execution.retry_after_s)
    core.retry_at[symbol] = core.now() + timedelta(seconds=wait_s)
    core.retry_s[symbol] = min(wait_s * 2, RETRY_PAUSE_MAX_S)


def cancel(core: Core, step: Step, order: Order, reason: CancelReason) -> None:
    """Ask for the end of one order, once; the broker's word ends it."""
    if order.final or order.cancel_reason is not None:
        return
    step.emit(CancelIntended(at=core.now(), order_ref=order.order_ref, reason=reason))
    send_cancel(core, step, order)


def send_cancel(core: Core, step: Step, order: Order) -> None:
    """Send the cancel of an order whose end is already intended; sending it again does no harm."""
    core.cancel_sent_ns[order.order_ref] = core.clock.monotonic_ns()
    if order.client_id not in (None, core.link.client_id):
        return  # its order id is another client's: here it would mean an order of our own
    order_id = core.living_ids.get(order.order_ref, order.order_id)
    step.send(CancelOrder(order_ref=order.order_ref, order_id=order_id))


def cancel_all(core: Core, step: Step, reason: CancelReason) -> None:
    for order in core.orders.open():
        cancel(core, step, order, reason)
