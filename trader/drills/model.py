"""What a drill is, and what came of it."""

from enum import StrEnum
from typing import Any, Final

import msgspec

from trader.drills.standin import Value
from trader.drills.steps import Step, nothing


class On(StrEnum):
    """What the fault is made on."""

    SERVICE = "service"  # a simulated gateway and the service, as processes
    TRADER_STANDIN = "stand-in trader"  # an exporter that shows the service's series
    NODE_STANDIN = "stand-in host"  # an exporter that shows node_exporter's series
    STACK = "stack"  # the stack's own node_exporter, Prometheus, Alertmanager


REAL: Final = (On.SERVICE, On.STACK)


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """``inject`` raises ``alert``, ``repair`` ends it; ``fault`` says in words what is done.

    ``detect_s`` is what the expression itself needs, by its windows and ages, before it holds; ``clear_s`` what it
    needs after the repair. Drilled seconds. The bounds add the rule's ``for``, the stack's intervals and slack.
    ``series`` are shown from the start by a stand-in exporter. ``alone``: no other drill runs meanwhile, because the
    whole stack feels the fault.
    """

    alert: str
    severity: str
    fault: str
    on: On
    inject: Step
    repair: Step
    prepare: Step = nothing
    config: dict[str, Any] = {}
    series: dict[str, Value] = {}
    labels: dict[str, str] = {}
    by_instance: bool = True
    detect_s: float = 5.0
    clear_s: float = 10.0
    alone: bool = False
    # The page is the dead-man's silence, the resolve its next heartbeat.
    by_silence: bool = False

    @property
    def name(self) -> str:
        """Alerts of two severities have two drills."""
        return f"{self.alert}/{self.severity}"


class DrillResult(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the fault to the page and from the repair to the resolve, as drilled; None when there was none.

    ``problem`` is empty when both came within their bounds.
    """

    alert: str
    severity: str
    fault: str
    on: str
    page_s: float | None = None
    page_bound_s: float = 0.0
    resolve_s: float | None = None
    resolve_bound_s: float = 0.0
    summary: str = ""
    problem: str = ""
