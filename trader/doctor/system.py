"""System requirements: systemd, control groups, processors, memory, disk, clock."""

from pathlib import Path
from typing import Final

from trader.doctor.host import Room
from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, unknown, warning, worst
from trader.doctor.place import Place
from trader.doctor.units import INFINITE, processors, properties, quota_cores, size_bytes
from trader.doctor.words import amount

CGROUPS: Final = Path("/sys/fs/cgroup")
MEMORY_SHARE: Final = 0.75
"""How much of the host's memory a proposed limit takes."""


def systemd_version(place: Place) -> Finding:
    version = place.systemd_version()
    if version < place.bounds.systemd_min:
        return failed(f"systemd {version}: {place.bounds.systemd_min} or newer is needed")
    return ok(f"systemd {version}")


def control_groups(place: Place) -> Finding:
    wanted = place.bounds.controllers
    try:
        there = place.host.read(CGROUPS / "cgroup.controllers").split()
        kind = "cgroup v2"
    except Absent:
        there, kind = [name for name in wanted if _is_there(place, CGROUPS / name)], "cgroup v1"
    missing = [name for name in wanted if name not in there]
    if missing:
        return failed(f"{kind} without {', '.join(missing)}: limits would not be enforced")
    return ok(f"{kind} with {', '.join(wanted)}")


def _is_there(place: Place, path: Path) -> bool:
    try:
        place.host.state(path)
    except Absent:
        return False
    return True


def memory(place: Place) -> Finding:
    total = _memory_bytes(place.host.read(Path("/proc/meminfo")))
    limit = size_bytes(_limit_in_force(place, "MemoryMax"))
    if total is None or limit is None:
        return unknown("the host's memory or the unit's MemoryMax is not told")
    has = f"{amount(total)} in this host"
    if limit == INFINITE:
        return warning(f"the unit has no limit of memory, {has}")
    if limit > total:
        return warning(
            f"the limit of {amount(limit)} is above the {has}: other programs would be killed first",
            _drop_in(place, "50-memory.conf", f"MemoryMax={int(total * MEMORY_SHARE) // 1024**2}M"),
        )
    if total < place.bounds.memory_low_bytes:
        return warning(f"{has}: {amount(place.bounds.memory_low_bytes)} is little enough", "free --human")
    return ok(f"limit {amount(limit)}, {has}")


def _memory_bytes(meminfo: str) -> float | None:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return float(line.split()[1]) * 1024
    return None


def _limit_in_force(place: Place, name: str) -> str | None:
    """What systemd has, drop-ins included; the unit file's where systemd does not know the unit."""
    try:
        return place.loaded(place.site.unit).get(name)
    except NotVisible:
        return place.unit_text().last(name)


def _drop_in(place: Place, name: str, *lines: str) -> str:
    """A command that adds a drop-in with ``lines``, whether the unit is installed or not."""
    text = "\\n".join(("[Service]", *lines, ""))
    return (
        f"printf '{text}' | sudo install -D -m 644 /dev/stdin {place.site.drop_ins / name}"
        " && sudo systemctl daemon-reload"
    )


def cpus(place: Place) -> Finding:
    online = processors(place.host.read(Path("/sys/devices/system/cpu/online")))
    if not online:
        return unknown("the kernel does not tell which processors are online")
    quota = quota_cores(place.unit_text().last("CPUQuota"))
    pinned_to = place.unit_text().last("CPUAffinity")
    pinned = processors(pinned_to) if pinned_to else None
    if pinned and not pinned & online:
        return failed(
            f"CPUAffinity={pinned_to}, and none of them is online ({len(online)} are): the service cannot start",
            _drop_in(place, "50-cpu.conf", "CPUAffinity=", f"CPUAffinity=0-{len(online) - 1}"),
        )
    if quota is not None and quota != INFINITE and quota > len(online):
        return warning(
            f"CPUQuota is {quota:.0%} and this host has {len(online)} processors: it bounds nothing",
            _drop_in(place, "50-cpu.conf", f"CPUQuota={len(online) * 100}%"),
        )
    return ok(f"{len(online)} processors")


def disk(place: Place) -> Finding:
    folder, room = _room(place, place.site.state)
    bounds = place.bounds
    free = room.free_bytes / room.total_bytes if room.total_bytes else 0.0
    seen = f"{amount(room.free_bytes)} free ({free:.0%}) at {folder}"
    findings = []
    if free < bounds.disk_free_min_ratio or room.free_bytes < bounds.disk_free_min_bytes:
        findings.append(failed(seen))
    elif free < bounds.disk_free_low_ratio:
        findings.append(warning(seen))
    if room.total_inodes:  # some file systems make them as they need them
        inodes = room.free_inodes / room.total_inodes
        told = f"{inodes:.0%} of the inodes free at {folder}"
        if inodes < bounds.inodes_free_min_ratio:
            findings.append(failed(told))
        elif inodes < bounds.inodes_free_low_ratio:
            findings.append(warning(told))
    return worst(findings, seen)


def _room(place: Place, folder: Path) -> tuple[Path, Room]:
    """Of the folder, or of the nearest one above it that there is."""
    for path in (folder, *folder.parents):
        try:
            return path, place.host.room(path)
        except Absent:
            continue
    raise Absent(folder)


def file_system(place: Place) -> Finding:
    folder, _ = _room(place, place.site.state)
    kind, options = _mount_of(place.host.read(Path("/proc/self/mountinfo")), place.host.resolve(folder))
    seen = f"{kind} at {folder}"
    if kind in place.bounds.volatile_file_systems:
        return failed(f"{seen}: the journal would be gone after a boot")
    if kind in place.bounds.remote_file_systems:
        return failed(f"{seen}: SQLite's write-ahead log does not work over a network")
    if "ro" in options:
        return failed(f"{seen} is mounted read-only", "sudo journalctl --dmesg --priority err")
    if kind in place.bounds.layered_file_systems:
        return warning(f"{seen}: a container's layer, which is thrown away with the container")
    return ok(seen)


def _mount_of(mountinfo: str, path: Path) -> tuple[str, frozenset[str]]:
    """The file system that ``path`` is on: its kind, and its options."""
    best: tuple[int, str, frozenset[str]] = (-1, "unknown", frozenset())
    for line in mountinfo.splitlines():
        left, mark, right = line.partition(" - ")
        fields, told = left.split(), right.split()
        if not mark or len(fields) < 6 or len(told) < 3:
            continue
        mount = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(mount) and len(mount.parts) >= best[0]:
            best = (len(mount.parts), told[0], frozenset(fields[5].split(",") + told[2].split(",")))
    return best[1], best[2]


def clock(place: Place) -> Finding:
    told = _timedatectl(place)
    if told.get("NTPSynchronized") == "yes":
        return ok("synchronised")
    if place.host.run("systemd-detect-virt", "--container", "--quiet").code == 0:
        return unknown("a container has its host's clock: look there", "timedatectl timesync-status")
    if told.get("NTP") == "yes":
        return failed("not synchronised, though time synchronisation is on", "timedatectl timesync-status")
    return failed("not synchronised: no time server is followed")


def time_zone(place: Place) -> Finding:
    name = _timedatectl(place).get("Timezone", "")
    if not name:
        return unknown("the host does not tell its time zone")
    if name in ("UTC", "Etc/UTC", "Universal", "Etc/Universal"):
        return ok(name)
    return ok(f"{name}: journalctl and timers show local time, the service's own logs UTC")


def _timedatectl(place: Place) -> dict[str, str]:
    ran = place.once("timedatectl", lambda: place.host.run("timedatectl", "show"))
    if ran.code != 0:
        raise NotVisible("timedatectl does not answer")
    return properties(ran.output)
