"""How long fuzzing goes on, and from which seed: small and always the same here, large and new where it is asked for.

Rules: a case is a function of the seed and its number, so that one case can be repeated alone. Without anything said,
the cases are the same in every run. ``TRADER_FUZZ_SECONDS=600`` goes on for that long in each test, from a fresh seed;
``--seed N`` (or ``TRADER_FUZZ_SEED``) chooses the seed; ``TRADER_FUZZ_CASE`` plays one case alone. What failed says
which seed and case it was.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from tests.fuzz.recording import recorded_frames

SECONDS = "TRADER_FUZZ_SECONDS"
SEED = "TRADER_FUZZ_SEED"
CASE = "TRADER_FUZZ_CASE"
USUAL_SEED = 20_131_007


class Campaign:
    """``cases(usual)`` gives a random source for each case: ``usual`` of them, or as many as fit into the time."""

    def __init__(self, name: str, chosen: int | None) -> None:
        self.name = name
        self.seconds = float(os.environ.get(SECONDS, "0"))
        self.only = os.environ.get(CASE)
        told = os.environ.get(SEED)
        if chosen is None and told is not None:
            chosen = int(told)
        if chosen is None:
            chosen = random.SystemRandom().randrange(2**32) if self.seconds else USUAL_SEED
        self.seed = chosen
        self.played = 0

    def cases(self, usual: int) -> Iterator[Random]:
        if self.only is not None:
            yield self._case(int(self.only))
            return
        ends_at = time.monotonic() + self.seconds
        number = 0
        while number < usual or (self.seconds and time.monotonic() < ends_at):
            yield self._case(number)
            number += 1

    def _case(self, number: int) -> Random:
        self.played += 1
        self.number = number
        return Random(f"{self.name}:{self.seed}:{number}")

    def __str__(self) -> str:
        return f"{SEED}={self.seed} {CASE}={getattr(self, 'number', 0)}"


@pytest.fixture
def campaign(request: pytest.FixtureRequest, measured: Callable[[str, float, str], None]) -> Iterator[Campaign]:
    """The cases of one test; what a failure shows repeats its last one, and the summary counts them."""
    made = Campaign(request.node.name, request.config.getoption("--seed"))
    yield made
    print(f"repeat the last case with: {made} python -m pytest {request.node.nodeid!r}")
    measured("cases", made.played, "")


@pytest.fixture(scope="session")
def frames() -> tuple[bytes, ...]:
    """Every message that a simulated gateway sent during a busy minute, payloads without their lengths."""
    return tuple(asyncio.run(recorded_frames()))
