"""How the simulated gateway's server is set up: one frozen options object."""

import ipaddress
from enum import StrEnum
from typing import Final

import msgspec

LOOPBACK_NAMES: Final = frozenset({"localhost"})


class ServerRefused(Exception):
    """The server cannot start as asked: its one sentence says why and what to do."""


class ClockStart(StrEnum):
    """When simulated time begins to run: at once, or once the first market data has been asked for.

    Until it runs the clock stands at the market's start, so that a client sees a recorded day from its
    first row on.
    """

    LISTENING = "listening"
    SUBSCRIBED = "subscribed"


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``speed`` is simulated seconds in one real second. ``time_zone`` is the gateway's own.

    ``messages_per_s`` is the pacing limit of one client: what is above it gets error 100 and is dropped, and
    with ``disconnect_on_pacing`` the client is, too. A client that reads slower than it is written to is
    disconnected once ``write_buffer_max_bytes`` wait for it. Lines are limits over all clients.
    """

    host: str = "127.0.0.1"
    port: int = 4002
    speed: float = 1.0
    clock_start: ClockStart = ClockStart.LISTENING
    time_zone: str = "US/Eastern"
    messages_per_s: int = 50
    disconnect_on_pacing: bool = False
    clients_max: int = 32
    connections_max: int = 128
    market_data_lines: int = 100
    tick_by_tick_lines: int = 100
    bar_subscriptions: int = 100
    write_buffer_max_bytes: int = 32 * 1024 * 1024
    handshake_timeout_s: float = 30.0
    account_refresh_s: float = 1.0
    pnl_refresh_s: float = 1.0
    exit_at_end: bool = False


def require_loopback(host: str) -> None:
    """Raise ServerRefused for any address but this machine's own."""
    try:
        loopback = host in LOOPBACK_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ServerRefused(f"the simulated gateway listens on this machine only, not on {host!r}; use 127.0.0.1")
