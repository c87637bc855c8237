"""The numbers that the boards draw as thresholds: the specification's and those of the symptom alerts.

Rules: nothing here is a number of its own. Objectives, limits and burn factors are read from ``alerts/slo.yaml``,
what a symptom alert compares with from its rule; a number that is not found any more is an error, never a default.
"""

import re
from pathlib import Path
from typing import Final

import msgspec
import yaml

from observability.slo import Spec, SpecError, load

SPEC: Final = Path("alerts/slo.yaml")
RULES: Final = Path("alerts/rules")
SYMPTOMS: Final = "symptoms*.rules.yml"
NUMBER: Final = r"\)?\s*[<>]=?\s*([0-9.]+)"


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Objectives are ratios to reach, ``*_within`` are seconds as ``le`` writes them, limits are not to be reached."""

    availability: float
    success: float
    decision_latency: float
    decision_within: str
    order_latency: float
    order_within: str
    fill_rate: float
    fill_rate_z: float
    restarts: int
    resources: float
    burn_factors: dict[str, float]
    loss_near: float
    margin_cushion: float
    heartbeat_s: float
    tick_age_s: float
    reauth_s: float
    unacknowledged_s: float
    disk_free: float
    clock_skew_s: float


def load_targets(root: Path) -> Targets:
    """Read the numbers from a checkout. Raises SpecError when one is missing."""
    spec = load(root / SPEC)
    alerts = _symptoms(root / RULES)
    return Targets(
        availability=_objective(spec, "availability", "objective"),
        success=_objective(spec, "error_rate", "objective"),
        decision_latency=_objective(spec, "decision_latency", "objective"),
        decision_within=str(_objective(spec, "decision_latency", "threshold_s")),
        order_latency=_objective(spec, "order_latency", "objective"),
        order_within=str(_objective(spec, "order_latency", "threshold_s")),
        fill_rate=_objective(spec, "fill_rate", "objective"),
        fill_rate_z=_objective(spec, "fill_rate", "z"),
        restarts=round(_objective(spec, "restarts", "less_than")),
        resources=_objective(spec, "resources", "below_ratio"),
        burn_factors={str(pair.long): pair.factor for pair in (*spec.burn.fast.pairs, *spec.burn.slow.pairs)},
        loss_near=_compared(alerts, "DailyLossLimitNear", "trader_daily_loss_limit"),
        margin_cushion=_compared(alerts, "MarginCushionLow", "trader_margin_cushion_ratio"),
        heartbeat_s=_compared(alerts, "BrokerHeartbeatStale", "trader_broker_heartbeat_last_success_timestamp_seconds"),
        tick_age_s=_compared(alerts, "MarketDataStale", "trader_market_data_last_tick_timestamp_seconds"),
        reauth_s=_compared(alerts, "BrokerReauthDue", "time()"),
        unacknowledged_s=_compared(alerts, "OrderUnacknowledged", "trader_order_oldest_unacked_timestamp_seconds != 0"),
        disk_free=_compared(alerts, "DiskLow", "node_filesystem_size_bytes"),
        clock_skew_s=_compared(alerts, "ClockSkew", "node_timex_offset_seconds"),
    )


def _objective(spec: Spec, name: str, field: str) -> float:
    value = getattr(spec.slos.get(name), field, None)
    if value is None:
        raise SpecError(f"{SPEC}: {name} has no {field}, which the dashboards draw as a threshold")
    return float(value)


def _symptoms(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob(SYMPTOMS)):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found.setdefault(rule["alert"], []).append(rule["expr"])
    return found


def _compared(alerts: dict[str, list[str]], alert: str, operand: str) -> float:
    """The number that the first rule of an alert compares the operand with."""
    for expr in alerts.get(alert, []):
        if match := re.search(re.escape(operand) + NUMBER, expr):
            return float(match[1])
    raise SpecError(f"no alert {alert} in {RULES}/{SYMPTOMS} compares {operand} with a number; a dashboard draws it")
