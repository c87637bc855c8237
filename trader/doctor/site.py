"""Where one installation has its things: the agreed paths, or what the installed unit says instead.

Rules: the installed unit is believed before the default, because ``install.sh`` writes other paths into it. All
names that a mend may use in braces are attributes here.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trader.doctor.host import Host
from trader.doctor.model import Absent, NotVisible
from trader.doctor.units import Directives, directives

USER: Final = "trader"
PREFIX: Final = Path("/opt/ibkr-trading")
UNIT_FOLDER: Final = Path("/etc/systemd/system")
RECORD: Final = Path("/etc/ibkr-trading/installed")
"""What ``install.sh`` installed with: lines of KEY=value."""
MAINTENANCE: Final = ("daily", "weekly", "monthly")
INSTANCE: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")
INSTANCE_CONFIG: Final = re.compile(r"/instances/(?P<name>[^/]+)/config/[^/]+")
PROGRAM: Final = re.compile(r"(?P<prefix>/\S*)/current/bin/trader\b")
CONFIG: Final = re.compile(r"(?:--config|-c)[ =](?P<file>/\S+)")
CONFIG_VARIABLE: Final = re.compile(r"TRADER_CONFIG=(?P<file>[^\s\"']+)")


class SiteError(Exception):
    """There can be no such installation; the text says why."""


def base_of(user: str, instance: str) -> Path:
    """The folder that holds config, state, logs and the panic flag."""
    base = Path("/home") / user / "secure" / "trader" / "IBKR_trading"
    return base / "instances" / instance if instance else base


@dataclass(frozen=True)
class Site:
    """One installation; ``instance`` is empty for the plain one."""

    instance: str
    user: str
    prefix: Path
    config: Path
    base: Path
    unit_folder: Path = UNIT_FOLDER
    secrets: Path = Path("/etc/ibkr-trading/secrets")
    textfiles: Path = Path("/var/lib/prometheus/node-exporter")

    def _unit(self, stem: str, kind: str) -> str:
        return f"{stem}@{self.instance}.{kind}" if self.instance else f"{stem}.{kind}"

    @property
    def unit(self) -> str:
        return self._unit("ibkr-trading", "service")

    @property
    def unit_file(self) -> str:
        """The name of the file that ``unit`` is made from."""
        return "ibkr-trading@.service" if self.instance else "ibkr-trading.service"

    @property
    def panic_path(self) -> str:
        return self._unit("ibkr-panic", "path")

    @property
    def panic_path_file(self) -> str:
        """The name of the file that ``panic_path`` is made from."""
        return "ibkr-panic@.path" if self.instance else "ibkr-panic.path"

    @property
    def panic_service(self) -> str:
        return self._unit("ibkr-panic", "service")

    @property
    def calendar_timer(self) -> str:
        return "ibkr-calendar.timer"

    @property
    def calendar_service(self) -> str:
        return "ibkr-calendar.service"

    @property
    def maintenance_timers(self) -> tuple[str, ...]:
        """Of the plain installation; there are none for instances."""
        return tuple(f"ibkr-maintenance-{kind}.timer" for kind in MAINTENANCE)

    @property
    def maintenance_services(self) -> tuple[str, ...]:
        return tuple(f"ibkr-maintenance-{kind}.service" for kind in MAINTENANCE)

    @property
    def maintenance_timer_names(self) -> str:
        return " ".join(self.maintenance_timers)

    @property
    def current(self) -> Path:
        return self.prefix / "current"

    @property
    def share(self) -> Path:
        return self.current / "share"

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def flag(self) -> Path:
        return self.base / "panic.flag"

    @property
    def token(self) -> Path:
        return self.secrets / "policy-token"

    @property
    def runtime(self) -> Path:
        """Where the control socket is while the service runs."""
        return Path("/run") / (f"ibkr-trading-{self.instance}" if self.instance else "ibkr-trading")

    @property
    def drop_ins(self) -> Path:
        return self.unit_folder / f"{self.unit_file}.d"

    @property
    def options(self) -> str:
        """What every command of this installation's needs."""
        return f"--config {self.config}"


def site_of(host: Host, instance: str = "") -> Site:
    """The installation of ``instance``; raises SiteError for a name that no unit can have."""
    if instance and not INSTANCE.fullmatch(instance):
        raise SiteError(
            f"{instance!r} is no name of an instance: lower-case letters, digits, - and _, at most 31, "
            "beginning with a letter, as in ibkr-trading@NAME"
        )
    recorded = _settings(host, RECORD)
    user = recorded.last("USER") or USER
    base = base_of(user, instance)
    prefix = Path(recorded.last("PREFIX") or PREFIX)
    site = Site(instance=instance, user=user, prefix=prefix, config=base / "config" / "config.yaml", base=base)
    return _as_installed(site, _settings(host, site.unit_folder / site.unit_file))


def instance_of(config: str) -> str:
    """The instance whose configuration lies at ``config``; empty for any other file."""
    found = INSTANCE_CONFIG.search(config)
    return found["name"] if found else ""


def _settings(host: Host, path: Path) -> Directives:
    try:
        return directives(host.read(path))
    except (Absent, NotVisible):
        return Directives([])


def _as_installed(site: Site, found: Directives) -> Site:
    user = found.last("User") or site.user
    site = replace(site, user=user, base=base_of(user, site.instance))
    start = found.last("ExecStart") or ""
    program = PROGRAM.search(start)
    if program:
        site = replace(site, prefix=Path(program["prefix"].lstrip("+-:@!")))
    named = CONFIG.search(start) or CONFIG_VARIABLE.search(" ".join(found.all("Environment")))
    if named is None:
        return replace(site, config=site.base / "config" / "config.yaml")
    config = Path(named["file"].replace("%i", site.instance).replace("%I", site.instance))
    return replace(site, config=config, base=config.parent.parent)
