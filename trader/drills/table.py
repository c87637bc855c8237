"""Every drill, and every alert that has none with the reason why.

Rules: an alert is in one of the two; a test compares them with the rule files.
"""

from typing import Final

from trader.drills.model import Drill
from trader.drills.service_drills import SERVICE_DRILLS
from trader.drills.stack_drills import STACK_DRILLS
from trader.drills.standin_drills import STANDIN_DRILLS

DRILLS: Final[tuple[Drill, ...]] = (*SERVICE_DRILLS, *STANDIN_DRILLS, *STACK_DRILLS)

# Proven by promtool only.
NOT_DRILLED: Final[dict[str, str]] = {
    "NotConnectedToAlertmanager": "without Alertmanager no page can arrive; the dead-man's switch notices it",
    "NetPnLNegative": "it compares with the profit and loss of four weeks ago, which a drill does not have",
    "SLOBudgetExhausted": "it judges a budget of 30 days, and no part of it is long enough for a drill",
    "SLOBurnSlow": "its shortest window is two hours; at the drills' scale it follows SLOBurnFast by minutes",
    "SLOUnmeasured": "it judges the coverage of a day of sessions",
    "FillRateBelowObjective": "it judges at least ten orders of a day against a bound",
    "OrderLatencyAboveObjective": "it judges at least ten orders of a day against a bound",
    "MaintenanceDeclared": "it goes to nobody: it only holds tickets back",
}


def drills_of(names: list[str]) -> list[Drill]:
    """The drills of the alerts in ``names``, all of them for none; raises KeyError with the first that has no drill."""
    known = {drill.alert for drill in DRILLS}
    for name in names:
        if name not in known:
            raise KeyError(name)
    return [drill for drill in DRILLS if not names or drill.alert in names]
