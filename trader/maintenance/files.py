"""Writing whole files or none.

Rules: a file appears under its name when all of it is on the disk; what a killed or failed write leaves has a name
that readers pass over and that the next run removes.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

PART_SUFFIX: Final = ".part"
FOLDER_MODE: Final = 0o750


class WriteError(Exception):
    """A file cannot be written; the text is one sentence."""


def write_whole(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Replace ``path`` by ``content``, making its folder; raises WriteError and leaves what was there.

    ``mode`` holds whatever the umask is: reports are for the service's group too.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART_SUFFIX}")
    try:
        _make_folder(path.parent)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise WriteError(f"{path} cannot be written ({error.strerror or error})") from error


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove what writes that were broken off left in ``folder``; nobody else may be writing there."""
    with suppress(OSError):
        for part in folder.glob(f".*{PART_SUFFIX}"):
            part.unlink(missing_ok=True)
