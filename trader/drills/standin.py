"""A stand-in exporter: serves the series a drill gives it, under a job and an instance of their own.

Rules: for what one machine cannot do to itself, such as running out of disk or being killed for memory. It proves the
way from the series to the page, not that the service or node_exporter exports the series; docs/metrics.md and its tests
do that.
"""

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from trader.drills.errors import DrillError

# A number, or a function of the seconds since the series was set.
Value = float | Callable[[float], float]
CONTENT_TYPE: Final = "text/plain; version=0.0.4"


def rising(per_second: float, start: float = 1000.0) -> Callable[[float], float]:
    """A counter that rises evenly."""
    return lambda elapsed_s: start + per_second * elapsed_s


class StandIn:
    """Serves ``/metrics`` with ``series``: text such as ``up_to{a="b"}`` to its value."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._series: dict[str, tuple[Value, int]] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """Where Prometheus finds it."""
        if not self._port:
            raise DrillError("the stand-in exporter was never started")
        return f"127.0.0.1:{self._port}"

    def set(self, series: Mapping[str, Value | None]) -> None:
        """Add or change series; None takes one away."""
        now_ns = self._clock.monotonic_ns()
        for name, value in series.items():
            if value is None:
                self._series.pop(name, None)
            else:
                self._series[name] = (value, now_ns)

    def add(self, name: str, amount: float = 1.0) -> None:
        """Let a counter step."""
        value, at_ns = self._series[name]
        if callable(value):
            raise DrillError(f"{name} rises by itself and cannot be stepped")
        self._series[name] = (value + amount, at_ns)

    async def start(self) -> None:
        """Listen, on the same port again after a stop."""
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._runner = runner
        self._port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        now_ns = self._clock.monotonic_ns()
        lines = [
            f"{name} {value((now_ns - at_ns) / NANOSECONDS_PER_SECOND) if callable(value) else value}"
            for name, (value, at_ns) in self._series.items()
        ]
        return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": CONTENT_TYPE})
