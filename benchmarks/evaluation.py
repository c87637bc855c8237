"""One Prometheus with the shipped rules and a number of instances, watched while it evaluates.

Rules: the times are those that Prometheus itself measures. Instances are one real service, scraped after it traded,
and one real node_exporter, served under many names with time going on; a rule that cannot be evaluated ends it.
"""

import asyncio
from functools import cache
from pathlib import Path
from time import time
from typing import Any, Final

import aiohttp
import msgspec

from benchmarks.history import looked_back_on
from benchmarks.instances import InstanceServer, MovingScrape, units_text
from benchmarks.options import BenchmarkFailed
from benchmarks.processes import Service, simulated_gateway
from trader.stack import ALERTS_FOLDER, Programs, Sample, Stack, StackOptions
from trader.stack.files import read_yaml, seconds_of
from trader.stack.programs import ROOT

CYCLE_S: Final = 15
POLL_S: Final = 0.5
UP_TIMEOUT_S: Final = 60.0
WARM_UP: Final = 2
RETENTION: Final = "40d"
SYNCHRONISED: Final = "node_timex_sync_status"


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds by group, one a cycle; how many series there were, and what a past is made of."""

    instances: int
    past_days: float
    groups_ms: dict[str, list[float]]
    series: dict[str, int]
    firing: tuple[str, ...]
    looked_back_on: tuple[Sample, ...]

    @property
    def cycles_ms(self) -> list[float]:
        shares = shares_of_a_cycle()
        weighed = [[time_ms * shares[name] for time_ms in times] for name, times in self.groups_ms.items()]
        return [sum(times) for times in zip(*weighed, strict=True)]

    @property
    def title(self) -> str:
        past = f"{self.past_days:g} days of the past" if self.past_days else "no past"
        return f"{self.instances} instance{'s' if self.instances > 1 else ''}, {past}"


@cache
def shares_of_a_cycle() -> dict[str, float]:
    """How often each shipped group is evaluated in a cycle."""
    files = [read_yaml(path) for path in (ALERTS_FOLDER / "rules").glob("*.rules.yml")]
    groups = [group for file in files for group in file["groups"]]
    return {group["name"]: CYCLE_S / seconds_of(group.get("interval", f"{CYCLE_S}s")) for group in groups}


async def trader_scrape(folder: Path, seed: int, trade_s: float) -> MovingScrape:
    """What a service tells after some seconds of trading at real time."""
    async with simulated_gateway(folder, seed, begin="now") as gateway_port:
        service = Service(folder, gateway_port)
        try:
            await service.start()
            await asyncio.sleep(trade_s)
            return MovingScrape((await service.scrape()).decode(), trade_s, time())
        finally:
            await service.kill()


async def evaluated(
    folder: Path, programs: Programs, trader: MovingScrape, instances: int, interval_s: float, cycles: int
) -> Evaluated:
    """Prometheus in ``folder``, with the past that is there, scraping and evaluating every ``interval_s``."""
    server = InstanceServer()
    await server.start()
    try:
        stack_options = StackOptions(
            folder=folder, programs=programs, calendar="always", retention=RETENTION,
            scrape_interval_s=interval_s, evaluation_interval_s=interval_s,
            targets={job: server.targets(job, instances) for job in ("trader", "node")},
        )  # fmt: skip
        async with Stack(stack_options) as stack:
            server.serve({"trader": trader, "node": await _machine(stack)})
            await stack.wait_for(lambda: _all_up(stack, 2 * instances), "every instance to be scraped", UP_TIMEOUT_S)
            return await _watched(stack, instances, cycles)
    finally:
        await server.stop()


async def _machine(stack: Stack) -> MovingScrape:
    """This machine by node_exporter: its clock is in step, and it has every shipped unit if it has no systemd."""
    async with aiohttp.ClientSession() as session, session.get(f"{stack.node_exporter.url}/metrics") as answer:
        text = await answer.text()
    if "node_systemd_unit_state" not in text:
        units = sorted(path.name for path in (ROOT / "systemd").glob("ibkr-*[!@].*") if "@" not in path.name)
        text += units_text(units, time())
    text = text.replace(f"{SYNCHRONISED} 0", f"{SYNCHRONISED} 1")
    now_s = time()
    return MovingScrape(text, now_s - float(_value_of(text, "node_boot_time_seconds")), now_s)


def _value_of(text: str, series: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{series} "))


async def _all_up(stack: Stack, targets: int) -> bool:
    return len(await stack.query('up{job=~"trader|node"} == 1')) == targets


async def _watched(stack: Stack, instances: int, cycles: int) -> Evaluated:
    """Wait for ``cycles`` evaluations of every group, after the first ones."""
    times_ms: dict[str, list[float]] = {}
    last: dict[str, str] = {}
    while not times_ms or min(map(len, times_ms.values())) < WARM_UP + cycles:
        for group in await stack.client.rules():
            name = group["name"]
            if last.get(name) != group["lastEvaluation"]:
                last[name] = group["lastEvaluation"]
                times_ms.setdefault(name, []).append(group["evaluationTime"] * 1_000)
        _require_healthy(await stack.client.rules())
        await asyncio.sleep(POLL_S)
    texts = [path.read_text() for path in (ALERTS_FOLDER / "rules").glob("*.rules.yml")]
    past = [item for selector in sorted(looked_back_on(texts)) for item in await stack.query(selector)]
    return Evaluated(
        instances=instances,
        past_days=0,
        groups_ms={name: times[WARM_UP : WARM_UP + cycles] for name, times in times_ms.items()},
        series=await _series_of_one(stack),
        firing=tuple(sorted({alert.name for alert in await stack.alerts() if alert.state != "inactive"})),
        looked_back_on=tuple(past),
    )


def _require_healthy(groups: list[dict[str, Any]]) -> None:
    for group in groups:
        for rule in group["rules"]:
            if rule.get("health") == "err":
                raise BenchmarkFailed(f"the rule {rule['name']} cannot be evaluated: {rule.get('lastError')}")


async def _series_of_one(stack: Stack) -> dict[str, int]:
    """How many series the first instance has, by what made them."""
    counted = {
        "scraped from the trader": 'scrape_samples_scraped{job="trader", instance="host000"}',
        "recorded by rules": 'count({instance="host000", __name__=~".+:.+"})',
        "scraped from its machine's node_exporter": 'scrape_samples_scraped{job="node", instance="host000"}',
    }
    return {what: int((await stack.query(query))[0].value) for what, query in counted.items()}
