"""The machine that a benchmark ran on, as far as it bears on the figures."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

PACKAGES: Final = ("ib_async", "msgspec", "prometheus-client", "SQLAlchemy")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """``load`` is the load average of the last minute before the run: more than little spoils it."""

    processor: str
    processors: int
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    load: float


def this_machine() -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        processors=len(os.sched_getaffinity(0)),
        memory_gib=round(pages / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: version(name) for name in PACKAGES},
        load=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
