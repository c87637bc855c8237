"""Orders with what became of them, put together from durable facts.

Rules: pure; works on the facts of a replay and on those of a journal alike. A corrected execution counts
once, with its last figures; a commission that was not reported is ``None``.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from trader.contracts import ZERO
from trader.events import (
    AnyFact,
    CancelIntended,
    CancelReason,
    CommissionBooked,
    CommissionLine,
    ExecutionLine,
    FillBooked,
    OrderIntended,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    SignalChanged,
)
from trader.ledger import base_exec_id

FAILED_STATES: Final = frozenset({OrderState.REJECTED, OrderState.NOT_SENT, OrderState.VANISHED, OrderState.UNKNOWN})


class OrderRecord(msgspec.Struct, kw_only=True):
    """One order. ``executions`` and ``commissions`` are keyed by the execution's id without its correction.

    ``signal_number`` is how many signals its instrument had had by then.
    """

    order_ref: str
    intended_at: datetime
    signal_number: int
    terms: OrderTerms
    strategy: str
    reason: str
    reference_price: float | None
    executions: dict[str, ExecutionLine] = {}
    commissions: dict[str, CommissionLine] = {}
    slippage_ratio: float | None = None
    state: OrderState = OrderState.INTENDED
    detail: str = ""
    cancel_reason: CancelReason | None = None

    @property
    def filled(self) -> Decimal:
        return sum((line.quantity for line in self.executions.values()), ZERO)

    @property
    def average_price(self) -> Decimal | None:
        """Per unit, weighted by quantity; None without a fill."""
        value = sum((line.quantity * line.price for line in self.executions.values()), ZERO)
        return value / self.filled if self.filled else None

    @property
    def turnover(self) -> Decimal:
        """The value traded, in the instrument's currency."""
        lines = self.executions.values()
        return sum((line.quantity * line.price * line.instrument.multiplier for line in lines), ZERO)

    @property
    def commission(self) -> Decimal | None:
        """What was paid for the fills, positive; None while one of them has no report."""
        if self.executions.keys() - self.commissions.keys():
            return None
        return sum((line.amount for line in self.commissions.values()), ZERO)

    @property
    def detail_of_end(self) -> str:
        """Why an order ended that came to nothing; empty for one that worked."""
        return self.detail if self.state in FAILED_STATES else ""

    @property
    def first_fill_at(self) -> datetime | None:
        return min((line.executed_at for line in self.executions.values()), default=None)


def fold_orders(facts: Iterable[AnyFact]) -> tuple[OrderRecord, ...]:
    """The orders of ``facts`` in the order in which they were intended; fills of foreign orders are left out."""
    records: dict[str, OrderRecord] = {}
    owners: dict[str, OrderRecord] = {}
    early: dict[str, CommissionLine] = {}
    signals: Counter[str] = Counter()
    for fact in facts:
        match fact:
            case SignalChanged():
                signals[fact.symbol] += 1
            case OrderIntended():
                records[fact.order_ref] = _record(fact, signals[fact.approved.intent.terms.symbol])
            case OrderStateChanged(order_ref=ref) if ref in records:
                records[ref].state, records[ref].detail = fact.new, fact.detail
            case CancelIntended(order_ref=ref) if ref in records:
                records[ref].cancel_reason = fact.reason
            case FillBooked(order_ref=ref) if ref in records:
                key = base_exec_id(fact.line.exec_id)
                record = owners[key] = records[ref]
                record.executions[key] = fact.line
                record.slippage_ratio = fact.slippage_ratio
                if key in early:
                    record.commissions[key] = early.pop(key)
            case CommissionBooked(line=line):
                key = base_exec_id(line.exec_id)
                (owners[key].commissions if key in owners else early)[key] = line
            case _:
                pass
    return tuple(records.values())


def _record(fact: OrderIntended, signal_number: int) -> OrderRecord:
    intent = fact.approved.intent
    return OrderRecord(
        order_ref=fact.order_ref,
        intended_at=fact.at,
        signal_number=signal_number,
        terms=intent.terms,
        strategy=intent.strategy,
        reason=intent.reason,
        reference_price=intent.reference_price,
    )
