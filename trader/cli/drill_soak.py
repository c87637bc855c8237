"""``trader drill soak``: trade a week at full load on virtual time, and see whether memory or a file grows.

Rules: connects to nothing and needs no configuration. Exit code 0 only when memory is flat, 2 when it could not be
played. With ``--trace`` it also says which lines of code hold more memory at the end than after the first sessions;
that takes several times as long and makes the process larger, so its resident memory says little.
"""

import logging
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console

from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, JsonOption, fail

if TYPE_CHECKING:
    from trader.clock import ManualClock
    from trader.drills.memory import Sample, Slope
    from trader.drills.soak import SoakReport
    from trader.events import AnyFact
    from trader.settings import Settings
    from trader.snapshot import Snapshot

GROWERS_SHOWN: Final = 15
SESSIONS_A_YEAR: Final = 252
MIB: Final = 2**20

SessionsOption = Annotated[int, typer.Option(min=5, max=100, help="Sessions to trade; the first three do not count.")]
QuotesOption = Annotated[float, typer.Option("--quotes-per-s", min=1, max=5_000, help="Quotes in a market second.")]
TurnOption = Annotated[float, typer.Option("--turn-s", min=5, help="For so many market seconds a position is held.")]
LengthOption = Annotated[float, typer.Option("--session-s", min=60, max=23_400, help="Part of a session to play.")]
TraceOption = Annotated[bool, typer.Option("--trace", help="Say which lines of code hold more and more.")]
FolderOption = Annotated[Path | None, typer.Option("--folder", help="Keep journal and recordings here.")]


def soak(
    sessions: SessionsOption = 8,
    quotes_per_s: QuotesOption = 40.0,
    turn_s: TurnOption = 60.0,
    session_s: LengthOption = 23_400.0,
    seed: Annotated[int, typer.Option(min=0, help="Makes the market.")] = 1,
    trace: TraceOption = False,
    folder: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Trade sessions at full load on virtual time, with everything that watches, and see whether anything grows."""
    from trader.drills.soak import SoakOptions, play_soak
    from trader.journal import JournalError

    console = Console(stderr=json)
    growth = Growth() if trace else None

    def told(sample: "Sample") -> None:
        console.print(line_of(sample), highlight=False, soft_wrap=True)
        if growth is not None:
            growth.look(sample)

    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        options = SoakOptions(
            folder=(folder or Path(temporary)).resolve(), sessions=sessions, quotes_per_s=quotes_per_s,
            turn_s=turn_s, session_s=session_s, seed=seed,
        )  # fmt: skip
        options.folder.mkdir(parents=True, exist_ok=True)
        try:
            report = play_soak(options, watching, told)
        except (JournalError, OSError) as error:
            fail(f"cannot soak: {error}", EXIT_UNUSABLE)
    if json:
        typer.echo(msgspec.json.encode({**msgspec.structs.asdict(report), "passed": report.passed}).decode())
    else:
        _show(Console(), report)
    if growth is not None:
        growth.show(console)
    if not report.passed:
        raise typer.Exit(EXIT_FAILED)


def watching(
    settings: "Settings", snapshot: "Callable[[], Snapshot]", clock: "ManualClock"
) -> "tuple[Callable[[Sequence[AnyFact]], None], Callable[[], int]]":
    """The service's observers, told without sockets: metrics, log lines that go nowhere, and the rendered scrape."""
    from observability.collectors import BuildInfo
    from observability.logs import LogPipeline
    from observability.render import OPENMETRICS, encoded
    from observability.stack import build

    class Nowhere:
        def write(self, text: str, /) -> None: ...

        def flush(self) -> None: ...

    logs = LogPipeline(Nowhere(), clock, logging.INFO, with_priority=False)
    logs.start()
    stack = build(settings, snapshot, clock, BuildInfo("soak", config_hash="soak"), logs)

    def scrape() -> int:
        pieces, _ = encoded(stack.registry, OPENMETRICS)
        return sum(len(piece) for piece in pieces)

    return stack.observers.publish, scrape


class Growth:
    """Which lines of code hold more at the end than after the sessions that do not count."""

    def __init__(self) -> None:
        tracemalloc.start(1)
        self._first: tracemalloc.Snapshot | None = None
        self._last: tracemalloc.Snapshot | None = None

    def look(self, sample: "Sample") -> None:
        """Compare the ends of sessions with one another."""
        from trader.drills.soak import SAMPLES_A_SESSION, WARM_UP

        if sample.session > WARM_UP and sample.part == SAMPLES_A_SESSION:
            self._last = tracemalloc.take_snapshot()
            self._first = self._first or self._last

    def show(self, console: Console) -> None:
        """The lines that grew most."""
        if self._first is None or self._last is None:
            return
        for statistic in self._last.compare_to(self._first, "lineno")[:GROWERS_SHOWN]:
            console.print(str(statistic), highlight=False, soft_wrap=True)
        tracemalloc.stop()


def line_of(sample: "Sample") -> str:
    """One sample on one line."""
    memory = f"{sample.resident_bytes / MIB:.1f} MiB resident, {sample.blocks:,} blocks"
    return f"{sample.at:%Y-%m-%d %H:%M} (session {sample.session}): {memory}, {sample.orders:,} orders so far"


def _show(console: Console, report: "SoakReport") -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    counted = f"{report.quotes:,} quotes, {report.orders:,} orders, {report.fills:,} fills, {report.facts:,} facts"
    say(f"{report.sessions} sessions: {counted}, {report.scrapes:,} scrapes, in {report.duration_s:.0f} s")
    say(_slope("resident memory", report.resident, MIB, "MiB"))
    say(_slope("Python's memory", report.blocks, 1, "blocks"))
    for name, sizes in report.files.items():
        say(f"{name}: {', '.join(f'{size / MIB:.1f}' for size in sizes)} MiB after each session")
    journal = report.files.get("journal.db")
    if journal:
        yearly = journal[-1] / report.sessions * SESSIONS_A_YEAR / 2**30
        say(f"the journal keeps everything: {journal[-1] / max(1, report.orders):.0f} bytes an order, "
            f"{yearly:.1f} GiB in a year of such sessions")  # fmt: skip


def _slope(what: str, slope: "Slope", unit: int, name: str) -> str:
    low, high = slope.low / unit, slope.high / unit
    verdict = "[green]flat[/green]" if slope.flat else "[red]grows[/red]"
    return (
        f"{what}: {slope.per_session / unit:+.3f} {name} a session (95 %: {low:+.3f} to {high:+.3f}) "
        f"at {slope.level / unit:,.1f} {name}, over {slope.samples} samples: {verdict}"
    )
