"""Every command that the doctor tells somebody to type exists: ours with its options, the host's by its name."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.test_runbooks import unknown_options
from tests.unit.doctor.fake_host import ROOT, FakeHost, healthy, place_of, result_of
from tests.unit.doctor.test_checks import SCENARIOS
from trader.doctor import CHECKS, site_of
from trader.doctor.run import as_root

# Programs of Debian's own, or of systemd, that an operator's shell has.
PROGRAMS = {
    "apt-get", "base64", "chmod", "chown", "diff", "du", "findmnt", "free", "gpasswd", "head", "id", "install",
    "journalctl", "less", "ls", "printf", "prlimit", "sed", "ss", "systemctl", "systemd-analyze", "systemd-sysusers",
    "systemd-tmpfiles", "timedatectl", "update-grub", "userdel", "usermod",
}  # fmt: skip
OTHERS_UNITS = {"prometheus"}
SCRIPT = "systemd/install.sh"


def mends() -> Iterator[str]:
    """Those of the table, and those of everything that is found on a host with something wrong."""
    site = site_of(FakeHost())
    for check in CHECKS:
        yield re.sub(r"\{(\w+)\}", lambda name: str(getattr(site, name[1])), check.mend)
    for scenario in SCENARIOS.values():
        host = healthy()
        scenario.change(host)
        yield result_of(host, scenario.check).mend


def commands() -> set[str]:
    """The single commands, without ``sudo``; what is in quotes is one word."""
    found = set()
    for mend in mends():
        lexer = shlex.shlex(mend, posix=False, punctuation_chars="&|;>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word not in ("&&", "|", ";"):
                words.append(word)
                continue
            if words:
                found.add(" ".join(words).removeprefix("sudo "))
            words = []
    return found


COMMANDS = sorted(commands())


def units_of(command: str) -> set[str]:
    """The units that a systemctl command names, for those that are shipped by their file's name."""
    words = [word for word in shlex.split(command)[2:] if not word.startswith("-")]
    return {re.sub(r"@[^.]+\.", "@.", word) for word in words}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_program_of_a_mend_exists(command: str) -> None:
    program = shlex.split(command)[0]
    if program == SCRIPT:
        assert (ROOT / SCRIPT).is_file()
    else:
        assert program in PROGRAMS | {"trader"}


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("trader ")])
def test_a_command_of_the_trader_has_the_options_that_are_named(command: str) -> None:
    assert not unknown_options(command)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("systemctl ")])
def test_the_units_of_a_mend_are_shipped(command: str) -> None:
    shipped = {path.name for path in (ROOT / "systemd").glob("ibkr-*")} | OTHERS_UNITS
    assert units_of(command) <= shipped


def test_the_files_that_a_mend_reads_are_shipped() -> None:
    read = {
        word for command in COMMANDS for word in shlex.split(command) if word.startswith("/opt/") and "share" in word
    }
    names = {path.name for folder in ("systemd", "alerts") for path in (ROOT / folder).rglob("*")}
    assert {Path(word).name for word in read} <= names


def test_the_way_to_run_it_as_root_has_the_instance() -> None:
    command = as_root(place_of(healthy(instance="second"), "second"))
    assert command.startswith("sudo /")
    assert command.endswith("/bin/trader doctor --instance second")
    assert not unknown_options(command.removeprefix("sudo ").partition("/bin/")[2])
