"""Alertmanager's word to the budget policy: ``POST /alertmanager/webhook``, format 4, with a bearer token.

Rules: takes nothing without the token, nothing larger than ``MAX_BODY_BYTES`` and nothing that is not understood as a
whole; each refusal is one sentence. What is taken becomes one fact and is decided on by the engine. Alerts of other
services (``policy.labels``) are left out. A scrape by a monitoring system is told too, since only while there are
scrapes do the alerts say anything.
"""

import hmac
import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from observability.catalogue import OTHER
from observability.catalogue.policy import SLOS
from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.events import AlertLine, AnyFact, MetricsScraped, PolicyAlertsReceived
from trader.settings import PolicySettings

logger = logging.getLogger(__name__)

PATH: Final = "/alertmanager/webhook"
MAX_BODY_BYTES: Final = 1_048_576
MAX_ALERTS: Final = 1_000
MAX_KEY_CHARACTERS: Final = 64
POLICY_LABEL: Final = ("policy", "true")
# Prometheus and what stands in for it send this with every scrape; a person's browser does not.
SCRAPE_HEADER: Final = "X-Prometheus-Scrape-Timeout-Seconds"
BEARER: Final = "bearer "
LOG_EVERY_NS: Final = 60 * NANOSECONDS_PER_SECOND


class _Alert(msgspec.Struct, frozen=True):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: str = ""


class _Message(msgspec.Struct, frozen=True):
    version: Literal["4"]
    alerts: Annotated[list[_Alert], msgspec.Meta(max_length=MAX_ALERTS)]


class PolicyWebhook:
    """Turns what Alertmanager sends into facts and hands those to ``post``."""

    def __init__(
        self, token: str, settings: Callable[[], PolicySettings], clock: Clock, post: Callable[[AnyFact], None]
    ) -> None:
        self._token = token.encode()
        self._settings = settings
        self._clock = clock
        self._post = post
        self._logged_ns: int | None = None

    def scraped(self, request: web.Request) -> None:
        """Tell of a scrape, when that is what ``request`` is."""
        if SCRAPE_HEADER in request.headers:
            self._post(MetricsScraped(at=self._clock.now(), monotonic_ns=self._clock.monotonic_ns()))

    async def handle(self, request: web.Request) -> web.Response:
        if not self._is_authorized(request.headers.get("Authorization", "")):
            return self._refused(401, "the bearer token is missing or wrong; it is in the file of policy.token_file")
        try:
            body = await _body(request)
        except (web.RequestPayloadError, HttpProcessingError):
            return self._refused(400, "the message's body is not what its headers say")
        if body is None:
            return self._refused(413, f"a message may have {MAX_BODY_BYTES} bytes at most")
        try:
            message = msgspec.json.decode(body, type=_Message)
        except msgspec.DecodeError as error:
            return self._refused(400, f"this is no message of Alertmanager's webhook, version 4: {error}")
        received = self._received(message)
        self._post(received)
        return web.json_response({"alerts": len(received.alerts)})

    def _refused(self, status: int, sentence: str) -> web.Response:
        """The answer that says why; the log says it too, at most once in ``LOG_EVERY_NS``."""
        now_ns = self._clock.monotonic_ns()
        if self._logged_ns is None or now_ns - self._logged_ns >= LOG_EVERY_NS:
            self._logged_ns = now_ns
            logger.warning("a message to the budget policy's webhook was refused: %s", sentence)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return web.json_response({"error": sentence}, status=status, headers=headers)

    def _is_authorized(self, header: str) -> bool:
        scheme, token = header[: len(BEARER)], header[len(BEARER) :]
        return scheme.lower() == BEARER and hmac.compare_digest(
            token.strip().encode(errors="surrogateescape"), self._token
        )

    def _received(self, message: _Message) -> PolicyAlertsReceived:
        settings = self._settings()
        beats = [alert.status == "firing" for alert in message.alerts if _name(alert) == settings.heartbeat_alert]
        return PolicyAlertsReceived(
            at=self._clock.now(),
            alerts=tuple(_lines(message, settings)),
            heartbeat=any(beats) if beats else None,
            monotonic_ns=self._clock.monotonic_ns(),
        )


def _lines(message: _Message, settings: PolicySettings) -> Iterator[AlertLine]:
    wanted = {**settings.labels, POLICY_LABEL[0]: POLICY_LABEL[1]}
    for alert in message.alerts:
        if _name(alert) == settings.heartbeat_alert or not wanted.items() <= alert.labels.items():
            continue
        slo = alert.labels.get("slo", OTHER)
        yield AlertLine(
            key=_key(alert),
            name=_name(alert),
            slo=slo if slo in SLOS else OTHER,
            firing=alert.status == "firing",
        )


def _name(alert: _Alert) -> str:
    return alert.labels.get("alertname", "")[:MAX_KEY_CHARACTERS]


def _key(alert: _Alert) -> str:
    """What tells this alert from others: its fingerprint, or its labels where a sender gives none."""
    return alert.fingerprint[:MAX_KEY_CHARACTERS] or str(sorted(alert.labels.items()))[:1_000]


async def _body(request: web.Request) -> bytes | None:
    """The request's body; None when it is too large."""
    body = bytearray()
    while chunk := await request.content.read(MAX_BODY_BYTES + 1 - len(body)):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)
