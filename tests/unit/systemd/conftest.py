"""The shipped units as they are read by systemd: sections, keys in their order, and comments."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "systemd"
KINDS = ("*.service", "*.path", "*.timer")


@dataclass
class Unit:
    """A unit file: ``values`` by section and key, and its paragraphs as written."""

    name: str
    text: str
    values: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def all(self, key: str) -> list[str]:
        """Every value of ``key``, in whatever section it stands."""
        return [value for section in self.values.values() for value in section.get(key, [])]

    def one(self, key: str) -> str:
        (value,) = self.all(key)
        return value


def read(file: Path) -> Unit:
    unit = Unit(file.name, file.read_text(encoding="utf-8"))
    section: dict[str, list[str]] = {}
    for line in unit.text.replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = unit.values.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return unit


@pytest.fixture(scope="session")
def units() -> dict[str, Unit]:
    """Every shipped unit by its file's name."""
    return {file.name: read(file) for kind in KINDS for file in sorted(FOLDER.glob(kind))}


@pytest.fixture(scope="session")
def drop_ins() -> dict[str, Unit]:
    """Every shipped drop-in by its file's name."""
    return {file.name: read(file) for file in sorted(FOLDER.glob("*.conf"))}
