"""Folders of wheels to install from without a network: the product's, those of all that it needs, and pip's own.

Rules: one folder per Python version. The dependencies are fetched once per list of them, the product is built once per
content; both come through pip, with its own configuration. Nothing is built but the product.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.lab.checkout import Checkout, checkout
from tests.lab.errors import LabError
from tests.lab.folders import being_made, fingerprint, forget_old, lab_folder, locked, scratch, used_now
from tests.lab.records import in_use

PIP_TIMEOUT_S: Final = 900.0
EXTRAS: Final = ("report", "tracing")  # what a deployment may be installed with
PIP: Final = "pip>=24"


def wheels_for(python: str) -> Path:
    """The folder with everything for Python ``python`` ("3.13"), with the product as it is in the checkout."""
    return wheels_with(product_wheel(checkout().folder, checkout().product), python)


def wheels_with(wheel: Path, python: str) -> Path:
    """The folder with everything for Python ``python``, with ``wheel`` as the product's."""
    dependencies = _dependencies(checkout(), python)
    target = lab_folder() / f"wheels-{python}-{fingerprint([dependencies.name, wheel.parent.name, wheel.name])}"
    with locked("wheels"):
        if not target.is_dir():
            with being_made(target) as draft:
                for file in (*dependencies.glob("*.whl"), wheel):
                    _link(file, draft / file.name)
            forget_old(f"wheels-{python}-*", keep=in_use() | {target})
    return used_now(target)


def product_wheel(source: Path, content: str) -> Path:
    """The wheel of the product in ``source``, a checkout whose content is named ``content``; raises LabError."""
    target = lab_folder() / f"product-{content}"
    with locked("product"):
        if not target.is_dir():
            with being_made(target) as draft:
                _build(source, draft)
            forget_old("product-*", keep=frozenset({target}))
    return next(used_now(target).glob("*.whl"))


def _build(source: Path, into: Path) -> None:
    """Builds from a copy: setuptools writes into what it builds from."""
    with scratch("source") as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)
        _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(into), str(copy))


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)


def _dependencies(source: Checkout, python: str) -> Path:
    project = tomllib.loads((source.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirement for name in EXTRAS for requirement in project["optional-dependencies"].get(name, ())]
    wanted = [PIP, *project["dependencies"], *extras]
    target = lab_folder() / f"dependencies-{python}-{fingerprint(wanted)}"
    with locked(f"dependencies-{python}"):
        if not target.is_dir():
            with being_made(target) as draft:
                options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
                _pip("download", "--quiet", "--dest", str(draft), *options, *wanted)
            forget_old(f"dependencies-{python}-*", keep=frozenset({target}), at_most=2)
    return used_now(target)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PIP_TIMEOUT_S, cwd=lab_folder()
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"pip {arguments[0]} failed; is there a network, an index?\n{said}")
