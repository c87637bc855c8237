"""Debian packages, downloaded by apt and only unpacked: never installed, no privileges, no trace outside one folder.

Rules: apt checks signatures and checksums, as for an installation. Its lists, caches and archives lie in a private
folder. A lock lets parallel processes unpack once; the finished tree appears in one rename, so that nobody sees half
of it. Whatever cannot be done is one sentence.
"""

import fcntl
import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from trader.stack.errors import ProgramsMissing
from trader.stack.relocate import relocate_alertmanager

APT_TIMEOUT_S: Final = 300.0
LOCK_TIMEOUT_S: Final = 600.0
LOCK_POLL_S: Final = 0.2
SAID_MAX_CHARS: Final = 300
# What is done without where it does not exist: a program that newer releases split off, and the libraries of
# Prometheus's web pages.
WELCOME_PACKAGES: Final = (
    ("promtool",),
    (
        "fonts-glyphicons-halflings", "libjs-bootstrap4", "libjs-d3", "libjs-eonasdan-bootstrap-datetimepicker",
        "libjs-jquery", "libjs-jquery-hotkeys", "libjs-moment", "libjs-moment-timezone", "libjs-mustache",
        "libjs-popper.js", "libjs-rickshaw",
    ),
)  # fmt: skip


class Release(NamedTuple):
    """A Debian release to take packages from, whatever this machine runs."""

    name: str
    mirror: str = "http://deb.debian.org/debian"
    keyring: Path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpack(
    folder: Path, root: Path, packages: list[str], complete: Callable[[], bool], release: Release | None = None
) -> None:
    """Have ``packages`` unpacked in ``root``, below ``folder``; raises ProgramsMissing.

    Does nothing when ``complete`` says, under the lock, that another process was faster.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise ProgramsMissing(
                f"{', '.join(packages)} cannot be unpacked, because there is no {program} on this machine; "
                "put prometheus, promtool, alertmanager, amtool and node_exporter on PATH"
            )
    if release is not None and not release.keyring.exists():
        raise ProgramsMissing(f"the packages of {release.name} cannot be verified: there is no {release.keyring}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            if not complete():
                _unpack(folder, root, packages, release)
    except OSError as error:
        raise ProgramsMissing(f"{', '.join(packages)} cannot be unpacked in {folder}: {error}") from error


def _unpack(folder: Path, root: Path, packages: list[str], release: Release | None) -> None:
    with tempfile.TemporaryDirectory(prefix="apt-", dir=folder) as temporary:
        work = Path(temporary)
        archives = _download(work, packages, release)
        tree = work / "tree"
        for archive in archives:
            _run(["dpkg-deb", "-x", str(archive), str(tree)], work, f"{archive.name} cannot be unpacked")
        relocate_alertmanager(tree)
        if root.exists():
            root.rename(work / "replaced")
        tree.rename(root)


def _download(work: Path, packages: list[str], release: Release | None) -> list[Path]:
    """The archives of ``packages``: by the machine's own lists when they serve, else by fresh private ones."""
    target = work / "archives"
    target.mkdir()
    download = ["apt-get", "-q", "download", *packages]
    what = f"{', '.join(packages)} cannot be downloaded"
    options = _apt_options(work, None)
    if release is not None or not _succeeds([*download, *options], target):
        options = _apt_options(work, release, lists=work / "lists")
        _run(["apt-get", "-q", "update", *options], work, f"{what}, because the list of packages cannot be had")
        _run([*download, *options], target, what)
    for more in WELCOME_PACKAGES:
        _succeeds(["apt-get", "-q", "download", *more, *options], target)
    return sorted(target.glob("*.deb"))


def _apt_options(work: Path, release: Release | None, lists: Path | None = None) -> list[str]:
    """Everything private; root does not hand the download to another user, who could not write here."""
    values = {
        "Dir::Cache": work / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": getpass.getuser(),
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 30,
        "Acquire::https::Timeout": 30,
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
    }
    (work / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    if lists is not None:
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        values["Dir::State::lists"] = lists
    if release is not None:
        sources = work / "sources.list"
        sources.write_text(f"deb [signed-by={release.keyring}] {release.mirror} {release.name} main\n")
        values |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "-"}
    return [part for key, value in values.items() for part in ("-o", f"{key}={value}")]


def _succeeds(command: list[str], folder: Path) -> bool:
    try:
        _run(command, folder, "")
    except ProgramsMissing:
        return False
    return True


def _run(command: list[str], folder: Path, sentence: str) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=APT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ProgramsMissing(f"{sentence}: {command[0]} took longer than {APT_TIMEOUT_S:.0f} s") from error
    if ended.returncode:
        raise ProgramsMissing(f"{sentence}: {_complaint(ended.stderr or ended.stdout)}")


def _complaint(said: str) -> str:
    """The first error in what apt said, on one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "Err:", "dpkg-deb: error"))]
    return ((errors or lines[-1:]) or ["it did not say why"])[0][:SAID_MAX_CHARS]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock ``path``; raises ProgramsMissing when another process keeps it for too long."""
    with path.open("w") as file:
        for _ in range(int(LOCK_TIMEOUT_S / LOCK_POLL_S)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_POLL_S)
        else:
            raise ProgramsMissing(f"another process holds {path} for more than {LOCK_TIMEOUT_S:.0f} s; end it")
        yield
