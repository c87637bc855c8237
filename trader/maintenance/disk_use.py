"""How full the disks of ours are, how much fuller than a month ago, and which folders the room went to.

Rules: what a disk holds now is the host's word; what it held is Prometheus's, by the disk's device, and missing
without it. A disk that several hosts have by that name is nobody's.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor.bounds import Bounds
from trader.doctor.host import Room
from trader.doctor.model import Absent, NotVisible
from trader.doctor.place import Place
from trader.maintenance.context import Context
from trader.maintenance.measures import one_value
from trader.maintenance.model import Chart, Column, Figure, Line, Outcome, Table, Unit, Value
from trader.maintenance.plain import plain
from trader.maintenance.sources import Unavailable
from trader.maintenance.walk import walk

MOUNTS: Final = Path("/proc/self/mountinfo")
POINTS: Final = 120
FULL_SOON: Final = timedelta(days=60)


class Disk(NamedTuple):
    """A file system that something of ours is on. ``used_before_bytes`` is None when nobody knows."""

    device: str
    folders: tuple[Path, ...]
    room: Room
    used_before_bytes: float | None = None

    @property
    def used_bytes(self) -> int:
        return self.room.total_bytes - self.room.free_bytes

    @property
    def free_ratio(self) -> float:
        return self.room.free_bytes / self.room.total_bytes if self.room.total_bytes else 0.0

    @property
    def growth_bytes(self) -> float | None:
        return None if self.used_before_bytes is None else self.used_bytes - self.used_before_bytes

    def full_in(self, span: timedelta) -> timedelta | None:
        """When it is full if it grows as it did over ``span``; None when it does not grow, or nobody knows."""
        growth = self.growth_bytes
        if growth is None or growth <= 0:
            return None
        return timedelta(seconds=min(self.room.free_bytes / growth * span.total_seconds(), 3.2e9))


class DiskUse(NamedTuple):
    """What the section takes over."""

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    missing: tuple[str, ...]


def folders_of(context: Context) -> tuple[Path, ...]:
    """The folders of ours that grow."""
    site, settings = context.place.site, context.settings
    paths = [site.base, site.state, site.base / "logs", site.prefix, context.folders.backups, context.folders.reports]
    if context.journal_file is not None:
        paths.append(context.journal_file.parent)
    if settings.recorder.directory is not None:
        paths.append(settings.recorder.directory)
    if context.folders.textfile is not None:
        paths.append(context.folders.textfile)
    return tuple(dict.fromkeys(paths))


def look(context: Context) -> DiskUse:
    """The disks, the folders, and what could not be got."""
    place, missing = context.place, []
    disks = disks_of(place, folders_of(context))
    measured, charts = [], []
    for disk in disks:
        try:
            measured.append(disk._replace(used_before_bytes=_used_before(context, disk)))
            charts += _charts(context, disk)
        except Unavailable as error:
            measured.append(disk)
            missing.append(f"growth of {plain(disk.device)}: {error}")
    table = _sizes(place, folders_of(context), missing)
    span = context.until - context.since
    figures = [figure for disk in measured for figure in figures_of(disk, span, place.bounds)]
    if not disks:
        missing.append("the disks: the host does not tell which there are")
    return DiskUse(tuple(figures), (table,), tuple(charts), tuple(missing))


def disks_of(place: Place, folders: Sequence[Path]) -> list[Disk]:
    """The file systems below ``folders``, those of them that are there."""
    found: dict[str, Disk] = {}
    try:
        mounts = place.host.read(MOUNTS)
    except (Absent, NotVisible):
        mounts = ""
    for folder in folders:
        try:
            room = place.host.room(folder)
            device = device_of(mounts, place.host.resolve(folder))
        except (Absent, NotVisible):
            continue
        before = found.get(device)
        found[device] = Disk(device, (*(before.folders if before else ()), folder), room)
    return list(found.values())


def device_of(mountinfo: str, path: Path) -> str:
    """The device that ``path`` is on; empty when it is not told."""
    best, device = -1, ""
    for line in mountinfo.splitlines():
        left, mark, right = line.partition(" - ")
        fields, told = left.split(), right.split()
        if not mark or len(fields) < 6 or len(told) < 2:
            continue
        mount = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(mount) and len(mount.parts) >= best:
            best, device = len(mount.parts), told[1]
    return device


def _expression(disk: Disk) -> str:
    if not disk.device:
        raise Unavailable("its device is not known")
    device = disk.device.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    total, free = (f'node_filesystem_{name}_bytes{{device="{device}"}}' for name in ("size", "avail"))
    return f"max by (instance) ({total} - {free})"


def _used_before(context: Context, disk: Disk) -> float:
    expression = _expression(disk)
    before = one_value(context, expression, context.since)
    if before is None:
        raise Unavailable(f"Prometheus has nothing of it at {context.since:%Y-%m-%d}")
    return before


def _charts(context: Context, disk: Disk) -> list[Chart]:
    step_s = max((context.until - context.since).total_seconds() / POINTS, 60.0)
    series = context.query_range(_expression(disk), step_s)
    points = [(datetime.fromtimestamp(at, UTC), value) for one in series[:1] for at, value in one.values]
    if not points:
        return []
    line = Line(plain(disk.device), tuple(points))
    return [
        Chart(title=f"Used on {plain(disk.device)}", unit=Unit.BYTES, lines=(line,), bound=float(disk.room.total_bytes))
    ]


def figures_of(disk: Disk, span: timedelta, bounds: Bounds) -> list[Figure]:
    """What is used, what is free, and how that changes."""
    name = plain(disk.device or disk.folders[0])
    outcome = Outcome.OK
    if disk.free_ratio < bounds.disk_free_min_ratio:
        outcome = Outcome.FAILED
    elif disk.free_ratio < bounds.disk_free_low_ratio:
        outcome = Outcome.WARNING
    low = f"≥ {bounds.disk_free_low_ratio * 100:.0f} %"
    figures = [
        Figure(label=f"Used on {name}", value=disk.used_bytes, unit=Unit.BYTES),
        Figure(label=f"Free on {name}", value=disk.free_ratio, unit=Unit.RATIO, bound=low, outcome=outcome),
    ]
    if disk.growth_bytes is not None:
        figures.append(Figure(label=f"More on {name} than at the begin", value=disk.growth_bytes, unit=Unit.BYTES))
    full = disk.full_in(span)
    if full is not None:
        soon = Outcome.WARNING if full < FULL_SOON else Outcome.OK
        bound = f"≥ {FULL_SOON.days} days"
        figures.append(
            Figure(label=f"{name} full in", value=full.total_seconds(), unit=Unit.SECONDS, bound=bound, outcome=soon)
        )
    return figures


def _sizes(place: Place, folders: Sequence[Path], missing: list[str]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for folder in folders:
        try:
            found = walk(place, folder)
        except Absent:
            continue
        except NotVisible as error:
            missing.append(f"size of {plain(folder)}: {error}")
            continue
        files = sum(entry.state.kind == "file" for entry in found.entries)
        rows.append((plain(folder), found.size_bytes, files, "" if found.is_whole else "not all of it could be seen"))
    columns = (Column("Folder"), Column("Size", Unit.BYTES), Column("Files", Unit.COUNT), Column("Note"))
    return Table.of("Folders of ours", columns, rows)
