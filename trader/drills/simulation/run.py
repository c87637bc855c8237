"""Many worlds on all cores, and of each some that die at a point.

Rules: a seed's worlds are a function of the seed, the configuration and how many points are wanted; who runs them and
in which order changes nothing. Everything has a limit; the first failures are kept, all are counted.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Final

import msgspec

from trader.drills.simulation.model import Point, Scenario, SimulationError, Violation, WorldResult
from trader.drills.simulation.scenario import SCRIPTED_S, scenario_of
from trader.drills.simulation.world import World, run_world
from trader.replay import ReplayError
from trader.schedule import ScheduleError
from trader.session import CalendarError
from trader.settings import Settings
from trader.strategy.loader import StrategyError

CHUNK_SEEDS: Final = 8
SEEDS_MAX: Final = 1_000_000
VIOLATIONS_KEPT: Final = 100


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """Seeds from ``first`` up to, without, ``end``; ``crash_points`` deaths are tried in the world of each."""

    first: int
    end: int
    crash_points: int = 5
    settings: Settings | None = None
    duration_s: float = SCRIPTED_S
    jobs: int = 0


class SeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the worlds of one seed."""

    seed: int
    worlds: int
    violations: tuple[Violation, ...]
    events: int
    orders: int
    fills: int
    deaths: int
    crash_points: int
    simulated_s: float


class CampaignResult(msgspec.Struct, kw_only=True):
    """What came of all worlds. ``violations`` are the first ``VIOLATIONS_KEPT`` of ``violated``."""

    seeds: int = 0
    worlds: int = 0
    events: int = 0
    orders: int = 0
    fills: int = 0
    deaths: int = 0
    crash_points: int = 0
    simulated_s: float = 0.0
    violated: int = 0
    violations: list[Violation] = []

    def add(self, result: SeedResult) -> None:
        self.seeds += 1
        self.worlds += result.worlds
        self.events += result.events
        self.orders += result.orders
        self.fills += result.fills
        self.deaths += result.deaths
        self.crash_points += result.crash_points
        self.simulated_s += result.simulated_s
        self.violated += len(result.violations)
        room = VIOLATIONS_KEPT - len(self.violations)
        self.violations += result.violations[:room]


def run_campaign(campaign: Campaign, on_result: Callable[[SeedResult], None] = lambda result: None) -> CampaignResult:
    """Run all of ``campaign``; ``on_result`` hears of each seed as it ends."""
    total = CampaignResult()
    for result in _results(campaign):
        total.add(result)
        on_result(result)
    total.violations.sort(key=lambda item: (item.seed, -1 if item.crash_point is None else item.crash_point))
    return total


def _results(campaign: Campaign) -> Iterator[SeedResult]:
    seeds = range(campaign.first, campaign.end)
    jobs = min(campaign.jobs or os.cpu_count() or 1, len(seeds))
    if jobs <= 1:
        yield from (run_seed(campaign, seed) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin_worker, (campaign,)) as pool:
        yield from pool.map(_run_in_worker, seeds, chunksize=CHUNK_SEEDS)


_campaign: Campaign | None = None


def _begin_worker(campaign: Campaign) -> None:
    global _campaign
    _campaign = campaign


def _run_in_worker(seed: int) -> SeedResult:
    assert _campaign is not None, "a worker begins with its campaign"
    return run_seed(_campaign, seed)


def run_seed(campaign: Campaign, seed: int) -> SeedResult:
    """The world of one seed, and the same again with a death at each of some points."""
    scenario = world_of(campaign, seed)
    results = [run_world(scenario)[0]]
    points = chosen_points(results[0], campaign.crash_points)
    results += [run_world(dying_at(scenario, point), point)[0] for point in points]
    return SeedResult(
        seed=seed,
        worlds=len(results),
        violations=tuple(item.violation for item in results if item.violation is not None),
        events=sum(item.events for item in results),
        orders=sum(item.orders for item in results),
        fills=sum(item.fills for item in results),
        deaths=sum(item.deaths for item in results),
        crash_points=len(results) - 1,
        simulated_s=sum(item.simulated_s for item in results),
    )


def world_of(campaign: Campaign, seed: int, crash_point: int | None = None) -> Scenario:
    """The world of ``seed``, or the same dying at a point."""
    scenario = scenario_of(seed, campaign.settings, campaign.duration_s)
    return scenario if crash_point is None else dying_at(scenario, crash_point)


def require_usable(campaign: Campaign) -> None:
    """Raise SimulationError when the worlds of ``campaign`` cannot be built."""
    try:
        World(world_of(campaign, campaign.first), trace=False).build_process()
    except (CalendarError, ReplayError, ScheduleError, StrategyError) as error:
        raise SimulationError(str(error)) from error


def chosen_points(result: WorldResult, count: int) -> tuple[int, ...]:
    """Numbers of points of a world to die at: of each kind as many, as far as there are."""
    random = Random(f"points {result.seed}")
    kinds: dict[Point, list[int]] = {kind: [] for kind in Point}
    for number, kind in enumerate(result.points):
        kinds[kind].append(number)
    for numbers in kinds.values():
        random.shuffle(numbers)
    queues = [numbers for numbers in kinds.values() if numbers]
    random.shuffle(queues)
    chosen: list[int] = []
    while len(chosen) < count and queues:
        for numbers in queues:
            if len(chosen) < count:
                chosen.append(numbers.pop())
        queues = [numbers for numbers in queues if numbers]
    return tuple(sorted(chosen))


def dying_at(scenario: Scenario, point: int) -> Scenario:
    """The same world up to ``point``, where the process dies; what else would have gone wrong later is left out."""
    deaths = tuple(number for number in scenario.deaths if number < point)
    return msgspec.structs.replace(scenario, deaths=(*deaths, point), last_point=point)
