"""Ticks a second that a client keeps up with, beside bare clients of other libraries.

Rules: the gateway writes as fast as the socket takes it, so the client is behind all the time; what it handled from the
first tick to the order on the marker after the last one, a second, is what it sustains. No tick is skipped unless the
row says so, and then the service's own count has to account for each.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from statistics import median
from typing import Final

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.report import Goal, Table, figure
from benchmarks.turns import in_turns
from benchmarks.wire.clients import Client, Running, bare_clients, service
from benchmarks.wire.environments import IB_ASYNC
from benchmarks.wire.feeder import Feeder
from benchmarks.wire.market import SYMBOLS
from benchmarks.wire.scraper import sample
from benchmarks.wire.turn import take_turn

BASELINE: Final = f"bare {IB_ASYNC.name}"
EVERY_TICK: Final = "ibkr-trading, every tick"
CONFLATING: Final = "ibkr-trading, conflating"
EVERY_TICK_MIN: Final = 0.5
CONFLATING_MIN: Final = 0.9
TICKS: Final = "trader_market_data_ticks_total"
CONFLATED: Final = "trader_market_data_quotes_conflated_total"
QUICK_SYMBOLS: Final = 10
NOTE: Final = (
    "Ticks a second, from the first of a flood to the order on the marker after it. The service journals, manages "
    "risk, keeps books, logs and is scraped every second meanwhile."
)


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    bare, notes = bare_clients(options)
    rng = options.rng()
    clients = [service(EVERY_TICK, conflate="never"), service(CONFLATING, conflate="when_behind"), *bare]
    symbols = SYMBOLS[:QUICK_SYMBOLS] if options.quick else SYMBOLS
    rounds, floods, ticks = (1, 1, 50_000) if options.quick else (3, 3, 250_000)
    turn = partial(_turn, symbols=symbols, rng=rng, floods=floods, ticks=ticks)
    found = in_turns({client.name: partial(turn, client) for client in clients}, rounds, rng, options.told)
    ratios = {name: median(values) / median(found[BASELINE]) for name, values in found.items()}
    figures = [
        figure(name, "ticks/s", values, None if name == BASELINE else ratios[name]) for name, values in found.items()
    ]
    table = Table(
        title=f"Floods of {ticks:,} ticks of {len(symbols)} instruments",
        figures=tuple(figures),
        compared=f"median to {BASELINE}'s",
        note=" ".join((NOTE, *notes)),
    )
    return [table], _goals(ratios)


def _turn(client: Client, *, symbols: Sequence[str], rng: Random, floods: int, ticks: int) -> list[float]:
    async def work(feeder: Feeder, process: Running) -> list[float]:
        await feeder.flooded(ticks // 10)
        before = await _taken(feeder, process)
        found = [await feeder.flooded(ticks) for _ in range(floods)]
        missing = floods * ticks - (await _taken(feeder, process) - before)
        if process.scraper is not None and missing > 0:
            raise BenchmarkFailed(f"{missing:.0f} of {floods * ticks} ticks are not accounted for")
        return found

    return take_turn(client, symbols, rng, work)


async def _taken(feeder: Feeder, process: Running) -> float:
    """Ticks that the service says it has taken in; 0 for a client without metrics."""
    if process.scraper is None:
        return 0.0
    answer = await process.scrape(feeder)
    return sample(answer, TICKS) + sample(answer, CONFLATED)


def _goals(ratios: Mapping[str, float]) -> list[Goal]:
    return [
        _goal("every tick reaching the strategy", ratios[EVERY_TICK], EVERY_TICK_MIN),
        _goal("conflating when behind", ratios[CONFLATING], CONFLATING_MIN),
    ]


def _goal(what: str, ratio: float, least: float) -> Goal:
    met = ratio >= least
    why = "" if met else f"{least - ratio:.2f} × too little: each quote is checked, shown to the strategy and counted"
    return Goal(
        what=f"sustained ticks/s beside bare ib_async, {what}",
        limit=f"≥ {least:g} ×",
        measured=f"{ratio:.2f} ×",
        met=met,
        why=why,
    )
