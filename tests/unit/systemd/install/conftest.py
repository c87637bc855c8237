"""A staged root, and wheels that are made in a moment and need no index.

Rules: nothing of the host changes; a program that could change it only leaves a note, which fails the test.
"""

import ensurepip
import shutil
from pathlib import Path

import pytest

from tests.unit.systemd.install.staging import INSTALL, PATH, ROOT, Done, Stage, make_wheel, run

PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")


@pytest.fixture(scope="session")
def python() -> str:
    """A Python that the service could run."""
    recent = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    for name in PYTHONS:
        if Path(name).exists() and run(name, "-I", "-c", recent).returncode == 0:
            return name
    pytest.skip("no Python 3.11 or newer is in /usr/bin, where the installer looks for one")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the wheels of pip, as Python brings it along, and of the product's version 0.1."""
    return wheels_in(tmp_path / "wheels")


def wheels_in(folder: Path) -> Path:
    folder.mkdir()
    places = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    bundled = [wheel for place in places for wheel in place.glob("pip-*.whl")]
    if not bundled:
        pytest.skip("this Python brings no wheel of pip along")
    shutil.copy(bundled[0], folder)
    make_wheel(folder, "0.1")
    return folder


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """The empty root that is staged into."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def stage(staged: Path, wheels: Path, python: str, tmp_path: Path) -> Stage:
    """Runs the installer on the staged root; programs that would change a host only leave a note."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles", "useradd", "userdel", "runuser", "setpriv"):
        (stubs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{stubs}/called\nexit 1\n')
        (stubs / name).chmod(0o755)

    def installed(*arguments: str | Path, installer: Path = INSTALL) -> Done:
        options = () if "--uninstall" in arguments else ("--wheels", wheels)
        done = run(installer, "--root", staged, *options, *arguments, PATH=f"{stubs}:{PATH}")
        assert not (stubs / "called").exists(), (stubs / "called").read_text()
        return done

    return installed


@pytest.fixture(scope="session")
def complete_release(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the release of version 0.1 for the shipped user and prefix, and nothing else."""
    folder = tmp_path_factory.mktemp("complete")
    root = folder / "root"
    root.mkdir()
    done = run(INSTALL, "--root", root, "--wheels", wheels_in(folder / "wheels"), PATH=PATH)
    assert done.returncode == 0, done
    return root


@pytest.fixture
def released(staged: Path, complete_release: Path) -> None:
    """The release is there already, so that staging need not make it, which takes longer than all else."""
    releases = "opt/ibkr-trading/releases"
    shutil.copytree(complete_release / releases, staged / releases, symlinks=True)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of what the installer ships, to be changed; its installer."""
    for name in ("systemd", "scripts", "alerts"):
        shutil.copytree(ROOT / name, tmp_path / "shipped" / name)
    return tmp_path / "shipped" / "systemd" / "install.sh"
