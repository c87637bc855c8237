"""The audit of access: what the service's user may do as root, and which sockets of ours listen.

Rules: nothing is tried, files and the kernel's tables are read. What only root may read is not known to others.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader.doctor.host import Account
from trader.doctor.model import Absent, Finding, failed, ok, unknown, worst
from trader.doctor.network import GATEWAY_USER, listening, loopback_only
from trader.doctor.place import Place
from trader.doctor.words import some
from trader.maintenance.model import Column, Table, Unit
from trader.maintenance.plain import plain

SUDOERS: Final = Path("/etc/sudoers")
SUDOERS_FOLDER: Final = Path("/etc/sudoers.d")
UID_MAP: Final = Path("/proc/self/uid_map")
WHOLE_MAP: Final = ["0", "0", "4294967295"]
NO_RULE: Final = re.compile(r"Defaults|Host_Alias|Runas_Alias|Cmnd_Alias|@include|#include")
SOCKETS: Final = "sudo ss --listening --tcp --numeric --processes"


def sudo_rules(place: Place) -> Finding:
    """No rule of sudo's names the service's user, or a group of it."""
    account = place.host.account(place.site.user)
    if account is None:
        return failed(f"there is no user {place.site.user}", "sudo systemd-sysusers")
    files = _sudoers(place)
    if not files:
        return ok("sudo is not installed")
    bad = []
    for path in files:
        lines = list(grants(place.host.read(path), account))
        bad += [failed(f"{path}: {plain(line)}", f"sudo visudo --file {path}") for line in lines]
    return worst(bad, f"no rule in {len(files)} files names {account.name} or its groups")


def _sudoers(place: Place) -> list[Path]:
    files = []
    try:
        place.host.state(SUDOERS)
        files.append(SUDOERS)
        files += [SUDOERS_FOLDER / name for name in place.host.names(SUDOERS_FOLDER)]
    except Absent:
        return files
    # sudo passes over names with a dot or a tilde at the end: https://www.sudo.ws/docs/man/sudoers.man
    return [path for path in files if path == SUDOERS or ("." not in path.name and not path.name.endswith("~"))]


def grants(text: str, account: Account) -> Iterator[str]:
    """The rules that let ``account`` do something; a user alias that names it counts too."""
    names = {account.name, f"#{account.uid}", "ALL", *(f"%{group}" for group in account.groups)}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        rule = line.strip()
        if not rule or NO_RULE.match(rule) or re.match(r"#(?!\d)", rule):
            continue
        users = rule.partition("=")[2] if rule.startswith("User_Alias") else _users(rule)
        if names & {name.strip() for name in users.split(",")}:
            yield rule


def _users(rule: str) -> str:
    """The list of users that a rule begins with; blanks may follow its commas."""
    return re.sub(r"\s*,\s*", ",", rule).split()[0]


def sockets(place: Place) -> Finding:
    """Sockets of ours are on loopback; where users are hidden from us, the gateway's are not known."""
    found = loopback_only(place)
    if place.host.account(GATEWAY_USER) is None or _sees_all_users(place):
        return found
    hidden = unknown(f"whose sockets are {GATEWAY_USER}'s is not visible from this sandbox", SOCKETS)
    return worst([found, hidden], found.seen)


def _sees_all_users(place: Place) -> bool:
    try:
        return place.host.read(UID_MAP).split() == WHOLE_MAP
    except Absent:
        return True


def sockets_table(place: Place) -> Table:
    """Every listening socket of our users."""
    names = (place.site.user, GATEWAY_USER)
    users = {account.uid: account.name for account in map(place.host.account, names) if account is not None}
    ours = [item for item in listening(place) if item.uid in users]
    columns = (Column("User"), Column("Address"), Column("Port", Unit.TEXT), Column("Open to other hosts"))
    rows = [
        (users[item.uid], str(item.address), str(item.port), "no" if item.is_loopback else "yes")
        for item in sorted(ours, key=lambda item: (item.uid, item.port))
    ]
    return Table.of("Listening sockets", columns, rows)


def told(names: list[str]) -> str:
    """The first few of ``names``."""
    return some([plain(name) for name in names])
