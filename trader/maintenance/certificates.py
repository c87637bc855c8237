"""When the certificates end of those whom the configuration talks to over TLS.

Rules: none is asked for that the configuration does not name; by default there is none, and that is said. A
certificate that is not believed fails with the library's own words; who does not answer is missing.
"""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from trader.maintenance.model import Column, Figure, Outcome, Table, Unit
from trader.maintenance.plain import plain
from trader.settings import Settings

TIMEOUT_S: Final = 5.0
HTTPS_PORT: Final = 443
WARNING: Final = timedelta(days=30)
FAILED: Final = timedelta(days=7)
NONE: Final = (
    "The configuration names nobody who is talked to over TLS, so no certificate can end: /metrics and the gateway "
    "are on loopback, in the clear."
)


class NotBelieved(Exception):
    """A certificate does not hold; the text says why."""


class NoAnswer(Exception):
    """Nobody shows a certificate there; the text says why."""


class Endpoint(NamedTuple):
    """Who is talked to over TLS; ``key`` names him in the configuration."""

    key: str
    host: str
    port: int


class Certificates(NamedTuple):
    """What the section takes over."""

    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


Ask = Callable[[Endpoint], datetime]
"""When the certificate ends, aware; raises NotBelieved or NoAnswer."""


def endpoints_of(settings: Settings) -> list[Endpoint]:
    """Every HTTPS address in the configuration."""
    named = (
        ("tracing.otlp_endpoint", settings.tracing.otlp_endpoint),
        ("maintenance.prometheus_url", settings.maintenance.prometheus_url),
    )
    found = []
    for key, url in named:
        parts = urlsplit(url or "")
        if parts.scheme == "https" and parts.hostname:
            found.append(Endpoint(key, parts.hostname, parts.port or HTTPS_PORT))
    return found


def shown_until(endpoint: Endpoint) -> datetime:
    """Ask the endpoint itself, as the service would: its certificate has to be believed by this host."""
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), TIMEOUT_S) as plain_socket,
            ssl.create_default_context().wrap_socket(plain_socket, server_hostname=endpoint.host) as secured,
        ):
            shown = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise NotBelieved(error.verify_message) from error
    except (OSError, ValueError) as error:  # TLS errors are OSErrors too
        raise NoAnswer(plain(error)) from error
    ends = shown.get("notAfter")
    if not isinstance(ends, str):
        raise NoAnswer("its certificate has no end")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)


def look(settings: Settings, now: datetime, ask: Ask = shown_until) -> Certificates:
    """Every certificate, by the time that is left."""
    endpoints = endpoints_of(settings)
    if not endpoints:
        return Certificates(notes=(NONE,))
    figures, rows, missing = [], [], []
    for endpoint in endpoints:
        try:
            ends = ask(endpoint)
        except NotBelieved as error:
            figures.append(_figure(endpoint, f"not believed: {plain(error)}", Unit.TEXT, Outcome.FAILED))
        except NoAnswer as error:
            missing.append(f"certificate of {endpoint.key} ({endpoint.host}:{endpoint.port}): {plain(error)}")
        else:
            figures.append(_figure(endpoint, (ends - now).total_seconds(), Unit.SECONDS, judge(ends - now)))
            rows.append((endpoint.key, f"{endpoint.host}:{endpoint.port}", ends))
    columns = (Column("Setting"), Column("Endpoint"), Column("Ends", Unit.MOMENT))
    tables = (Table.of("Certificates", columns, rows),) if rows else ()
    return Certificates(tuple(figures), tables, (), tuple(missing))


def _figure(endpoint: Endpoint, value: str | float, unit: Unit, outcome: Outcome) -> Figure:
    label = f"Certificate of {endpoint.host} ends in"
    return Figure(label=label, value=value, unit=unit, bound=f"≥ {WARNING.days} days", outcome=outcome)


def judge(left: timedelta) -> Outcome:
    """By the time that is left until it ends."""
    return Outcome.FAILED if left < FAILED else Outcome.WARNING if left < WARNING else Outcome.OK
