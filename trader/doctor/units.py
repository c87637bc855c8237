"""Unit files and systemd's values, read. Pure.

Rules: a value that is not understood is None, never a guess.
"""

import re
from datetime import UTC, datetime
from typing import Final

SIZES: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
SPANS_S: Final = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "": 1.0, "min": 60.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0,
    "w": 604_800.0, "month": 2_629_800.0, "y": 31_557_600.0,
}  # fmt: skip
INFINITE: Final = float("inf")
SPAN_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)")


class Directives:
    """The settings of a unit file, whatever their section, in the file's order."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every setting as it is written, empty values too."""
        return tuple(self._pairs)

    def all(self, name: str) -> list[str]:
        """Every value of ``name``; an empty one takes back those before it."""
        values: list[str] = []
        for key, value in self._pairs:
            if key == name:
                values = [*values, value] if value else []
        return values

    def last(self, name: str) -> str | None:
        values = self.all(name)
        return values[-1] if values else None


def directives(text: str) -> Directives:
    """The settings in a unit file's ``text``."""
    joined = re.sub(r"\\\n", " ", text)
    pairs = []
    for line in joined.splitlines():
        key, mark, value = line.strip().partition("=")
        if mark and not key.startswith(("#", ";", "[")):
            pairs.append((key.strip(), value.strip()))
    return Directives(pairs)


def size_bytes(text: str | None) -> float | None:
    """``8G``, ``512M``, ``8589934592``, ``infinity``."""
    if text is None:
        return None
    if text == "infinity" or text == str(2**64 - 1):
        return INFINITE
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.strip())
    return float(found[1]) * SIZES[found[2]] if found else None


def count(text: str | None) -> float | None:
    """``4096``, ``infinity``, and ``65536:65536``, of which the second is the hard limit."""
    if text is None:
        return None
    return size_bytes(text.split(":")[0])


def span_s(text: str | None) -> float | None:
    """``10s``, ``1min 30s``, ``4s``, ``500ms``, ``infinity``, in seconds."""
    if text is None or not text.strip():
        return None
    if text.strip() == "infinity":
        return INFINITE
    parts = list(SPAN_PART.finditer(text))
    if "".join(part[0] for part in parts) != text.rstrip() or any(part[2] not in SPANS_S for part in parts):
        return None
    return sum(float(part[1]) * SPANS_S[part[2]] for part in parts)


def quota_cores(text: str | None) -> float | None:
    """``400%`` as 4.0 processors."""
    if text is None:
        return None
    if text.strip() == "infinity":
        return INFINITE
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%", text.strip())
    return float(found[1]) / 100 if found else None


def processors(text: str) -> frozenset[int] | None:
    """``0-3 5`` or ``0,2-3`` as numbers of processors."""
    found: set[int] = set()
    for part in re.split(r"[\s,]+", text.strip()):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if match is None:
            return None
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def moment_of(text: str) -> datetime | None:
    """``Sun 2026-11-22 16:05:00 UTC``; None for one that never was."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None


def properties(text: str) -> dict[str, str]:
    """What ``systemctl show`` printed for one unit."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
