"""What systemd itself says about the units: that it understands every line, and how exposed each service is.

Rules: skipped where no systemd is installed; nothing is started, and the product need not be installed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "systemd"
NATIVE_DELAYS_SINCE = 254
EXPOSURE_MAX = {
    "ibkr-trading.service": 0.9, "ibkr-trading@.service": 0.9, "ibkr-panic.service": 0.9, "ibkr-panic@.service": 0.9,
    "ibkr-simulator.service": 0.9, "ibkr-calendar.service": 0.2, "ibkr-alert@.service": 0.2,
    # They read the journal, by a group that counts.
    "ibkr-maintenance-daily.service": 1.0, "ibkr-maintenance-weekly.service": 1.0,
    "ibkr-maintenance-monthly.service": 1.0,
    "ibkr-gateway.service": 1.1,  # Java writes the code that it executes, and the broker is on the internet
}  # fmt: skip
PROGRAM = re.compile(r"^(Exec\w+=[-+]*)/opt/ibkr-trading/\S+|^(ExecStart=)/usr/bin/xvfb-run", re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd is installed")


def analyze(*arguments: str, unit_path: Path | None = None) -> str:
    environment = dict(os.environ, LC_ALL="C", SYSTEMD_COLORS="0", SYSTEMD_EMOJI="0")
    if unit_path is not None:
        environment["SYSTEMD_UNIT_PATH"] = f"{unit_path}:"
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    return done.stdout + done.stderr


def version() -> int:
    found = re.match(r"systemd (\d+)", analyze("--version"))
    assert found
    return int(found.group(1))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are installed, with programs that exist in place of the product's."""
    folder = tmp_path_factory.mktemp("units")
    for kind in ("service", "path", "timer"):
        for file in FOLDER.glob(f"*.{kind}"):
            name = file.name.replace("@.", "@one.")
            text = PROGRAM.sub(lambda found: f"{found.group(1) or found.group(2)}/bin/true", file.read_text())
            (folder / name).write_text(text)
            (folder / file.name).write_text(text)
    delays = FOLDER / ("restart-native.conf" if version() >= NATIVE_DELAYS_SINCE else "restart-helper.conf")
    for drop_in in (delays, FOLDER / "network.conf"):
        target = folder / "ibkr-trading.service.d" / drop_in.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(PROGRAM.sub(lambda found: f"{found.group(1)}/bin/true", drop_in.read_text()))
    return folder


def test_systemd_understands_every_line(installed: Path) -> None:
    names = sorted(file.name for file in installed.iterdir() if file.is_file() and "@." not in file.name)
    told = analyze("verify", "--man=no", "--recursive-errors=no", *names, unit_path=installed)
    assert [line for line in told.splitlines() if "ibkr-" in line] == []


def test_a_key_that_does_not_exist_would_be_told(installed: Path, tmp_path: Path) -> None:
    text = (installed / "ibkr-simulator.service").read_text(encoding="utf-8")
    (tmp_path / "wrong.service").write_text(text.replace("[Service]", "[Service]\nMemoryMost=1G"))
    assert "MemoryMost" in analyze("verify", "--man=no", str(tmp_path / "wrong.service"))


@pytest.mark.parametrize("name", sorted(EXPOSURE_MAX))
def test_a_service_is_exposed_as_little_as_it_can_be(name: str) -> None:
    told = analyze("security", "--offline=true", "--no-pager", str(FOLDER / name))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found, told
    assert float(found.group(1)) <= EXPOSURE_MAX[name], told
