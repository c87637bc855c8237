"""Every metric of the service, once.

Rules: nothing is emitted that is not listed here, and everything listed here is emitted; a test holds both.
Names have the prefix ``trader_`` (``process_`` for the process's own), base units, and labels with a bounded
number of values: no symbol, no order id, no account. All together stay below ``SERIES_LIMIT``.
"""

from typing import Final

from observability.catalogue import broker, core, lifecycle, market_data, orders, policy, resources, risk
from observability.catalogue.record import OTHER, Group, Kind, Label, Metric, Source

SERIES_LIMIT: Final = 1_500

GROUPS: Final[tuple[Group, ...]] = (
    core.GROUP,
    broker.GROUP,
    market_data.GROUP,
    orders.GROUP,
    risk.GROUP,
    resources.GROUP,
    lifecycle.GROUP,
    policy.GROUP,
)
CATALOGUE: Final[tuple[Metric, ...]] = tuple(metric for group in GROUPS for metric in group.metrics)


def max_series() -> int:
    """The most time series that one instance can export."""
    return sum(metric.max_series for metric in CATALOGUE)


__all__ = [
    "CATALOGUE",
    "GROUPS",
    "OTHER",
    "SERIES_LIMIT",
    "Group",
    "Kind",
    "Label",
    "Metric",
    "Source",
    "max_series",
]
