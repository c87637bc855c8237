"""Exemplars: for each bucket of a latency histogram, the newest order that fell into it.

Rules: at most one order a bucket. An order's trace id is made from its reference, so that logs, metrics and traces
agree on it without telling each other, and without a trace having been made.
"""

from bisect import bisect_left
from datetime import datetime
from hashlib import blake2b
from typing import Final

from prometheus_client.samples import Exemplar

TRACE_ID: Final = "trace_id"
TRACE_ID_BYTES: Final = 16
PERSON: Final = b"ibkr-trading"


def trace_id(order_ref: str) -> str:
    """The trace id of the order, 32 hexadecimal digits."""
    return blake2b(order_ref.encode(), digest_size=TRACE_ID_BYTES, person=PERSON).hexdigest()


class Exemplars:
    """The newest order of each bucket; ``bounds`` are the histogram's, inclusive."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._newest: list[tuple[float, str, datetime] | None] = [None] * (len(bounds) + 1)

    def note(self, value: float, order_ref: str, at: datetime) -> None:
        """Remember that ``order_ref`` took ``value``."""
        self._newest[bisect_left(self._bounds, value)] = (value, order_ref, at)

    def read(self) -> list[Exemplar | None]:
        """One a bucket, the one above every bound last; None where no order fell."""
        return [_exemplar(*newest) if newest else None for newest in self._newest]


def _exemplar(value: float, order_ref: str, at: datetime) -> Exemplar:
    return Exemplar({TRACE_ID: trace_id(order_ref)}, value, at.timestamp())
