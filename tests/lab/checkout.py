"""What is installed from: a copy of the checkout as it is now, without what git ignores.

Rules: a copy, so that what is installed has one known content, and no environment, cache or data of the checkout's
owner is at hand. It is named by its content; `product` names the part that is deployed, without what only tests and
readers see.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.lab.folders import ROOT, fingerprint, forget_old, lab_folder, locked, scratch, used_now
from tests.lab.records import in_use

NOT_DEPLOYED: Final = ("tests/", "docs/", "benchmarks/", "dashboards/render/", ".ci/", ".gitignore")
# Where there is no git, this is what it would ignore.
IGNORED: Final = frozenset({"__pycache__", "build", "dist", "state", "logs", "node_modules"})


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout in ``folder``; ``product`` is the fingerprint of the part that is deployed."""

    folder: Path
    product: str


@cache
def checkout() -> Checkout:
    """The copy of the checkout as it was when this process first asked."""
    with locked("checkout"):
        with scratch("checkout") as draft:
            files = [name for name in _names() if _copied(ROOT / name, draft / name)]
            product = _fingerprint(draft, [name for name in files if not name.startswith(NOT_DEPLOYED)])
            folder = lab_folder() / f"checkout-{_fingerprint(draft, files)}"
            if not folder.is_dir():
                draft.replace(folder)
        forget_old("checkout-*", keep=in_use() | {used_now(folder)})
    return Checkout(folder, product)


def _names() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return sorted({name for name in listed.stdout.split("\0") if name})
    return sorted(_walked())


def _walked() -> Iterator[str]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in IGNORED and not name.startswith((".", "ibkr_trading."))]
        yield from (str(Path(folder, name).relative_to(ROOT)) for name in files)


def _copied(source: Path, target: Path) -> bool:
    """Copies one file; one that is gone in the meantime is no part of the checkout."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(source, target, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return not target.is_symlink()


def _fingerprint(folder: Path, names: list[str]) -> str:
    def parts() -> Iterator[str | bytes]:
        for name in names:
            yield f"{name} {'x' if (folder / name).stat().st_mode & 0o100 else '-'}"
            yield (folder / name).read_bytes()

    return fingerprint(parts())
