"""What is wrong with a configuration: one value for each problem, one exception for all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from trader.settings import Settings

KeyPath = tuple[str | int, ...]


class Problem(msgspec.Struct, frozen=True):
    """One thing to correct. ``line`` counts from 1 and is None when no line is to blame."""

    file: Path
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigurationError(Exception):
    """The configuration cannot be used; ``problems`` lists everything that is wrong with it.

    ``rest`` is what it says without the values that are wrong; None when nothing is left. Further problems are looked
    for in it, and a panic makes do with it; nothing trades by it.
    """

    def __init__(self, problems: Sequence[Problem], rest: "Settings | None" = None) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.rest = rest


def in_order(problems: Sequence[Problem]) -> list[Problem]:
    """As they stand in the file."""
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.key))


def dotted(path: KeyPath) -> str:
    """The key as people write it: ``instruments[2].symbol``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
