"""A fact of the journal in one line, and the order that it is about. Pure."""

from typing import assert_never

from trader.cli.formats import NOT_KNOWN, quantity, span
from trader.contracts import Side
from trader.events import (
    AnyDurableFact,
    CancelIntended,
    CommissionBooked,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    MaintenanceFinished,
    MaintenanceOutcome,
    MismatchFound,
    OrderAdopted,
    OrderIdsReserved,
    OrderIntended,
    OrderStateChanged,
    OrderTerms,
    PanicCompleted,
    PolicyChanged,
    PolicyOverridden,
    PolicyState,
    PositionAdopted,
    ReconciliationFinished,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SessionValued,
    SignalChanged,
    TradingStateChanged,
)


class OrderFollower:
    """Tells which facts are about one order; commissions name only the execution, so it remembers those."""

    def __init__(self, order_ref: str) -> None:
        self._order_ref = order_ref
        self._executions: set[str] = set()

    def concerns(self, fact: AnyDurableFact) -> bool:
        """Whether ``fact`` is about the order; to be asked in the journal's order."""
        match fact:
            case OrderIntended() | OrderStateChanged() | CancelIntended():
                return fact.order_ref == self._order_ref
            case FillBooked() | ExecutionIgnored() | OrderAdopted():
                ours = self._order_ref in (fact.line.order_ref, getattr(fact, "order_ref", None))
                if ours and isinstance(fact.line, ExecutionLine):
                    self._executions.add(fact.line.exec_id)
                return ours
            case CommissionBooked():
                return fact.line.exec_id in self._executions
            case _:
                return False


def fact_line(fact: AnyDurableFact) -> str:
    """What happened, in a line for a table."""
    match fact:
        case OrderIntended():
            intent = fact.approved.intent
            return f"{fact.order_ref} #{fact.order_id}: {_terms(intent.terms)}, {intent.reason}"
        case OrderStateChanged():
            detail = f", {fact.detail}" if fact.detail else ""
            return f"{fact.order_ref}: {fact.old} → {fact.new} ({fact.trigger}{detail})"
        case CancelIntended():
            return f"{fact.order_ref}: {fact.reason}"
        case OrderAdopted(line=line):
            price = "" if line.limit_price is None else f" at {line.limit_price}"
            name = line.order_ref or f"#{line.order_id}"
            return f"{name}: {_deal(line.side, line.symbol)} {quantity(line.quantity)}{price}"
        case FillBooked(line=line):
            corrected = f", corrects {fact.corrects}" if fact.corrects else ""
            return f"{fact.order_ref or 'not our order'}: {_execution(line)}{corrected}"
        case ExecutionIgnored(line=line):
            return f"{_execution(line)}: {fact.reason}"
        case CommissionBooked(line=line):
            return f"{line.amount} {line.currency} for {line.exec_id}"
        case PositionAdopted(line=line):
            return f"{line.instrument.symbol} {quantity(line.quantity)} at {line.average_cost}"
        case MaintenanceFinished():
            return _maintenance(fact)
        case _:
            return _lifecycle_line(fact)


def _lifecycle_line(
    fact: ServiceStarted | ServiceStopped | TradingStateChanged | SessionOpened | SessionClosed | PanicCompleted
    | SessionValued | SignalChanged | OrderIdsReserved | MismatchFound | ReconciliationFinished
    | PolicyChanged | PolicyOverridden,
) -> str:  # fmt: skip
    match fact:
        case ServiceStarted():
            before = "" if fact.previous_exit_clean else ", after an end that was not clean"
            books = " ".join(filter(None, (fact.mode, fact.account)))
            return f"{fact.version}, {books}, {fact.reason}{before}, run {fact.run_id}"
        case ServiceStopped():
            return f"{'clean' if fact.clean else 'not clean'}: {fact.reason}, run {fact.run_id}"
        case TradingStateChanged():
            return f"{fact.old} → {fact.new} by {fact.source}: {fact.reason}"
        case SessionOpened():
            return f"{fact.calendar} {fact.session}, closes {fact.closes_at:%Y-%m-%d %H:%M} UTC"
        case SessionValued():
            return f"positions worth {fact.unrealized:+.2f} above cost"
        case SessionClosed():
            return f"{fact.calendar} {fact.session}, {_session_result(fact)}"
        case PanicCompleted():
            return f"flat and without orders after {span(fact.duration_s)}"
        case SignalChanged():
            change = f"{quantity(fact.previous)} → {quantity(fact.target)}"
            return f"{fact.strategy}: {fact.symbol} {change} at {fact.price:g}, {fact.reason}"
        case OrderIdsReserved():
            return f"next order id {fact.next_order_id}"
        case PolicyChanged():
            names = ", ".join(f"{alert.name}{' (held)' if alert.held else ''}" for alert in fact.alerts)
            return f"{fact.slo}: {_words(fact.old)} → {_words(fact.new)}, {names or 'no alert'}"
        case PolicyOverridden():
            until = f"overridden until {fact.until:%Y-%m-%d %H:%M} UTC" if fact.until else "in force again"
            return f"{until} by {fact.source}: {fact.reason}"
        case MismatchFound():
            return f"{fact.kind} {fact.subject}: ours {fact.ours}, the broker's {fact.theirs}"
        case ReconciliationFinished():
            return _reconciliation(fact)
        case _:
            assert_never(fact)


def _words(state: PolicyState) -> str:
    return state.name.lower().replace("_", " ")


def _maintenance(fact: MaintenanceFinished) -> str:
    failed = [task for task, outcome in fact.tasks.items() if outcome is MaintenanceOutcome.FAILED]
    named = f", failed: {', '.join(failed)}" if failed else ""
    return f"{fact.kind} of {fact.period}: {fact.outcome}, {span(fact.duration_s)}{named}"


def _terms(terms: OrderTerms) -> str:
    price = terms.limit_price if terms.limit_price is not None else terms.stop_price
    at = "" if price is None else f" at {price}"
    return f"{_deal(terms.side, terms.symbol)} {quantity(terms.quantity)} {terms.order_type}{at} {terms.time_in_force}"


def _execution(line: ExecutionLine) -> str:
    return f"{_deal(line.side, line.instrument.symbol)} {quantity(line.quantity)} at {line.price}"


def _deal(side: Side, symbol: str) -> str:
    return f"{side.value.lower()} {symbol}"


def _session_result(fact: SessionClosed) -> str:
    parts = {"realized": fact.realized, "unrealized": fact.unrealized, "commission": fact.commission, "fees": fact.fees}
    return ", ".join(f"{name} {NOT_KNOWN if value is None else f'{value:+,.2f}'}" for name, value in parts.items())


def _reconciliation(fact: ReconciliationFinished) -> str:
    took = f"{fact.duration_s:.2f} s"
    if fact.clean:
        return f"clean, {took}"
    found = [f"{count} {kind}" for kind, count in fact.mismatches.items() if count]
    parts = [f"mismatches: {', '.join(found)}"] if found else []
    parts += [f"no answer: {', '.join(fact.unanswered)}"] if fact.unanswered else []
    return "; ".join([*parts, took])
