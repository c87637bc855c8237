"""The link, and agreeing with the broker: the one path of a start, a reconnect and a doubt.

Rules: trading is enabled by a complete and clean answer only. An answer that did not come is asked for
again, with growing pauses. A difference in positions is believed when two answers in a row show it, because
a fill may fall between two of them. On the very first start the broker's positions become ours.
"""

from trader.clock import NANOSECONDS_PER_SECOND
from trader.engine.core import Core, Step
from trader.engine.order_flow import advance, book_commission, book_execution, reserve_ids, send_cancel
from trader.events import (
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerStateReceived,
    CancelOrder,
    DecodeFailed,
    ExecutionIgnored,
    JournalLostReceived,
    JournalRestoredReceived,
    MismatchFound,
    MismatchKind,
    OrderAdopted,
    OrderIdsReserved,
    OrderLine,
    OrderState,
    OrderTrigger,
    PositionAdopted,
    PositionReceived,
    ReconciliationFinished,
    RequestBrokerState,
    Resubscribe,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.orders import Order
from trader.reconcile import Mismatch, OrderFindings, OrderUpdate, order_findings, position_mismatches, unanswered

# Orders sent less than this before the question may still be on their way to where the answer comes from.
SETTLED_AFTER_S = 2
SETTLED_AFTER_NS = SETTLED_AFTER_S * NANOSECONDS_PER_SECOND
OUR_REFERENCES = "ibt-"


def on_connected(core: Core, step: Step, event: BrokerConnectedReceived) -> None:
    link = core.link
    link.connected = link.upstream = True
    link.client_id, link.server_version = event.client_id, event.server_version
    link.clock_offset_s = event.clock_offset_s
    link.account = core.settings.account or next(iter(event.accounts), "")
    link.believed_from_ns = core.clock.monotonic_ns()
    step.emit(OrderIdsReserved(at=event.at, next_order_id=max(event.next_valid_id, core.orders.next_order_id)))
    ask(core, step, "connected")


def on_disconnected(core: Core, step: Step, event: BrokerDisconnectedReceived) -> None:
    link = core.link
    link.connected = link.upstream = False
    link.lose_agreement("not reconciled since the disconnect")
    link.asked_ns = link.next_ask_ns = None
    link.farms.clear()
    core.market_data.lose_subscriptions()
    doubt_open_orders(core, step, f"disconnected: {event.reason}")


def doubt_open_orders(core: Core, step: Step, detail: str) -> None:
    """The fate of every open order is unknown until the broker has been asked."""
    for order in core.orders.open():
        advance(core, step, order, OrderTrigger.LINK_LOST, detail)


def on_upstream_lost(core: Core, step: Step, event: UpstreamLostReceived) -> None:
    core.link.upstream = False
    core.link.lose_agreement(f"the gateway lost IB's servers ({event.code})")


def on_upstream_restored(core: Core, step: Step, event: UpstreamRestoredReceived) -> None:
    core.link.upstream = True
    # Its loss need not have been heard: that it is back says that it was away.
    core.link.lose_agreement(f"not reconciled since IB's servers are back ({event.code})")
    core.link.believed_from_ns = core.clock.monotonic_ns()
    if event.data_lost:
        step.send(Resubscribe())
    ask(core, step, f"upstream restored ({event.code})")


def on_journal_lost(core: Core, step: Step, event: JournalLostReceived) -> None:
    core.journal_problem = event.problem


def on_journal_restored(core: Core, step: Step, event: JournalRestoredReceived) -> None:
    """What was sent meanwhile was not written ahead: trade only once the broker agrees with the books again."""
    core.journal_problem = ""
    core.link.lose_agreement("not reconciled since the journal was away")
    core.link.believed_from_ns = core.clock.monotonic_ns()
    if core.link.connected:
        ask(core, step, "the journal is back")


def on_position(core: Core, step: Step, event: PositionReceived) -> None:
    """A position changed at the broker: when it is not what the books say, find out why, soon."""
    symbol = event.line.instrument.symbol
    if core.link.reconciled and core.ledger.position(symbol) != event.line.quantity:
        ask_after(core, 1.0)


def on_decode_failed(core: Core, step: Step, event: DecodeFailed) -> None:
    """An execution that was told and not understood: the books are not known until the broker has been asked."""
    if event.lost:
        core.link.lose_agreement("not reconciled: an execution could not be understood, asking for it")
        core.link.believed_from_ns = core.clock.monotonic_ns()
        ask_after(core, 0.0)


def ask(core: Core, step: Step, reason: str) -> None:
    """Ask the broker for everything now, unless a question is already under way."""
    now_ns = core.clock.monotonic_ns()
    patience_ns = int(4 * core.settings.gateway.request_timeout_s * NANOSECONDS_PER_SECOND)
    if core.link.asked_ns is not None and now_ns - core.link.asked_ns < patience_ns:
        ask_after(core, 1.0)
        return
    core.link.asked_ns, core.link.next_ask_ns = now_ns, None
    step.send(RequestBrokerState(reason=reason))


def ask_after(core: Core, wait_s: float) -> None:
    """Ask in ``wait_s`` seconds, or sooner when that is already planned."""
    core.link.plan_question(core.clock.monotonic_ns(), wait_s)


def on_broker_state(core: Core, step: Step, event: BrokerStateReceived) -> None:
    """Take the broker's answers in: executions first, then orders, then compare positions."""
    if core.link.asked_ns is not None and event.requested_ns >= core.link.asked_ns:
        core.link.asked_ns = None
    if event.executions is not None:
        core.link.executions_at, core.link.executions_ns = event.at, event.requested_ns
    if not believed(core, event):
        _take_executions(core, step, event)
        return
    missing = unanswered(event)
    if not core.ever_reconciled and not core.orders.open():
        if missing:
            _not_yet(core, step, event, missing, ())
            return
        _adopt_everything(core, step, event)
    _take_executions(core, step, event)
    reserve_ids(core, step, (*(event.open_orders or ()), *(event.completed_orders or ()), *(event.executions or ())))
    findings = order_findings(core.orders, event, _settled(core, event), core.link.client_id)
    _apply_orders(core, step, findings, event.requested_ns)
    differences = position_mismatches(core.ledger.positions(), event)
    if core.link.accept_positions and not missing:
        core.link.accept_positions = False
        _accept_positions(core, step, event, differences)
        differences = ()
    if missing or (differences and differences != core.link.suspected):
        core.link.suspected = differences
        _not_yet(core, step, event, missing, ())
        return
    _conclude(core, step, event, differences + _foreign(findings), findings.duplicates)


def believed(core: Core, event: BrokerStateReceived) -> bool:
    """Whether the answers are about now: asked for since the link was last restored, and the link still stands."""
    return core.link.usable and event.requested_ns >= core.link.believed_from_ns


def _adopt_everything(core: Core, step: Step, event: BrokerStateReceived) -> None:
    for line in event.executions or ():
        if not core.ledger.knows(line.exec_id):
            step.emit(ExecutionIgnored(at=core.now(), line=line, reason="part of the position that was adopted"))
    for position in event.positions or ():
        step.emit(PositionAdopted(at=core.now(), line=position))


def _accept_positions(core: Core, step: Step, event: BrokerStateReceived, differences: tuple[Mismatch, ...]) -> None:
    theirs = {line.instrument.symbol: line for line in event.positions or ()}
    instruments = {book.instrument.symbol: book.instrument for book in core.ledger.books()}
    for difference in differences:
        line = theirs.get(difference.subject)
        if line is None:
            line = core.ledger.flat_line(instruments[difference.subject])
        step.emit(PositionAdopted(at=core.now(), line=line))


def _take_executions(core: Core, step: Step, event: BrokerStateReceived) -> None:
    for line in event.executions or ():
        book_execution(core, step, line, None)
    for commission in event.commissions:
        if core.ledger.knows(commission.exec_id):
            book_commission(core, step, commission)


def _settled(core: Core, event: BrokerStateReceived) -> frozenset[str]:
    settled = {order.order_ref for order in core.orders.open() if _is_settled(core, order, event)}
    filled = {ref for ref, ended_ns in core.ended_ns.items() if event.requested_ns - ended_ns >= SETTLED_AFTER_NS}
    return frozenset(settled | filled)


def _is_settled(core: Core, order: Order, event: BrokerStateReceived) -> bool:
    if order.state is OrderState.INTENDED:
        return False  # still on its way to the socket
    sent_ns = core.sent_ns.get(order.order_ref)
    if sent_ns is None:  # sent, if at all, by an earlier process
        age_s = (event.at - order.intended_at).total_seconds()
        # The host's clock may have gone back since: this process knows of itself how long the other is gone.
        return age_s >= SETTLED_AFTER_S or event.requested_ns - core.started_ns >= SETTLED_AFTER_NS
    return event.requested_ns - sent_ns >= SETTLED_AFTER_NS


def _apply_orders(core: Core, step: Step, findings: OrderFindings, requested_ns: int) -> None:
    for update in findings.updates:
        order = core.orders.get(update.order_ref)
        # What ended after the question was asked may still be open in the answer.
        if order is not None and core.ended_ns.get(update.order_ref, -1) < requested_ns:
            if update.order_id and update.order_id != order.order_id:
                core.living_ids[order.order_ref] = update.order_id
            advance(core, step, order, *_verdict(core, update), update.perm_id)
            if order.cancel_reason is not None and not order.final:
                send_cancel(core, step, order)
    for line in findings.foreign:
        if line.order_ref.startswith(OUR_REFERENCES) and core.orders.get(line.order_ref) is None:
            step.emit(OrderAdopted(at=core.now(), line=line))
    for line in findings.duplicates:
        # An order id is its client's: under ours, another client's would mean another order.
        if line.client_id == core.link.client_id:
            step.send(CancelOrder(order_ref=line.order_ref, order_id=line.order_id))


def _verdict(core: Core, update: OrderUpdate) -> tuple[OrderTrigger, str]:
    """What an answer says of an order; one that an error had already told as refused was refused."""
    hint = core.reject_hints.get(update.order_ref)
    if update.trigger is OrderTrigger.NOT_FOUND and hint is not None:
        return OrderTrigger.REJECTED, hint
    return update.trigger, update.detail


def _foreign(findings: OrderFindings) -> tuple[Mismatch, ...]:
    others = [line for line in findings.foreign if not line.order_ref.startswith(OUR_REFERENCES)]
    return tuple(
        Mismatch(MismatchKind.ORDER, _name(line), ours, str(line.status))
        for lines, ours in ((others, "not ours"), (findings.duplicates, "alive twice"))
        for line in lines
    )


def _name(line: OrderLine) -> str:
    return f"{line.symbol} permId {line.perm_id}"


def _not_yet(
    core: Core, step: Step, event: BrokerStateReceived, missing: tuple[str, ...], mismatches: tuple[Mismatch, ...]
) -> None:
    link = core.link
    what = f"no answer about {', '.join(missing)}" if missing else "positions differ, asking again"
    link.reconciled, link.reconcile_problem = False, f"not reconciled: {what}"
    ask_after(core, link.back_off())
    _tell(core, step, event, False, missing, mismatches)


def _conclude(
    core: Core,
    step: Step,
    event: BrokerStateReceived,
    mismatches: tuple[Mismatch, ...],
    duplicates: tuple[OrderLine, ...],
) -> None:
    link = core.link
    positions = [m for m in mismatches if m.kind is MismatchKind.POSITION]
    for mismatch in mismatches:
        if mismatch in link.told:
            continue
        step.emit(
            MismatchFound(
                at=core.now(),
                kind=mismatch.kind,
                subject=mismatch.subject,
                ours=mismatch.ours,
                theirs=mismatch.theirs,
            )
        )
    link.told = mismatches
    clean = not positions and not duplicates
    link.reconciled = clean and link.usable
    if positions:
        worst = positions[0]
        link.reconcile_problem = (
            f"{len(positions)} positions differ from the broker's, first {worst.subject}: ours {worst.ours}, "
            f"theirs {worst.theirs} (trader resume --accept-positions takes the broker's)"
        )
        ask_after(core, link.back_off())
    elif duplicates:
        link.reconcile_problem = _alive_twice(core, duplicates)
        ask_after(core, link.back_off())
    else:
        link.retry_s, link.suspected = 1.0, ()
        in_doubt = any(order.state is OrderState.UNKNOWN for order in core.orders.open())
        ask_after(core, SETTLED_AFTER_S if in_doubt else core.settings.gateway.reconcile_interval_s)
    _tell(core, step, event, clean, (), mismatches)


def _alive_twice(core: Core, duplicates: tuple[OrderLine, ...]) -> str:
    worst = duplicates[0]
    others = [line for line in duplicates if line.client_id != core.link.client_id]
    what = f"cancel permId {others[0].perm_id} of another client by hand" if others else "cancelling"
    return f"{len(duplicates)} orders are alive twice at the broker, first {_name(worst)}: {what}"


def _tell(
    core: Core,
    step: Step,
    event: BrokerStateReceived,
    clean: bool,
    missing: tuple[str, ...],
    mismatches: tuple[Mismatch, ...],
) -> None:
    counts: dict[MismatchKind, int] = {}
    for mismatch in mismatches:
        counts[mismatch.kind] = counts.get(mismatch.kind, 0) + 1
    duration_s = (core.clock.monotonic_ns() - event.requested_ns) / NANOSECONDS_PER_SECOND
    step.emit(
        ReconciliationFinished(at=core.now(), clean=clean, unanswered=missing, mismatches=counts, duration_s=duration_s)
    )
