"""Secrets, which are in files and nowhere else: never in the configuration, the environment or a log.

Rules: a secret's file is readable by nobody but its owner. systemd hands credentials over in a folder of
the service's own (``$CREDENTIALS_DIRECTORY``), where the group's bits are systemd's business.
"""

import os
import stat
from pathlib import Path
from typing import Final

SECRET_MAX_BYTES: Final = 65_536


class SecretError(Exception):
    """A secret cannot be used; the text says why, and never holds any of it."""


def credential_file(name: str) -> Path | None:
    """The file of the systemd credential ``name``; None when systemd passed none of that name."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder or "/" in name or name in ("", ".", ".."):
        return None
    file = Path(folder) / name
    return file if file.is_file() else None


def read_secret(file: Path) -> str:
    """The secret in ``file`` without the line's end; raises SecretError when it is missing, open to others or empty."""
    try:
        with file.open("rb") as stream:
            _check_mode(file, os.fstat(stream.fileno()).st_mode)
            content = stream.read(SECRET_MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(f"{file}: the secret cannot be read: {error.strerror or error}") from error
    if len(content) > SECRET_MAX_BYTES:
        raise SecretError(f"{file}: is larger than {SECRET_MAX_BYTES} bytes, so it is no secret")
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise SecretError(f"{file}: is not UTF-8 text") from error
    if not secret:
        raise SecretError(f"{file}: is empty; write the secret into it")
    return secret


def _check_mode(file: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise SecretError(f"{file}: is not a regular file")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    from_systemd = bool(folder) and file.absolute().is_relative_to(Path(folder or "/"))
    open_bits = stat.S_IRWXO | (0 if from_systemd else stat.S_IRWXG)
    if mode & open_bits:
        raise SecretError(f"{file}: others can read it (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {file}")
