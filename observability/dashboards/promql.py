"""The selectors and functions that the boards' queries are made of.

Rules: a trader's series is selected by ``$job`` and ``$instance``, its machine's by ``$node_job`` and ``$instance``;
counters appear only under rate() or increase(); a sum keeps the target labels.
"""

from typing import Final

TARGET: Final = "job, instance"
TRADER: Final = 'job=~"$job", instance=~"$instance"'
NODE: Final = 'job=~"$node_job", instance=~"$instance"'
MACHINE: Final = 'instance=~"$instance"'
STRATEGY: Final = 'strategy=~"$strategy"'


def trader(metric: str, *matchers: str) -> str:
    """A series of the selected traders."""
    return f"{metric}{{{', '.join((TRADER, *matchers))}}}"


def node(metric: str, *matchers: str) -> str:
    """A series of the selected hosts: node_exporter's own, its textfiles', or a rule's made from them."""
    return f"{metric}{{{', '.join((NODE, *matchers))}}}"


def unit(metric: str, *matchers: str) -> str:
    """A series about systemd's units: the rules that make them keep the machine, not the exporter's job."""
    return f"{metric}{{{', '.join((MACHINE, *matchers))}}}"


def of_traders(series: str) -> str:
    """Only the traders' of series that every target has; also of those that are down."""
    return f"{series} and on ({TARGET}) {trader('trader:expected')}"


def _by(labels: str) -> str:
    return f"{TARGET}, {labels}" if labels else TARGET


def total(series: str, labels: str = "") -> str:
    """The sum by target and ``labels``."""
    return f"sum by ({_by(labels)}) ({series})"


def highest(series: str, labels: str = "") -> str:
    """The maximum by target and ``labels``."""
    return f"max by ({_by(labels)}) ({series})"


def rate(counter: str, labels: str = "") -> str:
    """Events a second by target and ``labels``."""
    return total(f"rate({counter}[$__rate_interval])", labels)


def count(counter: str, labels: str = "", window: str = "$__rate_interval") -> str:
    """Events in a window, whole: increase() extrapolates one event to 1.07."""
    return f"round({total(f'increase({counter}[{window}])', labels)})"


def quantile(share: float, histogram: str, labels: str = "") -> str:
    """A quantile of a trader's histogram, from its buckets over the rate interval."""
    buckets = f"rate({trader(histogram + '_bucket')}[$__rate_interval])"
    return f"histogram_quantile({share:g}, sum by ({_by(labels)}, le) ({buckets}))"


def quantile_over_range(share: float, histogram: str) -> str:
    """The same over the whole time shown."""
    buckets = f"increase({trader(histogram + '_bucket')}[$__range])"
    return f"histogram_quantile({share:g}, sum by ({TARGET}, le) ({buckets}))"


def buckets(histogram: str) -> str:
    """A histogram's buckets for a heatmap: observations in the rate interval."""
    return f"sum by (le) (increase({trader(histogram + '_bucket')}[$__rate_interval]))"


def share_within(histogram: str, le: str) -> str:
    """The share of all observations in the time shown that the bucket ``le`` holds."""
    bound = f'le="{le}"'
    good = total(f"increase({trader(histogram + '_bucket', bound)}[$__range])")
    everything = f"increase({trader(histogram + '_count')}[$__range])"
    return f"{good} / {total(everything)}"


def age(timestamp: str) -> str:
    """Seconds since a moment."""
    return f"time() - {timestamp}"


def state_number(metric: str, label: str, states: tuple[str, ...]) -> str:
    """One number for a 0/1 series a state: the place of the state that holds in ``states``, the first being 0."""
    terms = []
    for place, state in enumerate(states[1:], start=1):
        matcher = f'{label}="{state}"'
        terms.append(f"{place} * {total(trader(metric, matcher))}")
    return " + ".join(terms)
