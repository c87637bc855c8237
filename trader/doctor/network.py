"""Listening sockets: the gateway's is there, and nothing of ours is open to other hosts.

Rules: nothing is connected to, since IB Gateway counts a connection as a client; the kernel's tables are read.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, worst
from trader.doctor.place import Place
from trader.doctor.words import some

TABLES: Final = ("tcp", "tcp6")
TABLE_FOLDERS: Final = (Path("/proc/net"), Path("/proc/self/net"))
"""The second is there in a sandbox that hides all of /proc but processes."""
LISTENING: Final = "0A"
GATEWAY_USER: Final = "ibgateway"


class Listener(NamedTuple):
    """A TCP socket that waits for connections; ``uid`` is its owner."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    uid: int

    @property
    def is_loopback(self) -> bool:
        return self.address.is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def listeners(table: str) -> Iterator[Listener]:
    """The listening sockets in one of the kernel's tables; addresses are words of the host's, little-endian."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[3] != LISTENING:
            continue
        host, _, port = fields[1].partition(":")
        raw = bytes.fromhex(host)
        swapped = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
        address = ipaddress.ip_address(swapped)
        mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 address of a socket for both
        yield Listener(mapped or address, int(port, 16), int(fields[7]))


def listening(place: Place) -> list[Listener]:
    """Every TCP socket of this host that listens; raises NotVisible where the kernel's tables are hidden."""
    found: list[Listener] = []
    absent = 0
    for table in TABLES:
        text = _table(place, table)
        found += listeners(text or "")
        absent += text is None  # a kernel without IPv6
    if absent == len(TABLES):
        raise NotVisible(f"the kernel's tables of sockets are hidden here ({TABLE_FOLDERS[0]})")
    return found


def _table(place: Place, name: str) -> str | None:
    for folder in TABLE_FOLDERS:
        try:
            return place.host.read(folder / name)
        except Absent:
            continue
    return None


def gateway(place: Place) -> Finding:
    settings = place.usable_settings()
    port = settings.gateway.port
    found = [item for item in listening(place) if item.port == port]
    if not found:
        server = "ibkr-simulator.service" if settings.mode == "simulated" else "ibkr-gateway.service"
        return failed(f"nobody listens at port {port}, mode {settings.mode}", f"sudo systemctl start {server}")
    away = [str(item) for item in found if not item.is_loopback]
    if away:
        return failed(
            f"the gateway listens at {some(away)}: its API, which asks for no password, is open to other hosts",
            f"sudo ss --listening --tcp --numeric --processes 'sport = :{port}'",
        )
    return ok(f"listens at {', '.join(str(item) for item in found)}")


def loopback_only(place: Place) -> Finding:
    """Every socket of our users, whichever process has it."""
    names = (place.site.user, GATEWAY_USER)
    accounts = [account for account in map(place.host.account, names) if account is not None]
    if not any(account.name == place.site.user for account in accounts):
        return failed(f"there is no user {place.site.user}", "sudo systemd-sysusers")
    users = {account.uid: account.name for account in accounts}
    ours = [item for item in listening(place) if item.uid in users]
    open_ones = [failed(f"{users[item.uid]} listens at {item}") for item in ours if not item.is_loopback]
    told = ", ".join(str(item) for item in ours) or "nothing"
    return worst(open_ones, f"on loopback: {told}")
