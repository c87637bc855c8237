"""The far end of the alerts: a web server on loopback that takes Alertmanager's messages and keeps them.

Rules: one path a receiver (``/page``, ``/ticket``, ``/policy``, ``/dead-man``); a message without the right bearer
token is refused with 401, so that a run also proves the tokens. At most ``MESSAGES_MAX`` are kept. A receiver can be
handed on, with its own token, to the program that is meant.
"""

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from trader.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

MESSAGES_MAX: Final = 10_000
BODY_MAX_BYTES: Final = 4_000_000
RECEIVERS: Final = ("page", "ticket", "policy", "dead-man")


class Notice(NamedTuple):
    """One alert in one message of Alertmanager."""

    at: datetime
    monotonic_ns: int
    receiver: str
    status: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Inbox:
    """Takes messages for the receivers named in ``RECEIVERS``."""

    def __init__(self, token: str, clock: Clock | None = None) -> None:
        self._token = token
        self._clock = clock or SystemClock()
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Condition()
        self.notices: deque[Notice] = deque(maxlen=MESSAGES_MAX)
        self.refused = 0
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port."""
        application = web.Application(client_max_size=BODY_MAX_BYTES)
        application.router.add_post("/{receiver}", self._take)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening; what came stays readable."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def received(self, name: str, status: str = "firing", receiver: str | None = None) -> list[Notice]:
        """What came about the alert ``name``, oldest first."""
        return [
            notice
            for notice in self.notices
            if notice.name == name and notice.status == status and receiver in (None, notice.receiver)
        ]

    async def wait_for(
        self,
        name: str,
        timeout_s: float,
        *,
        status: str = "firing",
        receiver: str | None = None,
        since_ns: int = 0,
        slo: str | None = None,
    ) -> Notice:
        """The first notice about ``name`` (and ``slo``) that came at ``since_ns`` (monotonic) or later.

        Raises TimeoutError when none comes.
        """

        def first() -> Notice | None:
            found = self.received(name, status, receiver)
            wanted = (notice for notice in found if slo is None or notice.labels.get("slo") == slo)
            return next((notice for notice in wanted if notice.monotonic_ns >= since_ns), None)

        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: first() is not None)
        notice = first()
        assert notice is not None
        return notice

    async def _take(self, request: web.Request) -> web.Response:
        receiver = request.match_info["receiver"]
        if receiver not in RECEIVERS:
            return web.Response(status=404)
        expected = f"Bearer {self._token}"
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode()):
            self.refused += 1
            return web.Response(status=401)
        try:
            body = msgspec.json.decode(await request.read())
            notices = self._notices(receiver, body)
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return web.Response(status=400)
        async with self._news:
            self.notices.extend(notices)
            self._news.notify_all()
        return web.Response()

    def _notices(self, receiver: str, body: Any) -> list[Notice]:
        now, now_ns = self._clock.now(), self._clock.monotonic_ns()
        return [
            Notice(
                now, now_ns, receiver, alert["status"], alert["labels"]["alertname"], alert["labels"],
                alert.get("annotations", {}),
            )
            for alert in body["alerts"]
        ]  # fmt: skip
