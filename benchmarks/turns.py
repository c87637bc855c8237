"""Both sides in turn: what changes on a machine while it measures then changes for all of them."""

from collections.abc import Callable, Mapping
from random import Random
from typing import TypeVar

SampleT = TypeVar("SampleT")


def in_turns(
    sides: Mapping[str, Callable[[], list[SampleT]]],
    rounds: int,
    rng: Random,
    told: Callable[[str], object] = lambda _what: None,
) -> dict[str, list[SampleT]]:
    """Run every side once a round, in an order that ``rng`` draws; all samples by side.

    ``told`` hears what runs next. What a side raises ends the benchmark: a side that is left out would flatter others.
    """
    samples: dict[str, list[SampleT]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name in rng.sample(list(sides), len(sides)):
            told(f"round {number} of {rounds}: {name}")
            samples[name] += sides[name]()
    return samples
