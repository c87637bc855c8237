"""What this machine must have to run the lab, and getting it.

Rules: a machine that cannot run it gets one sentence with the reason. Packages are installed only by root, only from
the machine's own package sources, and only where that disturbs nobody: in continuous integration ($CI), where the
machine has no systemd running, or when asked to ($TRADER_LAB=1). $TRADER_LAB=0 turns the lab off.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from tests.lab.errors import LabUnavailable
from tests.lab.folders import lab_folder, locked
from tests.lab.release import RELEASES, Release

SWITCH: Final = "TRADER_LAB"
OS_RELEASE: Final = Path("/etc/os-release")
INSTALL_TIMEOUT_S: Final = 600.0
# A program, and Debian's package that has it.
PROGRAMS: Final = {
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
PROGRAMS_TO_MAKE_A_SYSTEM: Final = {"mmdebstrap": "mmdebstrap"}
# What the host must have where its own system is booted.
PROGRAMS_OF_A_SYSTEM: Final = {
    "/usr/bin/python3": "python3-venv",
    "curl": "curl",
    "dbus-daemon": "dbus",
    "ip": "iproute2",
    "ps": "procps",
}
UNSUITABLE_FILE_SYSTEMS: Final = frozenset({"overlay", "overlayfs", "aufs", "nfs", "nfs4", "fuse", "9p"})


def is_required() -> bool:
    """Whether a lab that cannot run is a failure rather than a reason to skip."""
    return os.environ.get(SWITCH) == "1"


def require(release: Release) -> None:
    """Makes sure that this machine can boot ``release``, installing what is missing; raises LabUnavailable."""
    reason = _reason_against(release)
    if reason is not None:
        raise LabUnavailable(reason)


@cache
def _reason_against(release: Release) -> str | None:
    try:
        _require(release)
    except LabUnavailable as error:
        return str(error)
    return None


def _require(release: Release) -> None:
    if os.environ.get(SWITCH) == "0":
        raise LabUnavailable(f"the lab is turned off by {SWITCH}=0")
    if os.geteuid() != 0:
        raise LabUnavailable("booting a systemd needs root; run this as root")
    _require_file_system()
    is_host = release == host_release()
    require_programs(PROGRAMS | (PROGRAMS_OF_A_SYSTEM if is_host else PROGRAMS_TO_MAKE_A_SYSTEM))


def host_release() -> Release | None:
    """The release that this machine's own system is, None for another one."""
    lines = OS_RELEASE.read_text(encoding="utf-8").splitlines() if OS_RELEASE.exists() else []
    told = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    of_debian = (release for release in RELEASES.values() if told.get("ID") == "debian")
    return next((release for release in of_debian if told.get("VERSION_CODENAME") == release.debian), None)


def _require_file_system() -> None:
    """The lab's changes lie in an overlay's upper folder, which not every file system can hold."""
    folder = lab_folder()
    found = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if found in UNSUITABLE_FILE_SYSTEMS:
        raise LabUnavailable(
            f"{folder} is on {found}, which cannot be the upper part of an overlay; "
            "name a folder on a disk or a tmpfs: TRADER_LAB_DIR=FOLDER"
        )


def _missing(programs: dict[str, str]) -> dict[str, str]:
    return {program: package for program, package in programs.items() if shutil.which(program) is None}


def require_programs(programs: dict[str, str]) -> None:
    """Makes sure that this machine has ``programs``, by package; installs where it may. Raises LabUnavailable."""
    if not _missing(programs):
        return
    with locked("packages"):
        missing = _missing(programs)
        if missing and _may_install():
            _install(sorted(set(missing.values())))
            missing = _missing(programs)
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabUnavailable(
            f"{', '.join(missing)} not found; type: apt-get install {packages} "
            f"(or let the lab do it: {SWITCH}=1, as root, on Debian)"
        )


def _may_install() -> bool:
    wanted = bool(os.environ.get("CI")) or is_required() or not Path("/run/systemd/system").is_dir()
    return wanted and shutil.which("apt-get") is not None


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (install, ["apt-get", "update", "-qq"], install):
        done = subprocess.run(
            command, env=environment, capture_output=True, check=False, timeout=INSTALL_TIMEOUT_S, text=True
        )
        if command is install and done.returncode == 0:
            return
