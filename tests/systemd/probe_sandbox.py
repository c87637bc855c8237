"""Tries, in the machine under test, whatever a sandbox is to deny; says for each what came of it.

Rules: imports nothing but Python's own library. Each attempt either works, and is undone, or names its error (EPERM);
what cannot be an error is told as a value. What could change the process itself is tried in a child.
"""

import ctypes
import errno
import hashlib
import json
import mmap
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE = "/home/trader/secure/trader/IBKR_trading"
STATE = f"{BASE}/state"
RUNTIME = "/run/ibkr-trading"
NAME = "lab-probe"
LIBC = ctypes.CDLL(None, use_errno=True)
CONNECT_TIMEOUT_S = 1.0
LISTENER_PORT = 7892
BEYOND = "192.0.2.1"
PRIVATE = "10.91.0.1"
SETUID_PROGRAM = "/usr/bin/lab-setuid-cat"
HOST_TMP_FILE = "/tmp/lab-of-the-host"
PROGRAMS = ("/usr/bin", "/usr/lib", "/opt/ibkr-trading")
OTHER_USER = "other"
OTHER_HOME = os.path.join("/home", OTHER_USER)
SYSLOG_READ_ALL = 3
PERSONALITY_32_BITS = 8
PAGE = 4096
NAMESPACES = {
    "user": 0x10000000, "mount": 0x00020000, "network": 0x40000000, "process": 0x20000000,
    "ipc": 0x08000000, "host_name": 0x04000000, "cgroup": 0x02000000,
}  # fmt: skip
TOLD = ("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


def probe() -> dict[str, Any]:
    """What came of each attempt: `{"error": "EPERM"}`, or `{"value": …}` where it worked."""
    return {name: _outcome(attempt) for name, attempt in _attempts().items()}


def _outcome(attempt: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": attempt()}
    except TimeoutError:
        return {"error": "TIMEOUT"}
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno or 0, str(error))}


def _attempts() -> dict[str, Callable[[], Any]]:
    return {
        **{f"write {folder}": _creates(folder) for folder in WRITTEN},
        "writable folders": _writable_folders,
        "writable mounts": lambda: [path for path in PROGRAMS if not os.statvfs(path).f_flag & os.ST_RDONLY],
        "change config": lambda: _open_and_close(f"{BASE}/config/config.yaml", os.O_RDWR),
        "read secrets": lambda: _open_and_close("/etc/ibkr-trading/secrets/policy-token", os.O_RDONLY),
        "see homes": lambda: sorted(os.listdir("/home")),
        "see other home": lambda: os.stat(f"{OTHER_HOME}/file").st_size,
        "see host tmp": lambda: os.stat(HOST_TMP_FILE).st_size,
        "see first process": lambda: os.stat("/proc/1").st_uid,
        "see processes of others": _processes_of_others,
        **{f"connect {address}": _connects(address) for address in (BEYOND, PRIVATE, "127.0.0.1")},
        f"send {BEYOND}": _send_datagram,
        **{f"socket {name}": _makes_socket(*arguments) for name, arguments in SOCKETS.items()},
        **{f"namespace {name}": _calls("unshare", flag) for name, flag in NAMESPACES.items()},
        **{f"execute {folder}": _executes(folder) for folder in EXECUTED},
        "map library": _map_library,
        "writable code": lambda: mmap.mmap(-1, PAGE, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
        "code from data": _make_data_executable,
        "realtime": _in_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        "priority": _in_child(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20)),
        "processors": _in_child(lambda: os.sched_setaffinity(0, os.sched_getaffinity(0))),
        "become root": _in_child(lambda: os.setresuid(0, 0, 0)),
        "setuid program": _setuid_program,
        "setuid file": lambda: _mark_file(stat.S_ISUID),
        "setgid file": lambda: _mark_file(stat.S_ISGID),
        "mount": _in_child(_mount),
        "change root": _in_child(lambda: os.chroot("/")),
        "kernel tunable": lambda: _rewrite("/proc/sys/net/ipv4/ip_forward"),
        "own limits": lambda: _rewrite(_own_group("pids.max")),
        "kernel log": _read_kernel_log,
        "host name": lambda: socket.sethostname(socket.gethostname()),
        "personality": _calls("personality", PERSONALITY_32_BITS),
        "devices": lambda: sorted(entry.name for entry in os.scandir("/dev") if _is_device(entry)),
        "credential": _credential,
        "see credentials": lambda: sorted(os.listdir("/run/credentials")),
        "status": _status,
    }  # fmt: skip


WRITTEN = (
    "/etc", "/usr", "/usr/lib", "/opt/ibkr-trading", "/opt/ibkr-trading/current", "/home", "/home/trader", "/root",
    "/var/lib", "/var/log", "/run", "/run/systemd", "/boot", "/", f"{BASE}/config", f"{BASE}/scripts",
    "/var/lib/prometheus/node-exporter", "/run/lock", "/dev/shm", "/dev/mqueue",
    f"{BASE}/backups", STATE, f"{BASE}/logs", BASE, RUNTIME, "/tmp",
)  # fmt: skip
# The kernel's folders, and the large ones of programs, whose tops stand for them.
PRUNED = {
    "/": ("/proc", "/sys"),
    "/usr": ("/usr/share", "/usr/lib", "/usr/include", "/usr/src"),
    "/opt/ibkr-trading": ("/opt/ibkr-trading/releases",),
    "/opt": ("/opt/checkout", "/opt/wheels"),
}
EXECUTED = (STATE, RUNTIME, "/tmp", "/var/tmp", "/dev/shm")
SOCKETS = {
    "ipv6": (socket.AF_INET6, socket.SOCK_STREAM),
    "netlink": (socket.AF_NETLINK, socket.SOCK_RAW),
    "packet": (socket.AF_PACKET, socket.SOCK_DGRAM),
    "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "ipv4": (socket.AF_INET, socket.SOCK_STREAM),
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
}


# -- files


def _creates(folder: str) -> Callable[[], None]:
    def create() -> None:
        path = Path(folder, NAME)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        path.unlink()

    return create


def _open_and_close(path: str, flags: int) -> None:
    os.close(os.open(path, flags))


def _writable_folders() -> list[str]:
    """Every folder that a file can be made in; those of the kernel are tried by name."""
    found = []
    for folder, below, _ in os.walk("/"):
        if folder in PRUNED:
            below[:] = [name for name in below if os.path.join(folder, name) not in PRUNED[folder]]
        if os.access(folder, os.W_OK):
            found.append(folder)
    return found


def _rewrite(path: str) -> None:
    """Writes what is there already."""
    before = Path(path).read_text()
    Path(path).write_text(before)


def _own_group(file: str) -> str:
    """The ``file`` of the control group that this process is in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "pids"):
            found = Path("/sys/fs/cgroup", controllers, path.lstrip("/"), file)
            if found.exists():
                return str(found)
    return f"/sys/fs/cgroup/{file}"


def _with_file(folder: str, use: Callable[[Path], Any]) -> Any:
    path = Path(folder, f"{NAME}-{os.getpid()}")
    path.write_text("#!/bin/sh\nexit 0\n")
    try:
        return use(path)
    finally:
        path.unlink()


def _mark_file(bit: int) -> None:
    _with_file(STATE, lambda path: path.chmod(0o755 | bit))


def _executes(folder: str) -> Callable[[], None]:
    def execute(path: Path) -> None:
        path.chmod(0o755)
        subprocess.run([path], check=True)

    return lambda: _with_file(folder, execute)


def _map_library() -> None:
    def map_it(path: Path) -> None:
        with path.open("rb") as file:
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE).close()

    _with_file(STATE, map_it)


# -- processes and users


def _status() -> dict[str, str]:
    lines = (line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: text.strip() for name, text in lines if name in TOLD}


def _processes_of_others() -> int:
    """How many processes of other users can be seen."""
    return sum(os.stat(f"/proc/{name}").st_uid != os.getuid() for name in os.listdir("/proc") if name.isdigit())


def _setuid_program() -> str:
    """The effective user of a program that is root's and has the bit."""
    said = subprocess.run([SETUID_PROGRAM, "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    return next(line.split()[2] for line in said.splitlines() if line.startswith("Uid:"))


def _is_device(entry: "os.DirEntry[str]") -> bool:
    return stat.S_ISCHR(entry.stat(follow_symlinks=False).st_mode)


def _credential() -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere")
    return hashlib.sha256(Path(folder, "policy-token").read_bytes()).hexdigest()


# -- the kernel


def _in_child(attempt: Callable[[], Any]) -> Callable[[], None]:
    """The same, in a process that ends then."""

    def attempt_it() -> None:
        child = os.fork()
        if child == 0:
            number = 0
            try:
                attempt()
            except OSError as error:
                number = error.errno or 255
            os._exit(number)
        number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if number:
            raise OSError(number, os.strerror(number))

    return attempt_it


def _calls(function: str, *arguments: int) -> Callable[[], None]:
    return _in_child(lambda: _checked(getattr(LIBC, function)(*arguments)))


def _checked(returned: int) -> int:
    if returned == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return returned


def _mount() -> None:
    _checked(LIBC.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None))
    _checked(LIBC.umount2(b"/mnt", 0))


def _read_kernel_log() -> None:
    _checked(LIBC.klogctl(SYSLOG_READ_ALL, ctypes.create_string_buffer(PAGE), PAGE))


def _make_data_executable() -> None:
    with mmap.mmap(-1, PAGE) as block:
        memory = ctypes.c_char.from_buffer(block)
        try:
            _checked(LIBC.mprotect(ctypes.c_void_p(ctypes.addressof(memory)), PAGE, mmap.PROT_READ | mmap.PROT_EXEC))
        finally:
            del memory


# -- the network


def _makes_socket(*arguments: int) -> Callable[[], None]:
    return lambda: socket.socket(*arguments).close()


def _connects(address: str) -> Callable[[], None]:
    return lambda: socket.create_connection((address, LISTENER_PORT), CONNECT_TIMEOUT_S).close()


def _send_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"out", (BEYOND, LISTENER_PORT))


if __name__ == "__main__":
    json.dump(probe(), sys.stdout)
