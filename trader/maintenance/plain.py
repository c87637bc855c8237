"""Names and texts of others, made fit for a report: one line, no control characters, no half characters.

Rules: pure. A file's name may hold a line break, a terminal's commands or bytes that are no text; what is shown of it
is escaped and cut, and never used to find the file again.
"""

import shlex
from pathlib import Path
from typing import Final

TEXT_MAX_CHARACTERS: Final = 200


def plain(text: object, at_most: int = TEXT_MAX_CHARACTERS) -> str:
    """``text`` on one line, with everything that is not printable escaped; cut at ``at_most`` characters."""
    shown = "".join(character if character.isprintable() else _escaped(character) for character in str(text))
    return shown if len(shown) <= at_most else f"{shown[: at_most - 1]}…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def quoted(path: Path) -> str:
    """``path`` as one word of a shell's command; a name that cannot be shown is left to the shell's own expansion."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    return f"{shlex.quote(str(path.parent))}/*" if str(path.parent).isprintable() else "…"


def first_line(text: str) -> str:
    """The first line of ``text`` that says something; empty when none does."""
    return next((plain(line.strip()) for line in text.splitlines() if line.strip()), "")
