"""The service's clock follows the simulated gateway's."""

from datetime import UTC, datetime, timedelta

import pytest

from trader.clock import AnchoredClock, ManualClock
from trader.gateway.ib.simulated_time import SimulatedTime

HOST = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
DAY = "2013-10-07T13:30:00.000000Z"
OPENING = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)


class Bench:
    def __init__(self, *, follow: bool = True) -> None:
        self.host = ManualClock(HOST)
        self.clock = AnchoredClock(self.host)
        self.time = SimulatedTime(self.clock, follow=follow)

    def tell(self, **values: str) -> None:
        for tag, value in values.items():
            self.time.take(tag, value)
        self.time.settle()


def test_the_first_telling_anchors_the_clock() -> None:
    bench = Bench()
    bench.tell(NetLiquidation="1000")
    assert not bench.time.seen
    assert not bench.clock.anchored
    bench.tell(SimulatorTime=DAY, SimulatorSpeed="60")
    assert bench.time.seen
    assert bench.clock.now() == OPENING
    bench.host.advance(timedelta(seconds=1))
    assert bench.clock.now() == OPENING + timedelta(minutes=1)


def test_a_small_difference_does_not_make_the_clock_jitter() -> None:
    bench = Bench()
    bench.tell(SimulatorTime=DAY, SimulatorSpeed="60")
    bench.tell(SimulatorTime="2013-10-07T13:30:05.000000Z", SimulatorSpeed="60")
    assert bench.clock.now() == OPENING


def test_a_large_difference_is_corrected() -> None:
    bench = Bench()
    bench.tell(SimulatorTime=DAY, SimulatorSpeed="60")
    bench.tell(SimulatorTime="2013-10-07T13:31:00.000000Z", SimulatorSpeed="60")
    assert bench.clock.now() == OPENING + timedelta(minutes=1)


def test_a_speed_told_alone_sets_a_standing_clock_going() -> None:
    bench = Bench()
    bench.tell(SimulatorTime=DAY, SimulatorSpeed="1e-09")
    bench.host.advance(timedelta(seconds=30))
    bench.tell(SimulatorSpeed="60")
    bench.host.advance(timedelta(seconds=1))
    assert abs(bench.clock.now() - OPENING - timedelta(minutes=1)) < timedelta(milliseconds=1)


def test_a_clock_that_is_not_to_follow_stays_where_it_is_and_the_telling_is_noticed() -> None:
    bench = Bench(follow=False)
    bench.tell(SimulatorTime=DAY, SimulatorSpeed="60")
    assert bench.time.seen
    assert not bench.clock.anchored


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("SimulatorTime", "noon"),
        ("SimulatorTime", "2013-10-07T13:30:00"),
        ("SimulatorSpeed", "fast"),
        ("SimulatorSpeed", "-1"),
        ("SimulatorSpeed", "nan"),
    ],
)
def test_a_telling_that_makes_no_sense_is_refused(tag: str, value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own words differ
        Bench().tell(**{tag: value})


@pytest.mark.parametrize(
    ("tag", "value"),
    [("SimulatorTime", "9999-12-31T23:59:59Z"), ("SimulatorTime", "0001-01-01T00:00:00Z"), ("SimulatorSpeed", "1e300")],
)
def test_a_clock_is_not_set_to_what_would_overflow(tag: str, value: str) -> None:
    bench = Bench()
    bench.tell(SimulatorTime=DAY, SimulatorSpeed="1")
    with pytest.raises(ValueError, match="a clock cannot"):
        bench.tell(**{tag: value})
    bench.host.advance(timedelta(days=300))
    assert bench.clock.now() == OPENING + timedelta(days=300)
