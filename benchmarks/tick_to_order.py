"""From a tick on the socket to the order's frame on it, beside bare clients of other libraries.

Rules: the whole service, scraped every second, against clients that do nothing but send, at the same ticks; the clients
in turn, each in a process of its own. The time begins before the marker tick is handed to the socket and ends when the
order has been read from it, both on the gateway's side.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Final, TypeAlias

from benchmarks.options import Options
from benchmarks.report import Figure, Goal, Table, figure, shown
from benchmarks.turns import in_turns
from benchmarks.wire.clients import SERVICE, Client, Running, bare_clients, processors, service
from benchmarks.wire.environments import IB_ASYNC
from benchmarks.wire.feeder import Feeder
from benchmarks.wire.market import SYMBOLS
from benchmarks.wire.turn import take_turn

RATES: Final = (2_000, 4_000)
BASELINE: Final = f"bare {IB_ASYNC.name}"
RATIO_MAX: Final = 1.5
P99_MAX_US: Final = 500.0
QUICK_SYMBOLS: Final = 10
NOTE: Final = "Microseconds from the marker tick's send to the read of its order's frame."

Sample: TypeAlias = tuple[int, float]


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    bare, notes = bare_clients(options)
    rng = options.rng()
    clients = [service(), *bare]
    symbols = SYMBOLS[:QUICK_SYMBOLS] if options.quick else SYMBOLS
    rounds, warm_up_s, feed_s = (1, 0.3, 0.7) if options.quick else (3, 1.0, 12.0)
    turn = partial(_turn, symbols=symbols, rng=rng, warm_up_s=warm_up_s, feed_s=feed_s)
    samples = in_turns({client.name: partial(turn, client) for client in clients}, rounds, rng, options.told)
    if processors() < 2:
        notes.append("One processor: the feeder shares it with the clients, so these figures say little.")
    found = [_figures(samples, rate) for rate in RATES]
    tables = [_table(rate, figures, len(symbols), notes) for rate, figures in zip(RATES, found, strict=True)]
    return tables, [*_goals(found[-1])]


def _turn(client: Client, *, symbols: Sequence[str], rng: Random, warm_up_s: float, feed_s: float) -> list[Sample]:
    async def work(feeder: Feeder, _process: Running) -> list[Sample]:
        found: list[Sample] = []
        for rate in RATES:
            await feeder.paced(rate, warm_up_s)
            found += [(rate, latency_us) for latency_us in await feeder.paced(rate, feed_s)]
        return found

    return take_turn(client, symbols, rng, work)


def _figures(samples: Mapping[str, Sequence[Sample]], rate: int) -> list[Figure]:
    of_rate = {name: [value for at, value in found if at == rate] for name, found in samples.items()}
    compared = _compared(figure(BASELINE, "µs", of_rate[BASELINE]))
    figures = [figure(name, "µs", found) for name, found in of_rate.items()]
    return [
        figure(one.what, "µs", of_rate[one.what], None if one.what == BASELINE else _compared(one) / compared)
        for one in figures
    ]


def _compared(one: Figure) -> float:
    """The p99, or the median of samples that are too few for one."""
    return one.median if one.p99 is None else one.p99


def _table(rate: int, figures: Sequence[Figure], symbols: int, notes: Sequence[str]) -> Table:
    statistic = "median" if any(one.p99 is None for one in figures) else "p99"
    return Table(
        title=f"{rate:,} ticks/s of {symbols} instruments",
        figures=tuple(figures),
        compared=f"{statistic} to {BASELINE}'s",
        note=" ".join((NOTE, *notes)),
    )


def _goals(figures: Sequence[Figure]) -> list[Goal]:
    by_name = {one.what: one for one in figures}
    ours, baseline = by_name[SERVICE], by_name[BASELINE]
    ratio, p99_us = ours.ratio or math.inf, _compared(ours)
    statistic = "median" if ours.p99 is None or baseline.p99 is None else "p99"
    return [
        Goal(
            what=f"tick to order at {RATES[-1]:,} ticks/s, {statistic} beside bare ib_async",
            limit=f"≤ {RATIO_MAX:g} ×",
            measured=f"{ratio:.2f} ×",
            met=ratio <= RATIO_MAX,
            why="" if ratio <= RATIO_MAX else _why_slower(ours, baseline),
        ),
        Goal(
            what=f"tick to order at {RATES[-1]:,} ticks/s, {statistic}",
            limit=f"< {P99_MAX_US:g} µs on a quiet machine",
            measured=f"{shown(p99_us)} µs",
            met=p99_us < P99_MAX_US,
            why=""
            if p99_us < P99_MAX_US
            else f"{shown(p99_us - P99_MAX_US)} µs too much; {_why_slower(ours, baseline)}",
        ),
    ]


def _why_slower(ours: Figure, baseline: Figure) -> str:
    more_us, median_us = _compared(ours) - _compared(baseline), ours.median - baseline.median
    if more_us <= 0:
        return "the handler beside it took no less: the machine was busy"
    return (
        f"{shown(more_us)} µs more ({shown(median_us)} µs in the median) for the decision, all rules of risk, "
        "and the intent in the journal before the order leaves; the handler beside it does none of these"
    )
