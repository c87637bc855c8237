"""Limits in force: what systemd has, and what the kernel holds, against what the unit says.

Rules: a drop-in changes a limit on purpose, so that is told as a warning; a kernel that holds something else than
systemd has does not enforce the limit, and that fails.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor.bounds import GIBIBYTE, MEBIBYTE
from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, unknown, warning, worst
from trader.doctor.place import Place
from trader.doctor.system import CGROUPS
from trader.doctor.units import INFINITE, Directives, count, directives, quota_cores, size_bytes, span_s
from trader.doctor.words import amount

PAGE_BYTES: Final = 65_536
"""Kernels round a limit of memory down to pages."""
CPU_TOLERANCE: Final = 0.01
V1_UNLIMITED_BYTES: Final = 2.0**62

Read = Callable[[str | None], float | None]


class Limit(NamedTuple):
    """A limit: its directive, systemd's property, how each is read, and what it is called."""

    directive: str
    property: str
    read: Read
    read_property: Read


LIMITS: Final = (
    Limit("MemoryMax", "MemoryMax", size_bytes, size_bytes),
    Limit("MemorySwapMax", "MemorySwapMax", size_bytes, size_bytes),
    Limit("CPUQuota", "CPUQuotaPerSecUSec", quota_cores, span_s),
    Limit("TasksMax", "TasksMax", count, count),
    Limit("LimitNOFILE", "LimitNOFILE", count, count),
    Limit("LimitCORE", "LimitCORE", size_bytes, size_bytes),
)


def limits(place: Place) -> Finding:
    """systemd's against the unit file's."""
    shown = place.loaded(place.site.unit)
    unit = place.unit_text()
    findings = [finding for limit in LIMITS for finding in _of_limit(place, limit, unit, shown)]
    return worst(findings, ", ".join(f"{limit.directive} {unit.last(limit.directive)}" for limit in LIMITS))


def _of_limit(place: Place, limit: Limit, unit: Directives, shown: dict[str, str]) -> Iterator[Finding]:
    wanted_text, has_text = unit.last(limit.directive), shown.get(limit.property)
    if wanted_text is None:
        yield warning(f"the unit has no {limit.directive}")
        return
    wanted, has = limit.read(wanted_text), limit.read_property(has_text)
    if wanted is None or has is None:
        yield unknown(f"{limit.directive} is not understood ({wanted_text}, {has_text})")
    elif wanted != has:
        words = f"{limit.directive} is {_told(has)} and not {wanted_text}"
        changed_by = _drop_in_with(place, limit.directive, shown)
        yield warning(f"{words}, by {changed_by}") if changed_by else failed(words, "sudo systemctl daemon-reload")


def _told(value: float) -> str:
    """Sizes are told as systemd takes them; small numbers are counts, or processors."""
    for suffix, size in (("G", GIBIBYTE), ("M", MEBIBYTE)):
        if value >= size and value != INFINITE and value % size == 0:
            return f"{value / size:.0f}{suffix}"
    return f"{value:g}"


def _drop_in_with(place: Place, directive: str, shown: dict[str, str]) -> str:
    """The last drop-in that sets ``directive``; empty when none does."""
    paths = [Path(name) for name in shown.get("DropInPaths", "").split()]
    return next((str(path) for path in reversed(paths) if directives(place.host.read(path)).all(directive)), "")


def enforced(place: Place) -> Finding:
    """The kernel's against systemd's, of the process that runs."""
    shown = place.running()
    findings = [*_memory(place, shown), *_cpu(place, shown), *_tasks(place, shown), *_files(place, shown)]
    return worst(findings, "memory, CPU, tasks, files and cores as systemd set them")


def _memory(place: Place, shown: dict[str, str]) -> Iterator[Finding]:
    wanted = size_bytes(shown.get("MemoryMax"))
    has = _v2_bytes(place, shown) if _is_v2(place) else _number(place, shown, "memory", "memory.limit_in_bytes")
    if wanted is None or wanted == INFINITE:
        return
    if has is None or has >= V1_UNLIMITED_BYTES:
        yield failed(f"the kernel has no limit of memory, and systemd {amount(wanted)}")
    elif abs(has - wanted) > PAGE_BYTES:
        yield failed(f"the kernel's limit of memory is {amount(has)}, systemd's {amount(wanted)}")


def _v2_bytes(place: Place, shown: dict[str, str]) -> float | None:
    return _number(place, shown, "", "memory.max")


def _cpu(place: Place, shown: dict[str, str]) -> Iterator[Finding]:
    wanted = span_s(shown.get("CPUQuotaPerSecUSec"))
    if wanted is None or wanted == INFINITE:
        return
    has = _cores(place, shown)
    if has is None:
        yield failed(f"the kernel has no quota of CPU, and systemd {wanted:.0%}")
    elif abs(has - wanted) > CPU_TOLERANCE * wanted:
        yield failed(f"the kernel's quota of CPU is {has:.0%}, systemd's {wanted:.0%}")


def _cores(place: Place, shown: dict[str, str]) -> float | None:
    if _is_v2(place):
        quota, _, period = _cgroup_file(place, shown, "", "cpu.max").partition(" ")
        return None if quota == "max" else float(quota) / float(period)
    quota_us = _number(place, shown, "cpu", "cpu.cfs_quota_us")
    period_us = _number(place, shown, "cpu", "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def _tasks(place: Place, shown: dict[str, str]) -> Iterator[Finding]:
    wanted = count(shown.get("TasksMax"))
    if wanted is None or wanted == INFINITE:
        return
    has = _number(place, shown, "" if _is_v2(place) else "pids", "pids.max")
    if has != wanted:
        yield failed(f"the kernel's limit of tasks is {'none' if has is None else round(has)}, systemd's {wanted:.0f}")


def _files(place: Place, shown: dict[str, str]) -> Iterator[Finding]:
    text = place.host.read(Path("/proc") / shown["MainPID"] / "limits")
    for name, key in (("Max open files", "LimitNOFILE"), ("Max core file size", "LimitCORE")):
        wanted = size_bytes(shown.get(key))
        line = next((line for line in text.splitlines() if line.startswith(name)), "")
        words = line.removeprefix(name).split()
        has = None if len(words) < 2 else INFINITE if words[0] == "unlimited" else float(words[0])
        if wanted is None or has is None or has == wanted:
            continue
        words_for_it = f"{key} is {words[0]} in the process, and {shown[key]} in systemd"
        if has < wanted:  # systemd takes what it can get, and says nothing
            yield warning(f"{words_for_it}: this host or container allows no more", "prlimit --nofile --core --pid 1")
        else:
            yield failed(words_for_it)


def _is_v2(place: Place) -> bool:
    try:
        place.host.state(CGROUPS / "cgroup.controllers")
    except Absent:
        return False
    return True


def _number(place: Place, shown: dict[str, str], controller: str, name: str) -> float | None:
    """A number in the unit's control group; None for no limit."""
    text = _cgroup_file(place, shown, controller, name)
    return None if text == "max" else float(text)


def _cgroup_file(place: Place, shown: dict[str, str], controller: str, name: str) -> str:
    group = shown.get("ControlGroup", "").lstrip("/")
    path = CGROUPS / controller / group / name
    try:
        return place.host.read(path).strip()
    except Absent as error:
        raise NotVisible(f"{path} is not there") from error


def affinity(place: Place) -> Finding:
    """Priority and processors of the process, as systemd set them."""
    shown = place.running()
    fields = place.host.read(Path("/proc") / shown["MainPID"] / "stat").rpartition(")")[2].split()
    nice = int(fields[16])
    wanted = shown.get("Nice", "0")
    if str(nice) != wanted:
        return warning(f"nice {nice} in the process, and {wanted} in systemd")
    return ok(f"nice {nice}, processors {shown.get('CPUAffinity') or 'all'}")
