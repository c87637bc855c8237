"""Where the time of an order went, by its durable facts: decision, risk, hand-over, the broker's word, fill.

Rules: pure; one pass over the facts, oldest first, and bounded: what is kept is one number a stage and order, and the
slowest few with their references. A stage that a fact says nothing about is not counted.
"""

import heapq
from array import array
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from trader.clock import NANOSECONDS_PER_SECOND
from trader.events import AnyDurableFact, FillBooked, OrderIntended, OrderState, OrderStateChanged
from trader.maintenance.measures import quantile

SLOWEST: Final = 20
OPEN_MAX: Final = 10_000
ANSWERED: Final = frozenset(
    {OrderState.WORKING, OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED}
)  # fmt: skip


class Stage(StrEnum):
    """The stages of an order's way, in order."""

    DECISION = "decision: tick to risk asked"
    RISK = "risk"
    SUBMIT = "journal and submit: approved to handed over"
    ACK = "ack: handed over to the broker's first word"
    FILL = "fill: handed over to a fill"


class Timing(NamedTuple):
    """How one stage went for all orders, seconds."""

    stage: Stage
    orders: int
    total_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    most_s: float


class Order(NamedTuple):
    """One order's stages, seconds; those not known are absent."""

    order_ref: str
    symbol: str
    intended_at: datetime
    stages: dict[Stage, float]

    def sum_s(self, *stages: Stage) -> float:
        """Over those of ``stages`` that are known."""
        return sum(self.stages.get(stage, 0.0) for stage in stages)


class Stages:
    """Collects the facts of a period."""

    def __init__(self) -> None:
        self.durations: dict[Stage, array[float]] = {stage: array("d") for stage in Stage}
        self._open: dict[str, _Open] = {}
        self._slowest: dict[tuple[Stage, ...], list[tuple[float, int, Order]]] = {}
        self._count = 0

    def take(self, facts: Iterable[AnyDurableFact]) -> "Stages":
        """All of ``facts``, oldest first; itself."""
        for fact in facts:
            match fact:
                case OrderIntended():
                    self._intended(fact)
                case OrderStateChanged():
                    self._changed(fact)
                case FillBooked() if fact.fill_duration_s is not None and not fact.corrects:
                    self._filled(fact, fact.fill_duration_s)
        for order_ref in list(self._open):
            self._end(order_ref)
        return self

    def timings(self) -> list[Timing]:
        """Every stage that was measured at all."""
        return [_timing(stage, values) for stage, values in self.durations.items() if values]

    def slowest(self, *stages: Stage) -> list[Order]:
        """The orders whose ``stages`` together took longest: ``DECISIONS`` or ``ORDERS``."""
        return [order for _, _, order in sorted(self._slowest.get(stages, []), reverse=True)]

    def _intended(self, fact: OrderIntended) -> None:
        stages = {}
        if len(fact.risk_ns) == 2:
            asked_ns, answered_ns = fact.risk_ns
            stages[Stage.DECISION] = (asked_ns - fact.approved.intent.decided_ns) / NANOSECONDS_PER_SECOND
            stages[Stage.RISK] = (answered_ns - asked_ns) / NANOSECONDS_PER_SECOND
        order = Order(fact.order_ref, fact.approved.intent.terms.symbol, fact.at, stages)
        if len(self._open) >= OPEN_MAX:
            self._end(next(iter(self._open)))
        self._open[fact.order_ref] = _Open(order)
        for stage, value in stages.items():
            self.durations[stage].append(value)

    def _changed(self, fact: OrderStateChanged) -> None:
        found = self._open.get(fact.order_ref)
        if found is None:
            return
        if fact.new is OrderState.SENT and found.sent_at is None:
            found.sent_at = fact.at
            self._add(found, Stage.SUBMIT, (fact.at - found.order.intended_at).total_seconds())
        elif fact.new in ANSWERED and found.sent_at is not None and Stage.ACK not in found.order.stages:
            self._add(found, Stage.ACK, (fact.at - found.sent_at).total_seconds())

    def _filled(self, fact: FillBooked, duration_s: float) -> None:
        self.durations[Stage.FILL].append(duration_s)
        found = self._open.get(fact.order_ref)
        if found is not None:
            found.order.stages.setdefault(Stage.FILL, duration_s)

    def _add(self, found: "_Open", stage: Stage, value: float) -> None:
        if value >= 0:  # a clock that was set back meanwhile measures nothing
            found.order.stages[stage] = value
            self.durations[stage].append(value)

    def _end(self, order_ref: str) -> None:
        """Nothing more is expected of the order: it may be one of the slowest."""
        order = self._open.pop(order_ref).order
        self._count += 1
        for stages in (DECISIONS, ORDERS):
            if not order.stages.keys() & set(stages):
                continue
            heap = self._slowest.setdefault(stages, [])
            heapq.heappush(heap, (order.sum_s(*stages), -self._count, order))
            if len(heap) > SLOWEST:
                heapq.heappop(heap)


class _Open:
    """An order about which more may be told."""

    __slots__ = ("order", "sent_at")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.sent_at: datetime | None = None


DECISIONS: Final = (Stage.DECISION, Stage.RISK)
ORDERS: Final = (Stage.SUBMIT, Stage.ACK)


def _timing(stage: Stage, values: "array[float]") -> Timing:
    p50_s, p95_s, p99_s = (quantile(values, share) or 0.0 for share in (0.5, 0.95, 0.99))
    return Timing(stage, len(values), sum(values), p50_s, p95_s, p99_s, max(values))
