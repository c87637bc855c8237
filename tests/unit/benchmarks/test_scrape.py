"""How the benchmark of scrapes counts, and what it finds a stall."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Counter, generate_latest

from benchmarks.scrape import series_in, stall_goal
from benchmarks.scraper import carry_out
from benchmarks.stalls import NO_SCRAPE, SLICED, SLICED_OPENMETRICS, Probe, Stall
from benchmarks.traded import manifold


def stalls(wall_ms: float, own_ms: float) -> list[Stall]:
    return [Stall(wall_ms=wall_ms, own_ms=own_ms)] * 1_000


def test_series_are_counted_without_headings() -> None:
    assert series_in(b'# HELP a A\n# TYPE a gauge\na 1\na{b="#"} 2\n\n') == 2


def test_many_times_the_series_are_families_of_that_size() -> None:
    registry = CollectorRegistry()
    Counter("orders", "Orders", ["side"], registry=registry).labels("buy").inc()
    text = generate_latest(manifold(registry, 10))
    assert series_in(text) == 10 * series_in(generate_latest(registry))
    assert text.count(b"# TYPE orders_total") == 1


async def test_the_probe_sees_work_that_holds_the_loop() -> None:
    probe = Probe(asyncio.get_running_loop())
    probe.start()
    await asyncio.sleep(0)
    began_ns = time.perf_counter_ns()
    while time.perf_counter_ns() - began_ns < 5_000_000:
        pass
    await asyncio.sleep(0)
    stall = probe.stop()
    assert stall.wall_ms >= 5
    assert stall.own_ms > 0


def test_the_goal_holds_the_exporter_to_its_own_work_and_tells_what_the_machine_did() -> None:
    noisy = {NO_SCRAPE: stalls(8, 0.1), SLICED: stalls(9, 0.4), SLICED_OPENMETRICS: stalls(7, 0.5)}
    goal = stall_goal(noisy)
    assert goal.met
    assert goal.measured.startswith("0.500 ms")
    assert "9.00 ms" in goal.measured
    assert "8.00 ms" in goal.measured


def test_a_missed_goal_says_by_how_much() -> None:
    held = {NO_SCRAPE: stalls(0.1, 0.1), SLICED: stalls(1.5, 1.5), SLICED_OPENMETRICS: stalls(1, 1)}
    assert stall_goal(held).why == "0.500 ms over"


def test_the_scraper_waits_where_there_is_nothing_to_scrape() -> None:
    assert carry_out("wait 0") == 0
