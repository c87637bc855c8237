"""`scripts/lab`: machines with a real systemd for a person, to look at and to break.

Rules: a machine that is booted here stays until it is turned off. A command without a name means the only machine there
is. What goes wrong is one sentence and the exit code 2; `exec` and `shell` exit as what they ran.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn

from tests.lab.errors import LabError
from tests.lab.installed import boot_bare, boot_installed
from tests.lab.lab import Lab
from tests.lab.records import Record, records, sweep
from tests.lab.release import RELEASES, SYSTEMD_252

FAILED: Final = 2
DESCRIPTION: Final = """\
Boots a real systemd as PID 1 of a container, 252 or 257: from this machine's own system if it is Debian 12 or 13, else
from packages. Limits are enforced, the network is its own, and nothing of it stays when it is off.
Needs root.
"""
EXAMPLES: Final = """\
examples:
  scripts/lab install                          boot a machine with the product installed and running
  scripts/lab exec trader status               ask it something
  scripts/lab exec journalctl -u ibkr-trading  read its journal
  scripts/lab shell                            look around; leave with exit
  scripts/lab off                              turn it off
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    options = _parser().parse_args(arguments)
    commands = {"boot": _boot, "install": _boot, "shell": _shell, "exec": _exec, "list": _list, "off": _off}
    try:
        if os.geteuid() != 0:
            raise LabError("this needs root; type: sudo scripts/lab …")
        return commands[options.command](options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/lab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("boot", "boot a machine with nothing installed; the checkout is at /opt/checkout, its wheels at /opt/wheels"),
        ("install", "boot a machine with the product installed, and running on the simulated gateway"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "release", nargs="?", choices=RELEASES, default=SYSTEMD_252.name, help="default: %(default)s"
        )
        command.add_argument("--name", help="what to call it (default: lab-252 or lab-257)")
    shell = commands.add_parser("shell", help="a shell as root in a machine")
    shell.add_argument("name", nargs="?", help="which machine, if there are several")
    run = commands.add_parser("exec", help="run a command as root in a machine")
    run.add_argument("--name", help="which machine, if there are several")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD…")
    commands.add_parser("list", help="the machines that run, those of tests too")
    off = commands.add_parser("off", help="turn a machine off; nothing of it stays")
    off.add_argument("name", nargs="*", help="which machines, if there are several")
    off.add_argument("--all", action="store_true", help="all that a person booted")
    return parser


def _boot(options: argparse.Namespace) -> int:
    release = RELEASES[options.release]
    name = options.name or f"lab-{release.name}"
    print(f"Booting {release}; the first time takes a minute or two …", file=sys.stderr)
    began = time.monotonic()
    boot = boot_installed if options.command == "install" else boot_bare
    lab = boot(release, name=name, is_kept=True)
    print(f"{name} is {lab.state()} after {time.monotonic() - began:.1f} s. Next: scripts/lab shell {name}")
    return 0


def _shell(options: argparse.Namespace) -> int:
    return _become(_chosen(options.name).interactive(["/bin/bash", "--login"]))


def _exec(options: argparse.Namespace) -> int:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise LabError("say what to run: scripts/lab exec CMD…")
    return _become(_chosen(options.name).interactive(argv))


def _become(command: list[str]) -> NoReturn:
    """This process is the command from here on, so that the terminal's signals are its alone."""
    sys.stdout.flush()
    os.execvp(command[0], command)


def _list(_options: argparse.Namespace) -> int:
    sweep()
    found = records()
    for record in found:
        owner = f"of process {record.owner.pid}" if record.owner else "until it is turned off"
        state = Lab.attach(record).state() if record.is_running() else "starting"
        print(f"{record.name:<24} {RELEASES[record.release]!s:<36} {state:<10} {owner}")
    if not found:
        print("No machine runs. To boot one: scripts/lab boot")
    return 0


def _off(options: argparse.Namespace) -> int:
    sweep()
    labs = [Lab.attach(record) for record in _of_people()] if options.all else [_chosen(name) for name in options.name]
    if not labs and not options.all:
        labs = [_chosen(None)]
    for lab in labs:
        lab.off()
        print(f"{lab.name} is off.")
    return 0


def _of_people() -> list[Record]:
    return [record for record in records() if record.owner is None and record.is_running()]


def _chosen(name: str | None) -> Lab:
    """The machine called ``name``, or the only one that a person booted."""
    named = [record for record in records() if record.name == name and record.is_running()]
    found = _of_people() if name is None else named
    if len(found) == 1:
        return Lab.attach(found[0])
    if found:
        raise LabError(f"several machines run; say which one: {', '.join(record.name for record in found)}")
    raise LabError("no machine runs; to boot one: scripts/lab boot" if name is None else f"no machine {name} runs")


if __name__ == "__main__":
    sys.exit(main())
