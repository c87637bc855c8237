"""How long the service takes to start and to stop, what it keeps in memory, and what importing it costs.

Rules: a start is timed from spawning the process, as systemd does, until it is connected and agrees with the broker;
the simulated gateway runs in a process of its own. Memory is the resident set of a process. A week is the soak's
(``trader drill soak``): service and exchange in one process, on virtual time.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.report import Goal, Table, figure, shown
from benchmarks.starts import BARE, LOAD_SPEED, MIB, NOTHING, READY, Load, Runs, start_and_stop, trade
from benchmarks.turns import in_turns
from trader.drills.soak import WARM_UP, SoakReport

START_LIMIT_S: Final = 2.0
STOP_LIMIT_S: Final = 1.0
MEMORY_LIMIT_MIB: Final = 150.0
CHILD_TIMEOUT_S: Final = 60.0
SOAK_TIMEOUT_S: Final = 900.0
IMPORT_BARE: Final = "import ib_async"
IMPORTS: Final = {
    "an interpreter that does nothing": ("-c", "pass"),
    IMPORT_BARE: ("-c", "import ib_async"),
    "trader --help": ("-m", "trader", "--help"),
    "what trader run imports": ("-c", "import trader.cli.run, trader.service, observability.logs"),
}


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything; the soak plays ``sessions`` of ``session_s`` each."""

    rounds: int
    imports: int
    load_s: float
    sessions: int
    session_s: float
    quotes_per_s: float


FULL: Final = Effort(rounds=10, imports=15, load_s=60.0, sessions=7, session_s=23_400.0, quotes_per_s=5.0)
QUICK: Final = Effort(rounds=1, imports=1, load_s=2.0, sessions=5, session_s=60.0, quotes_per_s=10.0)


def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    effort = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        runs = asyncio.run(start_and_stop(Path(name), options, effort.rounds))
        load = asyncio.run(trade(Path(name) / "load", options, effort.load_s))
    options.told(f"soak, {effort.sessions} sessions")
    soak = _soak(effort, options.seed)
    options.told("imports")
    imports = in_turns({name: _spawned(*command) for name, command in IMPORTS.items()}, effort.imports, options.rng())
    tables = [
        _compared("Start, from spawning the process", "s", runs.starts_s, BARE),
        _compared("Graceful stop, from SIGTERM to the end of the process", "s", runs.stops_s, NOTHING),
        _compared("Resident memory", "MiB", _memory(runs, load), BARE, _traded(load)),
        _week(soak, effort),
        _compared("Imports: a process of its own, from spawn to end", "ms", imports, IMPORT_BARE),
    ]
    return tables, [*speed_goals(runs), *memory_goals(load, soak)]


def _compared(title: str, unit: str, found: dict[str, list[float]], baseline: str, note: str = "") -> Table:
    """By side, with the ratio of medians."""
    base = figure(baseline, unit, found[baseline])
    figures = []
    for name, samples in found.items():
        plain = figure(name, unit, samples)
        figures.append(msgspec.structs.replace(plain, ratio=plain.median / base.median))
    return Table(title=title, figures=tuple(figures), compared=f"median, to: {baseline}", note=note)


def _spawned(*arguments: str) -> Callable[[], list[float]]:
    def spawn() -> list[float]:
        began_s = perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, timeout=CHILD_TIMEOUT_S, check=True)
        return [(perf_counter() - began_s) * 1_000]

    return spawn


# -- memory


def _memory(runs: Runs, load: Load) -> dict[str, list[float]]:
    return {
        BARE: runs.resident_mib[BARE],
        "the service, just started": runs.resident_mib[READY],
        "the service, trading": load.resident_mib,
    }


def _traded(load: Load) -> str:
    ticks_a_s = load.ticks / load.duration_s
    return (
        f"Trading: {load.duration_s:g} s, {ticks_a_s:,.0f} ticks/s (market × {LOAD_SPEED:g}), {load.orders:,} orders."
    )


def _soak(effort: Effort, seed: int) -> SoakReport:
    """The soak in a process of its own, whose memory is then the soak's alone; raises BenchmarkFailed."""
    command = [
        sys.executable, "-m", "trader", "drill", "soak", "--json", "--sessions", str(effort.sessions),
        "--session-s", str(effort.session_s), "--quotes-per-s", str(effort.quotes_per_s), "--seed", str(seed),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOAK_TIMEOUT_S, check=False)
    try:
        return msgspec.json.decode(done.stdout, type=SoakReport)
    except msgspec.DecodeError:
        raise BenchmarkFailed(f"the soak did not report: {done.stderr.strip()[-300:]}") from None


def _week(soak: SoakReport, effort: Effort) -> Table:
    sessions = range(1, soak.sessions + 1)
    figures = [
        figure(
            f"resident, session {number}", "MiB", [s.resident_bytes / MIB for s in soak.samples if s.session == number]
        )
        for number in sessions
    ]
    slope, blocks = soak.resident, soak.blocks
    note = (
        f"{soak.quotes:,} quotes ({effort.quotes_per_s:g} a second), {soak.orders:,} orders, {soak.facts:,} facts. "
        f"After session {WARM_UP}: {slope.per_session / MIB:+.2f} MiB a session "
        f"(95 %: {slope.low / MIB:+.2f} to {slope.high / MIB:+.2f}), "
        f"{blocks.per_session:+.0f} of {blocks.level:,.0f} of Python's memory blocks a session."
    )
    return Table(title=f"{soak.sessions} simulated sessions (soak)", figures=tuple(figures), note=note)


# -- goals


def speed_goals(runs: Runs) -> list[Goal]:
    """The slowest of all starts, and of all stops that had nothing to cancel."""
    return [
        _below(
            "start, from spawn to connected and agreed with the broker", max(runs.starts_s[READY]), START_LIMIT_S, "s"
        ),
        _below("graceful stop with nothing to cancel", max(runs.stops_s[NOTHING]), STOP_LIMIT_S, "s"),
    ]


def memory_goals(load: Load, soak: SoakReport) -> list[Goal]:
    """The highest that was seen, and whether it grows from session to session."""
    week_mib = max(sample.resident_bytes for sample in soak.samples) / MIB
    slope_mib = soak.resident.per_session / MIB
    return [
        _below(f"memory after {load.duration_s:g} s of trading", max(load.resident_mib), MEMORY_LIMIT_MIB, "MiB"),
        _below(f"memory in {soak.sessions} simulated sessions", week_mib, MEMORY_LIMIT_MIB, "MiB"),
        Goal(
            what=f"memory over {soak.sessions} simulated sessions",
            limit="flat",
            measured=f"{slope_mib:+.2f} MiB a session",
            met=soak.passed,
            why="" if soak.passed else f"grows: {soak.blocks.per_session:+.0f} of Python's memory blocks a session",
        ),
    ]


def _below(what: str, measured: float, limit: float, unit: str) -> Goal:
    met = measured < limit
    why = "" if met else f"{shown(measured - limit)} {unit} over"
    return Goal(what=what, limit=f"< {limit:g} {unit}", measured=f"{shown(measured)} {unit}", met=met, why=why)
