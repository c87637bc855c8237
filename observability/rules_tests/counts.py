"""What is scraped so that an SLO counts so many bad events of so many.

Rules: counters begin at 0, as the exporter's do.
"""

from collections.abc import Sequence

from observability.promql import bucket
from observability.rules_tests.series import a_series, counter, selects
from observability.selectors import parse
from observability.slo import Events, FewEvents, FewLatency, Latency


def scraped(
    slo: Events | Latency | FewEvents | FewLatency, good: Sequence[float], bad: Sequence[float], only: int = 0
) -> dict[str, str]:
    """Series that count ``good`` and ``bad`` events at each step; ``only`` chooses which kind of bad event."""
    match slo:
        case Latency() | FewLatency():
            total = [a + b for a, b in zip(good, bad, strict=True)]
            within = str(bucket(slo.histogram, slo.threshold_s))
            return {f"{slo.histogram}_count": counter(total), within: counter(good)}
        case FewEvents():
            return {a_series(slo.good): counter(good), a_series(slo.total, slo.good): counter(bad)}
        case Events():
            return _events(slo, good, bad, only)


def _events(slo: Events, good: Sequence[float], bad: Sequence[float], only: int) -> dict[str, str]:
    bad_name = a_series((slo.bad[only],))
    good_name = a_series(slo.total, slo.bad)
    other = [a_series((selector,), slo.bad) for selector in slo.total]
    counted = _is_counted(slo, bad_name)
    filled = good if counted else [a + b for a, b in zip(good, bad, strict=True)]
    nothing = counter([0] * len(good))
    return {**dict.fromkeys(other, nothing), good_name: counter(filled), bad_name: counter(bad)}


def _is_counted(slo: Events, name: str) -> bool:
    """Whether the bad series is one of those that the total counts."""
    series = parse(name)
    labels = {matcher.label: matcher.value for matcher in series.matchers}
    return any(selects(selector, series.name, labels) for selector in slo.total)
