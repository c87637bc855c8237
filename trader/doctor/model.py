"""What a check is, and what it finds.

Rules: a finding is one verdict, one line of what was seen, and the command that mends it. ``NotVisible`` and
``Absent`` are how looking fails; a check that does not catch them is not known, or failed, for that reason.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from trader.doctor.place import Place


class Stage(StrEnum):
    """When a check is due."""

    PRE = "pre"
    DEPLOYMENT = "deployment"
    POST = "post"


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "not known"


class NotVisible(Exception):
    """Something cannot be looked at; the text says why. ``needs_root`` when root could."""

    def __init__(self, why: str, *, needs_root: bool = False) -> None:
        super().__init__(why)
        self.needs_root = needs_root


class Absent(Exception):
    """There is no such file or folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not there")
        self.path = path


class Finding(NamedTuple):
    """What a check found. ``mend`` is a command instead of the check's own; empty takes that."""

    verdict: Verdict
    seen: str
    mend: str = ""


class Check(NamedTuple):
    """One row of the table.

    ``item`` is the line of the deployment checklist that it belongs to. ``mend`` is a command; names in braces are
    fields of ``Site``.
    """

    key: str
    stage: Stage
    item: str
    title: str
    look: "Callable[[Place], Finding]"
    mend: str


class Result(msgspec.Struct, frozen=True):
    """One check, judged. ``mend`` is empty when the verdict is ok, and when nothing would make it known."""

    key: str
    stage: Stage
    item: str
    title: str
    verdict: Verdict
    seen: str
    mend: str


class Report(msgspec.Struct, frozen=True):
    """All checks of a run, in the table's order."""

    at: datetime
    unit: str
    root: bool
    results: tuple[Result, ...]

    def count(self, verdict: Verdict) -> int:
        """How many checks ended so."""
        return sum(result.verdict is verdict for result in self.results)

    @property
    def failed(self) -> bool:
        return self.count(Verdict.FAILED) > 0


def ok(seen: str) -> Finding:
    return Finding(Verdict.OK, seen)


def warning(seen: str, mend: str = "") -> Finding:
    return Finding(Verdict.WARNING, seen, mend)


def failed(seen: str, mend: str = "") -> Finding:
    return Finding(Verdict.FAILED, seen, mend)


def unknown(why: str, mend: str = "") -> Finding:
    return Finding(Verdict.UNKNOWN, why, mend)


def worst(findings: list[Finding], fine: str) -> Finding:
    """All that is not ok in one finding, the worst first, with the mend of the worst; ``fine`` when all is."""
    order = (Verdict.FAILED, Verdict.UNKNOWN, Verdict.WARNING)
    bad = sorted((item for item in findings if item.verdict in order), key=lambda item: order.index(item.verdict))
    if not bad:
        return ok(fine)
    mends = dict.fromkeys(item.mend for item in bad if item.mend)
    return Finding(bad[0].verdict, "; ".join(item.seen for item in bad), " && ".join(mends))
