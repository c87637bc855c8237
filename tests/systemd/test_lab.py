"""The lab itself: it boots what it says, its limits are enforced, machines are apart, and nothing of them stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.container import Bind
from tests.lab.errors import CommandFailed, LabError, TimedOut
from tests.lab.folders import ROOT, lab_folder, scratch
from tests.lab.lab import Lab
from tests.lab.records import RUNNING, Process, records, sweep
from tests.lab.release import Release
from tests.lab.waiting import wait_until

Measured = Callable[[str, float, str], None]
BEYOND = "192.0.2.1"  # of a range that is nobody's (RFC 5737)
PORT = 7890
MEBIBYTE = 2**20
# Whatever a service is killed for exceeding its memory: cgroup v2 says so, v1 only shows the signal.
KILLED_FOR_MEMORY = {"oom-kill", "signal"}

TAKE_MEMORY = "import time; block = bytearray({mebibytes} * 2**20); print(len(block)); time.sleep(0.1)"
BURN = """
import time
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
print(time.process_time() / 2)
"""
THREADS = """
import threading, time
done = threading.Event()
started = 0
try:
    for _ in range(40):
        threading.Thread(target=done.wait, daemon=True).start()
        started += 1
except RuntimeError:
    pass
print(started)
"""
SERVE = """
import socket, sys
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""
BOOT = """
import os, signal, sys
from tests.lab.lab import Lab
from tests.lab.release import RELEASES
lab = Lab.boot(RELEASES[sys.argv[1]], {options})
print(lab.name, flush=True)
"""
# Its owner dies at a moment of the boot: before the function of that name, or for the last, when it is half done.
BREAK_OFF = """
import os, signal, sys
from tests.lab import container, lab
from tests.lab.release import RELEASES
calls = []
wanted = {module}.{moment}
def die(*arguments, **options):
    calls.append(arguments)
    if len(calls) > ({moment!r} == "_received") * 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return wanted(*arguments, **options)
{module}.{moment} = die
name = f"broken-{{os.getpid()}}"
print(name, flush=True)
lab.Lab.boot(RELEASES[sys.argv[1]], name=name)
"""
HELLO = "[Service]\nType=oneshot\nExecStart=echo hello\n[Install]\nWantedBy=multi-user.target\n"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"


def python(script: str, *arguments: str) -> list[str]:
    return ["/usr/bin/python3", "-c", script, *arguments]


def traces_of(name: str) -> list[str]:
    """Whatever of a lab is left on this machine: folders, control groups, mounts, processes.

    Other machines come and go meanwhile, which ``os.walk`` passes over.
    """
    folders = [path for path in (lab_folder() / RUNNING).iterdir() if path.name == name]
    groups = [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if folder.endswith(name)]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    found = subprocess.run(["pgrep", "-f", f"machine={name}"], capture_output=True, text=True, check=False)
    return [*map(str, folders), *groups, *mounts, *found.stdout.split()]


def test_it_boots_the_release_that_was_asked_for(bare: Lab, release: Release) -> None:
    assert bare.run(["systemctl", "--version"]).stdout.startswith(f"systemd {release.systemd} ")
    assert bare.run(["cat", "/proc/1/comm"]).stdout == "systemd\n"
    assert bare.state() == "running", bare.systemctl("--failed").stdout


def test_what_is_deployed_gets_the_python_of_debian(bare: Lab, release: Release) -> None:
    told = bare.run(python("import sys, ensurepip, venv; print(sys.version_info[:2], sys.executable)")).stdout
    assert told == f"({release.python.replace('.', ', ')}) /usr/bin/python3\n"
    assert bare.run(["which", "-a", "python3"]).stdout.split()[0] == "/usr/bin/python3"


def test_nothing_of_the_host_is_at_hand(bare: Lab) -> None:
    for folder in ("/root", "/home", "/usr/local/bin", "/tmp"):
        listed = bare.run(["ls", "-A", folder]).stdout.split()
        assert [name for name in listed if not name.startswith((".bashrc", ".profile", "systemd-private", "."))] == []
    assert not bare.exists(str(ROOT))
    assert not bare.exists("/opt/checkout/.venv")
    assert "PIP" not in bare.run(["env"]).stdout


def test_the_checkout_and_the_wheels_are_there_and_cannot_be_written(bare: Lab) -> None:
    assert bare.exists("/opt/checkout/pyproject.toml")
    wheels = bare.run(["ls", "/opt/wheels"]).stdout
    assert "ibkr_trading-" in wheels
    assert "\npip-" in wheels
    for folder in ("/opt/checkout", "/opt/wheels"):
        assert "Read-only file system" in bare.run(["touch", f"{folder}/new"], check=False).stderr


def test_the_product_can_be_installed_from_the_wheels_without_a_network(bare: Lab, measured: Measured) -> None:
    began = time.monotonic()
    bare.run(["/usr/bin/python3", "-m", "venv", "--without-pip", "/opt/trial"])
    pip = bare.run(["/bin/sh", "-c", "echo /opt/wheels/pip-*.whl"]).stdout.strip()
    # To compile all of it takes longer than to install it, and is the installer's business.
    options = ["--quiet", "--no-compile", "--no-index", "--find-links", "/opt/wheels"]
    bare.run(["/opt/trial/bin/python", f"{pip}/pip", "install", *options, "ibkr-trading"], timeout_s=180)
    measured("venv and installation", time.monotonic() - began, "s")
    assert "Usage" in bare.run(["/opt/trial/bin/trader", "--help"]).stdout


def test_a_unit_beyond_its_memory_limit_is_killed(bare: Lab) -> None:
    limits = ["MemoryMax=96M", "MemorySwapMax=0"]
    assert bare.run_in_unit(python(TAKE_MEMORY.format(mebibytes=32)), limits).stdout == f"{32 * MEBIBYTE}\n"
    bare.unit("greedy.service", f"[Service]\nMemoryMax=96M\nMemorySwapMax=0\nExecStart={_word(TAKE_MEMORY, 256)}\n")
    bare.systemctl("start", "greedy.service")
    bare.wait_until(lambda: bare.show("greedy.service", "ActiveState")["ActiveState"] == "failed", "the kill")
    shown = bare.show("greedy.service", "Result", "ExecMainStatus")
    assert shown["Result"] in KILLED_FOR_MEMORY
    assert int(shown["ExecMainStatus"]) == signal.SIGKILL


def _word(script: str, mebibytes: int) -> str:
    return f'/usr/bin/python3 -c "{script.format(mebibytes=mebibytes)}"'


def test_a_unit_gets_no_more_of_a_processor_than_its_quota(bare: Lab, measured: Measured) -> None:
    used = float(bare.run_in_unit(python(BURN), ["CPUQuota=40%"]).stdout)
    measured("processor used with CPUQuota=40%", used * 100, "%")
    # What is shown is that the quota is enforced at all; how busy the machine is decides the rest.
    assert used < 0.40 * 1.25


def test_a_unit_gets_no_more_tasks_than_its_limit(bare: Lab) -> None:
    assert bare.run_in_unit(python(THREADS)).stdout == "40\n"
    assert int(bare.run_in_unit(python(THREADS), ["TasksMax=10"]).stdout) == 9


@pytest.fixture(scope="module")
def server(bare: Lab) -> Iterator[Lab]:
    """A machine with an address beyond loopback, and a server on all addresses."""
    bare.add_address(f"{BEYOND}/24")
    bare.run(["systemd-run", "--quiet", "--unit=server", *python(SERVE, str(PORT))])
    bare.wait_until(
        lambda: bare.run(python(CONNECT, BEYOND, str(PORT)), check=False).returncode == 0, "an answer of the server"
    )
    yield bare
    bare.systemctl("stop", "server")


def test_a_unit_reaches_only_the_addresses_that_it_may(server: Lab) -> None:
    only_loopback = ["IPAddressDeny=any", "IPAddressAllow=localhost"]
    for address, properties, is_reached in (
        (BEYOND, [], True),
        ("127.0.0.1", only_loopback, True),
        (BEYOND, only_loopback, False),
    ):
        done = server.run_in_unit(python(CONNECT, address, str(PORT)), properties, check=False)
        assert (done.returncode == 0) is is_reached, done


def test_the_journal_keeps_what_units_say_with_its_priority(bare: Lab) -> None:
    before = bare.cursor()
    bare.run(["systemd-run", "--quiet", "--wait", "--unit=teller", "/bin/sh", "-c", "echo plain; echo '<3>grave'"])

    def both_lines() -> list[dict[str, Any]]:
        said = bare.journal("teller.service", "_TRANSPORT=stdout", after=before)
        return said if len(said) == 2 else []

    said = bare.wait_until(both_lines, "what the unit said")
    assert [(entry["MESSAGE"], entry["PRIORITY"]) for entry in said] == [("plain", "6"), ("grave", "3")]
    assert bare.journal("teller.service", after=bare.cursor()) == []


def test_a_file_that_is_written_again_keeps_its_owner_and_mode(bare: Lab) -> None:
    bare.write("/etc/lab/secret", "one\n", mode=0o640, owner="root:daemon")
    bare.write("/etc/lab/secret", "two\n")
    assert bare.read("/etc/lab/secret") == "two\n"
    assert bare.run(["stat", "--format=%a %U:%G", "/etc/lab/secret"]).stdout == "640 root:daemon\n"
    bare.remove("/etc/lab")
    assert not bare.exists("/etc/lab/secret")


def test_a_command_that_fails_tells_what_it_said(bare: Lab) -> None:
    with pytest.raises(CommandFailed, match=r"exit code 3\n.*out of luck"):
        bare.run(["/bin/sh", "-c", "echo out of luck >&2; exit 3"])


def test_a_command_that_takes_too_long_is_ended(bare: Lab) -> None:
    with pytest.raises(CommandFailed, match=r"not done within 0.3 s\nstarted"):
        bare.run(["/bin/sh", "-c", "echo started; exec sleep 98765"], timeout_s=0.3)
    assert bare.run(["pgrep", "-f", "sleep 98765"], check=False).stdout == ""


def test_what_does_not_come_is_named(bare: Lab) -> None:
    with pytest.raises(TimedOut, match=r"a pig that flies.*systemd"):
        bare.wait_until(lambda: False, "a pig that flies", timeout_s=0)


def test_two_machines_side_by_side_share_nothing(release: Release, measured: Measured) -> None:
    began = time.monotonic()
    with Lab.boot(release) as one:
        measured("boot", time.monotonic() - began, "s")
        with Lab.boot(release) as other:
            assert one.name != other.name
            one.write("/etc/only-here", "one")
            assert not other.exists("/etc/only-here")
            one.add_address(f"{BEYOND}/24")
            assert BEYOND not in other.run(["ip", "address"]).stdout
            boots = {lab.read("/proc/sys/kernel/random/boot_id") for lab in (one, other)}
            assert len(boots) == 2
        assert one.state() == "running"


def test_nothing_of_a_machine_is_left_when_it_is_off(release: Release, measured: Measured) -> None:
    with Lab.boot(release) as lab:
        lab.run(["systemd-run", "--quiet", "--unit=worker", "sleep", "98765"])
        assert len(traces_of(lab.name)) > 2
        began = time.monotonic()
    measured("off", time.monotonic() - began, "s")
    assert traces_of(lab.name) == []
    lab.off()


def test_nothing_of_a_machine_is_left_when_its_test_fails(release: Release) -> None:
    with pytest.raises(ZeroDivisionError), Lab.boot(release) as lab:
        _ = 1 / 0
    assert traces_of(lab.name) == []


def test_nothing_of_a_machine_is_left_that_could_not_be_booted(release: Release) -> None:
    name = f"broken-{os.getpid()}"
    with pytest.raises(LabError, match="could not be booted"):
        Lab.boot(release, binds=[Bind(Path("/nowhere"), "/mnt")], name=name)
    assert traces_of(name) == []


def test_a_machine_whose_owner_was_killed_is_swept(release: Release) -> None:
    name = _run_python(BOOT.format(options="") + "os.kill(os.getpid(), signal.SIGKILL)", release)
    wait_until(lambda: sweep() or all(record.name != name for record in records()), f"the sweep of {name}")
    assert traces_of(name) == []


def test_a_machine_ends_with_the_one_who_booted_it(release: Release) -> None:
    script = BOOT.format(options="") + "print(lab.leader_pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    leader = Process.of(int(_run_python(script, release).split()[1]))
    wait_until(lambda: leader is None or leader.is_gone(), "the end of the machine")


@pytest.mark.parametrize("moment", ["make_groups", "start", "_await_ready", "_received"])
def test_nothing_is_left_of_a_boot_that_was_broken_off(release: Release, moment: str) -> None:
    script = BREAK_OFF.format(module="lab" if moment in ("make_groups", "start") else "container", moment=moment)
    name = _run_python(script, release)
    wait_until(lambda: sweep() or all(record.name != name for record in records()), f"the sweep of {name}")
    assert traces_of(name) == []


def _run_python(script: str, release: Release) -> str:
    """What a process of its own says before it is killed."""
    done = subprocess.run(
        [sys.executable, "-c", script, release.name], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


def test_a_machine_boots_from_what_another_was_frozen_with(
    release: Release, tmp_path: Path, measured: Measured
) -> None:
    with scratch("trial") as kept:
        with Lab.boot(release) as lab:
            lab.unit("hello.service", HELLO)
            lab.systemctl("enable", "hello.service")
            lab.write("/usr/local/bin/tool", "#!/bin/sh\necho tool\n", mode=0o755)
            lab.remove("/etc/motd")
            layers = lab.freeze(kept / "first")
        assert traces_of(lab.name) == []
        began = time.monotonic()
        with Lab.boot(release, layers=layers) as thawed:
            measured("boot from a frozen machine", time.monotonic() - began, "s")
            assert [entry["MESSAGE"] for entry in thawed.journal("hello.service", "_TRANSPORT=stdout")] == ["hello"]
            assert thawed.run(["tool"]).stdout == "tool\n"
            assert not thawed.exists("/etc/motd")
            thawed.write("/etc/motd", "back")
            layers = thawed.freeze(kept / "second")
        with Lab.boot(release, layers=layers) as twice:
            assert (twice.read("/etc/motd"), twice.run(["tool"]).stdout) == ("back", "tool\n")


def test_a_machine_is_not_booted_from_what_is_not_there(release: Release) -> None:
    with pytest.raises(LabError, match="no frozen machine"):
        Lab.boot(release, layers=[Path("/nowhere")])


def test_a_machine_that_is_kept_outlives_the_one_who_booted_it(release: Release) -> None:
    name = f"kept-{release.name}-{os.getpid()}"
    script = BOOT.format(options=f"name={name!r}, is_kept=True") + "os.kill(os.getpid(), signal.SIGKILL)"
    _run_python(script, release)
    try:
        assert name not in sweep()
        (record,) = (record for record in records() if record.name == name)
        assert Lab.attach(record).state() == "running"
    finally:
        for record in records():
            if record.name == name:
                Lab.attach(record).off()
    assert traces_of(name) == []
