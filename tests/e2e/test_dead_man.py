"""The dead man's switch: what is outside this machine notices that Prometheus has died, and that it is back."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from trader.stack import Programs, Stack, StackOptions

pytestmark = pytest.mark.e2e

EVALUATION_S = 1.0
RESEND_S = 1.0
PING_S = 1.0
# Prometheus lets an alert live for four times the longer of its evaluation and its resending; then come the pings'
# interval and the receiver's patience.
ALERT_LIVES_S = 4 * max(EVALUATION_S, RESEND_S)
PATIENCE_S = 6.0
BOUND_S = ALERT_LIVES_S + 2 * PING_S + PATIENCE_S


class DeadManService:
    """A web server that expects a ping at least every ``patience_s``, and raises the alarm when none comes."""

    def __init__(self, token: str, patience_s: float) -> None:
        self._token = token
        self._patience_s = patience_s
        self._timer: asyncio.TimerHandle | None = None
        self._runner: web.AppRunner | None = None
        self.pings = 0
        self.alarm = asyncio.Event()
        self.pinged = asyncio.Event()

    async def __aenter__(self) -> "DeadManService":
        application = web.Application()
        application.router.add_post("/ping", self._ping)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        if self._timer is not None:
            self._timer.cancel()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/ping"

    async def _ping(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401)
        self.pings += 1
        self.alarm.clear()
        self.pinged.set()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._patience_s, self.alarm.set)
        return web.Response()


async def test_the_outside_notices_within_its_bound_that_prometheus_died(programs: Programs, tmp_path: Path) -> None:
    token = "the token of the dead man's switch"
    async with DeadManService(token, PATIENCE_S) as outside:
        options = StackOptions(
            folder=tmp_path, programs=programs, calendar=None, node_exporter=False, token=token,
            scrape_interval_s=EVALUATION_S, evaluation_interval_s=EVALUATION_S, resend_s=RESEND_S,
            timing_s={"group_wait": 0.0, "group_interval": PING_S, "repeat_interval": PING_S / 2},
            receivers={"dead-man": outside.url},
        )  # fmt: skip
        async with Stack(options) as stack, asyncio.timeout(120):
            await outside.pinged.wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(outside.alarm.wait(), BOUND_S)
            assert outside.pings > 3

            await stack.prometheus.kill()
            await asyncio.wait_for(outside.alarm.wait(), BOUND_S)

            # Alertmanager had nothing wrong, and sent no "resolved" that would have looked like a ping.
            assert stack.alertmanager.pid is not None
            outside.pinged.clear()
            await stack.prometheus.start()
            await outside.pinged.wait()
            assert not outside.alarm.is_set()


async def test_the_outside_notices_that_alertmanager_died(programs: Programs, tmp_path: Path) -> None:
    async with DeadManService("t", PATIENCE_S) as outside:
        options = StackOptions(
            folder=tmp_path, programs=programs, calendar=None, node_exporter=False, token="t",
            scrape_interval_s=EVALUATION_S, evaluation_interval_s=EVALUATION_S, resend_s=RESEND_S,
            timing_s={"group_wait": 0.0, "group_interval": PING_S, "repeat_interval": PING_S / 2},
            receivers={"dead-man": outside.url},
        )  # fmt: skip
        async with Stack(options) as stack, asyncio.timeout(120):
            await outside.pinged.wait()
            await stack.alertmanager.kill()
            await asyncio.wait_for(outside.alarm.wait(), 2 * PING_S + PATIENCE_S)
