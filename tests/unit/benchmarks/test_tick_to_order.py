"""What the benchmarks of ticks conclude from their samples."""

import pytest

from benchmarks import instrumentation, sustained, tick_to_order
from benchmarks.tick_to_order import BASELINE
from benchmarks.wire.clients import SERVICE

FAST, SLOW = [100.0] * 990 + [200.0] * 20, [150.0] * 990 + [290.0] * 20


def goals_of(ours, baseline):
    samples = {SERVICE: [(4_000, value) for value in ours], BASELINE: [(4_000, value) for value in baseline]}
    return tick_to_order._goals(tick_to_order._figures(samples, 4_000))


def test_a_p99_within_half_as_much_again_meets_the_goals():
    ratio, absolute = goals_of(SLOW, FAST)
    assert (ratio.met, ratio.measured, ratio.why) == (True, "1.45 ×", "")
    assert (absolute.met, absolute.measured) == (True, "290 µs")


def test_a_missed_goal_says_by_how_much_and_why():
    ratio, absolute = goals_of([value * 3 for value in SLOW], FAST)
    assert (ratio.met, ratio.measured) == (False, "4.35 ×")
    assert ratio.why.startswith("670 µs more (350 µs in the median) for the decision, all rules of risk")
    assert absolute.why.startswith("370 µs too much; 670 µs more")


def test_a_busy_machine_is_named_when_both_are_slow():
    ratio, absolute = goals_of([900.0] * 1_000, [950.0] * 1_000)
    assert (ratio.met, absolute.met) == (True, False)
    assert absolute.why == "400 µs too much; the handler beside it took no less: the machine was busy"


def test_few_samples_are_compared_by_their_medians():
    ratio, _ = goals_of([150.0, 150.0, 900.0], [100.0] * 3)
    assert ("median" in ratio.what, ratio.measured) == (True, "1.50 ×")


@pytest.mark.parametrize(("every_tick", "conflating", "met"), [(0.5, 0.9, [True, True]), (0.49, 0.89, [False, False])])
def test_sustained_rates_are_held_to_those_of_the_bare_handler(every_tick, conflating, met):
    goals = sustained._goals({sustained.EVERY_TICK: every_tick, sustained.CONFLATING: conflating})
    assert [goal.met for goal in goals] == met
    assert [bool(goal.why) for goal in goals] == [not one for one in met]


@pytest.mark.parametrize(("share", "met"), [(0.05, True), (0.051, False)])
def test_being_observed_may_cost_a_twentieth(share, met):
    assert instrumentation._goal(share).met is met
