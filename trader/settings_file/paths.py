"""Paths in the configuration: relative ones lie beside the configuration file; a credential's name is none."""

import os
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from trader.settings import Settings
from trader.settings_file.secrets import is_credential
from trader.settings_file.wording import SECRET_NAME

# Linux allows 108 bytes with the closing zero.
SOCKET_PATH_MAX_BYTES: Final = 107
SQLITE: Final = "sqlite:///"

M = TypeVar("M", bound=BaseModel)


def resolve_paths(settings: Settings, file: Path) -> Settings:
    """``settings`` with every relative path taken from the folder of ``file``, and ``~`` expanded."""
    return _resolved(settings, Path(os.path.abspath(file)).parent)


def _resolved(model: M, folder: Path) -> M:
    changes: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            changes[name] = _resolved(value, folder)
        elif isinstance(value, Path):
            changes[name] = value if _names_credential(name, value) else _absolute(value, folder)
        elif isinstance(value, str) and value.startswith(SQLITE):
            changes[name] = _sqlite_url(value, folder)
    return model.model_copy(update=changes)


def _names_credential(name: str, value: Path) -> bool:
    return bool(SECRET_NAME.search(name)) and is_credential(value)


def _absolute(path: Path, folder: Path) -> Path:
    return Path(os.path.normpath(folder / os.path.expanduser(path)))


def _sqlite_url(url: str, folder: Path) -> str:
    location, mark, options = url.removeprefix(SQLITE).partition("?")
    if location in ("", ":memory:"):
        return url
    return f"{SQLITE}{_absolute(Path(location), folder)}{mark}{options}"


def socket_problem(settings: Settings) -> str | None:
    """Why the control socket's path cannot be used; None when it can."""
    length = len(os.fsencode(settings.control.socket))
    if length <= SOCKET_PATH_MAX_BYTES:
        return None
    return (
        f"the path {settings.control.socket} has {length} bytes, and a Unix socket's path at most "
        f"{SOCKET_PATH_MAX_BYTES}; choose a shorter one, such as /run/trader/control.sock"
    )
