"""Boots a system as PID 1 of a container: overlay, control groups, systemd-nspawn.

Rules: nothing is mounted in the host's namespace; the mounts go with the container's last process. The container has
its own network with loopback alone. It may load the programs by which systemd filters addresses (CAP_BPF), and its
own control groups are writable, because without both the limits of its units are accepted and not enforced.
"""

import shlex
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.cgroups import is_unified
from tests.lab.errors import LabError
from tests.lab.records import Process
from tests.lab.roots import Root, make_usr_layer
from tests.lab.waiting import wait_until

CAPABILITIES: Final = "CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON,CAP_SYSLOG,CAP_IPC_LOCK,CAP_WAKE_ALARM,CAP_BLOCK_SUSPEND"
SYSTEM_CALLS: Final = "bpf perf_event_open @keyring"
# Renames and copies stay plain files, so that a layer means the same wherever it is mounted again. What a machine syncs
# is not written through: nothing of it is to survive the host, and turning it off would wait for the host's disk.
OVERLAY_OPTIONS: Final = "redirect_dir=off,index=off,metacopy=off,volatile"
NSPAWN: Final = (
    "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=read-only", "--notify-ready=yes",
    "--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--hostname=lab",
    f"--capability={CAPABILITIES}", f"--system-call-filter={SYSTEM_CALLS}",
)  # fmt: skip
# systemd-nspawn mounts the v1 controllers read-only, whereupon systemd silently enforces nothing.
INIT: Final = (
    "for mount in /sys/fs/cgroup/*/; do mount -o remount,rw,bind $mount 2>/dev/null || :; done; "
    'exec /lib/systemd/systemd "$@"'
)
CONSOLE_LINES: Final = 20
BREAK_OFF_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class Bind:
    """A folder or file of the host that the container sees at ``target``."""

    source: Path
    target: str
    is_read_only: bool = True

    @property
    def option(self) -> str:
        escaped = str(self.source).replace("\\", "\\\\").replace(":", "\\:")
        return f"--bind{'-ro' if self.is_read_only else ''}={escaped}:{self.target}"


@dataclass(frozen=True)
class Machine:
    """What to boot: ``folder`` takes its changes, which lie above ``layers`` (the topmost first) above ``root``."""

    name: str
    folder: Path
    root: Root
    layers: tuple[Path, ...]
    binds: tuple[Bind, ...]
    groups: tuple[Path, ...]

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def upper(self) -> Path:
        """What the machine has changed: `root/`, and `usr/` when its `/usr` is the host's."""
        return self.folder / "upper"


@dataclass(frozen=True)
class Started:
    """A booted machine: ``launcher`` is systemd-nspawn, ``leader`` is its PID 1 as the host sees it."""

    launcher: "subprocess.Popen[bytes]"
    container: Process
    leader: Process


def start(machine: Machine, *, dies_with_us: bool, timeout_s: float) -> Started:
    """Boots ``machine`` and returns when its start-up jobs are done; raises LabError with the end of its console."""
    _make_upper(machine)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, machine.console.open("wb") as console:
        notified.bind(f"\0{machine.name}")
        notified.setblocking(False)
        launcher = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-e", "-c", _script(machine, dies_with_us)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": f"@{machine.name}", "LANG": "C.UTF-8"},
        )
        try:
            return _await_ready(machine, launcher, notified, timeout_s)
        except BaseException:
            _break_off(launcher)
            raise


def _break_off(launcher: "subprocess.Popen[bytes]") -> None:
    """Asked to, systemd-nspawn takes its container with it; killed, it leaves the container running."""
    launcher.terminate()
    try:
        launcher.wait(timeout=BREAK_OFF_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def _await_ready(
    machine: Machine, launcher: "subprocess.Popen[bytes]", notified: socket.socket, timeout_s: float
) -> Started:
    told: dict[str, str] = {}

    def is_ready() -> bool:
        if launcher.poll() is not None:
            raise LabError(f"{machine.name} could not be booted:\n{console_end(machine)}")
        told.update(_received(notified))
        return told.get("READY") == "1" and "X_NSPAWN_LEADER_PID" in told

    try:
        wait_until(is_ready, f"the end of the boot of {machine.name}", timeout_s)
    except AssertionError as error:
        raise LabError(f"{error}; its console ends with\n{console_end(machine)}") from error
    container, leader = Process.of(launcher.pid), Process.of(int(told["X_NSPAWN_LEADER_PID"]))
    if container is None or leader is None:
        raise LabError(f"{machine.name} ended right after its boot:\n{console_end(machine)}")
    return Started(launcher, container, leader)


def _received(notified: socket.socket) -> dict[str, str]:
    told: dict[str, str] = {}
    while True:
        try:
            message = notified.recv(65536).decode(errors="replace")
        except BlockingIOError:
            return told
        told.update(line.partition("=")[::2] for line in message.splitlines())


def console_end(machine: Machine) -> str:
    """The last lines that the machine wrote on its console."""
    lines = machine.console.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-CONSOLE_LINES:])


def _make_upper(machine: Machine) -> None:
    for name in ("upper/root", "work/root", "mount", *(("upper/usr", "work/usr") if machine.root.usr else ())):
        (machine.folder / name).mkdir(parents=True)
    (machine.folder / "upper").chmod(0o755)
    if machine.root.usr:
        make_usr_layer(machine.folder / "upper/usr", machine.root.usr, is_first=not machine.layers)


def _script(machine: Machine, dies_with_us: bool) -> str:
    mounted = machine.folder / "mount"
    lines = [_overlay(machine, "root", machine.root.base, mounted)]
    if machine.root.usr:
        lines.append(_overlay(machine, "usr", machine.root.usr, mounted / "usr"))
    # systemd-nspawn keeps its own state in /run, and none of it is to stay on the host.
    lines.append("mount -t tmpfs tmpfs /run")
    lines += [f"echo 0 > {shlex.quote(str(group / 'cgroup.procs'))}" for group in machine.groups]
    # systemd-nspawn ends its container at once on this signal; killed itself, it would leave it running. The signal
    # comes when the starting thread ends, which only the main thread does not do before its process.
    is_bound = dies_with_us and threading.current_thread() is threading.main_thread()
    leash = ["setpriv", "--pdeathsig", "TERM"] if is_bound else []
    lines.append(f"exec {shlex.join([*leash, *_nspawn(machine, mounted)])}")
    return "\n".join(lines)


def _overlay(machine: Machine, part: str, lowest: Path, target: Path) -> str:
    lower = [layer / part for layer in machine.layers if (layer / part).is_dir()]
    options = (
        f"lowerdir={':'.join(map(str, [*lower, lowest]))},"
        f"upperdir={machine.upper / part},workdir={machine.folder / 'work' / part},{OVERLAY_OPTIONS}"
    )
    return shlex.join(["mount", "-t", "overlay", f"lab-{part}", "-o", options, str(target)])


def _nspawn(machine: Machine, mounted: Path) -> Sequence[str]:
    command = [*NSPAWN, f"--directory={mounted}", f"--machine={machine.name}", *(bind.option for bind in machine.binds)]
    if is_unified():
        return [*command, "--boot"]
    return [*command, "/bin/sh", "-c", INIT, "systemd"]
