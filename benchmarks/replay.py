"""Replay: quotes a second of a recorded day; and the drill of faults: seeds, worlds and deaths a second.

Rules: the day is made from the seed by the service's own recorder, so that everybody replays the same one; replays of
it must agree with each other to the last fact. The other side is a loop in plain Python that reads the same file,
turns its numbers into floats and does nothing with them: no engine on recorded files can be faster than that.
"""

import csv
import gzip
import tempfile
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

from benchmarks.faults import faults
from benchmarks.options import BenchmarkFailed, Options
from benchmarks.recording import QUOTES, SYMBOLS, record_day
from benchmarks.report import Figure, Goal, Table, figure
from benchmarks.turns import in_turns
from trader.events import OrderIntended
from trader.replay import run_replay
from trader.settings import InstrumentSettings, Settings
from trader.simulator.recorded import read_rows

PER_S_GOAL: Final = 100_000
BARE: Final = "csv and floats, nothing done with them"
READ: Final = "the recording read and checked, not traded"
WHOLE: Final = "the service's replay: exchange, engine, strategy, risk, books"
ROUNDS: Final = 15
ROUNDS_QUICK: Final = 3

REPLAY_NOTE: Final = "{quotes:,} quotes of {symbols} symbols, {orders} orders; each n is one whole day."

_encode = msgspec.json.Encoder().encode


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    with tempfile.TemporaryDirectory() as folder:
        file = record_day(Path(folder), options.seed)
        replays, goal = _replays(options, file)
    return [replays, faults(options)], [goal]


def _replays(options: Options, file: Path) -> tuple[Table, Goal]:
    replayed = Replayed(file)
    sides: dict[str, Callable[[], list[float]]] = {
        WHOLE: replayed.run,
        READ: lambda: [_per_second(lambda: sum(1 for event in read_rows(file) if event.bid is not None))],
        BARE: lambda: [_per_second(lambda: read_bare(file))],
    }
    found = in_turns(sides, ROUNDS_QUICK if options.quick else ROUNDS, options.rng(), options.told)
    base = figure(BARE, "quotes/s", found[BARE]).median
    figures = {name: figure(name, "quotes/s", rates) for name, rates in found.items()}
    table = Table(
        title="Replay of a recorded day",
        figures=tuple(msgspec.structs.replace(item, ratio=item.median / base) for item in figures.values()),
        compared=f"median to {BARE}",
        note=REPLAY_NOTE.format(quotes=QUOTES, symbols=len(SYMBOLS), orders=replayed.orders),
    )
    return table, _goal(figures)


class Replayed:
    """The same day again and again; raises BenchmarkFailed when it does not go the same way."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._settings = Settings(instruments=tuple(InstrumentSettings(symbol=symbol) for symbol in SYMBOLS))
        self._facts = ""
        self.orders = 0

    def run(self) -> list[float]:
        began_s = perf_counter()
        result = run_replay([self._file], self._settings)
        rate = result.quotes / (perf_counter() - began_s)
        facts = blake2b(_encode(result.facts)).hexdigest()
        if self._facts not in ("", facts):
            raise BenchmarkFailed("two replays of one day differ; that is a defect, report it with the seed")
        self._facts = facts
        self.orders = sum(isinstance(fact, OrderIntended) for fact in result.facts)
        return [rate]


def _per_second(count: Callable[[], int]) -> float:
    began_s = perf_counter()
    quotes = count()
    return quotes / (perf_counter() - began_s)


def read_bare(file: Path) -> int:
    quotes = 0
    with gzip.open(file, "rt", newline="") as text:
        rows = csv.reader(text)
        next(rows)
        for _time, _symbol, bid, bid_size, ask, ask_size, _last, _last_size in rows:
            if bid:
                float(bid), float(bid_size), float(ask), float(ask_size)
                quotes += 1
    return quotes


def _goal(figures: dict[str, Figure]) -> Goal:
    rate = figures[WHOLE].median
    met = rate >= PER_S_GOAL
    each_us, reading_us = 1e6 / rate, 1e6 / figures[READ].median
    why = (
        f"{1 - rate / PER_S_GOAL:.1%} short: {each_us:.1f} µs a quote, {reading_us:.1f} for reading the file, the rest "
        "for the exchange, the engine and the strategy"
    )
    return Goal(
        what=f"replay of a recorded day ({QUOTES:,} quotes)",
        limit=f"≥ {PER_S_GOAL:,} quotes/s",
        measured=f"{rate:,.0f} quotes/s",
        met=met,
        why="" if met else why,
    )
