"""Secrets, which are in files and nowhere else: never in the configuration, the environment or a log.

Rules: a secret's file is readable by nobody but its owner. systemd hands credentials over in a folder of
the service's own (``$CREDENTIALS_DIRECTORY``), where the group's bits are systemd's business; a setting names one as
``credential:NAME``, which stays as it is written until it is read, so that the settings are the same everywhere.
"""

import os
import stat
from pathlib import Path
from typing import Final

SECRET_MAX_BYTES: Final = 65_536
CREDENTIAL: Final = "credential:"
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"


class SecretError(Exception):
    """A secret cannot be used; the text says why, and never holds any of it."""


class CredentialUnseen(SecretError):
    """systemd hands credentials to the service alone, and this process is not it."""


def is_credential(file: Path) -> bool:
    """Whether a setting names a systemd credential (``credential:NAME``) rather than a file."""
    return str(file).startswith(CREDENTIAL)


def credential_file(name: str) -> Path | None:
    """The file of the systemd credential ``name``; None when systemd passed none of that name."""
    folder = os.environ.get(CREDENTIALS_VARIABLE)
    if not folder or not _is_name(name):
        return None
    file = Path(folder) / name
    return file if file.is_file() else None


def read_secret(file: Path) -> str:
    """The secret in ``file`` without the line's end; raises SecretError when it is missing, open to others or empty.

    ``credential:NAME`` is the file of that name that systemd passed; CredentialUnseen where it passed none at all.
    """
    return _read(_credential(file) if is_credential(file) else file)


def _credential(setting: Path) -> Path:
    name = str(setting).removeprefix(CREDENTIAL)
    if not _is_name(name):
        raise SecretError(f"{setting}: is not the name of a credential; write {CREDENTIAL}NAME, without a slash")
    if not os.environ.get(CREDENTIALS_VARIABLE):
        raise CredentialUnseen(
            f"{setting}: systemd passed no credentials ({CREDENTIALS_VARIABLE} is not set); start the service by its "
            f"unit with LoadCredential={name}:FILE, or name the file itself"
        )
    file = credential_file(name)
    if file is None:
        raise SecretError(f"{setting}: systemd passed no credential of this name; add LoadCredential={name}:FILE")
    return file


def _is_name(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..")


def _read(file: Path) -> str:
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
    folder = os.environ.get(CREDENTIALS_VARIABLE)
    from_systemd = bool(folder) and file.absolute().is_relative_to(Path(folder or "/"))
    open_bits = stat.S_IRWXO | (0 if from_systemd else stat.S_IRWXG)
    if mode & open_bits:
        raise SecretError(f"{file}: others can read it (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {file}")
