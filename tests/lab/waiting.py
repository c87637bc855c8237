"""The one place of the lab where time passes: asking again and again, with a deadline.

Rules: nothing here sleeps for an effect; it only waits for a condition, and says in words what did not come.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from tests.lab.errors import TimedOut

POLL_S: Final = 0.02

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], what: str, timeout_s: float = 60.0, poll_s: float = POLL_S) -> Value:
    """The first true value of ``condition``, asked every ``poll_s``; raises TimedOut, naming ``what``.

    The condition is asked once more after the deadline, so that a slow machine does not lose what has come.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise TimedOut(f"{what} did not come within {timeout_s:g} s; the last answer was {value!r}")
        time.sleep(poll_s)
