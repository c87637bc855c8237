"""What an installation is, as it is seen from outside: who owns what, what is there, what the checklist says.

Rules: a machine is compared with itself: what the system does by the way (journals, private folders of running
services) is left out by name.
"""

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any, Final

from tests.lab.commands import Completed
from tests.lab.installed import CHECKOUT, INSTALL, INSTALL_TIMEOUT_S, WHEELS
from tests.lab.lab import Lab

INSTALLER: Final = INSTALL[0]
PREFIX: Final = "/opt/ibkr-trading"
ETC: Final = "/etc/ibkr-trading"
TREES: Final = ("/etc", "/opt", "/usr/local", "/var", "/home")
# The system's own, whatever is installed.
BY_THE_WAY: Final = ("/var/log/*", "/var/tmp/systemd-private-*", "/var/lib/systemd/*", "/var/lib/dbus/*")
NOT_OURS: Final = (CHECKOUT, WHEELS, "/opt/lab")
# As root, but `sudo` may not be there.
WITHOUT_SUDO: Final = 'sudo() { "$@"; }\ncd -- "$1" && eval "$2"'


@dataclass(frozen=True)
class Sight:
    """What there is: paths with their mode, owner and, of files, size and time; our units; the users."""

    files: dict[str, str]
    running: frozenset[str]
    units: frozenset[str]
    users: frozenset[str]


def look(lab: Lab) -> Sight:
    """The machine as it is."""
    skipped = [word for path in (*BY_THE_WAY, *NOT_OURS) for word in ("-path", path, "-o")][:-1]
    shown = ["(", "-type", "f", "-printf", "%p\t%m %u:%g %s %T@\n", ")", "-o", "-printf", "%p\t%m %u:%g %l\n"]
    found = lab.run(["find", *TREES, "(", *skipped, ")", "-prune", "-o", *shown]).stdout.splitlines()
    ours = lab.run(["find", "/run", "(", "-name", "*ibkr*", "-o", "-user", "trader", ")"], check=False).stdout.split()
    listed = lab.systemctl("list-unit-files", "--plain", "--no-legend", "ibkr-*", check=False).stdout.splitlines()
    listed += lab.systemctl("list-units", "--all", "--plain", "--no-legend", "ibkr-*").stdout.splitlines()
    return Sight(
        files=dict(line.partition("\t")[::2] for line in found),
        running=frozenset(ours),
        units=frozenset(line.split()[0] for line in listed),
        users=frozenset(line.split(":")[0] for line in lab.run(["getent", "passwd"]).stdout.splitlines()),
    )


def run_installer(lab: Lab, *options: str, **environment: str) -> Completed:
    """What the installer does with ``options``, from the wheels of the lab; whether it succeeds is the caller's."""
    command = [INSTALLER, *options]
    if "--uninstall" not in options and "--wheels" not in options:
        command += ["--wheels", WHEELS]
    return lab.run(command, check=False, timeout_s=INSTALL_TIMEOUT_S, env=environment)


def doctor(lab: Lab) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of `trader doctor` and its checks."""
    done = lab.run(["trader", "doctor", "--json"], check=False)
    return done.returncode, list(json.loads(done.stdout)["checks"])


def mend(lab: Lab, command: str) -> Completed:
    """Types a mend as root in the checkout; installing takes the wheels, because the lab has no network."""
    command = command.replace("systemd/install.sh", f"systemd/install.sh --wheels {shlex.quote(WHEELS)}")
    return lab.run(["/bin/bash", "-c", WITHOUT_SUDO, "mend", CHECKOUT, command], check=False)


def one_sentence(done: Completed) -> str:
    """What a failed installer said for itself: its last line, which has to be its only one."""
    said = [line for line in done.stderr.splitlines() if line.startswith("install.sh: ")]
    assert done.returncode == 1, done
    assert len(said) == 1, done
    assert done.stderr.splitlines()[-1] == said[0], done
    assert "Traceback" not in done.output, done
    return said[0].removeprefix("install.sh: ")


def exposure(lab: Lab, *arguments: str) -> float:
    """How systemd rates a unit: ``arguments`` are its name, and options before it."""
    said = lab.run(["systemd-analyze", "security", "--no-pager", *arguments]).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+) ", said)
    assert found, said
    return float(found[1])
