"""/metrics, /healthz and /readyz over HTTP, on loopback; and the budget policy's webhook, where it is configured.

Rules: reads only, but for the webhook (``webhook.py``); answers every request on a connection of its own and closes
it; a client that does not finish its request in ``CONNECTION_S`` is cut off; more than ``MAX_CONNECTIONS`` at a time
are refused. A scrape never holds the loop for long (see ``render.py``). ``/healthz`` says whether the process makes
progress, ``/readyz`` whether it is connected and agrees with the
broker, and why not.
"""

import asyncio
import errno
import logging
import os

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from prometheus_client import CollectorRegistry

from observability.collectors import SnapshotSource
from observability.loops import LoopTicks
from observability.render import render
from observability.webhook import PATH, PolicyWebhook
from trader.clock import Clock

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
CONNECTION_S = 10.0
MAX_LINE_BYTES = 4_096
MAX_HEADERS = 64
STOP_TIMEOUT_S = 2.0
HEALTHY_LOOP_AGE_S = 10.0


def _is_a_defect(record: logging.LogRecord) -> bool:
    """Whether a failed request is this side's fault; a bad one was answered, and is no reason for a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, web.RequestPayloadError, ConnectionError))


http_logger = logging.getLogger(f"{__name__}.http")
http_logger.addFilter(_is_a_defect)


class ExporterUnavailable(Exception):
    """The metrics cannot be served where the configuration says; the message says why and what to do."""


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Exporter:
    """Serves ``registry`` and the two health answers on ``host``:``port`` (0 takes any free port)."""

    def __init__(
        self,
        registry: CollectorRegistry,
        snapshot: SnapshotSource,
        ticks: LoopTicks,
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        webhook: PolicyWebhook | None = None,
    ) -> None:
        self._registry = registry
        self._snapshot = snapshot
        self._ticks = ticks
        self._clock = clock
        self._host = host
        self._port = port
        self._webhook = webhook
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._rendering = asyncio.Lock()

    async def start(self) -> int:
        """Listen; the port. Raises ExporterUnavailable when that is not possible."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handle_signals=False,
            logger=http_logger,
            shutdown_timeout=STOP_TIMEOUT_S,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        await runner.setup()
        self._runner = runner
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol, self._host, self._port, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            await self.stop()
            raise ExporterUnavailable(self._unavailable(error)) from None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and let answers in progress finish, within ``STOP_TIMEOUT_S``."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=1)
        application.on_response_prepare.append(_close_after)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        if self._webhook is not None:
            application.router.add_post(PATH, self._alerts)
        return application

    def _protocol(self) -> asyncio.BaseProtocol:
        """A handler for a new connection, with a limit on how long it may stay."""
        server = self._runner.server if self._runner is not None else None
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Refused()
        handler = server()
        asyncio.get_running_loop().call_later(CONNECTION_S, _cut_off, handler)
        return handler

    def _unavailable(self, error: OSError) -> str:
        in_use = error.errno == errno.EADDRINUSE
        reason = "another program listens there" if in_use else os.strerror(error.errno or 0)
        return (
            f"metrics cannot be served on {self._host}:{self._port}: {reason}; "
            "set metrics.port to a free port (0 takes any)"
        )

    async def _alerts(self, request: web.Request) -> web.Response:
        assert self._webhook is not None
        return await self._webhook.handle(request)

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._webhook is not None:
            self._webhook.scraped(request)
        async with self._rendering:
            body, content_type = await render(self._registry, request.headers.get("Accept", ""), self._clock)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _health(self, request: web.Request) -> web.Response:
        ages = self._ticks.ages_s()
        stuck = sorted(loop for loop, age in ages.items() if age > HEALTHY_LOOP_AGE_S)
        answer = {"alive": not stuck, "stuck": stuck, "loop_age_s": {k: round(v, 3) for k, v in ages.items()}}
        return web.json_response(answer, status=503 if stuck else 200)

    async def _readiness(self, request: web.Request) -> web.Response:
        try:
            snapshot = self._snapshot()
        except Exception:  # the answer must be "not ready", whatever the reason is that it cannot be told
            logger.exception("readiness could not be told")
            return web.json_response({"ready": False, "problems": ["the state cannot be read"]}, status=503)
        answer = {"ready": snapshot.ready, "problems": list(snapshot.problems)}
        return web.json_response(answer, status=200 if snapshot.ready else 503)


def _cut_off(handler: RequestHandler) -> None:
    """End a connection now: a polite close would wait for ever for a client that does not read."""
    transport = handler.transport
    handler.force_close()
    if transport is not None:
        transport.abort()


async def _close_after(_request: web.Request, response: web.StreamResponse) -> None:
    """Close the connection after any answer, refusals too: so no connection stays open for nothing."""
    response.force_close()
    response.headers["Connection"] = "close"
