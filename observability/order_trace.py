"""The life of one order as facts tell it, from the tick that caused it to the last commission.

Rules: folding facts is pure and knows nothing of tracing libraries. Moments are Unix time in nanoseconds; steps
within the process are placed by the monotonic readings that the facts carry, since the clock is read once a step.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias, assert_never

from trader.contracts import ZERO
from trader.events import (
    CancelIntended,
    CommissionBooked,
    DecisionMade,
    FillBooked,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderSendFailed,
    OrderSent,
    OrdersJournaled,
    OrderStateChanged,
)

Attribute: TypeAlias = str | int | float | bool
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_STEPS = 200


def unix_ns(moment: datetime) -> int:
    """``moment`` as Unix time in nanoseconds, exact to the microsecond."""
    since = moment - EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


@dataclass(slots=True)
class Step:
    """One stretch of an order's life; an instant when it begins and ends at once."""

    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class OrderTrace:
    """What is known of one order so far."""

    order_ref: str
    intended: OrderIntended
    decision: DecisionMade | None = None
    journaled: OrdersJournaled | None = None
    sent_at_ns: int | None = None
    tick_at_ns: int | None = None
    steps: list[Step] = field(default_factory=list)
    missing_commissions: dict[str, int] = field(default_factory=dict)
    filled_quantity: Decimal = ZERO
    final: OrderFinalized | None = None
    last_at: datetime | None = None

    @property
    def complete(self) -> bool:
        """Final, with every fill that it counts and a commission for each."""
        return self.final is not None and not self.missing_commissions and self.filled_quantity >= self.final.filled

    @property
    def start_ns(self) -> int:
        return self.tick_at_ns if self.tick_at_ns is not None else unix_ns(self.intended.at)

    @property
    def end_ns(self) -> int:
        ends = [step.end_ns for step in self.steps]
        if self.final is not None:
            ends.append(unix_ns(self.final.at))
        return max([self.start_ns, *ends])

    @property
    def failed(self) -> bool:
        return self.final is not None and self.final.outcome in ("rejected", "error")

    def attributes(self) -> dict[str, Attribute]:
        """What the whole order is about."""
        intent = self.intended.approved.intent
        found: dict[str, Attribute] = {
            "order.ref": self.order_ref,
            "order.id": self.intended.order_id,
            "order.symbol": intent.terms.symbol,
            "order.side": str(intent.terms.side),
            "order.quantity": str(intent.terms.quantity),
            "order.type": str(intent.terms.order_type),
            "strategy": intent.strategy,
        }
        if self.final is not None:
            found["order.outcome"] = str(self.final.outcome)
            found["order.filled"] = str(self.final.filled)
        return found

    def sent(self, fact: OrderSent) -> None:
        """Place what led to the hand-over by its monotonic readings, counted from the moment of the intent.

        The hand-over's fact may carry the time at which the step began, which is before the intent's.
        """
        zero_ns = self._zero_ns(fact)
        sent_ns = fact.sent_ns
        tick_ns = min(self.intended.approved.intent.decided_ns, sent_ns)
        for name, start_ns, end_ns in self._stretches(tick_ns, sent_ns):
            first_ns, last_ns = (zero_ns + max(tick_ns, min(told_ns, sent_ns)) for told_ns in (start_ns, end_ns))
            self._add(Step(name, first_ns, last_ns))
        self.sent_at_ns, self.tick_at_ns = zero_ns + sent_ns, zero_ns + tick_ns
        self._tick()

    def _zero_ns(self, fact: OrderSent) -> int:
        """Unix time of the monotonic clock's zero."""
        intended_ns = unix_ns(self.intended.at)
        if len(self.intended.risk_ns) == 2:
            return intended_ns - self.intended.risk_ns[1]
        return max(unix_ns(fact.at), intended_ns) - fact.sent_ns

    def _stretches(self, tick_ns: int, sent_ns: int) -> list[tuple[str, int, int]]:
        """What was done between tick and hand-over: name, start, end. What was not timed is not told apart."""
        found: list[tuple[str, int, int]] = []
        ready_ns = tick_ns
        if len(self.intended.risk_ns) == 2:
            asked_ns, ready_ns = self.intended.risk_ns
            found += [("decide", tick_ns, asked_ns), ("risk", asked_ns, ready_ns)]
        elif self.decision is not None:
            ready_ns = tick_ns + nanoseconds(self.decision.duration_s)
            found.append(("decide and risk", tick_ns, ready_ns))
        if self.journaled is not None:
            found.append(("journal", self.journaled.started_ns, self.journaled.ended_ns))
            ready_ns = self.journaled.ended_ns
        return [*found, ("submit", ready_ns, sent_ns)]

    def _tick(self) -> None:
        assert self.tick_at_ns is not None
        intent = self.intended.approved.intent
        told: dict[str, Attribute] = {"symbol": intent.terms.symbol}
        if intent.reference_price is not None:
            told["price"] = intent.reference_price
        if self.decision is not None:
            told["data_age_s"] = self.decision.data_age_s
        self._add(Step("tick", self.tick_at_ns, self.tick_at_ns, told))

    def acknowledged(self, fact: OrderAcknowledged) -> None:
        start_ns = self._after_sent(unix_ns(fact.at))
        self._add(Step("acknowledge", start_ns, start_ns + nanoseconds(fact.duration_s)))

    def filled(self, fact: FillBooked) -> None:
        at_ns = unix_ns(fact.at)
        line = fact.line
        attributes: dict[str, Attribute] = {
            "exec.id": line.exec_id,
            "fill.quantity": str(line.quantity),
            "fill.price": str(line.price),
        }
        if fact.slippage_ratio is not None:
            attributes["fill.slippage_ratio"] = fact.slippage_ratio
        self.filled_quantity += line.quantity - fact.replaced_quantity
        self._add(Step("fill", min(self._after_sent(at_ns), at_ns), at_ns, attributes))
        if len(self.missing_commissions) < MAX_STEPS:
            self.missing_commissions[line.exec_id] = at_ns

    def commission(self, fact: CommissionBooked) -> None:
        at_ns = unix_ns(fact.at)
        since_ns = min(self.missing_commissions.pop(fact.line.exec_id, at_ns), at_ns)
        amount: dict[str, Attribute] = {
            "commission.amount": str(fact.line.amount),
            "commission.currency": fact.line.currency,
        }
        self._add(Step("commission", since_ns, at_ns, amount))

    def noted(self, fact: OrderSendFailed | OrderStateChanged | CancelIntended) -> None:
        at_ns = unix_ns(fact.at)
        match fact:
            case OrderStateChanged():
                told: dict[str, Attribute] = {"order.state": str(fact.new), "order.trigger": str(fact.trigger)}
                self._add(Step(f"state {fact.new}", at_ns, at_ns, told))
            case CancelIntended():
                self._add(Step("cancel", at_ns, at_ns, {"reason": str(fact.reason)}))
            case OrderSendFailed():
                self._add(Step("send failed", at_ns, at_ns, {"detail": fact.detail}))
            case _:
                assert_never(fact)

    def _after_sent(self, fallback_ns: int) -> int:
        return self.sent_at_ns if self.sent_at_ns is not None else fallback_ns

    def _add(self, step: Step) -> None:
        if len(self.steps) < MAX_STEPS:
            self.steps.append(step)
