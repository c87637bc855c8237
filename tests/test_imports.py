"""Who may import whom: the contracts in pyproject.toml hold, and they are able to fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-logo"]


def lint_imports(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LINT, "--cache-dir", str(cache)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the packages, to add a wrong import to."""
    for package in ("trader", "observability"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_contracts_hold(tmp_path: Path) -> None:
    result = lint_imports(ROOT, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_broken_contract_is_reported(checkout: Path) -> None:
    wrong_imports = {
        "trader/clock.py": "import trader.engine",
        "trader/engine/wrong.py": "import trader.simulator",
        "trader/risk/wrong.py" if (checkout / "trader/risk").is_dir() else "trader/risk.py": "import observability",
        "trader/journal/wrong.py": "import ib_async, pandas, exchange_calendars",
        "observability/wrong.py": "import trader.engine",
    }
    for name, line in wrong_imports.items():
        with (checkout / name).open("a") as file:
            file.write(f"\n{line}\n")
    result = lint_imports(checkout, checkout / "cache")
    assert result.returncode == 1
    output = " ".join(result.stdout.split())
    assert "Contracts: 0 kept, 6 broken" in output, result.stdout + result.stderr
    assert "trader.clock is not allowed to import trader.engine" in output
    assert "trader.engine is not allowed to import trader.simulator" in output


def test_a_module_without_a_place_is_reported(checkout: Path) -> None:
    (checkout / "trader" / "stray.py").write_text('"""A module that no layer names."""\n')
    result = lint_imports(checkout, checkout / "cache")
    assert result.returncode == 1
    assert "trader.stray" in result.stdout, result.stdout + result.stderr
