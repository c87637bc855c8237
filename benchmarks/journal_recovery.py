"""How long a start takes to rebuild its state, against what the journal holds.

Rules: what is timed is what the service does with its journal at a start: open it for writing, with the looks at its
pages and its log, and fold every fact into a new engine. Nothing else of a start is in it. The file's pages are in the
system's cache, as they are after a restart, and not after a boot.
"""

import gc
import tempfile
from pathlib import Path
from time import perf_counter

import msgspec

from benchmarks.journal_facts import FIRST_OPEN, INSTRUMENTS, write_sessions
from benchmarks.options import Options
from benchmarks.report import Figure, Goal, Table, figure
from trader.clock import ManualClock
from trader.engine import Engine
from trader.journal import Journal
from trader.lifecycle import History
from trader.session import SessionCalendar
from trader.settings import InstrumentSettings, Settings
from trader.strategy.loader import load_strategy

READY_LIMIT_S = 2.0
BYTES_PER_MB = 1_000_000


class Size(msgspec.Struct, frozen=True):
    """``sessions`` of ``orders`` orders each; a year has 252. ``decides``: the goal is about this one."""

    what: str
    sessions: int
    orders: int
    decides: bool = False


class Recovery(msgspec.Struct, frozen=True):
    """One start: seconds to open the journal, and to fold it."""

    open_s: float
    fold_s: float


FULL = (
    Size("a day of 5,000 orders", 1, 5_000),
    Size("a month, 500 a day", 21, 500),
    Size("a year, 100 a day", 252, 100, decides=True),
    Size("a year, 500 a day", 252, 500),
)
QUICK = (Size("a day of 500 orders", 1, 500), Size("a month, 20 a day", 21, 20, decides=True))
NOTE = (
    "Opening looks at every page of a file of up to 250 MB, and at the log. Folding reads, checks and decodes every "
    "fact and applies it to the engine's state. The time grows with the number of facts and with nothing else."
)


def recovery(options: Options) -> tuple[list[Table], list[Goal]]:
    times, rates, goals = list[Figure](), list[Figure](), list[Goal]()
    for size in QUICK if options.quick else FULL:
        options.told(f"recovery: {size.what}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "journal.db")
            facts = write_sessions(path, size.sessions, size.orders)
            what = f"{size.what}: {facts:,} facts, {path.stat().st_size / BYTES_PER_MB:,.0f} MB"
            found = [recover(path, facts) for _ in range(3)]
        total = figure(what, "s", [item.open_s + item.fold_s for item in found])
        times += [total, figure("— of it opening", "s", [item.open_s for item in found])]
        rates.append(figure(size.what, "facts/s", [facts / item.fold_s for item in found]))
        goals += [_goal(size, total, rates[-1])] if size.decides else []
    tables = [
        Table(title="Rebuilding the state at a start", figures=tuple(times), note=NOTE),
        Table(title="Facts folded a second", figures=tuple(rates)),
    ]
    return tables, goals


def recover(path: Path, facts: int) -> Recovery:
    engine, history = new_engine(), History()
    gc.collect()
    began_s = perf_counter()
    with Journal.open(f"sqlite:///{path}", clock=ManualClock(FIRST_OPEN)) as journal:
        opened_s = perf_counter()
        engine.restore(history.watch(fact for _, fact in journal.read()))
        folded_s = perf_counter()
    assert engine.core.ledger.fills_booked, f"{facts} facts booked nothing"
    return Recovery(opened_s - began_s, folded_s - opened_s)


def new_engine() -> Engine:
    settings = Settings(instruments=tuple(InstrumentSettings(symbol=symbol) for symbol in INSTRUMENTS))
    strategy = load_strategy(settings.strategy, INSTRUMENTS)
    calendar = SessionCalendar.load(settings.session.calendar, settings.session.calendar_file)
    return Engine(settings, INSTRUMENTS, strategy, calendar, ManualClock(FIRST_OPEN), "benchmark")


def _goal(size: Size, total: Figure, rate: Figure) -> Goal:
    met = total.median < READY_LIMIT_S
    return Goal(
        what=f"state rebuilt at a start ({size.what})",
        limit=f"< {READY_LIMIT_S:g} s",
        measured=f"{total.median:.2f} s",
        met=met,
        why=""
        if met
        else f"{total.median / READY_LIMIT_S:.1f} times it: every start folds all, {rate.median:,.0f} facts/s",
    )
