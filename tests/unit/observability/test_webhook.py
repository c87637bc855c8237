"""Alertmanager's webhook, over a real socket: what is taken, what is refused, and in which words."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from observability.exporter import Exporter
from observability.families import new_registry
from observability.loops import LoopTicks
from observability.webhook import MAX_BODY_BYTES, PATH, PolicyWebhook
from trader.clock import ManualClock
from trader.events import AlertLine, MetricsScraped, PolicyAlertsReceived
from trader.settings import PolicySettings
from trader.snapshot import Snapshot

TOKEN = "a-token-of-some-length"


class Door:
    """An exporter with a webhook, and the facts that came through it."""

    def __init__(self, snapshot: Snapshot, clock: ManualClock) -> None:
        self.told: list[Any] = []
        self.settings = PolicySettings()
        webhook = PolicyWebhook(TOKEN, lambda: self.settings, clock, self.told.append)
        self.exporter = Exporter(new_registry(), lambda: snapshot, LoopTicks(clock), clock, webhook=webhook)
        self.port = 0

    async def post(self, body: bytes, token: str = TOKEN, length: int | None = None) -> tuple[int, dict[str, Any]]:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length or len(body)}\r\n\r\n"
        return await self.exchange(head.encode() + body)

    async def alerts(self, *alerts: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return await self.post(msgspec.json.encode(message(*alerts)))

    async def exchange(self, request: bytes) -> tuple[int, dict[str, Any]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), msgspec.json.decode(body) if body.startswith(b"{") else {}


@pytest.fixture
async def door(snapshot: Snapshot, clock: ManualClock) -> AsyncIterator[Door]:
    made = Door(snapshot, clock)
    made.port = await made.exporter.start()
    yield made
    await made.exporter.stop()


def alert(name: str, status: str = "firing", fingerprint: str = "f1", **labels: str) -> dict[str, Any]:
    """One alert as Alertmanager 0.25 words it."""
    return {
        "status": status,
        "labels": {"alertname": name, "policy": "true", **labels},
        "annotations": {"summary": "a budget is gone"},
        "startsAt": "2026-03-02T15:29:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": fingerprint,
    }


def message(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}/{policy="true"}:{}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "policy",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
    }


async def test_policy_alerts_become_one_fact(door: Door) -> None:
    answer = await door.alerts(
        alert("SLOBudgetExhausted", slo="error_rate"),
        alert("NetPnLNegative", "resolved", "f2", slo="net_pnl"),
        alert("SLOBurnFast", fingerprint="f3", slo="of nobody"),
    )
    assert answer == (200, {"alerts": 3})
    assert [fact.alerts for fact in door.told] == [
        (
            AlertLine(key="f1", name="SLOBudgetExhausted", slo="error_rate", firing=True),
            AlertLine(key="f2", name="NetPnLNegative", slo="net_pnl", firing=False),
            AlertLine(key="f3", name="SLOBurnFast", slo="other", firing=True),
        )
    ]
    assert door.told[0].heartbeat is None


@pytest.mark.parametrize(("status", "heartbeat"), [("firing", True), ("resolved", False)])
async def test_the_heartbeat_is_no_alert_of_its_own(door: Door, status: str, heartbeat: bool) -> None:
    await door.alerts(alert("Watchdog", status))
    assert [(fact.alerts, fact.heartbeat) for fact in door.told] == [((), heartbeat)]


async def test_alerts_without_the_policy_label_are_left_out(door: Door) -> None:
    foreign = alert("BrokerDisconnected")
    foreign["labels"]["policy"] = "false"
    assert await door.alerts(foreign) == (200, {"alerts": 0})


async def test_alerts_of_another_service_are_left_out(door: Door) -> None:
    door.settings = PolicySettings(labels={"instance": "here"})
    await door.alerts(alert("SLOBudgetExhausted", instance="there"), alert("SLOBudgetExhausted", instance="here"))
    assert len(door.told[0].alerts) == 1


async def test_alerts_without_a_fingerprint_are_told_apart_by_their_labels(door: Door) -> None:
    await door.alerts(alert("NetPnLNegative", fingerprint="", currency="USD"),
                      alert("NetPnLNegative", fingerprint="", currency="EUR"))  # fmt: skip
    assert len({line.key for line in door.told[0].alerts}) == 2


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ä"])
async def test_without_the_token_nothing_is_taken(door: Door, token: str) -> None:
    status, answer = await door.post(msgspec.json.encode(message(alert("NetPnLNegative"))), token)
    assert status == 401
    assert "policy.token_file" in answer["error"]
    assert door.told == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Input data was truncated"),
        (b"{", "Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `version`"),
        (b'{"version": "3", "alerts": []}', "Invalid enum value '3' - at `$.version`"),
        (b'{"version": "4"}', "missing required field `alerts`"),
        (
            b'{"version": "4", "alerts": [{"status": "maybe", "labels": {}}]}',
            "Invalid enum value 'maybe' - at `$.alerts[0].status`",
        ),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": {"slo": 5}}]}', "Expected `str`, got `int`"),
        (b"\xff\xfe", "this is no message"),
    ],
)
async def test_a_message_that_is_not_understood_is_refused_in_one_sentence(door: Door, body: bytes, words: str) -> None:
    status, answer = await door.post(body)
    assert status == 400
    assert answer["error"].startswith("this is no message of Alertmanager's webhook, version 4")
    assert words in answer["error"]
    assert door.told == []


async def test_a_message_that_is_too_large_is_refused(door: Door) -> None:
    status, answer = await door.post(b" " * (MAX_BODY_BYTES + 1))
    assert status == 413
    assert str(MAX_BODY_BYTES) in answer["error"]
    assert door.told == []


async def test_refusals_are_in_the_log_once_a_minute(
    door: Door, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await door.post(b"{", token="wrong")
    clock.advance(timedelta(minutes=1))
    await door.post(b"{")
    assert [record.getMessage().partition(": ")[2][:16] for record in caplog.records] == [
        "the bearer token",
        "this is no messa",
    ]
    assert "wrong" not in " ".join(record.getMessage() for record in caplog.records).replace("missing or wrong", "")


async def test_a_message_of_the_largest_size_is_read(door: Door) -> None:
    body = msgspec.json.encode(message(alert("NetPnLNegative")))
    status, _ = await door.post(body + b" " * (MAX_BODY_BYTES - len(body)))
    assert status == 200


async def test_a_scrape_is_told_and_a_look_by_a_person_is_not(door: Door) -> None:
    await door.exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert door.told == []
    await door.exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n")
    assert [type(fact) for fact in door.told] == [MetricsScraped]


async def test_there_is_no_webhook_unless_it_is_configured(snapshot: Snapshot, clock: ManualClock) -> None:
    door = Door(snapshot, clock)
    door.exporter = Exporter(new_registry(), lambda: snapshot, LoopTicks(clock), clock)
    door.port = await door.exporter.start()
    assert (await door.alerts(alert("NetPnLNegative")))[0] == 404
    await door.exporter.stop()


async def test_the_facts_time_is_the_services(door: Door, clock: ManualClock) -> None:
    await door.alerts()
    received = door.told[0]
    assert isinstance(received, PolicyAlertsReceived)
    assert (received.at, received.monotonic_ns) == (clock.now(), clock.monotonic_ns())
