"""The budget policy: what the success metrics' alerts make of trading."""

from typing import Final

from observability.catalogue.record import OTHER, Group, Label

GROUP: Final = Group("policy")
SLOS: Final = (
    "availability", "error_rate", "decision_latency", "order_latency", "fill_rate", "restarts", "resources", "net_pnl",
    OTHER,
)  # fmt: skip

STATE: Final = GROUP.gauge(
    "trader_budget_policy_state",
    "What the budget policy makes of a success metric: 0 ok, 1 caution, 2 no new entries; also while overridden.",
    Label("slo", SLOS),
)
LAST_EVALUATION: Final = GROUP.gauge(
    "trader_budget_policy_last_evaluation_timestamp_seconds",
    "When Alertmanager last told the policy's alerts, Unix time; before the first time, when the service started.",
    unit="seconds",
)
OVERRIDE_EXPIRY: Final = GROUP.gauge(
    "trader_budget_policy_override_expiry_timestamp_seconds",
    "When an operator's override of the policy ends, Unix time; 0 when there is none.",
    unit="seconds",
)
