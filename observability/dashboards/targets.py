"""The numbers that the boards draw as thresholds: the specification's and those of the symptom alerts.

Rules: nothing here is a number of its own. Objectives, limits and burn factors are read from ``alerts/slo.yaml``,
what a symptom alert compares with from its rule; a number that is not found any more is an error, never a default.
"""

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

SPEC: Final = Path("alerts/slo.yaml")
RULES: Final = Path("alerts/rules")
SYMPTOMS: Final = "symptoms*.rules.yml"
NUMBER: Final = r"\)?\s*[<>]=?\s*([0-9.]+)"


class TargetsError(Exception):
    """A threshold of a board is not where it should be; one sentence."""


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
    """Read the numbers from a checkout. Raises TargetsError when one is missing."""
    spec = yaml.safe_load((root / SPEC).read_text())
    alerts = _symptoms(root / RULES)
    try:
        return _targets(spec, alerts)
    except (KeyError, TypeError) as error:
        raise TargetsError(f"{SPEC} has no {error}, which the dashboards draw as a threshold") from None


def _targets(spec: dict[str, Any], alerts: dict[str, list[str]]) -> Targets:
    slos = spec["slos"]
    pairs = [pair for speed in ("fast", "slow") for pair in spec["burn"][speed]["pairs"]]
    return Targets(
        availability=slos["availability"]["objective"],
        success=slos["error_rate"]["objective"],
        decision_latency=slos["decision_latency"]["objective"],
        decision_within=str(float(slos["decision_latency"]["threshold_s"])),
        order_latency=slos["order_latency"]["objective"],
        order_within=str(float(slos["order_latency"]["threshold_s"])),
        fill_rate=slos["fill_rate"]["objective"],
        fill_rate_z=slos["fill_rate"]["z"],
        restarts=slos["restarts"]["less_than"],
        resources=slos["resources"]["below_ratio"],
        burn_factors={pair["long"]: pair["factor"] for pair in pairs},
        loss_near=_compared(alerts, "DailyLossLimitNear", "trader_daily_loss_limit"),
        margin_cushion=_compared(alerts, "MarginCushionLow", "trader_margin_cushion_ratio"),
        heartbeat_s=_compared(alerts, "BrokerHeartbeatStale", "trader_broker_heartbeat_last_success_timestamp_seconds"),
        tick_age_s=_compared(alerts, "MarketDataStale", "trader_market_data_last_tick_timestamp_seconds"),
        reauth_s=_compared(alerts, "BrokerReauthDue", "time()"),
        unacknowledged_s=_compared(alerts, "OrderUnacknowledged", "trader_order_oldest_unacked_timestamp_seconds != 0"),
        disk_free=_compared(alerts, "DiskLow", "node_filesystem_size_bytes"),
        clock_skew_s=_compared(alerts, "ClockSkew", "node_timex_offset_seconds"),
    )


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
    raise TargetsError(f"no alert {alert} in {RULES}/{SYMPTOMS} compares {operand} with a number; a dashboard draws it")
