"""What the installer refuses, with the way out, before anything changed."""

from pathlib import Path

import pytest

from tests.unit.systemd.install.staging import ROOT, Stage, tree


def pretending(folder: Path, home: str) -> Path:
    """A program that answers as a Python that lies in ``home``."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\ncase "$*" in *realpath*) echo "{home}/bin/python|{home}" ;; esac\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("home", ["/root/.pyenv/versions/3.11", "/home/trader/python", "/tmp/python"])
def test_it_refuses_a_python_that_the_service_cannot_read(
    stage: Stage, staged: Path, tmp_path: Path, home: str
) -> None:
    done = stage("--python", pretending(tmp_path, home))
    assert done.returncode == 1
    assert "lies where the service cannot read" in done.stderr
    assert "--python /usr/bin/python3" in done.stderr
    assert tree(staged) == {}


def test_it_refuses_what_is_no_python(stage: Stage, staged: Path) -> None:
    done = stage("--python", "/bin/false")
    assert done.returncode == 1
    assert "not a Python 3.11 or newer" in done.stderr
    assert tree(staged) == {}


def test_it_refuses_wheels_that_the_product_cannot_come_from(stage: Stage, staged: Path, wheels: Path) -> None:
    for wheel in wheels.glob("ibkr_trading-*"):
        wheel.unlink()
    done = stage()
    assert done.returncode == 1
    assert "pip download" in done.stderr
    assert tree(staged) == {}


def test_it_says_that_the_product_is_missing_outside_of_a_checkout(
    stage: Stage, staged: Path, wheels: Path, shipped: Path
) -> None:
    for wheel in wheels.glob("ibkr_trading-*"):
        wheel.unlink()
    done = stage(installer=shipped)
    assert done.returncode == 1
    assert "--wheel FILE" in done.stderr


def test_packages_that_cannot_be_installed_leave_the_old_release_in_place(
    stage: Stage, staged: Path, wheels: Path
) -> None:
    stage()
    links = [staged / "opt/ibkr-trading" / name for name in ("current", "previous")]
    before = tree(links[0].resolve())
    (wheels / "ibkr_trading-0.2-py3-none-any.whl").write_bytes(b"no wheel")
    done = stage()
    assert done.returncode == 1
    assert "pip could not install the packages" in done.stderr
    assert tree(links[0].resolve()) == before
    assert [link.exists() for link in links] == [True, False]
    assert len(list(links[0].resolve().parent.iterdir())) == 1


def test_it_only_says_what_it_would_do_in_a_dry_run(stage: Stage, staged: Path) -> None:
    done = stage("--dry-run", "--simulator", "--instance", "second")
    assert done.returncode == 0
    assert tree(staged) == {}
    assert "would make /opt/ibkr-trading/releases/0.1-" in done.stdout
    assert "would write /etc/ibkr-trading/secrets/policy-token" in done.stdout
    assert "nothing was changed" in done.stdout


def test_a_dry_run_names_every_file_that_the_real_run_writes(stage: Stage, staged: Path) -> None:
    would = {line.split()[2] for line in stage("--dry-run", "--simulator").stdout.splitlines() if "would write" in line}
    stage("--simulator")
    assert would
    assert [path for path in would if not (staged / path.lstrip("/")).is_file()] == []


def test_an_uninstall_leaves_state_and_configuration_and_nothing_else(stage: Stage, staged: Path) -> None:
    stage("--simulator", "--instance", "second")
    own = staged / "etc/systemd/system/ibkr-trading.service.d/50-mine.conf"
    own.write_text("[Service]\nNice=0\n")
    base = staged / "home/trader/secure/trader/IBKR_trading"
    (base / "state/journal.db").write_text("books")
    dry = tree(staged)
    assert stage("--uninstall", "--dry-run").returncode == 0
    assert tree(staged) == dry
    done = stage("--uninstall")
    assert done.returncode == 0
    files = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if not path.is_dir())
    assert files == [
        "etc/ibkr-trading/installed",
        "etc/ibkr-trading/secrets/policy-token",
        "etc/systemd/system/ibkr-trading.service.d/50-mine.conf",
        "home/trader/secure/trader/IBKR_trading/config/config.yaml",
        "home/trader/secure/trader/IBKR_trading/instances/second/config/config.yaml",
        "home/trader/secure/trader/IBKR_trading/state/journal.db",
    ]
    assert (base / "state/journal.db").read_text() == "books"


def test_a_purge_leaves_nothing(stage: Stage, staged: Path) -> None:
    stage("--simulator", "--instance", "second")
    assert stage("--uninstall", "--purge").returncode == 0
    assert sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if not path.is_dir()) == []
    assert not (staged / "home/trader").exists()


def test_the_shipped_units_are_those_that_a_removal_knows() -> None:
    known = ("trading", "panic", "calendar", "alert", "gateway", "simulator", "maintenance")
    units = [file.name for pattern in ("*.service", "*.path", "*.timer") for file in (ROOT / "systemd").glob(pattern)]
    assert units
    assert [unit for unit in units if not unit.startswith(tuple(f"ibkr-{name}" for name in known))] == []
