"""The far end of the alerts: takes what carries the token, keeps it, and tells who waits for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from trader.stack import Inbox

TOKEN = "a token"
MESSAGE = {
    "version": "4",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "A", "severity": "page"}, "annotations": {"summary": "broken"}},
        {"status": "resolved", "labels": {"alertname": "B"}, "annotations": {}},
    ],
}


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox(TOKEN)
    await inbox.start()
    yield inbox
    await inbox.stop()


async def post(inbox: Inbox, path: str = "/page", token: str = TOKEN, **body: Any) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(inbox.url + path, **body) as answer:
        return answer.status


async def test_it_keeps_every_alert_of_a_message(inbox: Inbox) -> None:
    assert await post(inbox, json=MESSAGE) == 200
    first, second = inbox.notices
    assert (first.receiver, first.name, first.status, first.annotations["summary"]) == ("page", "A", "firing", "broken")
    assert (second.name, second.status) == ("B", "resolved")
    assert inbox.received("A") == [first]
    assert inbox.received("A", receiver="ticket") == []


@pytest.mark.parametrize(
    ("path", "token", "body", "status"),
    [
        ("/page", "another token", {"json": MESSAGE}, 401),
        ("/nobody", TOKEN, {"json": MESSAGE}, 404),
        ("/page", TOKEN, {"data": b"{"}, 400),
        ("/page", TOKEN, {"json": {"alerts": [{"status": "firing"}]}}, 400),
        ("/page", TOKEN, {"json": []}, 400),
    ],
)
async def test_it_refuses_what_is_no_message_for_it(
    inbox: Inbox, path: str, token: str, body: dict[str, Any], status: int
) -> None:
    assert await post(inbox, path, token, **body) == status
    assert not inbox.notices
    assert inbox.refused == (1 if status == 401 else 0)


async def test_who_waits_for_an_alert_is_told_when_it_comes(inbox: Inbox) -> None:
    waiting = asyncio.create_task(inbox.wait_for("B", 30, status="resolved", receiver="ticket"))
    await post(inbox, "/page", json=MESSAGE)
    await post(inbox, "/ticket", json=MESSAGE)
    notice = await waiting
    assert (notice.name, notice.receiver) == ("B", "ticket")


async def test_waiting_ends_when_nothing_comes(inbox: Inbox) -> None:
    await post(inbox, json=MESSAGE)
    after_ns = inbox.notices[-1].monotonic_ns + 1
    with pytest.raises(TimeoutError):
        await inbox.wait_for("A", 0.01, since_ns=after_ns)
