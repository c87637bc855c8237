"""Small judgements that several tasks share: quantiles, verdicts as outcomes, questions to a Prometheus.

Rules: what was not measured is None, never zero. A figure of several traders is no figure of one.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from trader.doctor.model import Verdict as Found
from trader.maintenance.context import Context
from trader.maintenance.model import Outcome
from trader.maintenance.sources import Unavailable
from trader.success_metrics import Verdict

OF_VERDICT: Final = {Verdict.OK: Outcome.OK, Verdict.BROKEN: Outcome.WARNING, Verdict.UNKNOWN: Outcome.UNKNOWN}
OF_FINDING: Final = {
    Found.OK: Outcome.OK,
    Found.WARNING: Outcome.WARNING,
    Found.FAILED: Outcome.FAILED,
    Found.UNKNOWN: Outcome.UNKNOWN,
}
INSTANCE: Final = "instance"


def quantile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of ``values`` do not exceed (nearest rank); None of none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def share_within(values: Sequence[float], bound: float) -> float | None:
    """The share of ``values`` that do not exceed ``bound``; None of none."""
    return sum(1 for value in values if value <= bound) / len(values) if values else None


def window(span: timedelta) -> str:
    """A range of PromQL as long as ``span``."""
    return f"{max(int(span.total_seconds()), 1)}s"


def one_value(context: Context, promql: str, at: datetime | None = None) -> float | None:
    """The one value of an expression by instance, at the period's end or ``at``; None when there is none.

    Raises Unavailable also when several traders have one: which of them is meant is not known.
    """
    samples = [sample for sample in context.query(promql, at) if math.isfinite(sample.value)]
    instances = {sample.labels.get(INSTANCE, "") for sample in samples}
    if len(instances) > 1:
        raise Unavailable(f"Prometheus watches several traders here ({', '.join(sorted(instances))})")
    return max((sample.value for sample in samples), default=None)


def counted(number: int, noun: str) -> str:
    """``1 order``, ``2,000 orders``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
