"""How many examples Hypothesis tries: few and always the same here, more and new ones where it is asked for.

``TRADER_EXAMPLES=20`` tries twenty times as many, drawn anew in each run; a failure prints the blob that repeats it.
"""

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("TRADER_EXAMPLES", "0"))


def effort(examples: int, steps: int = 50) -> settings:
    """Settings for a property that costs ``examples`` tries in the usual run, of ``steps`` each if it is a machine."""
    return settings(
        max_examples=examples * max(1, FACTOR),
        stateful_step_count=steps,
        derandomize=FACTOR == 0,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
