"""What the shipped recording and alert rules cost a real Prometheus: with more instances, and with a longer past.

Rules: a cycle is one of the shipped interval, 15 s: the evaluation of every group, by the times that Prometheus itself
measures, but of a group that is shipped with a longer interval only its share. It is evaluated more often here, to have
more samples, and scraped at the same rate. Instances are one real service, scraped after it traded, and one real
node_exporter, served under many names with time going on. Rules look back on as much as there is, up to 30 days; so a
Prometheus without a past flatters them, and one instance is also measured with one.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import time
from typing import Final

import msgspec

from benchmarks.evaluation import Evaluated, evaluated, trader_scrape
from benchmarks.history import write_history
from benchmarks.options import BenchmarkFailed, Options
from benchmarks.report import Figure, Goal, Table, figure, shown
from trader.stack import Programs, ProgramsMissing, StackError, find_programs

CYCLE_LIMIT_MS: Final = 5.0
SERIES_LIMIT: Final = 1_500


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """``trade_s`` is how long the service trades before it is scraped; ``past_days`` are for one instance.

    ``runs`` are numbers of instances, with the seconds between evaluations and how many of these are measured.
    """

    trade_s: float
    runs: tuple[tuple[int, float, int], ...]
    past_days: tuple[float, ...]


FULL: Final = Effort(trade_s=10.0, runs=((1, 2.0, 10), (10, 2.0, 10), (100, 15.0, 4)), past_days=(1, 30))
QUICK: Final = Effort(trade_s=2.0, runs=((1, 2.0, 2),), past_days=())


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    try:
        programs = find_programs()
        found = asyncio.run(_measured(programs, options, QUICK if options.quick else FULL))
    except (ProgramsMissing, StackError) as error:
        raise BenchmarkFailed(str(error)) from None
    return [_cycles(found), *map(_a_group, extremes(found)), _series(found[0])], goals(found)


async def _measured(programs: Programs, options: Options, effort: Effort) -> list[Evaluated]:
    """Each number of instances without a past, then one instance with each past."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        options.told(f"trade for {effort.trade_s:g} s")
        (folder / "service").mkdir()
        trader = await trader_scrape(folder / "service", options.seed, effort.trade_s)
        found: list[Evaluated] = []
        for instances, interval_s, cycles in effort.runs:
            options.told(f"evaluate for {instances} instances")
            here = folder / f"of{instances}"
            found.append(await evaluated(here, programs, trader, instances, interval_s, cycles))
        for days in effort.past_days:
            options.told(f"write {days:g} days of the past, and evaluate")
            here = folder / f"past{days:g}"
            data, until_s = here / "prometheus", int(time())
            await asyncio.to_thread(write_history, programs.promtool, data, found[0].looked_back_on, days, until_s)
            past = await evaluated(here, programs, trader, *effort.runs[0])
            found.append(msgspec.structs.replace(past, past_days=days))
    return found


# -- tables


def _cycles(found: list[Evaluated]) -> Table:
    base = median(found[0].cycles_ms)
    figures: list[Figure] = []
    for item in found:
        plain = figure(item.title, "ms", item.cycles_ms)
        figures.append(msgspec.structs.replace(plain, ratio=plain.median / base))
        if item.instances > 1:
            each = [time_ms / item.instances for time_ms in item.cycles_ms]
            figures.append(figure(f"{item.title}, for each", "ms", each))
    firing = sorted({name for item in found for name in item.firing})
    note = f"Alerts that were pending or fired meanwhile: {', '.join(firing) or 'none'}."
    return Table(title="A cycle of all rule groups", figures=tuple(figures), compared="median, to the first", note=note)


def _a_group(item: Evaluated) -> Table:
    by_time = sorted(item.groups_ms.items(), key=lambda pair: -sum(pair[1]))
    figures = tuple(figure(name, "ms", times) for name, times in by_time)
    return Table(title=f"One evaluation of each group: {item.title}", figures=figures)


def _series(item: Evaluated) -> Table:
    figures = tuple(figure(what, "series", [count]) for what, count in item.series.items())
    return Table(title="Series of one instance", figures=figures)


def extremes(found: list[Evaluated]) -> list[Evaluated]:
    """The most instances, and the longest past."""
    most, longest = max(found, key=lambda item: item.instances), max(found, key=lambda item: item.past_days)
    return [most, longest] if longest.past_days else [most]


def goals(found: list[Evaluated]) -> list[Goal]:
    """For each of the most instances, and for one with the longest past; and its series."""
    series = sum(count for what, count in found[0].series.items() if "node_exporter" not in what)
    return [
        *(_cycle_goal(item) for item in extremes(found)),
        Goal(
            what="series of an instance, scraped from the trader and recorded",
            limit=f"≤ {SERIES_LIMIT:,}",
            measured=f"{series:,}",
            met=series <= SERIES_LIMIT,
            why="" if series <= SERIES_LIMIT else f"{series - SERIES_LIMIT} over",
        ),
    ]


def _cycle_goal(item: Evaluated) -> Goal:
    each_ms = median(item.cycles_ms) / item.instances
    worst = max(item.groups_ms, key=lambda name: sum(item.groups_ms[name]))
    worst_ms = median(item.groups_ms[worst]) / item.instances
    met = each_ms < CYCLE_LIMIT_MS
    return Goal(
        what=f"evaluation of all rules a cycle an instance, median: {item.title}",
        limit=f"< {CYCLE_LIMIT_MS:g} ms",
        measured=f"{shown(each_ms)} ms",
        met=met,
        why=""
        if met
        else f"{shown(each_ms - CYCLE_LIMIT_MS)} ms over; one evaluation of {worst} takes {shown(worst_ms)} ms",
    )
