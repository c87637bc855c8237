"""What the benchmark of starts, stops and memory concludes from what it measured."""

from datetime import UTC, datetime

from benchmarks.lifecycle import memory_goals, speed_goals
from benchmarks.starts import MIB, NOTHING, READY, Load, Runs
from trader.drills.memory import Sample, Slope
from trader.drills.soak import SoakReport

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def slope(per_session: float) -> Slope:
    return Slope(
        per_session=per_session, low=per_session - 1, high=per_session + 1, level=90 * MIB, samples=12, negligible=100
    )  # fmt: skip


def soaked(resident_mib: float, growth: float) -> SoakReport:
    samples = [
        Sample(session=session, part=1, at=AT, resident_bytes=int(resident_mib * MIB), blocks=1, orders=1)
        for session in (1, 2)
    ]
    return SoakReport(
        sessions=2, quotes=1, orders=1, fills=1, facts=1, scrapes=1, samples=tuple(samples),
        resident=slope(growth), blocks=slope(growth), files={}, duration_s=1.0,
    )  # fmt: skip


def test_the_slowest_start_and_stop_count() -> None:
    start, stop = speed_goals(Runs({READY: [0.9, 2.5, 1.0]}, {NOTHING: [0.3, 0.4]}, {}))
    assert (start.met, start.measured, start.why) == (False, "2.50 s", "0.500 s over")
    assert (stop.met, stop.measured, stop.why) == (True, "0.400 s", "")


def test_memory_is_the_highest_that_was_seen_and_has_to_be_flat() -> None:
    load = Load([80.0, 160.0, 90.0], ticks=10, orders=1, duration_s=60)
    trading, week, flat = memory_goals(load, soaked(95.0, growth=500.0))
    assert (trading.met, trading.why) == (False, "10.0 MiB over")
    assert (week.met, week.measured) == (True, "95.0 MiB")
    assert not flat.met
    assert flat.why


def test_memory_that_does_not_grow_is_flat() -> None:
    goals = memory_goals(Load([80.0], ticks=10, orders=1, duration_s=60), soaked(95.0, growth=0.0))
    assert all(goal.met for goal in goals)
