"""The unit's resources, from its cgroup: v2, v1, or a host that has both.

Rules: each controller is looked up by itself, in the v1 hierarchy that carries it, else in the unified one, as
``/proc/self/cgroup`` and ``/proc/self/mountinfo`` say. What cannot be read is absent, and so is a limit that is
not set. Reads are small files, at most ``MAX_BYTES`` of each.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from observability.catalogue import Metric, resources
from observability.collectors import family_of
from observability.readings import Number, Readings

MAX_BYTES = 65_536
NANOSECONDS = 1_000_000_000
MICROSECONDS = 1_000_000
# v1 says "no limit" with the largest multiple of a page that fits; nothing real comes near 2^60.
V1_UNLIMITED = 1 << 60

Readout = Iterator[tuple[Metric, Readings]]


class CgroupCollector(Collector):
    """Memory, CPU and tasks of the cgroup that this process is in; ``root`` is ``/`` but in tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def collect(self) -> Iterator[Family]:
        found = controllers(self._root)
        for readout in (memory(found), cpu(found), tasks(found)):
            for metric, readings in readout:
                family = family_of(metric, readings)
                if family is not None:
                    yield family


def controllers(root: Path) -> dict[str, Path]:
    """The directory of this process's cgroup by controller; ``""`` is the unified hierarchy."""
    mounts = _mounts(root)
    found: dict[str, Path] = {}
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            if name in mounts:
                found[name] = _directory(root, *mounts[name], path)
    return found


def _mounts(root: Path) -> dict[str, tuple[str, str]]:
    """By controller: which part of the hierarchy is mounted, and where; the first mount of each counts."""
    mounts: dict[str, tuple[str, str]] = {}
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if len(fields) < 5 or len(kind) < 3 or not kind[0].startswith("cgroup"):
            continue
        names = [""] if kind[0] == "cgroup2" else kind[2].split(",")
        for name in names:
            mounts.setdefault(name, (fields[3], fields[4]))
    return mounts


def _directory(root: Path, mounted: str, mount_point: str, path: str) -> Path:
    """The cgroup's directory; the mount point itself where the path is outside of what is mounted."""
    base = root / mount_point.lstrip("/")
    pure = PurePosixPath(path)
    inside = pure.relative_to(mounted) if pure.is_relative_to(mounted) else PurePosixPath()
    directory = base / inside
    return directory if directory.is_dir() else base


def memory(found: dict[str, Path]) -> Readout:
    v1, v2 = found.get("memory"), found.get("")
    if v1 is not None:
        yield from _memory_v1(v1)
    elif v2 is not None:
        yield from _memory_v2(v2)


def _memory_v2(directory: Path) -> Readout:
    stat = _table(directory / "memory.stat")
    events = _table(directory / "memory.events")
    working_set = _less(_number(directory / "memory.current"), stat.get("inactive_file"))
    yield resources.MEMORY_WORKING_SET, _one(working_set)
    yield resources.MEMORY_MAX, _one(_number(directory / "memory.max"))
    yield resources.MEMORY_EVENTS_TOTAL, [((event,), events.get(event)) for event in resources.MEMORY_EVENTS]


def _memory_v1(directory: Path) -> Readout:
    stat = _table(directory / "memory.stat")
    limit = _number(directory / "memory.limit_in_bytes")
    working_set = _less(_number(directory / "memory.usage_in_bytes"), stat.get("total_inactive_file"))
    yield resources.MEMORY_WORKING_SET, _one(working_set)
    yield resources.MEMORY_MAX, _one(None if limit is None or limit >= V1_UNLIMITED else limit)
    events = {
        "max": _number(directory / "memory.failcnt"),
        "oom_kill": _table(directory / "memory.oom_control").get("oom_kill"),
    }
    yield resources.MEMORY_EVENTS_TOTAL, [((event,), count) for event, count in events.items()]


def cpu(found: dict[str, Path]) -> Readout:
    quota, accounting, v2 = found.get("cpu"), found.get("cpuacct"), found.get("")
    if quota is not None or accounting is not None:
        yield from _cpu_v1(quota, accounting)
    elif v2 is not None:
        yield from _cpu_v2(v2)


def _cpu_v2(directory: Path) -> Readout:
    stat = _table(directory / "cpu.stat")
    allowed, _, period = (_read(directory / "cpu.max") or "").strip().partition(" ")
    yield resources.CPU_USAGE, _one(_over(stat.get("usage_usec"), MICROSECONDS))
    yield resources.CPU_LIMIT, _one(_over(_parse(allowed), _parse(period)))
    yield resources.CPU_THROTTLED, _one(_over(stat.get("throttled_usec"), MICROSECONDS))


def _cpu_v1(quota: Path | None, accounting: Path | None) -> Readout:
    if accounting is not None:
        yield resources.CPU_USAGE, _one(_over(_number(accounting / "cpuacct.usage"), NANOSECONDS))
    if quota is not None:
        allowed = _number(quota / "cpu.cfs_quota_us")
        period = _number(quota / "cpu.cfs_period_us")
        limited = allowed is not None and allowed > 0
        yield resources.CPU_LIMIT, _one(_over(allowed, period) if limited else None)
        yield resources.CPU_THROTTLED, _one(_over(_table(quota / "cpu.stat").get("throttled_time"), NANOSECONDS))


def tasks(found: dict[str, Path]) -> Readout:
    directory = found.get("pids", found.get(""))
    if directory is not None:
        yield resources.TASKS, _one(_number(directory / "pids.current"))
        yield resources.TASKS_MAX, _one(_number(directory / "pids.max"))


def _one(value: Number | None) -> Readings:
    return (((), value),)


def _less(value: int | None, part: int | None) -> int | None:
    """``value`` without ``part``, never below 0; the whole where the part is not known."""
    return None if value is None else max(0, value - (part or 0))


def _over(value: int | None, divisor: int | None) -> float | None:
    return None if value is None or not divisor else value / divisor


def _number(path: Path) -> int | None:
    return _parse((_read(path) or "").strip())


def _parse(text: str) -> int | None:
    """An integer; None for ``max`` and for what is not one."""
    try:
        return int(text)
    except ValueError:
        return None


def _table(path: Path) -> dict[str, int]:
    """A file of lines "key number"; other lines are left out."""
    rows = (line.split() for line in (_read(path) or "").splitlines())
    pairs = ((row[0], _parse(row[1])) for row in rows if len(row) == 2)
    return {key: value for key, value in pairs if value is not None}


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
