"""The recorded day of the benchmark of replay, and what counts as one replay of it."""

from pathlib import Path

import pytest

from benchmarks.options import BenchmarkFailed
from benchmarks.recording import OPENS_AT, SYMBOLS, record_day
from benchmarks.replay import Replayed, read_bare
from trader.simulator.recorded import read_rows

QUOTES = 400


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return record_day(tmp_path / "recorded", seed=7, quotes=QUOTES)


def test_a_day_has_as_many_quotes_as_were_asked_for_over_the_whole_session(day: Path) -> None:
    events = list(read_rows(day))
    assert len(events) == QUOTES
    assert {event.symbol for event in events} == set(SYMBOLS)
    assert events[0].at == OPENS_AT
    assert (events[-1].at - OPENS_AT).total_seconds() == pytest.approx(23_400, rel=0.01)
    assert all(event.bid is not None and event.ask is not None for event in events)


def test_the_seed_decides_the_day(tmp_path: Path) -> None:
    one, same, other = (record_day(tmp_path / str(n), seed, QUOTES).read_bytes() for n, seed in enumerate((1, 1, 2)))
    assert one == same
    assert one != other


def test_the_loop_that_does_nothing_reads_every_quote(day: Path) -> None:
    assert read_bare(day) == QUOTES


def test_a_replay_counts_quotes_and_orders(day: Path) -> None:
    replayed = Replayed(day)
    rates = [*replayed.run(), *replayed.run()]
    assert len(rates) == 2
    assert all(rate > 0 for rate in rates)
    assert replayed.orders > 0


def test_replays_that_differ_are_a_defect_and_no_figure(day: Path, tmp_path: Path) -> None:
    replayed = Replayed(day)
    replayed.run()
    day.write_bytes(record_day(tmp_path / "other", seed=8, quotes=QUOTES).read_bytes())
    with pytest.raises(BenchmarkFailed, match="two replays of one day differ"):
        replayed.run()
