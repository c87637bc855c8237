"""A past for Prometheus: blocks with what the rules look back on, written by its own promtool.

Rules: only series that a rule reads over a day or more, with the labels that a run has shown; a sample every
``STEP_S``, as they are scraped and evaluated. Counters have risen evenly to what they are, other values have stood.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks.instances import COUNTING
from benchmarks.options import BenchmarkFailed
from trader.stack import Sample

STEP_S: Final = 15
BLOCK_S: Final = 3 * 86_400
BLOCK_HOURS: Final = 96
PROMTOOL_TIMEOUT_S: Final = 300.0
LOOKED_BACK: Final = re.compile(r"([a-zA-Z_:][\w:]*(?:\{[^}]*\})?)\[\d+d\]")


def looked_back_on(rules: Iterable[str]) -> set[str]:
    """The selectors that ``rules``, as text, read over days."""
    return {selector for text in rules for selector in LOOKED_BACK.findall(text)}


def write_history(promtool: Path, data: Path, series: Iterable[Sample], days: float, until_s: int) -> None:
    """Blocks in ``data`` that end at ``until_s``; raises BenchmarkFailed with promtool's words."""
    data.mkdir(parents=True, exist_ok=True)
    known = list({exposed(item.labels): item for item in series}.items())
    for begin_s, end_s in spans(until_s - int(days * 86_400), until_s):
        text = data.parent / "history.om"
        with text.open("w") as file:
            for name, item in known:
                file.write(samples_text(name, item, begin_s, end_s, until_s))
            file.write("# EOF\n")
        command = [str(promtool), "tsdb", "create-blocks-from", "openmetrics", f"--max-block-duration={BLOCK_HOURS}h"]
        done = subprocess.run(
            [*command, str(text), str(data)], capture_output=True, text=True, timeout=PROMTOOL_TIMEOUT_S, check=False
        )
        text.unlink()
        if done.returncode != 0:
            raise BenchmarkFailed(f"promtool wrote no history: {done.stderr.strip()[-300:]}")


def spans(begin_s: int, end_s: int) -> Iterator[tuple[int, int]]:
    """From ``begin_s`` to ``end_s`` in parts that are each a file's worth, without an overlap."""
    return pairwise([*range(begin_s, end_s, BLOCK_S), end_s])


def exposed(labels: dict[str, str]) -> str:
    """A series as the text formats write it."""
    pairs = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels['__name__']}{{{pairs}}}"


def samples_text(name: str, item: Sample, begin_s: int, end_s: int, until_s: int) -> str:
    """The lines of one series from ``begin_s`` to before ``end_s``; at ``until_s`` it is what it is now."""
    times = range(begin_s, end_s, STEP_S)
    if not item.labels["__name__"].endswith(COUNTING) or item.value == 0:
        return "".join(f"{name} {item.value} {at}\n" for at in times)
    # A count of one in a second, so far back that it never was below zero.
    value = item.value + 10_000_000
    return "".join(f"{name} {value - (until_s - at)} {at}\n" for at in times)
