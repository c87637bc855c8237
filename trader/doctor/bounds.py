"""What is known to be good: every bound of every check, in one table.

Rules: units last in names; where an alert watches the same thing, the bound is the alert's.
"""

from dataclasses import dataclass
from typing import Final

MEBIBYTE: Final = 1024**2
GIBIBYTE: Final = 1024**3
MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Bounds:
    """``*_min`` and ``*_max`` fail a check; ``*_low`` and ``*_high`` are a warning."""

    systemd_min: int = 252
    systemd_native_backoff: int = 254
    """From here on systemd itself lengthens the pauses between restarts."""
    controllers: tuple[str, ...] = ("memory", "cpu", "pids")
    memory_low_bytes: int = GIBIBYTE
    disk_free_min_ratio: float = 0.05
    disk_free_low_ratio: float = 0.15
    disk_free_min_bytes: int = 256 * MEBIBYTE
    inodes_free_min_ratio: float = 0.02
    inodes_free_low_ratio: float = 0.10
    volatile_file_systems: frozenset[str] = frozenset({"tmpfs", "ramfs", "devtmpfs"})
    remote_file_systems: frozenset[str] = frozenset(
        {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"}
    )
    """SQLite's write-ahead log needs shared memory and locks, which these do not give reliably."""
    layered_file_systems: frozenset[str] = frozenset({"overlay", "aufs"})
    python_min: tuple[int, int] = (3, 11)
    hidden_python_folders: tuple[str, ...] = ("/home/", "/root/", "/tmp/")
    """The service does not see programs there."""
    privileged_groups: frozenset[str] = frozenset(
        {"root", "sudo", "wheel", "admin", "docker", "adm", "lxd", "libvirt", "disk", "shadow", "systemd-journal"}
    )
    shells_without_login: frozenset[str] = frozenset(
        {"/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"}
    )
    exposure_max: float = 0.9
    calendar_age_max_s: float = 15 * MINUTE_S
    """How old the metrics of the session may be; the timer writes them every five minutes."""
    restarts_high: int = 0
    log_lines_max: int = 20_000
    gateway_ports: tuple[int, ...] = (4001, 4002, 7496, 7497)
    series_max: int = 1_500
    panic_drill_age_high_s: float = 92 * DAY_S
    backup_age_high_s: float = 2 * DAY_S


BOUNDS: Final = Bounds()
