"""What is known of every lab that runs: one record per lab, in its folder, so that others can find and end it.

Rules: a process is a pid with its start time, so that a reused pid is never taken for another. A lab whose owner died
is ended by whoever comes next; one that a person booted has no owner and stays until it is turned off.
"""

import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from json import dumps, loads
from math import inf
from pathlib import Path
from typing import Any, Final

from tests.lab.cgroups import remove_groups
from tests.lab.errors import TimedOut
from tests.lab.folders import lab_folder, locked, remove_tree
from tests.lab.waiting import wait_until

RUNNING: Final = "running"
RECORD: Final = "record.json"
STATE_FIELD: Final = 0  # of /proc/PID/stat, after the name
START_FIELD: Final = 19
END_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Process:
    """A process for sure: its pid, and the tick it started at."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has ``pid`` now, None when there is none; a dead one that nobody asked about is none."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[STATE_FIELD] in "ZX" else cls(pid, int(fields[START_FIELD]))

    @classmethod
    def me(cls) -> "Process":
        process = cls.of(os.getpid())
        assert process is not None, "a process that runs is alive"
        return process

    def is_alive(self) -> bool:
        return Process.of(self.pid) == self

    def is_gone(self) -> bool:
        return not self.is_alive()

    def send(self, number: int) -> None:
        """Sends a signal, if the process is still there."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class Record:
    """A lab: whose it is, its processes (None: not started yet), its groups, and the folders it lies on."""

    name: str
    release: str
    owner: Process | None
    groups: tuple[str, ...]
    uses: tuple[str, ...]
    container: Process | None = None
    leader: Process | None = None

    @property
    def folder(self) -> Path:
        return lab_folder() / RUNNING / self.name

    def save(self) -> None:
        draft = self.folder / f".{RECORD}"
        draft.write_text(dumps(asdict(self)), encoding="utf-8")
        draft.replace(self.folder / RECORD)

    def started(self, container: Process, leader: Process) -> "Record":
        return replace(self, container=container, leader=leader)

    def without_owner(self) -> "Record":
        """The same lab, which stays until it is turned off."""
        return replace(self, owner=None)

    def is_running(self) -> bool:
        return self.leader is not None and self.leader.is_alive()

    def is_stale(self) -> bool:
        """Whether nobody will end it: its owner is gone, or it has none and does not run."""
        return not self.owner.is_alive() if self.owner else not self.is_running()

    def end(self) -> None:
        """Ends everything at once and leaves nothing; raises TimedOut. To shut a system down, see ``Lab.freeze``."""
        for process in (self.leader, self.container):
            if process is not None:
                process.send(signal.SIGKILL)
                wait_until(process.is_gone, f"the end of {self.name}", END_TIMEOUT_S)
        remove_groups([Path(group) for group in self.groups])
        remove_tree(self.folder)


def records() -> list[Record]:
    """All labs of this folder, the oldest first."""
    found = []
    for file in sorted((lab_folder() / RUNNING).glob(f"*/{RECORD}"), key=_made_at_s):
        with suppress(FileNotFoundError):
            found.append(_parsed(loads(file.read_text(encoding="utf-8"))))
    return found


def _made_at_s(file: Path) -> float:
    """When a record was made; one whose lab has ended meanwhile comes last."""
    with suppress(FileNotFoundError):
        return file.parent.stat().st_ctime
    return inf


def _parsed(document: dict[str, Any]) -> Record:
    processes = {
        name: Process(**document[name]) if document[name] else None for name in ("owner", "container", "leader")
    }
    lists = {name: tuple(document[name]) for name in ("groups", "uses")}
    return Record(**{**document, **processes, **lists})


def in_use() -> frozenset[Path]:
    """The layers and bound folders that some lab lies on, which must stay as they are."""
    return frozenset(Path(used) for record in records() for used in record.uses)


def sweep() -> list[str]:
    """Ends the labs whose owners are gone; returns their names. One that does not end stays on record."""
    swept = []
    with locked("sweep"):
        for record in records():
            if record.is_stale():
                with suppress(TimedOut):
                    record.end()
                    swept.append(record.name)
    return swept
