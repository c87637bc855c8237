"""The releases of systemd that the deployment is proven on, each by the Debian that ships it.

Rules: names are those that tests and people type ("252", "257"). What is deployed runs Debian's own Python.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Release:
    """A Debian release and what it ships: systemd's version, and Python's as ``major.minor``."""

    systemd: int
    debian: str
    debian_version: int
    python: str

    @property
    def name(self) -> str:
        """What a person types: ``252``."""
        return str(self.systemd)

    @property
    def id(self) -> str:
        """What a test is parametrized with: ``systemd-252``."""
        return f"systemd-{self.systemd}"

    def __str__(self) -> str:
        return f"systemd {self.systemd} (Debian {self.debian_version} {self.debian})"


SYSTEMD_252: Final = Release(252, "bookworm", 12, "3.11")
SYSTEMD_257: Final = Release(257, "trixie", 13, "3.13")
RELEASES: Final = {release.name: release for release in (SYSTEMD_252, SYSTEMD_257)}
