"""The whole stack, as the composition root uses it."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from observability.collectors import BuildInfo
from observability.exporter import ExporterUnavailable
from observability.logs import configure_logging
from observability.stack import build
from trader.clock import ManualClock
from trader.events import AnyFact
from trader.settings import Settings
from trader.snapshot import Snapshot


async def get(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_one_of_every_fact_goes_through_all_observers_without_failure(
    settings: Settings, snapshot: Snapshot, clock: ManualClock, every_fact: list[AnyFact]
) -> None:
    stream = io.StringIO()
    told: list[AnyFact] = []
    logs = configure_logging("INFO", clock, stream, False)
    stack = build(
        settings, lambda: snapshot, clock, BuildInfo("1.0"), logs=logs, more_observers=[("recorder", told.append)]
    )
    port = await stack.start()
    stack.observers.publish(every_fact)
    metrics = await get(port, "/metrics")
    await stack.stop()
    logs.stop()
    assert stack.observers.names == ("metrics", "logs", "recorder")
    assert told == every_fact
    for observer in ("metrics", "logs", "recorder"):
        assert f'trader_observer_failures_total{{observer="{observer}"}} 0.0' in metrics
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) > 25
    assert not [line for line in lines if "Traceback" in json.dumps(line)]
    assert logs.dropped == 0


async def test_it_serves_health_and_readiness(settings: Settings, snapshot: Snapshot, clock: ManualClock) -> None:
    stack = build(settings, lambda: snapshot, clock, BuildInfo("1.0"))
    port = await stack.start()
    assert " 200 " in (await get(port, "/healthz")).splitlines()[0]
    assert " 200 " in (await get(port, "/readyz")).splitlines()[0]
    await stack.stop()
    await stack.stop()


async def test_two_stacks_do_not_share_metrics(
    settings: Settings, snapshot: Snapshot, clock: ManualClock, every_fact: list[AnyFact]
) -> None:
    one, other = (build(settings, lambda: snapshot, clock, BuildInfo("1.0")) for _ in range(2))
    one.observers.publish(every_fact)
    assert one.registry.get_sample_value("trader_broker_pacing_waits_total") == 1
    assert other.registry.get_sample_value("trader_broker_pacing_waits_total") == 0


async def test_a_port_in_use_ends_the_start_and_leaves_nothing_behind(
    settings: Settings, snapshot: Snapshot, clock: ManualClock
) -> None:
    first = build(settings, lambda: snapshot, clock, BuildInfo("1.0"))
    port = await first.start()
    taken = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port})})
    second = build(taken, lambda: snapshot, clock, BuildInfo("1.0"))
    with pytest.raises(ExporterUnavailable):
        await second.start()
    await second.stop()
    await first.stop()


def test_a_scrape_works_without_cgroups(
    settings: Settings, snapshot: Snapshot, clock: ManualClock, tmp_path: Path
) -> None:
    stack = build(settings, lambda: snapshot, clock, BuildInfo("1.0"), root=tmp_path)
    names: set[Any] = {family.name for family in stack.registry.collect()}
    assert "trader_ready" in names
    assert "trader_unit_tasks" not in names
