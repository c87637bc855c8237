"""Feeder and client on a processor each, so that neither takes the other's time. With one there is nothing to share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def on_processor(number: int) -> Iterator[None]:
    """This process, and what it starts meanwhile, on the processor ``number`` of those that it may use."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
