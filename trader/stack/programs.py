"""The programs of the monitoring stack: found on PATH, else unpacked beside the checkout.

Rules: nothing is installed. A program on PATH is taken when it is recent enough; what is missing then comes from the
distribution's packages, which are only unpacked (see ``packages.py``). Every program is asked for its version before
it is trusted.
"""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from trader.stack.errors import ProgramsMissing
from trader.stack.packages import Release, unpack
from trader.stack.relocate import RELOCATED, relocate_alertmanager

ROOT: Final = Path(__file__).resolve().parent.parent.parent
TOOLS_FOLDER: Final = ROOT / ".tools"
VERSION_TIMEOUT_S: Final = 20.0
VERSION: Final = re.compile(r"version (\d+)\.(\d+)(\.\d+\S*)?")


class Program(StrEnum):
    PROMETHEUS = "prometheus"
    PROMTOOL = "promtool"
    ALERTMANAGER = "alertmanager"
    AMTOOL = "amtool"
    NODE_EXPORTER = "node_exporter"


class Wanted(NamedTuple):
    """A program's names, the package that has it, and the oldest version that understands the shipped files."""

    names: tuple[str, ...]
    package: str
    oldest: tuple[int, int]


# 2.42 brought keep_firing_for, 0.25 the time zones of time intervals.
WANTED: Final = {
    Program.PROMETHEUS: Wanted(("prometheus",), "prometheus", (2, 42)),
    Program.PROMTOOL: Wanted(("promtool",), "prometheus", (2, 42)),
    Program.ALERTMANAGER: Wanted(("alertmanager", "prometheus-alertmanager"), "prometheus-alertmanager", (0, 25)),
    Program.AMTOOL: Wanted(("amtool",), "prometheus-alertmanager", (0, 25)),
    Program.NODE_EXPORTER: Wanted(("node_exporter", "prometheus-node-exporter"), "prometheus-node-exporter", (1, 3)),
}


class Found(NamedTuple):
    path: Path
    version: str


class Programs(msgspec.Struct, frozen=True):
    """Where each program is."""

    found: dict[Program, Found]

    @property
    def prometheus(self) -> Path:
        return self.found[Program.PROMETHEUS].path

    @property
    def promtool(self) -> Path:
        return self.found[Program.PROMTOOL].path

    @property
    def alertmanager(self) -> Path:
        return self.found[Program.ALERTMANAGER].path

    @property
    def amtool(self) -> Path:
        return self.found[Program.AMTOOL].path

    @property
    def node_exporter(self) -> Path:
        return self.found[Program.NODE_EXPORTER].path

    def version(self, program: Program) -> tuple[int, int]:
        """Major and minor version of ``program``."""
        major, minor = self.found[program].version.split(".")[:2]
        return int(major), int(minor)


def find_programs(
    tools: Path | None = None,
    *,
    release: Release | None = None,
    search_path: str | None = None,
    download: bool = True,
) -> Programs:
    """Every program of the stack; raises ProgramsMissing.

    ``tools`` is the folder to unpack into (default: ``.tools`` of the checkout). With ``release``, a Debian release,
    its packages are unpacked and PATH is not searched. ``search_path`` stands in for PATH. May take a minute the
    first time: not to be called on an event loop. Without ``download`` only what is there already is taken.
    """
    folder = tools or default_tools_folder()
    found: dict[Program, Found] = {}
    if release is None:
        found |= _suitable_in(search_path if search_path is not None else os.environ.get("PATH", os.defpath))
    missing = [program for program in Program if program not in found]
    if missing:
        found |= _unpacked(folder, missing, release, download)
    return Programs(found)


def default_tools_folder() -> Path:
    """``.tools`` of the checkout, or the user's cache when the product is not run from a checkout."""
    if (ROOT / "pyproject.toml").exists() and os.access(ROOT, os.W_OK):
        return TOOLS_FOLDER
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(cache) / "ibkr-trading" / "tools"


def _unpacked(folder: Path, missing: list[Program], release: Release | None, download: bool) -> dict[Program, Found]:
    root = folder / (release.name if release else "root")
    bin_folder = str(root / "usr" / "bin")

    def complete() -> bool:
        found = _suitable_in(bin_folder)
        return set(missing) <= set(found) and (root / RELOCATED).exists()

    with suppress(OSError):
        relocate_alertmanager(root)
    if not complete():
        if not download:
            raise ProgramsMissing(f"not installed on this host: {', '.join(missing)}")
        unpack(folder, root, sorted({WANTED[program].package for program in Program}), complete, release)
    found = _suitable_in(bin_folder)
    for program in missing:
        if program not in found:
            raise ProgramsMissing(_unsuitable(program, bin_folder))
    return {program: found[program] for program in missing}


def _unsuitable(program: Program, bin_folder: str) -> str:
    wanted = WANTED[program]
    needed = ".".join(map(str, wanted.oldest))
    for name in wanted.names:
        path = shutil.which(name, path=bin_folder)
        version = version_of(Path(path)) if path else None
        if version:
            return (
                f"{program} {needed} or newer is needed and the distribution's package has {version}; "
                "put a newer one on PATH"
            )
    return f"the package {wanted.package} has no {program} that runs on this machine; put {program} {needed} on PATH"


def _suitable_in(search_path: str) -> dict[Program, Found]:
    """The programs in ``search_path`` that run and are recent enough."""
    found = {}
    for program, wanted in WANTED.items():
        for name in wanted.names:
            path = shutil.which(name, path=search_path)
            version = version_of(Path(path)) if path else None
            if path and version and tuple(int(part) for part in version.split(".")[:2]) >= wanted.oldest:
                found[program] = Found(Path(path).absolute(), version)
                break
    return found


def version_of(program: Path) -> str | None:
    """The version a program says it is, such as ``2.42.0+ds``; None when it does not run or does not say."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(said.stdout + said.stderr)
    return match.group(0).removeprefix("version ").rstrip(",") if match and said.returncode == 0 else None
