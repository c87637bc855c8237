"""What a benchmark is told, and how it says that it cannot run."""

from collections.abc import Callable
from random import Random

import msgspec


class BenchmarkFailed(Exception):
    """One sentence: what is missing or went wrong, and what to do."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``quick`` shortens a run until its figures say little; ``told`` hears what goes on."""

    seed: int
    quick: bool
    told: Callable[[str], object]

    def rng(self) -> Random:
        return Random(self.seed)
