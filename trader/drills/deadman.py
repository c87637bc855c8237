"""The dead-man's switch of the drills: what stands outside and raises the alarm when the heartbeat stays away.

Rules: it only notes when it last heard something; who waits decides how long is too long. It can be broken, so that
Alertmanager cannot deliver.
"""

from aiohttp import web

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock


class DeadMan:
    """Takes Alertmanager's heartbeat."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._heard_ns: int | None = None
        self._runner: web.AppRunner | None = None
        self.broken = False
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port."""
        application = web.Application()
        application.router.add_post("/", self._take)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def silent_s(self) -> float:
        """Seconds since the last heartbeat; infinite before the first."""
        if self._heard_ns is None:
            return float("inf")
        return (self._clock.monotonic_ns() - self._heard_ns) / NANOSECONDS_PER_SECOND

    async def _take(self, request: web.Request) -> web.Response:
        if self.broken:
            return web.Response(status=404)
        self._heard_ns = self._clock.monotonic_ns()
        return web.Response()
