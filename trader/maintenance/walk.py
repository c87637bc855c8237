"""What is in a folder and below it, by the host's word: kinds, owners, modes.

Rules: links are not followed. What vanishes meanwhile is passed over, what may not be looked at is told, and so is
that there was more than is looked at.
"""

from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor.host import FileState
from trader.doctor.model import Absent, NotVisible
from trader.doctor.place import Place

ENTRIES_MAX: Final = 300_000
UNSEEN_MAX: Final = 50


class Entry(NamedTuple):
    """One file or folder."""

    path: Path
    state: FileState


class Walk(NamedTuple):
    """``unseen`` are folders and files that may not be looked at, the first of them; ``cut``: there is more."""

    entries: tuple[Entry, ...]
    unseen: tuple[Path, ...]
    cut: bool

    @property
    def is_whole(self) -> bool:
        return not self.unseen and not self.cut

    @property
    def size_bytes(self) -> int:
        """Of the files."""
        return sum(entry.state.size_bytes for entry in self.entries if entry.state.kind == "file")


def walk(place: Place, root: Path) -> Walk:
    """``root`` and all below it; asked once in a run. Raises Absent when there is no such folder."""
    return place.once(("walk", root), lambda: _walk(place, root))


def _walk(place: Place, root: Path) -> Walk:
    entries: list[Entry] = []
    unseen: list[Path] = []
    place.host.state(root)
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            state = place.host.state(path)
            names = place.host.names(path) if state.kind == "folder" else ()
        except Absent:
            continue  # it went away meanwhile
        except NotVisible:
            unseen.append(path)
            if len(unseen) > UNSEEN_MAX:
                return Walk(tuple(entries), tuple(unseen), True)
            continue
        entries.append(Entry(path, state))
        if len(entries) >= ENTRIES_MAX:
            return Walk(tuple(entries), tuple(unseen), True)
        waiting += [path / name for name in reversed(names)]
    return Walk(tuple(entries), tuple(unseen), False)
