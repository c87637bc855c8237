"""Both sides in turn: every side in every round, in an order that the seed decides."""

from collections.abc import Callable
from random import Random

import pytest

from benchmarks.turns import in_turns


def sides(ran: list[str], *names: str) -> dict[str, Callable[[], list[int]]]:
    def side(name: str) -> Callable[[], list[int]]:
        def run() -> list[int]:
            ran.append(name)
            return [len(ran)]

        return run

    return {name: side(name) for name in names}


def test_every_side_runs_once_a_round_and_keeps_its_own_samples() -> None:
    ran: list[str] = []
    found = in_turns(sides(ran, "a", "b", "c"), 4, Random(1))
    assert [sorted(ran[start : start + 3]) for start in range(0, 12, 3)] == [["a", "b", "c"]] * 4
    for name, samples in found.items():
        assert [ran[number - 1] for number in samples] == [name] * 4


def test_the_seed_decides_the_order_of_the_sides() -> None:
    def order(seed: int) -> list[str]:
        ran: list[str] = []
        in_turns(sides(ran, "a", "b", "c"), 8, Random(seed))
        return ran

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(5)}) > 1


def test_samples_are_in_the_order_of_the_sides_as_they_were_given() -> None:
    assert list(in_turns(sides([], "z", "a", "m"), 3, Random(2))) == ["z", "a", "m"]


def test_what_runs_next_is_told() -> None:
    told: list[object] = []
    in_turns(sides([], "a"), 2, Random(1), told.append)
    assert told == ["round 1 of 2: a", "round 2 of 2: a"]


def test_a_side_that_fails_ends_the_benchmark() -> None:
    def fails() -> list[int]:
        raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken"):
        in_turns({"fails": fails}, 1, Random(1))
