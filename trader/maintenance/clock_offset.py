"""How far the host's clock is off: against its time server, and against the broker's gateway; now and over a month.

Rules: each source that does not answer is missing. The bounds are the alerts'.
"""

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from trader.doctor.health import samples
from trader.doctor.model import Absent, NotVisible
from trader.doctor.place import Place
from trader.maintenance.context import Context
from trader.maintenance.measures import one_value, window
from trader.maintenance.model import Figure, Outcome, Unit
from trader.maintenance.sources import Unavailable

GATEWAY: Final = "trader_broker_clock_offset_seconds"
HOST: Final = "node_timex_offset_seconds"
TIMESYNC: Final = re.compile(r"^\s*Offset:\s*([+-]?\d+(?:\.\d+)?)(us|ms|s|min|h)\s*$", re.MULTILINE)
CHRONY: Final = re.compile(r"^System time\s*:\s*(\d+(?:\.\d+)?) seconds (fast|slow) of NTP time", re.MULTILINE)
UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3_600.0}


class Bound(NamedTuple):
    """Seconds, either way; the alerts ClockSkew have the same."""

    warning_s: float
    failed_s: float


HOST_BOUND: Final = Bound(0.05, 0.5)
GATEWAY_BOUND: Final = Bound(3.0, 10.0)


class Offsets(NamedTuple):
    """What the section takes over."""

    figures: tuple[Figure, ...]
    missing: tuple[str, ...]


def look(context: Context) -> Offsets:
    """Every offset that is known, and which are not."""
    place = context.place
    sources: tuple[tuple[str, Bound, Callable[[], float]], ...] = (
        ("Clock against its time server, now", HOST_BOUND, lambda: of_host(place)),
        ("Gateway's clock against ours, now", GATEWAY_BOUND, lambda: of_gateway(place)),
        ("Clock against its time server, the most", HOST_BOUND, lambda: _most(context, HOST)),
        ("Gateway's clock against ours, the most", GATEWAY_BOUND, lambda: _most(context, GATEWAY)),
    )
    figures, missing = [], []
    for label, bound, ask in sources:
        try:
            figures.append(figure(label, ask(), bound))
        except (Unavailable, NotVisible, Absent) as error:
            missing.append(f"{label[0].lower()}{label[1:]}: {error}")
    return Offsets(tuple(figures), tuple(missing))


def figure(label: str, offset_s: float, bound: Bound) -> Figure:
    """One offset, judged by its size."""
    size_s = abs(offset_s)
    outcome = Outcome.FAILED if size_s > bound.failed_s else Outcome.WARNING if size_s > bound.warning_s else Outcome.OK
    return Figure(label=label, value=offset_s, unit=Unit.SECONDS, bound=f"≤ {bound.warning_s:g} s", outcome=outcome)


def of_host(place: Place) -> float:
    """What the program that keeps the time says: systemd-timesyncd, or chrony."""
    told = _said(place, "timedatectl", "timesync-status")
    found = TIMESYNC.search(told)
    if found:
        return float(found[1]) * UNITS_S[found[2]]
    found = CHRONY.search(_said(place, "chronyc", "-n", "tracking"))
    if found:
        return float(found[1]) * (1 if found[2] == "fast" else -1)
    raise NotVisible("neither systemd-timesyncd nor chrony tells it here")


def _said(place: Place, *command: str) -> str:
    try:
        ran = place.host.run(*command)
    except NotVisible:
        return ""
    return ran.output if ran.code == 0 else ""


def of_gateway(place: Place) -> float:
    """What the service measured at its last heartbeat."""
    answered = place.exporter("/metrics")
    if answered is None:
        raise NotVisible("the service does not answer")
    offset = samples(answered.body).get(GATEWAY)
    if offset is None or not math.isfinite(offset):
        raise NotVisible("the service has not measured it")
    return offset


def _most(context: Context, metric: str) -> float:
    """The offset furthest from zero in the period, with its sign."""
    span = window(context.until - context.since)
    ends = [one_value(context, f"{edge} by (instance) ({edge}_over_time({metric}[{span}]))") for edge in ("min", "max")]
    known = [value for value in ends if value is not None]
    if not known:
        raise Unavailable(f"Prometheus has no {metric}")
    return max(known, key=abs)
