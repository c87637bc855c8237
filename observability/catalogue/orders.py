"""Decisions and orders: outcomes and latencies.

The bounds of the two latency objectives contain their thresholds exactly: 0.35 s for decisions, 2.0 s for
acknowledgements.
"""

from typing import Final

from observability.catalogue.record import Group, Label, Source
from trader.contracts import OrderType
from trader.events import DecisionOutcome, MismatchKind, OrderOutcome
from trader.snapshot import ACK_BOUNDS_S, DECISION_BOUNDS_S

GROUP: Final = Group("decision and order")
MAX_STRATEGIES: Final = 4
BOOLEANS: Final = ("true", "false")
FILL_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
SLIPPAGE_BOUNDS: Final = (
    -0.005, -0.002, -0.001, -0.0005, -0.0002, -0.0001, 0.0, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
)  # fmt: skip

DECISIONS: Final = GROUP.counter(
    "trader_decisions_total",
    "Decisions of the strategy, by outcome.",
    Label("strategy", at_most=MAX_STRATEGIES),
    Label("outcome", tuple(DecisionOutcome)),
)
DECISION_DURATION: Final = GROUP.histogram(
    "trader_decision_duration_seconds",
    "From a tick's arrival to the decision made on it.",
    DECISION_BOUNDS_S,
    source=Source.SNAPSHOT,
)
SUBMITTED: Final = GROUP.counter(
    "trader_orders_submitted_total", "Orders handed to the socket, by type.", Label("order_type", tuple(OrderType))
)
FINAL: Final = GROUP.counter(
    "trader_orders_final_total",
    "Orders that will not change any more; eligible ones count for the fill rate.",
    Label("outcome", tuple(OrderOutcome)),
    Label("eligible", BOOLEANS),
)
ACK_DURATION: Final = GROUP.histogram(
    "trader_order_ack_duration_seconds",
    "From an order's hand-over to the socket to the broker's first word about it.",
    ACK_BOUNDS_S,
    source=Source.SNAPSHOT,
)
FILL_DURATION: Final = GROUP.histogram(
    "trader_order_fill_duration_seconds", "From an order's hand-over to the socket to a fill.", FILL_BOUNDS_S
)
OPEN: Final = GROUP.gauge("trader_orders_open", "Orders that are not final.")
OLDEST_UNACKED: Final = GROUP.gauge(
    "trader_order_oldest_unacked_timestamp_seconds",
    "When the oldest order without a word of the broker was sent, Unix time; 0 when there is none.",
    unit="seconds",
)
SLIPPAGE: Final = GROUP.histogram(
    "trader_order_slippage_ratio",
    "Price paid above the decision's price, over that price; negative is better than expected. Buckets only.",
    SLIPPAGE_BOUNDS,
    unit="ratio",
)
DUPLICATES_BLOCKED: Final = GROUP.counter(
    "trader_orders_duplicate_blocked_total", "Orders that were not sent because they would have been sent twice."
)
UNKNOWN_STATE: Final = GROUP.gauge("trader_orders_unknown_state", "Orders whose state at the broker is not known.")
RECONCILED: Final = GROUP.gauge(
    "trader_reconciliation_last_success_timestamp_seconds",
    "When our books were last found to agree with the broker's, Unix time.",
    unit="seconds",
)
MISMATCHES: Final = GROUP.gauge(
    "trader_reconciliation_mismatches",
    "Differences between our books and the broker's at the last reconciliation.",
    Label("kind", tuple(MismatchKind)),
)
MISMATCHES_FOUND: Final = GROUP.counter(
    "trader_reconciliation_mismatches_found_total",
    "Differences between our books and the broker's that a reconciliation found, also those that are gone since.",
    Label("kind", tuple(MismatchKind)),
)
