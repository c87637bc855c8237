"""/metrics, /healthz and /readyz, over real sockets on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from observability import exporter as exporter_module
from observability.exporter import MAX_CONNECTIONS, Exporter, ExporterUnavailable
from observability.families import new_registry
from observability.loops import LoopTicks
from observability.render import render
from trader.clock import ManualClock, SystemClock
from trader.snapshot import Snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Served:
    """An exporter and what is behind it."""

    def __init__(self, snapshot: Snapshot, clock: ManualClock) -> None:
        self.snapshot: Snapshot | None = snapshot
        self.clock = clock
        self.registry: CollectorRegistry = new_registry()
        self.hits = Counter("trader_hits", "Hits.", registry=self.registry)
        self.ticks = LoopTicks(clock)
        self.exporter = Exporter(self.registry, self.state, self.ticks, clock)
        self.port = 0

    def state(self) -> Snapshot:
        if self.snapshot is None:
            raise RuntimeError("no state")
        return self.snapshot

    async def get(self, path: str, accept: str = "*/*") -> tuple[int, dict[str, str], str]:
        return await exchange(self.port, f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())


async def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], str]:
    """Send ``request`` and read until the server closes: status, headers in lower case, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


@pytest.fixture
async def served(snapshot: Snapshot, clock: ManualClock) -> AsyncIterator[Served]:
    served = Served(snapshot, clock)
    served.port = await served.exporter.start()
    yield served
    await served.exporter.stop()


async def test_metrics_come_as_text_by_default(served: Served) -> None:
    served.hits.inc(3)
    status, headers, body = await served.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert [sample.value for family in parse_text(body) for sample in family.samples] == [3.0]


async def test_metrics_come_as_openmetrics_when_asked_for(served: Served) -> None:
    status, headers, body = await served.get("/metrics", OPENMETRICS)
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    assert body.count("# EOF") == 1
    assert [family.name for family in parse_openmetrics(body)] == ["trader_hits"]


async def test_every_connection_is_closed_after_its_answer(served: Served) -> None:
    _, headers, _ = await served.get("/metrics")
    assert headers["connection"] == "close"


async def test_a_ready_service_answers_200(served: Served) -> None:
    status, _, body = await served.get("/readyz")
    assert (status, msgspec.json.decode(body)) == (200, {"ready": True, "problems": []})


async def test_a_service_that_is_not_ready_answers_503_with_the_reasons(served: Served) -> None:
    assert served.snapshot is not None
    served.snapshot = msgspec.structs.replace(served.snapshot, ready=False, problems=("not reconciled",))
    status, _, body = await served.get("/readyz")
    assert (status, msgspec.json.decode(body)) == (503, {"ready": False, "problems": ["not reconciled"]})


async def test_a_state_that_cannot_be_read_is_not_ready(served: Served) -> None:
    served.snapshot = None
    status, _, body = await served.get("/readyz")
    assert status == 503
    assert msgspec.json.decode(body)["ready"] is False


async def test_a_service_whose_loops_come_round_is_alive(served: Served) -> None:
    served.ticks.tick("engine")
    served.clock.advance(timedelta(seconds=1))
    status, _, body = await served.get("/healthz")
    assert (status, msgspec.json.decode(body)["loop_age_s"]) == (200, {"engine": 1.0})


async def test_a_loop_that_does_not_come_round_is_named(served: Served) -> None:
    served.ticks.tick("engine")
    served.clock.advance(timedelta(seconds=60))
    status, _, body = await served.get("/healthz")
    assert (status, msgspec.json.decode(body)["stuck"]) == (503, ["engine"])


async def test_other_paths_and_methods_are_refused(served: Served) -> None:
    assert (await exchange(served.port, b"GET /secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[0] == 404
    assert (await exchange(served.port, b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[0] == 405


async def test_a_header_that_is_too_long_is_refused(served: Served) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 6_000 + b"\r\n\r\n"
    assert (await exchange(served.port, request))[0] == 400


async def test_a_client_that_does_not_finish_its_request_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter_module, "CONNECTION_S", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost:")
    assert await reader.read() == b""
    writer.close()


async def test_one_connection_too_many_is_closed_at_once(served: Served) -> None:
    held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(MAX_CONNECTIONS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    assert await reader.read() == b""
    for open_writer in (writer, *(pair[1] for pair in held)):
        open_writer.close()


async def test_a_port_in_use_is_one_clear_sentence(snapshot: Snapshot, clock: ManualClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        exporter = Exporter(new_registry(), lambda: snapshot, LoopTicks(clock), clock, port=port)
        with pytest.raises(ExporterUnavailable, match=f"127.0.0.1:{port}: another program listens there; set metrics"):
            await exporter.start()


async def test_it_can_be_stopped_twice_and_before_it_started(snapshot: Snapshot, clock: ManualClock) -> None:
    exporter = Exporter(new_registry(), lambda: snapshot, LoopTicks(clock), clock)
    await exporter.stop()
    await exporter.start()
    await exporter.stop()
    await exporter.stop()


async def test_rendering_lets_others_run_in_between() -> None:
    registry = new_registry()
    for number in range(300):
        Counter(f"trader_c{number}", "C.", ["a"], registry=registry).labels("x")
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    body, _ = await render(registry, "", SystemClock())
    task.cancel()
    assert turns > 1
    assert body.count(b"# TYPE") == 300


@pytest.mark.parametrize("request_line", ["GET /nothing HTTP/1.1", "DELETE /metrics HTTP/1.1"])
async def test_a_refused_request_ends_its_connection_and_leaves_no_traceback(
    served: Served, request_line: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, headers, _ = await exchange(served.port, f"{request_line}\r\nHost: x\r\n\r\n".encode())
    assert status in (400, 404, 405)
    assert headers["connection"] == "close"
    assert not caplog.records
