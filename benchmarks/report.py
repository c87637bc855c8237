"""What a benchmark found: figures in tables, goals met or missed; as JSON, on a terminal, and as Markdown.

Rules: a figure is of many samples and keeps its minimum, median, p99 and p99.9; a percentile that its samples cannot
tell apart from the maximum is left out. A goal that is missed says by how much and why.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from benchmarks.machine import Machine

MISSING: Final = "–"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """``ratio`` is to the table's baseline, of the table's ``compared`` statistic."""

    what: str
    unit: str
    samples: int
    minimum: float
    median: float
    p99: float | None
    p999: float | None
    maximum: float
    ratio: float | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """``compared`` names the statistic of the ratios and the baseline; empty when there are none."""

    title: str
    figures: tuple[Figure, ...]
    compared: str = ""
    note: str = ""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """``measured`` against ``limit`` in words with units; ``why`` is for a goal that is missed."""

    what: str
    limit: str
    measured: str
    met: bool
    why: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's run. ``command`` repeats it."""

    name: str
    title: str
    command: str
    seed: int
    at: datetime
    duration_s: float
    machine: Machine
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...] = ()


def figure(what: str, unit: str, samples: Sequence[float], ratio: float | None = None) -> Figure:
    """The statistics of ``samples``; raises ValueError when there are none."""
    if not samples:
        raise ValueError(f"{what}: nothing was measured")
    ordered = sorted(samples)
    return Figure(
        what=what,
        unit=unit,
        samples=len(ordered),
        minimum=ordered[0],
        median=percentile(ordered, 0.5),
        p99=percentile(ordered, 0.99) if len(ordered) >= 100 else None,
        p999=percentile(ordered, 0.999) if len(ordered) >= 1_000 else None,
        maximum=ordered[-1],
        ratio=ratio,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` of all do not exceed; ``ordered`` ascends and is not empty."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def shown(value: float | None) -> str:
    """Three significant digits, thousands apart."""
    if value is None:
        return MISSING
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{digits}f}"


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """The table's heading and rows, as text; columns that say nothing are left out."""
    figures = table.figures
    columns = {
        "": [item.what for item in figures],
        "unit": [item.unit for item in figures],
        "min": [shown(item.minimum) for item in figures],
        "median": [shown(item.median) for item in figures],
        "p99": [shown(item.p99) for item in figures],
        "p99.9": [shown(item.p999) for item in figures],
        "max": [shown(item.maximum) for item in figures],
        "ratio": [MISSING if item.ratio is None else f"{item.ratio:.2f}" for item in figures],
        "n": [f"{item.samples:,}" for item in figures],
    }
    said = {name: column for name, column in columns.items() if any(cell != MISSING for cell in column)}
    return list(said), [list(row) for row in zip(*said.values(), strict=True)]
