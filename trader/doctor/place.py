"""What checks look at together: the host, the installation, its configuration, and answers that several need.

Rules: what was asked once in a run is not asked again. An answer that cannot be had raises NotVisible for each check
that needs it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from trader.doctor.bounds import BOUNDS, Bounds
from trader.doctor.host import Answered, Host
from trader.doctor.model import Absent, NotVisible
from trader.doctor.site import Site
from trader.doctor.units import Directives, directives, properties

if TYPE_CHECKING:
    from trader.settings import Settings

T = TypeVar("T")
ASKED_FOR: Final = frozenset({"gateway", "metrics", "journal", "policy", "mode", ""})
"""The sections of the configuration that checks look up."""
NOT_BOOTED: Final = "has not been booted with systemd"
CANNOT_CONNECT: Final = "Failed to connect to bus"


@dataclass(frozen=True)
class Options:
    """Where the monitoring is, and what is known to be good."""

    prometheus: str = "http://127.0.0.1:9090"
    alertmanager: str = "http://127.0.0.1:9093"
    bounds: Bounds = BOUNDS


class Place:
    """One installation on one host."""

    def __init__(
        self, host: Host, site: Site, options: Options | None = None, load: "Callable[[Path], Settings] | None" = None
    ) -> None:
        self._load = load
        self.host = host
        self.site = site
        self.options = options or Options()
        self._known: dict[object, object] = {}

    @property
    def bounds(self) -> Bounds:
        return self.options.bounds

    def once(self, key: object, ask: Callable[[], T]) -> T:
        """What ``ask`` answers, or how it failed, the first time and from then on."""
        if key not in self._known:
            try:
                self._known[key] = ask()
            except (Absent, NotVisible) as error:
                self._known[key] = error
        answer = self._known[key]
        if isinstance(answer, (Absent, NotVisible)):
            raise answer
        return answer  # type: ignore[return-value] # it is what this key's question gave

    def show(self, unit: str) -> dict[str, str]:
        """Every property that systemd has of ``unit``."""
        return self.once(("show", unit), lambda: self._show(unit))

    def _show(self, unit: str) -> dict[str, str]:
        ran = self.host.run("systemctl", "show", "--no-pager", unit)
        if ran.code != 0:
            if NOT_BOOTED in ran.error or CANNOT_CONNECT in ran.error:
                raise NotVisible("systemd does not run this host, so it cannot be asked")
            raise NotVisible(f"systemd does not tell ({_first_line(ran.error)})")
        return properties(ran.output)

    def loaded(self, unit: str) -> dict[str, str]:
        """As ``show``, for a unit that systemd has loaded."""
        shown = self.show(unit)
        if shown.get("LoadState") != "loaded":
            raise NotVisible(f"{unit} is not installed ({shown.get('LoadState', 'unknown to systemd')})")
        return shown

    def running(self) -> dict[str, str]:
        """As ``loaded``, of the service while it has a process."""
        shown = self.loaded(self.site.unit)
        if shown.get("MainPID", "0") == "0":
            raise NotVisible("the service does not run")
        return shown

    def systemd_version(self) -> int:
        return self.once("systemd", self._systemd_version)

    def _systemd_version(self) -> int:
        words = self.host.run("systemctl", "--version").output.split()
        if len(words) < 2 or not words[1].split(".")[0].split("~")[0].isdigit():
            raise NotVisible("systemctl does not say its version")
        return int(words[1].split(".")[0].split("~")[0])

    def unit_text(self) -> Directives:
        """The settings of the service's unit: installed, or else as shipped."""
        name = self.site.unit_file
        for folder in (self.site.unit_folder, self.shipped_units()):
            try:
                return directives(self.host.read(folder / name))
            except Absent:
                continue
        raise NotVisible(f"neither {self.site.unit_folder} nor {self.shipped_units()} has {name}")

    def shipped_units(self) -> Path:
        return self.site.share / "units"

    def settings(self) -> "Settings":
        """The configuration; raises Absent, NotVisible, or ConfigurationError."""
        from trader.settings_file import load_settings

        self.host.read(self.site.config)
        return (self._load or load_settings)(self.site.config)

    def usable_settings(self) -> "Settings":
        """The configuration for checks that are not about it; raises NotVisible when it cannot be used."""
        from trader.settings_file import ConfigurationError

        try:
            return self.once("settings", self.settings)
        except Absent as error:
            raise NotVisible(f"there is no configuration at {error.path}") from error
        except ConfigurationError as error:
            # The service goes on with what it read while somebody edits the file.
            sections = {problem.key.partition(".")[0].partition("[")[0] for problem in error.problems}
            if error.rest is None or sections & ASKED_FOR:
                raise NotVisible("the configuration cannot be used") from error
            return error.rest

    def exporter(self, path: str) -> Answered | None:
        """What the service answers at ``path`` of its metrics port; None when nobody does."""
        metrics = self.usable_settings().metrics
        if metrics.port == 0:
            raise NotVisible("metrics.port is 0, so the port is not known; give it a number")
        url = f"http://{'127.0.0.1' if metrics.host == 'localhost' else metrics.host}:{metrics.port}{path}"
        return self.once(url, lambda: self.host.get(url))


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else "no reason given"
