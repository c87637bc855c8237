"""Whether memory grows from session to session: samples at the same moments of each, and a line through them.

Rules: pure but for ``resident_bytes``. Moments within a session differ by what a session keeps, so every moment has a
level of its own and all share one slope: least squares, with the interval that holds it in 95 of 100 cases.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import sqrt
from pathlib import Path
from resource import getpagesize
from statistics import NormalDist, fmean
from typing import Final

import msgspec

CONFIDENCE: Final = 0.95


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Memory at one moment: the ``part``-th sample of a session, both counted from 1."""

    session: int
    part: int
    at: datetime
    resident_bytes: int
    blocks: int
    orders: int


class Slope(msgspec.Struct, frozen=True, kw_only=True):
    """Growth for one session, with the ends of its interval of confidence; ``level`` is the mean of what there was.

    ``negligible`` is the growth that does not matter even if it is one.
    """

    per_session: float
    low: float
    high: float
    level: float
    samples: int
    negligible: float

    @property
    def flat(self) -> bool:
        """Whether the growth cannot be told from none, or is too little to matter."""
        return self.low <= 0.0 or self.per_session <= self.negligible


def slope_between_sessions(
    samples: Sequence[Sample], after: int, value: Callable[[Sample], float], negligible: float
) -> Slope:
    """The slope over the sessions after session ``after``; ValueError when those are fewer than two."""
    used = [sample for sample in samples if sample.session > after]
    parts = {sample.part for sample in used}
    free = len(used) - len(parts) - 1
    if len({sample.session for sample in used}) < 2 or free < 1:
        raise ValueError(f"a slope needs two sessions after session {after}")
    pairs: list[tuple[float, float]] = []
    for part in parts:
        same = [sample for sample in used if sample.part == part]
        x_mean, y_mean = fmean(sample.session for sample in same), fmean(value(sample) for sample in same)
        pairs += [(sample.session - x_mean, value(sample) - y_mean) for sample in same]
    spread = sum(x * x for x, _ in pairs)
    slope = sum(x * y for x, y in pairs) / spread
    rest = sum((y - slope * x) ** 2 for x, y in pairs)
    margin = _student(free) * sqrt(rest / free / spread)
    level = fmean(value(sample) for sample in used)
    return Slope(
        per_session=slope,
        low=slope - margin,
        high=slope + margin,
        level=level,
        samples=len(used),
        negligible=negligible,
    )


def _student(free: int) -> float:
    """Student's t for ``CONFIDENCE`` and so many degrees of freedom, from the normal distribution (Cornish-Fisher)."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / free + second / free**2


def resident_bytes() -> int:
    """What this process has in memory. Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()
