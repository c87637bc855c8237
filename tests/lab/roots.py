"""The systems that the lab boots: the host's own, when it is of the release, else a minimal one made by mmdebstrap.

Rules: a root is read-only to the lab and shared by all; what a machine writes lies in a layer above it. Of the host
only `/usr` (as it is, without `/usr/local`) and a cleaned copy of `/etc` are taken: no home, no enabled service, no
network, no key, no password, no checkout.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.errors import LabUnavailable
from tests.lab.folders import being_made, fingerprint, forget_old, lab_folder, locked, remove_tree
from tests.lab.host import host_release
from tests.lab.records import in_use
from tests.lab.release import Release

RECIPE: Final = "4"  # another one makes the roots anew
MAKE_TIMEOUT_S: Final = 900.0
OPAQUE: Final = "trusted.overlay.opaque"
DPKG_STATUS: Final = Path("/var/lib/dpkg/status")
LINKS_INTO_USR: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
EMPTY_FOLDERS: Final = {
    **dict.fromkeys(("boot", "dev", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys", "usr", "var"), 0o755),
    **dict.fromkeys(("var/cache", "var/lib", "var/log", "var/spool", "var/lib/dpkg/info", "var/lib/systemd"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}
# What of the host's /etc is about the host, not about Debian.
HOST_ONLY: Final = (
    "systemd/system", "systemd/user", "systemd/network", "tmpfiles.d", "sysusers.d", "fstab", "crypttab", "mtab",
    "resolv.conf", "hostname", "hosts", "machine-id", "localtime", "environment", "environment.d", "pip.conf",
    "ssh", "ssl/private", "sudoers", "sudoers.d", "cron.d", "cron.daily", "cron.hourly", "cron.weekly", "cron.monthly",
    "ibkr-trading", "modules-load.d", "sysctl.d", "sysctl.conf", "init.d", "shadow-", "gshadow-", "passwd-", "group-",
)  # fmt: skip
PACKAGES: Final = (
    "ca-certificates", "curl", "dbus", "iproute2", "kmod", "libpam-systemd", "openssl", "procps",
    "python3", "python3-venv", "sqlite3", "systemd", "systemd-sysv",
)  # fmt: skip
# Manuals are most of what a minimal system would unpack.
UNPACKED: Final = ("path-exclude=/usr/share/doc/*", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*")


@dataclass(frozen=True)
class Root:
    """A system to boot: ``base`` is its root folder; ``usr`` is the folder seen as its `/usr`, if that is another."""

    base: Path
    usr: Path | None = None


def root_of(release: Release) -> Root:
    """The root of ``release``, made the first time (seconds from the host, a minute or two from packages).

    Raises LabUnavailable when the packages cannot be had.
    """
    if release == host_release():
        return Root(_made(release, _host_print(), _copy_host), usr=Path("/usr"))
    return Root(_made(release, fingerprint([RECIPE, release.debian, *PACKAGES]), _bootstrap))


def _host_print() -> str:
    return fingerprint([RECIPE, DPKG_STATUS.read_bytes()])


def _made(release: Release, version: str, make: Callable[[Release, Path], None]) -> Path:
    target = lab_folder() / f"root-{release.name}-{version}"
    with locked(f"root-{release.name}"):
        if not target.is_dir():
            with being_made(target) as draft:
                make(release, draft)
                _make_bootable(draft)
            forget_old(f"root-{release.name}-*", keep=in_use() | {target}, at_most=1)
    return target


def _copy_host(_release: Release, root: Path) -> None:
    for name, mode in EMPTY_FOLDERS.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    for name in LINKS_INTO_USR:
        if Path("/", name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    (root / "var/run").symlink_to("/run")
    shutil.copy2(DPKG_STATUS, root / "var/lib/dpkg/status")
    subprocess.run(["cp", "-a", "/etc", str(root / "etc")], check=True, capture_output=True)
    for name in HOST_ONLY:
        remove_tree(root / "etc" / name)
    for service in (root / "etc").glob("rc?.d"):
        remove_tree(service)
    for name in ("shadow", "gshadow"):
        _lock_passwords(root / "etc" / name)


def _bootstrap(release: Release, root: Path) -> None:
    mirror = os.environ.get("TRADER_LAB_MIRROR", "http://deb.debian.org/debian")
    command = [
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        "--aptopt=Acquire::Languages \"none\"", *(f"--dpkgopt={option}" for option in UNPACKED),
        release.debian, str(root), mirror,
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=MAKE_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or "").strip() if isinstance(error.stderr, str) else ""
        last = said.splitlines()[-1] if said else str(error)
        raise LabUnavailable(f"the packages of Debian {release.debian} cannot be had from {mirror}: {last}") from error


def _make_bootable(root: Path) -> None:
    """What a machine has after its first boot, so that the lab's boots are later ones: an identity, a time zone."""
    etc = root / "etc"
    (etc / "machine-id").write_text(f"{secrets.token_hex(16)}\n", encoding="utf-8")
    (etc / "hostname").write_text("lab\n", encoding="utf-8")
    (etc / "hosts").write_text("127.0.0.1 localhost lab\n", encoding="utf-8")
    remove_tree(etc / "localtime")
    (etc / "localtime").symlink_to("../usr/share/zoneinfo/Etc/UTC")
    remove_tree(etc / "systemd/system")
    (etc / "systemd/system").mkdir(parents=True)
    (etc / "systemd/system/default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for name in ("opt/checkout", "opt/wheels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    # Younger than /usr: nothing that systemd does after an upgrade is due.
    for name in ("etc/.updated", "var/.updated"):
        (root / name).touch()


def make_usr_layer(upper: Path, usr: Path, *, is_first: bool) -> None:
    """Prepares ``upper``, empty, to lie over the host's ``usr``: the first hides its `local`, all keep its age."""
    if is_first:
        for folder in ("local/bin", "local/sbin", "local/lib", "local/share"):
            (upper / folder).mkdir(parents=True)
        os.setxattr(upper / "local", OPAQUE, b"y")
    about = usr.stat()
    os.utime(upper, ns=(about.st_atime_ns, about.st_mtime_ns))


def _lock_passwords(file: Path) -> None:
    """Nobody of the host can be guessed from the copy: every password is one that nothing matches."""
    lines = [line.split(":") for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("".join(":".join([name, "!*", *rest]) + "\n" for name, _, *rest in lines), encoding="utf-8")
