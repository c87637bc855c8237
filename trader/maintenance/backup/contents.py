"""What of the configuration goes into a backup: the file, and the calendar and reset times that it names. No secrets.

Rules: files of secrets are never opened. A secret that somebody wrote into the configuration itself is replaced by
stars, and the result is read again to see that none is left; a file in which one may be left stays out. What is
missing is named, and is no reason to have no backup of the books.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from trader.maintenance.backup.disk import make_folder, write_file
from trader.maintenance.backup.errors import reason
from trader.maintenance.backup.model import CONFIG_FOLDER
from trader.settings_file.wording import MASK, SECRET_NAME, URL_PASSWORD, without_password

FILE_MAX_BYTES: Final = 8_000_000
YAML_SUFFIXES: Final = (".yaml", ".yml")
# The value of a key whose name is a secret's, in block or flow style.
SECRET_VALUE: Final = re.compile(
    r"(?P<key>(?<![\w-])[\"']?"
    r"(?P<name>[\w-]*(?:password|passwd|secret|token|api_?key|credential)[\w-]*)[\"']?[ \t]*:[ \t]+)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^\s,}\]#][^\n,}\]#]*)",
    re.IGNORECASE,
)


class Gathered(msgspec.Struct, frozen=True):
    """Names of members, what could not be had, and which members have secrets replaced."""

    names: tuple[str, ...]
    lacks: tuple[str, ...]
    masked: tuple[str, ...]


def gather(files: Sequence[Path], folder: Path) -> Gathered:
    """Copy ``files`` into the configuration's part of ``folder``; raises BackupError when that cannot be written."""
    names: list[str] = []
    lacks: list[str] = []
    masked: list[str] = []
    make_folder(folder / CONFIG_FOLDER)
    for file in files:
        try:
            content = _read(file)
            kept = _without_secrets(file, content)
        except _Left as error:
            lacks.append(str(error))
            continue
        name = _free_name(file, names)
        write_file(folder / name, kept)
        names.append(name)
        if kept != content:
            masked.append(name)
    return Gathered(tuple(names), tuple(lacks), tuple(masked))


class _Left(Exception):
    """Why a file is left out; one sentence."""


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            content = source.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise _Left(f"{file} is not in it: {reason(error)}") from error
    if len(content) > FILE_MAX_BYTES:
        raise _Left(f"{file} is not in it: it has more than {FILE_MAX_BYTES} bytes")
    return content


def _free_name(file: Path, names: Sequence[str]) -> str:
    name, number = f"{CONFIG_FOLDER}{file.name}", 2
    while name in names:
        name, number = f"{CONFIG_FOLDER}{file.stem}-{number}{file.suffix}", number + 1
    return name


def _without_secrets(file: Path, content: bytes) -> bytes:
    if file.suffix not in YAML_SUFFIXES:
        return content
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Left(f"{file} is not in it: it is not UTF-8 text") from error
    kept = SECRET_VALUE.sub(_masked, without_password(text))
    try:
        values = yaml.safe_load(kept)
    except yaml.YAMLError:
        # It cannot be used, so nobody can say what in it is a secret.
        raise _Left(f"{file} is not in it: it is no YAML") from None
    left = next(_secrets(values), None)
    if left is not None:
        raise _Left(f"{file} is not in it: a secret at {left} cannot be taken out; keep it in a file of its own")
    return kept.encode("utf-8")


def _masked(found: re.Match[str]) -> str:
    return found[0] if _is_no_secret(found["name"], found["value"].strip("\"' ")) else f'{found["key"]}"{MASK}"'


def _is_no_secret(name: str, value: object) -> bool:
    return name.endswith("_file") or value in (None, "", "null", "~", MASK)


def _secrets(values: Any, name: str = "") -> Iterator[str]:
    """The keys below which a secret is left."""
    if isinstance(values, dict):
        for key, value in values.items():
            if SECRET_NAME.search(str(key)) and not isinstance(value, dict) and not _is_no_secret(str(key), value):
                yield str(key)
            yield from _secrets(value, str(key))
    elif isinstance(values, list):
        for value in values:
            yield from _secrets(value, name)
    elif isinstance(values, str) and (match := URL_PASSWORD.search(values)) and f":{MASK}@" not in match[0]:
        yield name
