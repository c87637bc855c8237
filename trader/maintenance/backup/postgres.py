"""A PostgreSQL journal as a file: what pg_dump writes, and the facts read from that without a server.

Rules: a dump is of one moment by itself and keeps nobody from writing. A password is passed in the environment, never
on a command line. The dump is plain SQL, so that psql and a person can read it, and so that it is verified wherever it
lies.
"""

import heapq
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader.journal.api import NumberedFact
from trader.journal.codec import from_row, timestamp
from trader.journal.errors import JournalDamaged
from trader.maintenance.backup.errors import BackupDamaged, BackupError, unreadable

DUMP_TIME_LIMIT_S: Final = 900.0
OPTIONS: Final = ("--format=plain", "--no-owner", "--no-privileges", "--table=facts", "--table=meta", "--no-password")
FACTS_BEGIN: Final = re.compile(rb"COPY (?:[\w\"]+\.)?facts \((?P<columns>[^)]*)\) FROM stdin;\n")
END_OF_ROWS: Final = b"\\.\n"
COMPLETE: Final = b"-- PostgreSQL database dump complete"
ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
# Rows lie in the order in which they were written but for space that a failed transaction left.
DISORDER_MAX_ROWS: Final = 10_000


def dump(url: str, target: Path) -> None:
    """Write the journal at ``url`` into the new file ``target``; raises BackupError."""
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError(
            "the journal is kept in PostgreSQL and pg_dump is not there; install it: apt install postgresql-client"
        )
    address, environment = connection(url)
    command = (program, *OPTIONS, f"--file={target}", f"--dbname={address}")
    try:
        ran = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, timeout=DUMP_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"pg_dump of {address} was not done within {DUMP_TIME_LIMIT_S:.0f} s") from error
    except OSError as error:
        raise BackupError(f"{program} cannot be run ({error.strerror})") from error
    if ran.returncode != 0:
        said = ran.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise BackupError(f"pg_dump of {address} failed: {said[0]}")


def connection(url: str) -> tuple[str, dict[str, str]]:
    """The address for PostgreSQL's own programs, without a password, and what goes into their environment."""
    from sqlalchemy import make_url

    parsed = make_url(url).set(drivername="postgresql")
    environment = {"PGPASSWORD": str(parsed.password)} if parsed.password is not None else {}
    bare = parsed._replace(password=None)
    return bare.render_as_string(hide_password=False), environment


def facts(path: Path, where: object) -> Iterator[NumberedFact]:
    """The facts in the dump at ``path``, in order; raises BackupDamaged at the first that is not whole."""
    waiting: list[tuple[int, str, str, str]] = []
    expected = 1
    for row in _rows(path, where):
        heapq.heappush(waiting, row)
        while waiting and (waiting[0][0] <= expected or len(waiting) > DISORDER_MAX_ROWS):
            yield _fact(heapq.heappop(waiting), where)
            expected += 1
    while waiting:
        yield _fact(heapq.heappop(waiting), where)


def _fact(row: tuple[int, str, str, str], where: object) -> NumberedFact:
    sequence, at, kind, body = row
    try:
        fact = from_row(sequence, body, str(where))
    except JournalDamaged as error:
        raise BackupDamaged(f"{where} is damaged: {error}") from error
    if (at, kind) != (timestamp(fact.at), type(fact).__name__):
        raise BackupDamaged(f"{where} is damaged: fact {sequence} is filed as another")
    return sequence, fact


def _rows(path: Path, where: object) -> Iterator[tuple[int, str, str, str]]:
    complete = False
    order: list[int] | None = None
    try:
        with path.open("rb") as source:
            for line in source:
                if order is not None and line == END_OF_ROWS:
                    order = None
                elif order is not None:
                    yield _row(line, order, where)
                elif match := FACTS_BEGIN.fullmatch(line):
                    order = _columns(match["columns"].decode(), where)
                complete = complete or line.startswith(COMPLETE)
    except OSError as error:
        raise unreadable(path, error) from error
    if not complete:
        raise BackupDamaged(f"{where} is damaged: the dump in it is cut off")


def _columns(text: str, where: object) -> list[int]:
    names = [name.strip().strip('"') for name in text.split(",")]
    try:
        return [names.index(name) for name in ("seq", "at", "kind", "body")]
    except ValueError as error:
        raise BackupDamaged(f"{where} is damaged: the dump in it is of other tables ({text})") from error


def _row(line: bytes, order: list[int], where: object) -> tuple[int, str, str, str]:
    try:
        cells = line.decode("utf-8").rstrip("\n").split("\t")
        sequence, at, kind, body = (ESCAPED.sub(_unescaped, cells[position]) for position in order)
        return int(sequence), at, kind, body
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise BackupDamaged(f"{where} is damaged: a row of the dump in it cannot be read ({error})") from error


def _unescaped(found: re.Match[str]) -> str:
    return ESCAPES.get(found[1], found[1])
