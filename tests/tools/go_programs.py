"""Programs that judge what is shipped, built from their exact sources: two linters, and an exporter.

    path = built(GoProgram.PINT)

Rules: a program's folder beside this file has its go.mod, which names the version, and its go.sum, which pins every
source by its hash; so a build asks the Go module proxy for nothing but those files. To raise a version: change it in
go.mod, run `go mod tidy` there, then the tests. What is built lies in `.tools/bin`, under a name that changes with both
files, and is built once, whoever asks first. Where it cannot be had, NotBuilt says why; sources that are not what
go.sum says are an error, never a reason to skip.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
BIN_FOLDER: Final = HERE.parents[1] / ".tools" / "bin"
BUILD_TIMEOUT_S: Final = 900.0
DIGEST_CHARS: Final = 12
SAID_MAX_CHARS: Final = 300
# They run for a second: unoptimised, they are built in two thirds of the time.
BUILD: Final = (
    "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-gcflags=all=-N -l -dwarf=false", "-ldflags=-s -w",
)  # fmt: skip
OURS: Final = re.compile(r"checksum mismatch|missing go\.sum entry|updates to go\.mod needed|errors parsing go\.mod")


class NotBuilt(Exception):
    """A program cannot be built on this machine; the message is one sentence."""


class GoProgram(StrEnum):
    """The programs by the name of their folder; what it is for is in its go.mod."""

    DASHBOARD_LINTER = "dashboard_linter"
    PINT = "pint"
    SYSTEMD_EXPORTER = "systemd_exporter"


def built(program: GoProgram, *, bin_folder: Path = BIN_FOLDER, search_path: str | None = None) -> Path:
    """The program, built if it is not yet; raises NotBuilt. The first time takes a minute or two.

    ``search_path`` stands in for PATH, where Go is looked for.
    """
    path = bin_folder / f"{program}-{_digest(HERE / program)}"
    if path.exists():
        return path
    go = shutil.which("go", path=search_path)
    if go is None:
        raise NotBuilt(f"{program} is built from source, and there is no Go on PATH")
    bin_folder.mkdir(parents=True, exist_ok=True)
    with (bin_folder / f".{program}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who holds it ends within BUILD_TIMEOUT_S
        if not path.exists():
            _build(go, program, path)
    return path


def _digest(folder: Path) -> str:
    content = b"".join((folder / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()[:DIGEST_CHARS]


def _build(go: str, program: GoProgram, path: Path) -> None:
    """Builds beside ``path`` and renames, so that nobody runs half a program; removes what it replaces."""
    unfinished = path.with_name(f".{path.name}")
    environment = {**os.environ, "GO111MODULE": "on", "GOWORK": "off", "CGO_ENABLED": "0"}
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []  # other tests run at the same time
    command = [*nice, go, *BUILD, "-o", str(unfinished), "tool"]
    try:
        ended = subprocess.run(
            command, cwd=HERE / program, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=BUILD_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotBuilt(f"{program} was not built within {BUILD_TIMEOUT_S:.0f} s") from error
    if ended.returncode:
        if OURS.search(ended.stderr):
            raise RuntimeError(f"the sources of {program} are not those of its go.mod and go.sum:\n{ended.stderr}")
        raise NotBuilt(f"{program} cannot be built: {_complaint(ended.stderr)}")
    for older in path.parent.glob(f"{program}-*"):
        older.unlink()
    unfinished.rename(path)


def _complaint(said: str) -> str:
    """The last line that go wrote, without its news of downloads."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("go: downloading")]
    return (lines or ["go did not say why"])[-1][:SAID_MAX_CHARS]
