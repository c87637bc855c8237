"""Where the lab keeps things: `.tools/lab` of the checkout, or $TRADER_LAB_DIR.

Rules: everything below is made by the lab and can be deleted when no lab runs. What is shared between processes is
made under a lock, beside its place, and moved there when complete; its name has the fingerprint of what it is made of.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER_VARIABLE: Final = "TRADER_LAB_DIR"
FINGERPRINT_CHARACTERS: Final = 16
CACHED_MAX: Final = 4
FRESH_S: Final = 3600.0


def lab_folder() -> Path:
    """The lab's folder, made when missing; only root looks into it."""
    folder = Path(os.environ.get(FOLDER_VARIABLE) or ROOT / ".tools" / "lab").resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """A short name for exactly these parts in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:FINGERPRINT_CHARACTERS]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time is inside for the same ``name``; the lock goes with its holder."""
    with (lab_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """An empty folder of this process's own, which is gone after the block, unless it was moved elsewhere."""
    folder = lab_folder() / f".{name}.{os.getpid()}"
    remove_tree(folder)
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        remove_tree(folder)


@contextmanager
def being_made(target: Path) -> Iterator[Path]:
    """A fresh folder, which becomes ``target`` when the block ends well, and else goes away."""
    with scratch(target.name) as draft:
        yield draft
        draft.replace(target)


def remove_tree(folder: Path) -> None:
    """Deletes ``folder`` and all below it; one that is not there, or that somebody else deletes as well, is fine."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink(missing_ok=True)
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def forget_old(pattern: str, *, keep: frozenset[Path] = frozenset(), at_most: int = CACHED_MAX) -> None:
    """Deletes what matches ``pattern`` in the lab's folder, but the newest ``at_most``, ``keep``, and what is fresh.

    What was used within ``FRESH_S`` of the newest may be what another run goes on with.
    """
    ages = {path: path.stat().st_mtime for path in lab_folder().glob(pattern)}
    newest_first = sorted(ages, key=lambda path: ages[path], reverse=True)
    for old in newest_first[at_most:]:
        if old not in keep and ages[newest_first[0]] - ages[old] > FRESH_S:
            remove_tree(old)


def used_now(path: Path) -> Path:
    """``path``, marked as used, so that it is among the last to be forgotten."""
    os.utime(path)
    return path
