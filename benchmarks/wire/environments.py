"""Other libraries in environments of their own, made on first use in the checkout's ignored cache.

Rules: versions are pinned, so that figures of different days compare. What cannot be installed is said and left out.
"""

import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.options import BenchmarkFailed

ROOT: Final = Path(__file__).resolve().parent.parent.parent
CACHE: Final = ROOT / ".cache" / "benchmarks"
INSTALL_TIMEOUT_S: Final = 180
PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20")


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A library that a bare client is written in. ``requirements`` are empty for what this environment has anyway."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


IB_ASYNC: Final = Library(name=f"ib_async {version('ib_async')}", script="peer_asyncio.py", arguments=("ib_async",))
LIBRARIES: Final = (
    IB_ASYNC,
    Library(
        name="ib_insync 0.9.86", script="peer_asyncio.py", arguments=("ib_insync",),
        requirements=("ib_insync==0.9.86", "eventkit==1.0.3", "nest-asyncio==1.6.0"),
    ),
    Library(
        name="ibapi 9.81.1", script="peer_ibapi.py",
        requirements=("ibapi==9.81.1.post1", "setuptools==80.9.0", "wheel==0.45.1"),
    ),
)  # fmt: skip


def interpreter(library: Library, *, may_install: bool) -> Path:
    """The Python that has ``library``; raises BenchmarkFailed when there is none."""
    if not library.requirements:
        return Path(sys.executable)
    folder = CACHE / library.name.replace(" ", "-")
    if not (folder / "complete").exists():
        if not may_install:
            raise BenchmarkFailed(f"{library.name} is not installed yet, which a quick run does not do")
        _make(folder, library)
    return folder / "bin" / "python"


def _make(folder: Path, library: Library) -> None:
    venv.create(folder, with_pip=True, clear=True)
    command = [str(folder / "bin" / "python"), *PIP, *library.requirements]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        problem = made.stderr.strip().splitlines()[-1][:200] if made.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"no answer within {INSTALL_TIMEOUT_S} s"
    if problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise BenchmarkFailed(f"{library.name} cannot be installed: {problem}")
    (folder / "complete").touch()
