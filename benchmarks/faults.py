"""The drill of faults as ``trader drill faults`` runs it: seeds, worlds and deaths a second, on one core and on all.

Rules: a campaign in which something did not hold is no measurement, it ends the benchmark.
"""

import os
from time import perf_counter
from typing import Final

import msgspec

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.report import Figure, Table, figure
from benchmarks.turns import in_turns
from trader.drills.simulation import Campaign, CampaignResult, run_campaign

SEEDS: Final = 64
SEEDS_QUICK: Final = 8
ROUNDS: Final = 3
CRASH_POINTS: Final = 5
NOTE: Final = (
    "`trader drill faults` with {seeds} seeds, each with {points} deaths at a chosen point. A world is 80 simulated "
    "seconds of faults and the calm after them: {events:,.0f} events of the engine and {orders:,.0f} orders. Starting "
    "the processes is in the figures."
)


class Ran(msgspec.Struct, frozen=True):
    """One campaign, and the seconds that it took."""

    result: CampaignResult
    took_s: float


def faults(options: Options) -> Table:
    """Raises BenchmarkFailed when an invariant did not hold."""
    processes = os.cpu_count() or 1
    seeds, rounds = (SEEDS_QUICK, 1) if options.quick else (SEEDS, ROUNDS)
    campaign = Campaign(first=options.seed, end=options.seed + seeds, crash_points=CRASH_POINTS)
    sides = {
        f"{jobs} process{'es' * (jobs > 1)}": lambda jobs=jobs: [_run(msgspec.structs.replace(campaign, jobs=jobs))]
        for jobs in sorted({1, processes})
    }
    found = in_turns(sides, rounds, options.rng(), options.told)
    total = next(iter(found.values()))[0].result
    return Table(
        title="Drill of faults",
        figures=tuple(item for name, ran in found.items() for item in _figures(name, ran)),
        note=NOTE.format(
            seeds=seeds,
            points=CRASH_POINTS,
            events=total.events / total.worlds,
            orders=total.orders / total.worlds,
        ),
    )


def _run(campaign: Campaign) -> Ran:
    began_s = perf_counter()
    result = run_campaign(campaign)
    if result.violations:
        item = result.violations[0]
        raise BenchmarkFailed(f"the drill found a violation (seed {item.seed}: {item.invariant}); that is a defect")
    return Ran(result, perf_counter() - began_s)


def _figures(name: str, ran: list[Ran]) -> list[Figure]:
    return [
        figure(f"{name}: seeds", "1/s", [item.result.seeds / item.took_s for item in ran]),
        figure(f"{name}: worlds", "1/s", [item.result.worlds / item.took_s for item in ran]),
        figure(f"{name}: deaths at a chosen point", "1/s", [item.result.crash_points / item.took_s for item in ran]),
        figure(f"{name}: events", "1/s", [item.result.events / item.took_s for item in ran]),
    ]
