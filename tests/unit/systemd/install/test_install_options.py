"""The installer's command line: what is wrong is one sentence, before anything is looked at."""

import re
from pathlib import Path

import pytest

from tests.unit.systemd.install.staging import INSTALL, run

WRONG = [
    (["--sudo"], "--sudo is not an option"),
    (["simulator"], "simulator is not an option"),
    (["--user"], "--user needs a value"),
    (["--user", "--dry-run"], "--user needs a value"),
    (["--user", "root"], "never runs as root"),
    (["--user", "A B"], "no user can be called that"),
    (["--prefix", "opt"], "an absolute path"),
    (["--prefix", "/"], "an absolute path"),
    (["--prefix", "/opt/../etc"], "an absolute path"),
    (["--prefix", "/opt/a b"], "an absolute path"),
    (["--prefix=/root/ibkr"], "the service cannot read"),
    (["--instance", "Second"], "lower-case letters"),
    (["--instance", "../x"], "lower-case letters"),
    (["--extras", "tracing report"], "separated by commas"),
    (["--wheels", "/proc/none"], "no such folder"),
    (["--wheel", "/proc/none.whl"], "not a wheel of ibkr-trading"),
    (["--root", "/proc/none"], "no such folder"),
    (["--purge"], "only goes with --uninstall"),
    (["--uninstall", "--instance", "second"], "--uninstall goes with"),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_it_refuses_a_wrong_option_in_one_sentence(arguments: list[str], reason: str) -> None:
    done = run(INSTALL, "--dry-run", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_its_help_names_every_option_that_it_takes() -> None:
    done = run(INSTALL, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    source = (INSTALL.parent / "install" / "options.sh").read_text()
    taken = set(re.findall(r"(?m)^    (--[a-z-]+)\)", source))
    assert len(taken) > 10
    assert sorted(option for option in taken if not re.search(rf"(?m)^  {option}\b", done.stdout)) == []


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here, so there is nothing to refuse")
def test_it_refuses_a_host_without_systemd_and_names_the_way_out() -> None:
    done = run(INSTALL, "--dry-run")
    assert done.returncode == 1
    assert "--root DIR stages into a folder" in done.stderr
