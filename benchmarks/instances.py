"""Many instances out of one: a real scrape of a service and of its machine, served again and again with time going on.

Rules: what counts goes on at the rate it had, times go on with the clock, everything else stays as it was. Units of
systemd are made up where the machine has none: every shipped unit, active.
"""

from http import HTTPStatus
from time import time
from typing import Any, Final

import msgspec
from aiohttp import web

COUNTING: Final = ("_total", "_bucket", "_count", "_sum")
CLOCK: Final = "_timestamp_seconds"
FIXED: Final = ("trader_session_", "trader_broker_reset_", "trader_calendar_", "trader_maintenance_")
"""Times that a calendar says: they do not go on."""
STATES: Final = ("activating", "active", "deactivating", "failed", "inactive")
CONTENT_TYPE: Final = "text/plain; version=0.0.4"
PATHS: Final = {"trader": "/trader", "node": "/node"}


class Sample(msgspec.Struct, frozen=True):
    """A line of the text format; what it gains a second."""

    series: str
    value: float
    rate: float


class MovingScrape:
    """``text`` is a scrape of ``scraped_s``, Unix time, of a process that had run for ``age_s``."""

    def __init__(self, text: str, age_s: float, scraped_s: float) -> None:
        self._lines = [_parsed(line, age_s) for line in text.splitlines() if line]
        self._scraped_s = scraped_s

    def at(self, now_s: float) -> str:
        """What a scrape at ``now_s`` would say."""
        elapsed_s = now_s - self._scraped_s
        return "".join(_line(item, elapsed_s) for item in self._lines)


def _parsed(line: str, age_s: float) -> str | Sample:
    if line.startswith("#"):
        return line
    series, _, number = line.rpartition(" ")
    name, value = series.partition("{")[0], float(number)
    if name.endswith(CLOCK) and value > 0 and not name.startswith(FIXED):
        return Sample(series, value, 1.0)
    if name.endswith(COUNTING):
        return Sample(series, value, value / age_s)
    return line


def _line(item: str | Sample, elapsed_s: float) -> str:
    if isinstance(item, str):
        return f"{item}\n"
    value = item.value + item.rate * elapsed_s
    return f"{item.series} {int(value) if item.value.is_integer() else value}\n"


def units_text(units: list[str], now_s: float) -> str:
    """What node_exporter's systemd collector says of ``units`` that are all well."""
    lines = []
    for name in units:
        kind = name.rpartition(".")[2]
        for state in STATES:
            labels = f'name="{name}",state="{state}",type="{kind}"'
            lines.append(f"node_systemd_unit_state{{{labels}}} {int(state == 'active')}")
        if kind == "service":
            lines.append(f'node_systemd_service_restart_total{{name="{name}"}} 0')
        if kind == "timer":
            lines.append(f'node_systemd_timer_last_trigger_seconds{{name="{name}"}} {now_s}')
    return "\n".join([*lines, ""])


class InstanceServer:
    """Answers for every instance of a job at the job's path; 503 until it is told what."""

    def __init__(self) -> None:
        self._scrapes: dict[str, MovingScrape] = {}
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        application = web.Application()
        for job, path in PATHS.items():
            application.router.add_get(path, self._answer, name=job)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def serve(self, scrapes: dict[str, MovingScrape]) -> None:
        """Scrapes by job, from now on."""
        self._scrapes, self._bodies = scrapes, {}

    def targets(self, job: str, instances: int) -> list[dict[str, Any]]:
        """Entries of static_configs."""
        return [
            {
                "targets": [f"127.0.0.1:{self.port}"],
                "labels": {"instance": f"host{number:03}", "__metrics_path__": PATHS[job]},
            }
            for number in range(instances)
        ]

    async def _answer(self, request: web.Request) -> web.Response:
        job = request.match_info.route.name
        if job not in self._scrapes:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        now_s = int(time())
        known = self._bodies.get(job)
        if known is None or known[0] != now_s:
            known = self._bodies[job] = (now_s, self._scrapes[job].at(now_s).encode())
        return web.Response(body=known[1], headers={"Content-Type": CONTENT_TYPE})
