"""Metrics in files, for node_exporter's textfile collector: what is known when the service does not run.

Rules: Prometheus's text format, one HELP and TYPE for each family; a file is replaced as a whole, because it may be
read at any moment, and readable by everyone, because node_exporter runs as another user. A value that is not known
is left out.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SUFFIX: Final = ".prom"
READABLE_BY_ALL: Final = 0o644


class TextfileError(Exception):
    """The file cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge: ``name``, what it means, and its samples, each with other labels."""

    name: str
    help: str
    samples: tuple[Sample, ...]


def render(gauges: Iterable[Gauge]) -> str:
    """The text of ``gauges``; those without a finite sample are left out."""
    return "".join(_family(gauge) for gauge in gauges)


def write(path: Path, gauges: Iterable[Gauge]) -> None:
    """Replace ``path``, which must end in ``.prom`` and whose folder must exist; raises TextfileError."""
    if path.suffix != SUFFIX:
        raise TextfileError(f"{path}: node_exporter reads only files whose names end in {SUFFIX}")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(render(gauges), encoding="utf-8")
        part.chmod(READABLE_BY_ALL)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise TextfileError(f"{path}: cannot be written: {error}") from error


def _family(gauge: Gauge) -> str:
    lines = [_line(gauge.name, sample) for sample in gauge.samples if math.isfinite(sample.value)]
    if not lines:
        return ""
    explained = gauge.help.replace("\\", r"\\").replace("\n", r"\n")
    return "\n".join((f"# HELP {gauge.name} {explained}", f"# TYPE {gauge.name} gauge", *lines, ""))


def _line(name: str, sample: Sample) -> str:
    inside = ",".join(f'{label}="{_escaped(value)}"' for label, value in sample.labels.items())
    return f"{name}{{{inside}}} {sample.value!r}" if inside else f"{name} {sample.value!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
