"""The journal: intents a second, what the caller of ``append`` waits, and how long a start takes to read it back.

Rules: every side writes the same order intents, one a commit, in turn in one run, each round to a new database: first
as fast as it can, then at a steady pace with pauses, in which what works behind the caller gets its turn. All write
equally many, because a write-ahead log that is still growing syncs more slowly than one that is written over again.
Temporary files are where ``TMPDIR`` says; a disk that lies about syncing makes all figures of ``power`` meaningless, so
the disk's own sync is measured beside them.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter_ns, sleep
from typing import Final

import msgspec

from benchmarks.journal_facts import intent
from benchmarks.journal_recovery import recovery
from benchmarks.journal_writers import Write, Writer, orm, plain_postgres, plain_sqlite, service_journal
from benchmarks.options import Options
from benchmarks.postgres import Server
from benchmarks.report import Figure, Goal, Table, figure
from benchmarks.turns import in_turns
from trader.events import OrderIntended
from trader.stack.errors import ProgramsMissing

BASELINE: Final = "sqlite3 in line, synced (FULL)"
DISK: Final = "the disk: 4 KiB appended and synced"
NS_PER_S: Final = 1_000_000_000
NS_PER_US: Final = 1_000
BLOCK: Final = bytes(4096)

WAIT_NOTE: Final = (
    "Times of one append of one order intent, with its encoding. process: in the kernel when append returns, synced "
    "right behind it by a thread; power: synced when it returns."
)
RATE_NOTE: Final = "One commit an intent, one caller, no pause between them; each n is a round."


class Pace(msgspec.Struct, frozen=True):
    """How many intents a round writes without pauses, and then at a pace; each for ``limit_s`` at most."""

    rounds: int
    burst: int
    paced: int
    limit_s: float
    pause_s: float = 0.004


class Round(msgspec.Struct, frozen=True):
    """What one side did in one round: waits in µs, and intents a second of the part without pauses."""

    burst_us: list[float]
    paced_us: list[float]
    per_second: float


FULL: Final = Pace(rounds=5, burst=1_500, paced=250, limit_s=3.0)
QUICK: Final = Pace(rounds=1, burst=100, paced=20, limit_s=0.3)


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    pace = QUICK if options.quick else FULL
    intents = [intent(number) for number in range(1, pace.burst + pace.paced + 1)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        writers = _sqlite_writers(_Names(folder))
        try:
            server, note = stack.enter_context(Server.running()), ""
        except ProgramsMissing as error:
            note = f" PostgreSQL was left out: {error}."
        else:
            writers |= _postgres_writers(server)
        sides = {name: _side(writer, intents, pace) for name, writer in writers.items()}
        found = in_turns(sides, pace.rounds, options.rng(), options.told)
    tables, goals = recovery(options)
    return [*tables_of(found, note), *tables], goals


class _Names:
    """New files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def next(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.db"


def _sqlite_writers(names: _Names) -> dict[str, Writer]:
    return {
        "service, SQLite, process": lambda: service_journal(f"sqlite:///{names.next()}", "process"),
        "service, SQLite, power": lambda: service_journal(f"sqlite:///{names.next()}", "power"),
        BASELINE: lambda: plain_sqlite(names.next(), "FULL"),
        "sqlite3 in line, not synced (NORMAL)": lambda: plain_sqlite(names.next(), "NORMAL"),
        "SQLAlchemy ORM, SQLite, synced (FULL)": lambda: orm(f"sqlite:///{names.next()}"),
        DISK: lambda: _disk(names.next()),
    }


def _postgres_writers(server: Server) -> dict[str, Writer]:
    return {
        "service, PostgreSQL, process": lambda: service_journal(server.new_database(), "process"),
        "service, PostgreSQL, power": lambda: service_journal(server.new_database(), "power"),
        "psycopg in line": lambda: plain_postgres(server.new_database()),
        "SQLAlchemy ORM, PostgreSQL": lambda: orm(server.new_database()),
    }


def _side(writer: Writer, intents: Sequence[OrderIntended], pace: Pace) -> Callable[[], list[Round]]:
    def one_round() -> list[Round]:
        with writer() as write:
            began_ns = perf_counter_ns()
            burst = timed(write, intents[: pace.burst], pace.limit_s)
            per_second = len(burst) * NS_PER_S / (perf_counter_ns() - began_ns)
            return [Round(burst, timed(write, intents[pace.burst :], pace.limit_s, pace.pause_s), per_second)]

    return one_round


def timed(write: Write, intents: Sequence[OrderIntended], limit_s: float, pause_s: float = 0.0) -> list[float]:
    """The waits in µs of writing ``intents``, or as many of them as the time is enough for."""
    waits, end_ns = list[float](), perf_counter_ns() + int(limit_s * NS_PER_S)
    for item in intents:
        began_ns = perf_counter_ns()
        write(item)
        ended_ns = perf_counter_ns()
        waits.append((ended_ns - began_ns) / NS_PER_US)
        if ended_ns >= end_ns:
            break
        if pause_s:
            sleep(pause_s)
    return waits


@contextmanager
def _disk(path: Path) -> Iterator[Write]:
    """No journal: what a sync takes here at least."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def write(_fact: object) -> None:
        os.write(descriptor, BLOCK)
        os.fdatasync(descriptor)

    try:
        yield write
    finally:
        os.close(descriptor)


def tables_of(found: Mapping[str, Sequence[Round]], note: str) -> list[Table]:
    rates = {name: [item.per_second for item in rounds] for name, rounds in found.items()}
    paced = {name: [wait for item in rounds for wait in item.paced_us] for name, rounds in found.items()}
    burst = {name: [wait for item in rounds for wait in item.burst_us] for name, rounds in found.items()}
    return [
        _table("What the caller waits, at a steady pace", "µs", paced, WAIT_NOTE + note),
        _table("What the caller waits, without pauses", "µs", burst, ""),
        _table("Intents a second", "1/s", rates, RATE_NOTE),
    ]


def _table(title: str, unit: str, samples: Mapping[str, Sequence[float]], note: str) -> Table:
    base = figure(BASELINE, unit, samples[BASELINE]).median
    figures = list[Figure]()
    for name, values in samples.items():
        own = figure(name, unit, values)
        figures.append(msgspec.structs.replace(own, ratio=own.median / base))
    return Table(title=title, figures=tuple(figures), compared=f"median to {BASELINE}", note=note)
