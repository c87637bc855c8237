"""Counts and latencies of this process, for ``trader status`` and reports.

Rules: filled by the loop alone; plain lists and integers, because some of it happens on every tick.
"""

from bisect import bisect_left
from collections import Counter

from trader.events import (
    AnyFact,
    DecisionMade,
    DecisionOutcome,
    DecodeFailed,
    FillBooked,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderOutcome,
    RequestFinished,
    RequestOutcome,
    SignalChanged,
    StrategyFailed,
)
from trader.snapshot import ACK_BOUNDS_S, DATA_AGE_BOUNDS_S, DECISION_BOUNDS_S, ActivityView, Histogram

FAILED_OUTCOMES = frozenset({OrderOutcome.ERROR, OrderOutcome.REJECTED})


class Statistics:
    """What happened since the process started, to ``strategy``'s trading.

    An error is a request, decision or order that failed.
    """

    def __init__(self, strategy: str) -> None:
        self.strategy = strategy
        self.holds = 0
        self.decision_duration = Histogram(DECISION_BOUNDS_S)
        self.data_age = Histogram(DATA_AGE_BOUNDS_S)
        self.ack_duration = Histogram(ACK_BOUNDS_S)
        self.counts: Counter[str] = Counter()
        self.session_elapsed_s = 0.0
        self.session_available_s = 0.0

    def hold(self, duration_s: float) -> None:
        """A decision that changed nothing; comes with almost every tick, so the histogram is filled right here."""
        self.holds += 1
        took = self.decision_duration
        took.counts[bisect_left(took.bounds, duration_s)] += 1
        took.total += duration_s

    def session_time(self, elapsed_s: float, available: bool) -> None:
        """So much session time passed, and the service could or could not trade in it."""
        self.session_elapsed_s += elapsed_s
        self.session_available_s += elapsed_s if available else 0.0

    def observe(self, fact: AnyFact) -> None:
        match fact:
            case DecisionMade():
                self.counts["decisions"] += 1
                self.counts["errors"] += fact.outcome is DecisionOutcome.ERROR
                self.decision_duration.observe(fact.duration_s)
                self.data_age.observe(fact.data_age_s)
            case SignalChanged():
                self.counts["signals"] += 1
            case OrderIntended():
                self.counts["orders"] += 1
            case OrderAcknowledged():
                self.ack_duration.observe(fact.duration_s)
            case OrderFinalized():
                self.counts["orders_final"] += 1
                self.counts["orders_eligible"] += fact.eligible
                self.counts["orders_eligible_filled"] += fact.eligible and fact.outcome is OrderOutcome.FILLED
                self.counts["errors"] += fact.outcome in FAILED_OUTCOMES
            case FillBooked():
                self.counts["fills"] += 1
            case RequestFinished():
                self.counts["requests"] += 1
                self.counts["errors"] += fact.outcome in (RequestOutcome.TIMEOUT, RequestOutcome.ERROR)
            case DecodeFailed() | StrategyFailed():
                self.counts["errors"] += 1
            case _:
                pass

    def freeze(self, ticks: int) -> ActivityView:
        return ActivityView(
            ticks=ticks,
            holds={self.strategy: self.holds} if self.holds else {},
            decision_duration=self.decision_duration.freeze(),
            data_age=self.data_age.freeze(),
            ack_duration=self.ack_duration.freeze(),
            signals=self.counts["signals"],
            orders_submitted=self.counts["orders"],
            orders_final=self.counts["orders_final"],
            orders_eligible=self.counts["orders_eligible"],
            orders_eligible_filled=self.counts["orders_eligible_filled"],
            fills=self.counts["fills"],
            requests=self.counts["requests"],
            errors=self.counts["errors"],
            decisions=self.counts["decisions"] + self.holds,
        )
