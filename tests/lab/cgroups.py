"""Control groups of a lab's own, so that systemd's limits in it are enforced.

Rules: on v1 every controller's hierarchy gets one group below the one this process is in; on pure v2 one group gets all
controllers. A group is removed with everything below it, and whatever still runs there ends first.
"""

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from tests.lab.errors import LabError
from tests.lab.waiting import wait_until

MOUNTED: Final = Path("/sys/fs/cgroup")
REMOVAL_TIMEOUT_S: Final = 60.0
PREFIX: Final = "trader-lab-"  # nobody else's groups are called so
REALTIME_US: Final = "200000"


def groups_for(name: str) -> list[Path]:
    """The folders of the groups that a lab called ``name`` gets; raises LabError where no limit would be enforced."""
    if is_unified():
        return [MOUNTED / f"{PREFIX}{name}"]
    bases = _own_groups()
    if (MOUNTED / "memory").resolve() not in bases:
        raise LabError(f"there is no memory controller below {MOUNTED}, so no limit would be enforced")
    return [folder / f"{PREFIX}{name}" for folder in bases.values()]


def is_unified() -> bool:
    """Whether this machine has cgroup v2 alone."""
    return (MOUNTED / "cgroup.controllers").exists()


def make_groups(folders: list[Path]) -> None:
    """Makes the groups, ready to take processes."""
    if is_unified():
        _give_controllers()
    for folder in folders:
        folder.mkdir()
        _allow_processors(folder)


def _own_groups() -> dict[Path, Path]:
    """The folder of the group that this process is in, by the mount of its hierarchy."""
    found: dict[Path, Path] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        mount = (MOUNTED / (controllers.removeprefix("name=") or "unified")).resolve()
        folder = mount / path.lstrip("/")
        if folder.is_dir():
            found.setdefault(mount, folder)
    return found


def _allow_processors(folder: Path) -> None:
    """A fresh v1 group may use no processor, no memory node and no real-time share until told."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists() and not is_unified():
            (folder / name).write_text((folder.parent / name).read_text(encoding="ascii"), encoding="ascii")
    if (folder / "cpu.rt_runtime_us").exists():
        with suppress(OSError):
            (folder / "cpu.rt_runtime_us").write_text(REALTIME_US, encoding="ascii")


def _give_controllers() -> None:
    """The root group is the only one that may hold processes and give controllers to its children."""
    for controller in (MOUNTED / "cgroup.controllers").read_text(encoding="ascii").split():
        with suppress(OSError):
            (MOUNTED / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def remove_groups(folders: list[Path]) -> None:
    """Ends whatever still runs in the groups and removes them; raises TimedOut when that does not succeed."""
    for folder in folders:
        wait_until(partial(_is_removed, folder), f"the end of the processes in {folder}", REMOVAL_TIMEOUT_S)


def _is_removed(folder: Path) -> bool:
    """The kernel removes groups meanwhile, so a folder that was there a moment ago may be gone."""
    below: list[Path] = []
    with suppress(FileNotFoundError):
        below = [path for path in folder.rglob("*") if path.is_dir()]
    for group in sorted([*below, folder], key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            _kill_all(group)
            group.rmdir()
    return not folder.exists()


def _kill_all(group: Path) -> None:
    """Processes are left where a boot was broken off before its PID 1 was known."""
    for pid in map(int, (group / "cgroup.procs").read_text(encoding="ascii").split()):
        if pid > 0:  # 0 is a process that this one cannot see, as in a container beside it
            os.kill(pid, signal.SIGKILL)
