"""What a scrape costs: its size, the time to render it, and how long it holds the event loop.

Rules: the scraper is a process of its own, and scrapes one after the other, faster than any Prometheus. A stall is
the longest time between two turns of the loop while one scrape is answered (``stalls.py``); beside it stand stretches
of the same length without a scrape, which show what the machine does by itself. The peer is prometheus_client's own
server, a thread of the same process that serves the same registry.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from benchmarks.options import Options
from benchmarks.report import Figure, Goal, Table, figure, percentile, shown
from benchmarks.scraper import OPENMETRICS, TEXT
from benchmarks.stalls import MILLISECOND_NS, NO_SCRAPE, SLICED, SLICED_OPENMETRICS, Stall, scraped_in_turns
from benchmarks.traded import Traded, manifold, traded
from benchmarks.turns import in_turns
from observability.render import render
from trader.clock import SystemClock

STALL_LIMIT_MS: Final = 1.0
TIMES: Final = 10
WHOLE: Final = "prometheus_client's generate_latest, text"


class Effort(msgspec.Struct, frozen=True):
    """How much of everything: ``scrapes`` and ``renders`` are of one side in one of the ``rounds``."""

    session_s: float
    rounds: int
    scrapes: int
    renders: int


FULL: Final = Effort(session_s=900.0, rounds=25, scrapes=40, renders=20)
QUICK: Final = Effort(session_s=60.0, rounds=3, scrapes=5, renders=5)


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    effort = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, asyncio.Runner() as runner:
        options.told("trade a little, for something to scrape")
        source = traded(Path(folder), effort.session_s, options.seed)
        larger = source._replace(registry=manifold(source.registry, TIMES))
        tables = [_sizes(runner, source, larger), _render_times(runner, source.registry, options, effort)]
        stalls = _stalls(runner, source, options, effort.rounds, effort.scrapes)
        tables += _stall_tables("at the full catalogue", stalls)
        longer = _stalls(runner, larger, options, effort.rounds, max(effort.scrapes // TIMES, 1))
        tables += _stall_tables(f"at {TIMES} times its series", longer)
    return tables, [stall_goal(stalls)]


# -- size and time


def _sizes(runner: asyncio.Runner, source: Traded, larger: Traded) -> Table:
    figures: list[Figure] = []
    for which, sized in (("full catalogue", source), (f"{TIMES} times its series", larger)):
        text, _ = runner.run(render(sized.registry, TEXT, SystemClock()))
        openmetrics, _ = runner.run(render(sized.registry, OPENMETRICS, SystemClock()))
        figures += [
            figure(f"series, {which}", "series", [series_in(text)]),
            figure(f"text, {which}", "KiB", [len(text) / 1024]),
            figure(f"OpenMetrics with exemplars, {which}", "KiB", [len(openmetrics) / 1024]),
        ]
    return Table(title="Size of a scrape", figures=tuple(figures))


def series_in(text: bytes) -> int:
    """How many series a scrape in the text format has."""
    return sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))


def _render_times(runner: asyncio.Runner, registry: CollectorRegistry, options: Options, effort: Effort) -> Table:
    def whole() -> list[float]:
        return [_timed(lambda: generate_latest(registry)) for _ in range(effort.renders)]

    def sliced(accept: str) -> list[float]:
        return [_timed(lambda: runner.run(render(registry, accept, SystemClock()))) for _ in range(effort.renders)]

    sides = {
        WHOLE: whole,
        "the service's renderer, text": lambda: sliced(TEXT),
        "the service's renderer, OpenMetrics": lambda: sliced(OPENMETRICS),
    }
    found = in_turns(sides, effort.rounds, options.rng())
    return _compared("Time to render the full catalogue, in all", found, WHOLE)


def _timed(work: Callable[[], object]) -> float:
    began_ns = perf_counter_ns()
    work()
    return (perf_counter_ns() - began_ns) / MILLISECOND_NS


def _compared(title: str, found: dict[str, list[float]], baseline: str, note: str = "") -> Table:
    """Milliseconds by side, with the ratio of medians."""
    base = figure(baseline, "ms", found[baseline])
    figures = []
    for name, samples in found.items():
        plain = figure(name, "ms", samples)
        figures.append(msgspec.structs.replace(plain, ratio=plain.median / base.median))
    return Table(title=title, figures=tuple(figures), compared=f"median, to {baseline}", note=note)


# -- stalls


def _stalls(
    runner: asyncio.Runner, source: Traded, options: Options, rounds: int, scrapes: int
) -> dict[str, list[Stall]]:
    options.told(f"scrape, {rounds} rounds of {scrapes} a side")
    return scraped_in_turns(runner, source, rounds, scrapes, options.rng())


def _stall_tables(where: str, found: dict[str, list[Stall]]) -> list[Table]:
    wall = {name: [stall.wall_ms for stall in stalls] for name, stalls in found.items()}
    own = {name: [stall.own_ms for stall in stalls] for name, stalls in found.items()}
    return [
        _compared(f"Longest stall of the event loop in a scrape, {where}", wall, NO_SCRAPE),
        _compared(
            f"Longest stretch of the loop's own work in a scrape, {where}", own, NO_SCRAPE,
            "Processor time of the loop's thread: other processes do not lengthen it, nor does waiting for a thread.",
        ),
    ]  # fmt: skip


def stall_goal(found: dict[str, list[Stall]]) -> Goal:
    """Of the format that holds the loop longer. What the machine does to a loop that is not scraped is not caused."""

    def highest(side: str, of: Callable[[Stall], float]) -> float:
        return percentile(sorted(of(stall) for stall in found[side]), 0.999)

    def worst(of: Callable[[Stall], float]) -> float:
        return max(highest(SLICED, of), highest(SLICED_OPENMETRICS, of))

    own_ms, stall_ms, unscraped_ms = worst(_own), worst(_wall), highest(NO_SCRAPE, _wall)
    met = own_ms <= STALL_LIMIT_MS
    return Goal(
        what="longest stall of the event loop caused by a scrape at the full catalogue, p99.9 of scrapes",
        limit=f"≤ {STALL_LIMIT_MS:g} ms",
        measured=(
            f"{shown(own_ms)} ms of the loop's own work; by the wall clock {shown(stall_ms)} ms, "
            f"and {shown(unscraped_ms)} ms in as long stretches without a scrape"
        ),
        met=met,
        why="" if met else f"{shown(own_ms - STALL_LIMIT_MS)} ms over",
    )


def _wall(stall: Stall) -> float:
    return stall.wall_ms


def _own(stall: Stall) -> float:
    return stall.own_ms
