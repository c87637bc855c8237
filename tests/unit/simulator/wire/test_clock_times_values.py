"""The simulated clock, times in text, and figures that are only sent when they changed."""

from datetime import UTC, datetime, timedelta

import pytest

from trader.simulator.wire.clock import STANDING, SimulatedClock
from trader.simulator.wire.codec import BadRequest
from trader.simulator.wire.options import ServerRefused, require_loopback
from trader.simulator.wire.times import parse_stamp, stamp
from trader.simulator.wire.values import FigureWatch, ValueWatch

AT = datetime(2013, 10, 7, 13, 30, 5, tzinfo=UTC)


def test_the_clock_stands_until_it_runs_and_then_runs_at_its_speed():
    clock = SimulatedClock(AT, 60.0)
    assert (clock.at(1_000.0), clock.reported_speed) == (AT, STANDING)
    clock.run(1_000.0)
    assert (clock.at(1_002.0), clock.reported_speed) == (AT + timedelta(minutes=2), 60.0)
    assert clock.real_seconds_until(AT + timedelta(minutes=3), 1_002.0) == pytest.approx(1.0)
    clock.run(2_000.0)
    assert clock.at(1_002.0) == AT + timedelta(minutes=2)


TIMES = {
    "20131007 09:30:05 US/Eastern": AT,
    "20131007 13:30:05 UTC": AT,
    "20131007-13:30:05": AT,
    "20131007 09:30:05": AT,
    "20131007  09:30:05": AT,
    "20131007": AT.replace(hour=4, minute=0, second=0),
}


@pytest.mark.parametrize("text", TIMES)
def test_times_are_read_in_every_form_that_clients_write(text):
    assert parse_stamp(text, "US/Eastern") == TIMES[text]


@pytest.mark.parametrize("text", ["yesterday", "20131007 25:00:00", "20131007 09:30:05 Mars/Olympus", "../etc 1"])
def test_a_time_that_is_none_is_a_bad_request(text):
    with pytest.raises(BadRequest, match="invalid"):
        parse_stamp(text, "US/Eastern")


def test_times_name_their_zone_from_version_174_on():
    assert stamp(AT, 174, "US/Eastern") == "20131007 09:30:05 US/Eastern"
    assert stamp(AT, 173, "US/Eastern") == "20131007  09:30:05"


def test_only_values_that_changed_are_sent_again():
    watch = ValueWatch(lambda values: values, lambda value: f"{value[0]}={value[1]};".encode())
    assert watch.changes([("A", "1", ""), ("B", "2", "")]) == b"A=1;B=2;"
    assert watch.changes([("A", "1", ""), ("B", "3", "")]) == b"B=3;"


def test_figures_that_stayed_are_not_sent_again():
    frames = iter([b"one", b"one", b"two"])
    watch = FigureWatch(lambda: next(frames))
    assert [watch.changes(), watch.changes(), watch.changes()] == [b"one", b"", b"two"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_addresses_of_this_machine_are_accepted(host):
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_every_other_address_is_refused(host):
    with pytest.raises(ServerRefused, match="this machine only"):
        require_loopback(host)
