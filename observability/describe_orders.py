"""Decisions, orders and books in words; see ``describe.py`` for the rules."""

from typing import assert_never

from observability.entry import Entry, Value, debug, error, info, milliseconds, since_decision_ms, warning
from observability.fact_groups import BooksFact, DecisionFact, OrderFact
from trader.events import (
    BrokerStateReceived,
    CancelIntended,
    CommissionBooked,
    DecisionMade,
    DecisionOutcome,
    DuplicateOrderBlocked,
    ExecutionIgnored,
    FillBooked,
    IntentRefused,
    JournalLostReceived,
    JournalRestoredReceived,
    MismatchFound,
    OrderAcknowledged,
    OrderAdopted,
    OrderFinalized,
    OrderIdsReserved,
    OrderIntended,
    OrderOutcome,
    OrderSendFailed,
    OrderSent,
    OrdersJournaled,
    OrderState,
    OrderStateChanged,
    PositionAdopted,
    ReconciliationFinished,
    SignalChanged,
    StrategyFailed,
)

TROUBLED_STATES = frozenset((OrderState.UNKNOWN, OrderState.REJECTED, OrderState.NOT_SENT, OrderState.VANISHED))
# Each of these comes with a fact of its own, which is the one that is told.
TOLD_STATES = frozenset((OrderState.SENT, OrderState.WORKING, OrderState.FILLED))
TROUBLED_OUTCOMES = frozenset((OrderOutcome.REJECTED, OrderOutcome.ERROR))


def describe_decision(fact: DecisionFact) -> Entry | None:
    match fact:
        case SignalChanged():
            return info(
                f"{fact.strategy} wants {fact.target} {fact.symbol} instead of {fact.previous} ({fact.reason})",
                strategy=fact.strategy,
                symbol=fact.symbol,
                target=str(fact.target),
                price=fact.price,
                repeats=("signal", fact.strategy, fact.symbol),
            )
        case DecisionMade():
            return _decision(fact)
        case IntentRefused():
            return warning(
                f"risk refused to {fact.side} {fact.quantity} {fact.symbol}: {fact.detail}",
                strategy=fact.strategy,
                symbol=fact.symbol,
                rule=fact.rule,
                repeats=("refused", fact.symbol, fact.rule),
            )
        case StrategyFailed():
            return error(
                f"strategy {fact.strategy} failed on {fact.symbol}: {fact.error}",
                strategy=fact.strategy,
                symbol=fact.symbol,
                repeats=("strategy_failed", fact.strategy, fact.symbol),
            )
        case DuplicateOrderBlocked():
            return error(
                f"blocked a second order for {fact.symbol}: {fact.detail}",
                order_ref=fact.order_ref,
                symbol=fact.symbol,
                repeats=("duplicate", fact.symbol),
            )
        case _:
            assert_never(fact)


def _decision(fact: DecisionMade) -> Entry | None:
    """Entries and exits; what was blocked says its reason elsewhere, and a stale quote is a line of its own."""
    if fact.outcome not in (DecisionOutcome.ENTER, DecisionOutcome.EXIT):
        return None
    return info(
        f"{fact.strategy} decided to {fact.outcome} {fact.symbol}",
        strategy=fact.strategy,
        symbol=fact.symbol,
        outcome=fact.outcome,
        latency_ms=milliseconds(fact.duration_s),
        data_age_ms=milliseconds(fact.data_age_s),
        **({"order_ref": fact.order_ref} if fact.order_ref else {}),
        repeats=("decision", fact.symbol, fact.outcome),
    )


def describe_order(fact: OrderFact) -> Entry | None:
    match fact:
        case OrderIntended():
            return _intended(fact)
        case OrdersJournaled():
            return None
        case OrderSent():
            return info("order sent", order_ref=fact.order_ref, order_id=fact.order_id)
        case OrderSendFailed():
            return error(f"order not sent: {fact.detail}", order_ref=fact.order_ref)
        case OrderAcknowledged():
            return info("order acknowledged", order_ref=fact.order_ref, latency_ms=milliseconds(fact.duration_s))
        case OrderStateChanged():
            return _state_changed(fact)
        case CancelIntended():
            return info(f"cancelling the order: {fact.reason}", order_ref=fact.order_ref, reason=fact.reason)
        case OrderFinalized():
            make = error if fact.outcome in TROUBLED_OUTCOMES else info
            return make(
                f"order {fact.outcome}: {fact.filled} {fact.symbol} filled",
                order_ref=fact.order_ref,
                symbol=fact.symbol,
                outcome=fact.outcome,
                eligible=fact.eligible,
                latency_ms=milliseconds(fact.duration_s),
            )
        case FillBooked():
            return _fill(fact)
        case ExecutionIgnored():
            line = fact.line
            return warning(
                f"execution {line.exec_id} not booked: {fact.reason}",
                order_ref=line.order_ref,
                exec_id=line.exec_id,
                symbol=line.instrument.symbol,
            )
        case CommissionBooked():
            return info(
                f"commission {fact.line.amount} {fact.line.currency} booked",
                exec_id=fact.line.exec_id,
                currency=fact.line.currency,
                amount=str(fact.line.amount),
            )
        case _:
            assert_never(fact)


def _intended(fact: OrderIntended) -> Entry:
    intent = fact.approved.intent
    terms = intent.terms
    price = f" at {terms.limit_price}" if terms.limit_price is not None else ""
    took: dict[str, Value] = {}
    if fact.risk_ns:
        took["latency_ms"] = since_decision_ms(intent.decided_ns, fact.risk_ns[-1])
    return info(
        f"order: {terms.side} {terms.quantity} {terms.symbol} {terms.order_type}{price} ({intent.reason})",
        None,
        order_ref=fact.order_ref,
        order_id=fact.order_id,
        symbol=terms.symbol,
        side=terms.side,
        quantity=str(terms.quantity),
        order_type=terms.order_type,
        strategy=intent.strategy,
        reduces=fact.approved.reduces,
        **took,
    )


def _state_changed(fact: OrderStateChanged) -> Entry:
    make = error if fact.new in TROUBLED_STATES else debug if fact.new in TOLD_STATES else info
    detail = f": {fact.detail}" if fact.detail else ""
    return make(
        f"order {fact.old} -> {fact.new} ({fact.trigger}){detail}",
        order_ref=fact.order_ref,
        state=fact.new,
        trigger=fact.trigger,
        perm_id=fact.perm_id,
    )


def _fill(fact: FillBooked) -> Entry:
    line = fact.line
    fields: dict[str, Value] = {
        "order_ref": fact.order_ref,
        "exec_id": line.exec_id,
        "symbol": line.instrument.symbol,
        "side": line.side,
        "quantity": str(line.quantity),
        "price": str(line.price),
        "slippage_ratio": fact.slippage_ratio,
    }
    if fact.fill_duration_s is not None:
        fields["latency_ms"] = milliseconds(fact.fill_duration_s)
    traded = f"{line.side} {line.quantity} {line.instrument.symbol} at {line.price}"
    if fact.corrects is not None:
        return warning(f"fill corrected: {traded} replaces {fact.corrects}", None, **fields)
    if not fact.order_ref:
        return warning(f"fill of an order that is not ours: {traded}", None, **fields)
    return info(f"fill: {traded}", None, **fields)


def describe_books(fact: BooksFact) -> Entry | None:
    match fact:
        case JournalLostReceived():
            return error(
                f"the journal cannot be written, {fact.waiting} facts wait: {fact.problem}; "
                "no order leaves but cancels and the panic's",
                waiting=fact.waiting,
                repeats=("journal", fact.problem),
            )
        case JournalRestoredReceived():
            return info("the journal is written again and has what it missed; asking the broker for everything")
        case OrderAdopted():
            line = fact.line
            return warning(
                f"found an order at the broker that is not in our books: {line.side} {line.quantity} {line.symbol}",
                order_ref=line.order_ref,
                order_id=line.order_id,
                client_id=line.client_id,
                symbol=line.symbol,
            )
        case PositionAdopted():
            line_ = fact.line
            return warning(
                f"took over the broker's position: {line_.quantity} {line_.instrument.symbol}",
                symbol=line_.instrument.symbol,
                quantity=str(line_.quantity),
            )
        case MismatchFound():
            return error(
                f"our {fact.kind} of {fact.subject} is {fact.ours}, the broker's is {fact.theirs}",
                kind=fact.kind,
                subject=fact.subject,
            )
        case ReconciliationFinished():
            return _reconciled(fact)
        case OrderIdsReserved() | BrokerStateReceived():
            return None
        case _:
            assert_never(fact)


def _reconciled(fact: ReconciliationFinished) -> Entry:
    fields: dict[str, Value] = {
        "latency_ms": milliseconds(fact.duration_s),
        "unanswered": list(fact.unanswered),
        "mismatches": {str(kind): count for kind, count in fact.mismatches.items()},
    }
    if fact.clean:
        return info("reconciled with the broker: no differences", None, **fields)
    if fact.unanswered:
        return error(f"not reconciled: no answer to {', '.join(fact.unanswered)}", None, **fields)
    return error(f"reconciled with the broker: {sum(fact.mismatches.values())} differences", None, **fields)
