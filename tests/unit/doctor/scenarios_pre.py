"""What may be wrong before deployment: the host, the release, accounts, files; one change to a healthy host each."""

from pathlib import Path

from tests.unit.doctor.changes import (
    FAILED,
    OK,
    SITE,
    UNIT,
    UNKNOWN,
    WARNING,
    Scenario,
    account,
    both,
    file,
    gone,
    new_file,
    program,
    setting,
    unit,
)
from tests.unit.doctor.fake_host import CURRENT, RELEASE, UNIT_FOLDER
from trader.doctor.host import Package, Room

SMALL_HOST = "MemTotal:        4194304 kB\n"
CGROUP = Path("/sys/fs/cgroup")

SCENARIOS: dict[str, Scenario] = {
    "systemd too old": Scenario(
        "systemd",
        program("systemctl", "--version", output="systemd 247 (247.3-7)\n"),
        FAILED,
        "systemd 247: 252",
        "apt-get install systemd",
    ),
    "no memory controller": Scenario(
        "cgroups",
        lambda host: [host.files.pop(path) for path in list(host.files) if path.is_relative_to(CGROUP / "memory")],
        FAILED,
        "cgroup v1 without memory",
        "cgroup_enable=memory",
    ),
    "a host of 4 GB": Scenario(
        "memory",
        file("/proc/meminfo", SMALL_HOST),
        WARNING,
        "limit of 8.0 GiB is above the 4.0 GiB",
        r"printf '[Service]\nMemoryMax=3072M\n' | sudo install -D -m 644 /dev/stdin "
        f"{UNIT_FOLDER}/{UNIT}.d/50-memory.conf && sudo systemctl daemon-reload",
    ),
    "a host of 4 GB with the drop-in": Scenario(
        "memory",
        both(file("/proc/meminfo", SMALL_HOST), unit(MemoryMax=str(3 * 1024**3))),
        OK,
        "limit 3.0 GiB",
        "",
    ),
    "no limit of memory": Scenario("memory", unit(MemoryMax="infinity"), WARNING, "no limit", "systemctl edit"),
    "two processors": Scenario(
        "processors",
        file("/sys/devices/system/cpu/online", "0-1\n"),
        WARNING,
        "400% and this host has 2",
        "CPUQuota=200%",
    ),
    "none of the named processors": Scenario(
        "processors",
        file("/sys/devices/system/cpu/online", "8-11\n"),
        FAILED,
        "CPUAffinity=0-3",
        "50-cpu.conf",
    ),
    "a full disk": Scenario(
        "disk", setting("has_room", Room(2 * 1024**3, 100 * 1024**3, 9, 10)), FAILED, "2.0 GiB free (2%)", "du"
    ),
    "a disk that fills": Scenario(
        "disk", setting("has_room", Room(10 * 1024**3, 100 * 1024**3, 9, 10)), WARNING, "(10%)", "du"
    ),
    "no inodes": Scenario(
        "disk", setting("has_room", Room(50 * 1024**3, 100 * 1024**3, 1, 100)), FAILED, "1% of the inodes", "du"
    ),
    "a file system that counts no inodes": Scenario(
        "disk",
        setting("has_room", Room(50 * 1024**3, 100 * 1024**3, 0, 0)),
        OK,
        "50.0 GiB",
        "",
    ),
    "state in memory": Scenario(
        "file_system",
        file("/proc/self/mountinfo", "21 1 8:1 / / rw - ext4 a rw\n22 21 0:5 / /home rw - tmpfs tmpfs rw\n"),
        FAILED,
        "tmpfs",
        "findmnt",
    ),
    "state on NFS": Scenario(
        "file_system",
        file("/proc/self/mountinfo", "21 1 8:1 / / rw - nfs4 server:/ rw\n"),
        FAILED,
        "over a network",
        "findmnt",
    ),
    "a read-only disk": Scenario(
        "file_system",
        file("/proc/self/mountinfo", "21 1 8:1 / / ro - ext4 /dev/sda1 ro\n"),
        FAILED,
        "read-only",
        "journalctl",
    ),
    "a clock that follows nobody": Scenario(
        "clock",
        program("timedatectl", "show", output="NTP=no\nNTPSynchronized=no\n"),
        FAILED,
        "no time server",
        "sudo timedatectl set-ntp true",
    ),
    "a container's clock": Scenario(
        "clock",
        both(program("timedatectl", "show", output="NTPSynchronized=no\n"), program("systemd-detect-virt", code=0)),
        UNKNOWN,
        "its host's clock",
        "timedatectl timesync-status",
    ),
    "timedatectl without an answer": Scenario(
        "clock", program("timedatectl", "show", code=1), UNKNOWN, "does not answer", ""
    ),
    "an old Python": Scenario(
        "python", program("/usr/bin/python3.11", output="Python 3.10.9\n"), FAILED, "3.11 or newer", "install.sh"
    ),
    "a Python in a home": Scenario(
        "python",
        both(
            lambda host: host.links.update({CURRENT / "bin" / "python": Path("/root/python")}),
            new_file("/root/python", ""),
            program("/root/python", output="Python 3.12.1\n"),
        ),
        FAILED,
        "cannot see it",
        "install.sh",
    ),
    "a dependency that is gone": Scenario(
        "dependencies",
        lambda host: setattr(host, "installed", host.installed[:2]),
        FAILED,
        "PyYAML, which is not installed",
        "install.sh",
    ),
    "a dependency of another version": Scenario(
        "dependencies",
        lambda host: setattr(host, "installed", (*host.installed, Package("aiohttp", "4.0.1", ()))),
        FAILED,
        "aiohttp <4,>=3.10, and 4.0.1",
        "install.sh",
    ),
    "no user": Scenario("user", setting("accounts", {}), FAILED, "no user trader", "sudo systemd-sysusers"),
    "a login shell": Scenario(
        "user", account(shell="/bin/bash"), WARNING, "/bin/bash", "sudo usermod --shell /usr/sbin/nologin trader"
    ),
    "a user in sudo and docker": Scenario(
        "groups",
        account(groups=("trader", "sudo", "docker")),
        FAILED,
        "in docker, sudo",
        "sudo gpasswd --delete trader docker && sudo gpasswd --delete trader sudo",
    ),
    "a folder that is missing": Scenario(
        "folders",
        gone(SITE.base / "logs"),
        FAILED,
        "logs is not there",
        f"sudo install -d -o trader -g trader -m 0750 {SITE.base}/logs",
    ),
    "a folder that is open": Scenario(
        "folders", file(SITE.base, mode=0o755), FAILED, "mode 0755, at most 0750", "-m 0750"
    ),
    "a folder of another": Scenario(
        "folders", file(SITE.state, owner="root"), FAILED, "is root's, not trader's", "-o trader"
    ),
    "textfiles that the group cannot write": Scenario(
        "folders",
        file(SITE.textfiles, mode=0o2755),
        FAILED,
        "closed to its group",
        "-m 2775",
    ),
    "a release that others write": Scenario(
        "release_files",
        file(RELEASE / "bin", mode=0o777),
        FAILED,
        "mode 0777",
        f"chmod -R go-w {RELEASE}",
    ),
    "a configuration of the service's": Scenario(
        "config_files",
        file(SITE.config, owner="trader"),
        FAILED,
        "trader:trader 0640",
        f"chown root:trader {SITE.config}",
    ),
    "a secret that is open": Scenario(
        "secrets", file(SITE.token, mode=0o644), FAILED, "root:root 0644", f"chmod 600 {SITE.token}"
    ),
    "a secret that is missing": Scenario(
        "secrets", gone(SITE.token), FAILED, "cannot start", f"/dev/stdin {SITE.token}"
    ),
    "an empty secret": Scenario("secrets", file(SITE.token, ""), FAILED, "is empty", f"/dev/stdin {SITE.token}"),
}
