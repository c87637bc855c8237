"""The HTTP door under anything: bad requests, slow ones, crowds, huge ones, wrong tokens; it serves on, and frees."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from prometheus_client import Gauge

from observability import exporter as exporter_module
from observability.exporter import MAX_CONNECTIONS, Exporter
from observability.families import new_registry
from observability.loops import LoopTicks
from observability.webhook import MAX_BODY_BYTES, PATH, PolicyWebhook
from tests.fuzz.conftest import Campaign
from tests.fuzz.mutations import NASTY_FIELDS, bad_bytes, pieces
from trader.clock import ManualClock
from trader.events import PolicyAlertsReceived
from trader.settings import PolicySettings

PATIENCE_S = 60.0
TOKEN = "a-token-of-some-length"
DESCRIPTORS = Path("/proc/self/fd")
ALERT = {"status": "firing", "labels": {"alertname": "A", "policy": "true", "slo": "x"}, "fingerprint": "f"}
METHODS = (
    "GET",
    "GET",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "\xff",
    "",
)
PATHS = (
    "/metrics",
    "/healthz",
    "/readyz",
    PATH,
    "/",
    "*",
    "//",
    "/metrics?" + "x" * 3_000,
    "/" + "x" * 9_000,
    "/%00",
    "/..",
)
HEADERS = (
    "Content-Length: -1", "Content-Length: 99999999999", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: x",
    "Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3", "Expect: 100-continue",
    "Connection: keep-alive", "Upgrade: websocket\r\nConnection: Upgrade", "Host: ", "Accept: " + "x" * 3_000,
    "Authorization: Bearer \xff\xfe", "Authorization: Bearer", "Authorization: \xc3", "X: " + "y" * 9_000,
    "Accept: application/openmetrics-text;version=9", "Accept: \xff;q=x", "Accept-Encoding: gzip",
    "Content-Encoding: gzip",
    "Content-Encoding: deflate", "Content-Encoding: br", "Content-Type: multipart/form-data; boundary=\xff", "X" * 70,
    "X-Prometheus-Scrape-Timeout-Seconds: nan", "Range: bytes=0-1", "Cookie: a=" + "b" * 2_000, "a: b\r\n c", ": x",
)  # fmt: skip


class State:
    """All that readiness looks at."""

    ready = True
    problems = ()


class Door:
    """An exporter with a webhook and something to show."""

    def __init__(self, families: int = 20) -> None:
        self.told: list[Any] = []
        clock = ManualClock(datetime(2013, 10, 7, 15, 0, tzinfo=UTC))
        registry = new_registry()
        for number in range(families):
            Gauge(f"trader_thing_{number}", "A thing. " + "x" * 1_000, registry=registry)
        webhook = PolicyWebhook(TOKEN, PolicySettings, clock, self.told.append)
        self.exporter = Exporter(registry, State, LoopTicks(clock), clock, webhook=webhook)  # type: ignore[arg-type]
        self.port = 0

    async def exchange(self, data: list[bytes], rng: Random | None = None) -> bytes:
        """What is answered to these pieces; with ``rng`` the line is sometimes cut before the answer is read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        with contextlib.suppress(OSError):
            for part in data:
                writer.write(part)
                await asyncio.sleep(0)
            if rng is None or rng.random() < 0.9:
                if rng is not None:
                    writer.write_eof()
                async with asyncio.timeout(PATIENCE_S):
                    answer = await reader.read()
        writer.transport.abort()
        await asyncio.sleep(0)
        return answer

    async def check_serves(self) -> None:
        for path in ("/metrics", "/healthz", "/readyz"):
            answer = await self.exchange([f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()])
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    made = Door()
    made.port = await made.exporter.start()
    yield made
    await made.exporter.stop()
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_surprise(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A refusal is an answer; an error in the log is a defect."""
    yield
    surprises = [record for record in caplog.get_records("call") if record.levelname == "ERROR"]
    assert not [(record.getMessage(), record.exc_info) for record in surprises]


def request_of(rng: Random) -> bytes:
    """Often a good request with one thing wrong, sometimes several of them behind each other."""
    return b"".join(_one(rng) for _ in range(rng.choice((1, 1, 1, 2, 30))))


def _one(rng: Random) -> bytes:
    body = rng.choice(
        (
            b"",
            b"{}",
            msgspec.json.encode({"version": "4", "alerts": [ALERT]}),
            b"[" * 5_000,
            b"x" * 3_000,
            b"5\r\nhello\r\n",
        )
    )
    method, path = ("POST", PATH) if rng.random() < 0.4 else (rng.choice(METHODS), rng.choice(PATHS))
    lines = [
        f"{method} {path} {rng.choice(('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/9.9', ''))}",
        "Host: x",
    ]
    if rng.random() < 0.7:
        token = TOKEN if rng.random() < 0.6 else rng.choice(NASTY_FIELDS[:48])
        lines.append(f"Authorization: Bearer {token}")
    if rng.random() < 0.7:
        lines.append(f"Content-Length: {len(body) + rng.choice((0, 0, 0, 1, -1, 10**6))}")
    lines += [rng.choice(HEADERS) for _ in range(rng.choice((0, 0, 1, 2, 100)))]
    rng.shuffle(tail := lines[1:])
    head = "\r\n".join([lines[0], *tail, "", ""])
    made = b"".join(_octets(char) for char in head) + body
    return bad_bytes(rng, made) if rng.random() < 0.3 else made


def _octets(char: str) -> bytes:
    return bytes([ord(char)]) if ord(char) < 256 else char.encode(errors="replace")


async def test_no_request_stops_it_or_gets_in_without_the_token(campaign: Campaign, door: Door) -> None:
    before = len(os.listdir(DESCRIPTORS))
    for number, rng in enumerate(campaign.cases(300)):
        told, data = len(door.told), request_of(rng)
        answer = await door.exchange(pieces(rng, data), rng)
        if answer:
            status = int(answer.split(b" ", 2)[1])
            assert status in {100, 200, 400, 401, 404, 405, 408, 411, 413, 414, 415, 417, 431, 501, 505}, (data, answer)
        if TOKEN.encode() not in data:
            assert not [fact for fact in door.told[told:] if isinstance(fact, PolicyAlertsReceived)]
        if number % 20 == 0:
            await door.check_serves()
    await door.check_serves()
    async with asyncio.timeout(PATIENCE_S):
        while len(os.listdir(DESCRIPTORS)) > before:
            await asyncio.sleep(0)


@pytest.mark.parametrize("token", [b"\xff\xfe", b"\xc3\xa9", b"", b"x" * 3_000, TOKEN.encode() + b"\xff"])
async def test_a_wrong_token_is_refused_whatever_its_bytes_are(door: Door, token: bytes) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: Bearer ".encode()
    answer = await door.exchange([head + token + b"\r\n\r\n{}"])
    assert answer.startswith(b"HTTP/1.1 401"), answer
    assert not door.told


async def test_a_body_beyond_the_limit_is_refused_and_not_kept(door: Door) -> None:
    size = MAX_BODY_BYTES * 3
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    answer = await door.exchange([head, *[b"x" * 65_536] * (size // 65_536)])
    assert not answer or answer.startswith(b"HTTP/1.1 413")
    await door.check_serves()


async def test_slow_clients_are_cut_off_and_a_crowd_cannot_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "CONNECTION_S", 0.1)
    door = Door()
    door.port = await door.exporter.start()
    before = len(os.listdir(DESCRIPTORS))
    beginnings = (
        b"",
        b"G",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
        f"POST {PATH} HTTP/1.1\r\nContent-Length: 9\r\n".encode(),
    )
    lines = []
    for number in range(MAX_CONNECTIONS * 3):
        lines.append(await asyncio.open_connection("127.0.0.1", door.port))
        lines[-1][1].write(beginnings[number % len(beginnings)])
    async with asyncio.timeout(PATIENCE_S):
        for reader, _ in lines:
            with contextlib.suppress(OSError):
                await reader.read()
    for _, writer in lines:
        writer.transport.abort()
    await asyncio.sleep(0)
    await door.check_serves()
    async with asyncio.timeout(PATIENCE_S):
        while len(os.listdir(DESCRIPTORS)) > before:
            await asyncio.sleep(0)
    await door.exporter.stop()


async def test_clients_that_never_read_their_answer_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "CONNECTION_S", 0.3)
    door = Door(families=8_000)
    door.port = await door.exporter.start()
    before = len(os.listdir(DESCRIPTORS))
    writers = []
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1_024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        writers.append(writer)
    async with asyncio.timeout(PATIENCE_S):
        while len(os.listdir(DESCRIPTORS)) > before + len(writers):
            await asyncio.sleep(0)
    for writer in writers:
        writer.transport.abort()
    await door.exporter.stop()
