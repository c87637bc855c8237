"""Is a SQLite file sound? A program of its own: ``python -m trader.doctor.integrity FILE``.

Rules: it is run as the user whose file it is, since root must not open a database in a folder that another user
writes, and for a bounded time. It writes nothing: a file without a log is read as one that nobody writes, because
reading it as usual leaves an empty log behind. ``ok``, or what is damaged, goes to stdout; exit code 75 says that it
cannot be opened now.
"""

import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import Final

EXIT_NOT_NOW: Final = 75
BUSY_TIMEOUT_S: Final = 2.0
NOT_NOW: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN")


def main(path: Path) -> int:
    """Say what SQLite finds; the exit code."""
    try:
        verdict = _quick_check(path)
    except sqlite3.Error as error:
        sys.stdout.write(str(error))
        return EXIT_NOT_NOW if getattr(error, "sqlite_errorname", "").startswith(NOT_NOW) else 0
    sys.stdout.write(verdict)
    return 0


def _quick_check(path: Path) -> str:
    options = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    line = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", timeout=BUSY_TIMEOUT_S, uri=True)
    with contextlib.closing(line):
        return str(line.execute("PRAGMA quick_check(1)").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
