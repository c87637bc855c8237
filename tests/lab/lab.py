"""A machine with a real systemd, for as long as a `with` block lasts.

    with Lab.boot(SYSTEMD_252) as lab:
        lab.write("/etc/systemd/system/hello.service", "[Service]\\nExecStart=echo hello\\n")
        lab.systemctl("start", "hello")
        assert lab.journal("hello.service")

Rules: commands run in it as root, in an environment that has nothing of the host's. Whatever a machine changes is gone
with it, unless it is frozen: then it is a layer that others are booted from. To wait, wait for a condition.
"""

import http.client
import itertools
import json
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from tests.lab import waiting
from tests.lab.cgroups import groups_for, make_groups
from tests.lab.commands import COMMAND_TIMEOUT_S, Completed, inside, run_command
from tests.lab.container import Bind, Machine, Started, start
from tests.lab.errors import LabError
from tests.lab.folders import lab_folder, locked, remove_tree, used_now
from tests.lab.host import require
from tests.lab.network import http_get, run_in_network
from tests.lab.records import Process, Record, sweep
from tests.lab.release import RELEASES, Release
from tests.lab.roots import root_of

# What is asked runs a process in the machine each time, and the machines of other tests want the processor too.
POLL_S: Final = 0.1
BOOT_TIMEOUT_S: Final = 120.0
POWEROFF_TIMEOUT_S: Final = 90.0
POWEROFF: Final = 38  # SIGRTMIN+4: what `systemctl poweroff` asks of PID 1
INTERFACE_KINDS: Final = (
    "dummy",
    "bridge",
)  # not every kernel has the first
UNIT_FOLDER: Final = "/etc/systemd/system"

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

Value = TypeVar("Value")
_numbers = itertools.count(1)


class Lab:
    """A booted machine. Made by ``boot`` (a new one) or ``attach`` (one that another process booted)."""

    def __init__(self, release: Release, record: Record, machine: Machine | None, started: Started | None) -> None:
        self.release = release
        self._record = record
        self._machine = machine
        self._started = started

    @classmethod
    def boot(
        cls,
        release: Release,
        *,
        layers: Sequence[Path] = (),
        binds: Sequence[Bind] = (),
        name: str | None = None,
        is_kept: bool = False,
        timeout_s: float = BOOT_TIMEOUT_S,
    ) -> "Lab":
        """Boots ``release`` and returns when its start-up jobs are done, failed or not (see ``state``).

        ``layers`` are frozen machines, the topmost first. A machine that ``is_kept`` outlives this process, until
        anyone turns it off. Raises LabUnavailable where this machine cannot run it, and LabError when it does not
        come up within ``timeout_s``.
        """
        require(release)
        for layer in layers:
            if not layer.is_dir():
                raise LabError(f"{layer} is no frozen machine to boot from")
        name = name or f"lab-{os.getpid()}-{next(_numbers)}"
        cls.require_name(name)
        root = root_of(release)
        sweep()
        record = _claim(name, release, [root.base, *layers, *(bind.source for bind in binds)])
        groups = tuple(Path(group) for group in record.groups)
        machine = Machine(name, record.folder, root, tuple(layers), tuple(binds), groups)
        try:
            make_groups(list(groups))
            started = start(machine, dies_with_us=not is_kept, timeout_s=timeout_s)
        except BaseException:
            record.end()
            raise
        record = record.started(started.container, started.leader)
        if is_kept:
            record = record.without_owner()
        record.save()
        return cls(release, record, machine, started)

    @staticmethod
    def require_name(name: str) -> None:
        """Raises LabError for a name that a machine and its control groups cannot have."""
        if not NAME.fullmatch(name):
            raise LabError(f"a lab cannot be called {name!r}; use up to 40 small letters, digits and hyphens")

    @classmethod
    def attach(cls, record: Record) -> "Lab":
        """A lab that runs already."""
        return cls(RELEASES[record.release], record, None, None)

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.off()

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def leader_pid(self) -> int:
        """Its PID 1, as the host sees it; `/proc/PID/root` is its root."""
        if self._record.leader is None:
            raise LabError(f"{self.name} has not been booted")
        return self._record.leader.pid

    def is_running(self) -> bool:
        return self._record.is_running()

    def off(self) -> None:
        """Ends the machine at once, as a power cut does, and leaves nothing of it. Twice is fine."""
        self._record.end()
        self._reap()

    def power_off(self, timeout_s: float = POWEROFF_TIMEOUT_S) -> None:
        """Shuts down in order: units stop. What the machine wrote stays until ``off``."""
        leader, container = self._record.leader, self._record.container
        if leader and container:
            leader.send(POWEROFF)
            waiting.wait_until(container.is_gone, f"the power-off of {self.name}", timeout_s)
        self._reap()

    def freeze(self, into: Path) -> tuple[Path, ...]:
        """Shuts down and keeps what was written as the new folder ``into``; returns the layers to boot from."""
        if self._machine is None:
            raise LabError(f"{self.name} was booted by another process, which alone can freeze it")
        self.power_off()
        remove_tree(self._machine.upper / "root/var/log/journal")
        into.parent.mkdir(parents=True, exist_ok=True)
        self._machine.upper.replace(into)
        self.off()
        return (into, *self._machine.layers)

    def _reap(self) -> None:
        if self._started is not None:
            self._started.launcher.wait(timeout=POWEROFF_TIMEOUT_S)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        check: bool = True,
        timeout_s: float = COMMAND_TIMEOUT_S,
        input_text: str | None = None,
        env: dict[str, str] | None = None,
    ) -> Completed:
        """Runs a command in the machine as root; raises CommandFailed on a code other than 0, if ``check``.

        The command is in the machine's namespaces, but outside of its units: limits and sandboxes are those of
        nobody. See ``run_in_unit``.
        """
        return run_command(self.leader_pid, argv, check=check, timeout_s=timeout_s, input_text=input_text, env=env)

    def run_in_unit(
        self, argv: Sequence[str | Path], properties: Sequence[str] = (), *, check: bool = True, timeout_s: float = 60.0
    ) -> Completed:
        """Runs a command as a transient service with ``properties`` ("MemoryMax=64M"), waits for it, has its output."""
        options = [f"--property={item}" for item in properties]
        command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", *options, "--", *argv]
        return self.run(command, check=check, timeout_s=timeout_s)

    def interactive(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs ``argv`` in the machine on this process's own terminal."""
        return inside(self.leader_pid, argv, {"TERM": os.environ.get("TERM", "dumb")})

    def get(self, port: int, path: str) -> str | None:
        """What answers `GET path` on the machine's loopback with 200 says; None when nobody answers so."""
        try:
            status, text = http_get(self.leader_pid, port, path)
        except (OSError, http.client.HTTPException):
            return None
        return text if status == http.client.OK else None

    def run_in_network(self, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Runs a coroutine of this process in the machine's network, as a client beside its own programs."""
        return run_in_network(self.leader_pid, work)

    def seen_from_host(self, path: str) -> Path:
        """``path`` as this process sees it; none of its parts may be an absolute link, which would lead out."""
        return Path(f"/proc/{self.leader_pid}/root") / path.lstrip("/")

    def systemctl(self, *arguments: str, check: bool = True, timeout_s: float = 120.0) -> Completed:
        return self.run(["systemctl", *arguments], check=check, timeout_s=timeout_s)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """What `systemctl show` says of ``unit``: the ``properties``, or all."""
        wanted = [f"--property={','.join(properties)}"] if properties else []
        lines = self.systemctl("show", *wanted, "--", unit).stdout.splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def state(self) -> str:
        """What `systemctl is-system-running` says: running, degraded, starting…"""
        return self.systemctl("is-system-running", check=False).stdout.strip()

    def journal(self, unit: str | None = None, *matches: str, after: str | None = None) -> list[dict[str, Any]]:
        """The journal's records, the oldest first: of ``unit``, that match ``matches`` ("PRIORITY=3"), after a cursor.

        A field that is not text is a list of its bytes.
        """
        # 252 with --after-cursor also leaves out the first record of the unit.
        options = [*(["--unit", unit] if unit else []), *(["--cursor", after] if after else [])]
        self.run(["journalctl", "--sync"], check=False)
        lines = self.run(["journalctl", "--no-pager", "--output=json", "--all", *options, *matches]).stdout.splitlines()
        return [record for record in map(json.loads, lines) if record["__CURSOR"] != after]

    def cursor(self) -> str:
        """Where the journal ends now, for ``journal(after=…)``."""
        self.run(["journalctl", "--sync"], check=False)
        entries = self.run(["journalctl", "--no-pager", "--output=json", "--lines=1"]).stdout.splitlines()
        return str(json.loads(entries[-1])["__CURSOR"])

    def wait_until(self, condition: Callable[[], Value], what: str, timeout_s: float = 60.0) -> Value:
        """The first true value of ``condition``; raises TimedOut, which is a failed assertion, naming ``what``."""
        return waiting.wait_until(condition, f"{what} (in {self.name}, {self.release})", timeout_s, POLL_S)

    def write(self, path: str, text: str, *, mode: int | None = None, owner: str | None = None) -> None:
        """Writes a file, making its folder; a file that exists keeps its mode and owner ("root:trader") unless told."""
        script = 'mkdir -p -- "$(dirname -- "$1")" && cat > "$1"'
        self.run(["/bin/sh", "-c", script, "write", path], input_text=text)
        if owner is not None:
            self.run(["chown", owner, path])
        if mode is not None:
            self.run(["chmod", f"{mode:o}", path])

    def read(self, path: str) -> str:
        return self.run(["cat", "--", path]).stdout

    def exists(self, path: str) -> bool:
        """Whether there is a file, a folder or a link, dangling or not, at ``path``."""
        return self.run(["/bin/sh", "-c", 'test -e "$1" || test -L "$1"', "exists", path], check=False).returncode == 0

    def remove(self, path: str) -> None:
        self.run(["rm", "-rf", "--", path])

    def unit(self, name: str, text: str) -> None:
        """Writes the unit file ``name`` and has systemd read it."""
        self.write(f"{UNIT_FOLDER}/{name}", text)
        self.systemctl("daemon-reload")

    def drop_in(self, unit: str, name: str, text: str) -> None:
        """Writes the drop-in ``name`` (without `.conf`) of ``unit`` and has systemd read it."""
        self.unit(f"{unit}.d/{name}.conf", text)

    def add_address(self, address: str, name: str = "beyond0") -> None:
        """Gives the machine an interface of its own with ``address`` ("192.0.2.1/24"): one that is not loopback."""
        attempts = (self.run(["ip", "link", "add", name, "type", kind], check=False) for kind in INTERFACE_KINDS)
        if not any(attempt.returncode == 0 for attempt in attempts):
            raise LabError(f"this kernel makes no interface to put {address} on ({', '.join(INTERFACE_KINDS)})")
        self.run(["ip", "address", "add", address, "dev", name])
        self.run(["ip", "link", "set", name, "up"])


def _claim(name: str, release: Release, uses: Sequence[Path]) -> Record:
    """Takes the name: a lab is on record before anything of it exists, so that nothing of it can be left behind."""
    record = Record(
        name=name,
        release=release.name,
        owner=Process.me(),
        groups=tuple(map(str, groups_for(name))),
        uses=tuple(map(str, uses)),
    )
    for path in uses:
        if path.parent == lab_folder():
            used_now(path)
    with locked("sweep"):
        if record.folder.exists():
            raise LabError(
                f"there is a lab called {name} already; turn it off (scripts/lab off {name}), or choose a name"
            )
        record.folder.mkdir(parents=True)
        record.save()
    return record
