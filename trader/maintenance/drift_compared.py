"""One installed file against the shipped one: whether it differs, and how, bounded.

Rules: pure but for reading through the host. Whether a file drifted is judged as the doctor does, without comments;
what is shown is a unified diff. YAML that a person changes is compared key by key.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from trader.doctor.host import Host
from trader.doctor.installed import differences
from trader.doctor.model import Absent, NotVisible
from trader.settings_file.wording import MASK, SECRET_NAME, without_password

LINES_SHOWN: Final = 40
CONTEXT_LINES: Final = 1
KEYS_MAX: Final = 5_000
HEADERS: Final = 2


class State(StrEnum):
    """How an installed file is beside the shipped one."""

    SAME = "as shipped"
    DIFFERS = "differs"
    ABSENT = "is not installed"
    STALE = "changed since systemd read it"
    LOCAL = "changed by hand"
    HIDDEN = "not visible"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """``diff`` has every line; ``shown`` the first of them. ``why`` says why it is hidden."""

    what: str
    installed: Path
    state: State
    diff: tuple[str, ...] = ()
    mend: str = ""
    why: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        more = len(self.diff) - LINES_SHOWN
        return self.diff if more <= 0 else (*self.diff[:LINES_SHOWN], f"… {more} more lines")


def compare(host: Host, what: str, shipped: Path, installed: Path, mend: str) -> Compared:
    """A file that has to be as shipped; raises Absent or NotVisible when the shipped one cannot be read."""
    wanted = host.read(shipped)
    try:
        there = host.read(installed)
    except Absent:
        return Compared(what=what, installed=installed, state=State.ABSENT, mend=mend)
    except NotVisible as error:
        return Compared(what=what, installed=installed, state=State.HIDDEN, why=str(error))
    if not differences(wanted, there):
        return Compared(what=what, installed=installed, state=State.SAME)
    return Compared(what=what, installed=installed, state=State.DIFFERS, diff=unified(wanted, there), mend=mend)


def unified(shipped: str, installed: str) -> tuple[str, ...]:
    """A unified diff without its header."""
    lines = difflib.unified_diff(shipped.splitlines(), installed.splitlines(), lineterm="", n=CONTEXT_LINES)
    return tuple(lines)[HEADERS:]


def changed_keys(host: Host, what: str, shipped: Path, installed: Path, *, with_values: bool) -> Compared:
    """A YAML file that a person may change: the keys that differ. Raises Absent or NotVisible for the shipped one."""
    wanted = host.read(shipped)
    try:
        there = host.read(installed)
    except (Absent, NotVisible) as error:
        return Compared(what=what, installed=installed, state=State.HIDDEN, why=str(error))
    try:
        diff = tuple(_key_lines(_flat(wanted), _flat(there), with_values))
    except (yaml.YAMLError, RecursionError):
        return Compared(what=what, installed=installed, state=State.HIDDEN, why=f"{installed} is no YAML")
    return Compared(what=what, installed=installed, state=State.LOCAL if diff else State.SAME, diff=diff)


def _key_lines(shipped: dict[str, str], installed: dict[str, str], with_values: bool) -> Iterator[str]:
    for key in sorted(shipped.keys() | installed.keys()):
        before, after = shipped.get(key), installed.get(key)
        if before == after:
            continue
        if before is not None:
            yield f"-{key}: {before}" if with_values else f"-{key}"
        if after is not None:
            yield f"+{key}: {after}" if with_values else f"+{key}"


def _flat(text: str) -> dict[str, str]:
    """The leaves of a YAML document by their dotted keys, secrets starred; the first of very many."""
    return dict(islice(_leaves(yaml.safe_load(text), ""), KEYS_MAX))


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{key}[{index}]")
    else:
        yield key, _told(key, value)


def _told(key: str, value: Any) -> str:
    name = key.rpartition(".")[2]
    if SECRET_NAME.search(name) and not name.endswith("_file") and value not in (None, ""):
        return MASK
    return without_password(str(value))
