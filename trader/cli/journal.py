"""``trader journal list | export | stats``: what was written down, also while the service writes.

Rules: reads only; *verify* and *repair* are in ``journal_check``. The journal is the configuration's, or the one that
``--url`` names (a backup, say).
"""

import csv
import json
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from trader.cli import journal_check
from trader.cli.plumbing import DEFAULT_CONFIG, ConfigOption, fail, failing, settings_to_ask_by

if TYPE_CHECKING:
    from rich.table import Table

    from trader.journal import JournalReader
    from trader.journal.api import NumberedFact

DEFAULT_TAIL = 50
AGO = re.compile(r"(\d{1,6})\s*([smhd])")
AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
CSV_COLUMNS = ("seq", "at", "kind", "summary", "body")


class ExportFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


UrlOption = Annotated[str | None, typer.Option("--url", help="A journal's address instead of the configuration's.")]
KindOption = Annotated[list[str] | None, typer.Option("--kind", "-k", help="Only facts of this kind; repeatable.")]
SinceOption = Annotated[
    str | None, typer.Option(help="Not before: 2026-03-02, 2026-03-02T14:30, or 2h for two hours ago.")
]
UntilOption = Annotated[str | None, typer.Option(help="Before this time; the same forms.")]
OrderOption = Annotated[str | None, typer.Option("--order", "-o", help="Only facts about the order of this reference.")]
TailOption = Annotated[int, typer.Option("--tail", "-n", min=0, help="Only the newest so many; 0 shows all.")]
FormatOption = Annotated[ExportFormat, typer.Option("--format", "-f", help="jsonl: a JSON object a line.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="A file instead of standard output.")]

app = typer.Typer(help="The journal: list, export, count, verify, repair.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add ``trader journal …`` to the command line."""
    journal_check.register(app)
    parent.add_typer(app, name="journal")


@app.command("list")
def list_command(
    config: ConfigOption = DEFAULT_CONFIG,
    url: UrlOption = None,
    kind: KindOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    order: OrderOption = None,
    tail: TailOption = DEFAULT_TAIL,
) -> None:
    """Show facts, the newest last."""
    from rich.console import Console

    with open_journal(config, url) as journal:
        facts = deque(select(journal, kind, since, until, order), maxlen=tail or None)
        newest = journal.last_sequence
    Console().print(facts_table(facts) if facts else "no fact matches")
    if tail and len(facts) == tail and newest > tail:
        typer.echo(f"the newest {tail} that match, of {newest} facts; --tail 0 shows all", err=True)


@app.command("export")
def export_command(
    config: ConfigOption = DEFAULT_CONFIG,
    url: UrlOption = None,
    kind: KindOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    order: OrderOption = None,
    form: FormatOption = ExportFormat.JSONL,
    output: OutputOption = None,
) -> None:
    """Write facts as JSON lines or CSV."""
    write = write_csv if form is ExportFormat.CSV else write_json_lines
    with open_journal(config, url) as journal:
        facts = select(journal, kind, since, until, order)
        if output is None:
            write(facts, sys.stdout)
            return
        try:
            with output.open("w", newline="", encoding="utf-8") as file:
                count = write(facts, file)
        except OSError as error:
            fail(f"{output} cannot be written ({error.strerror})")
    typer.echo(f"{count} facts written to {output}", err=True)


@app.command("stats")
def stats_command(config: ConfigOption = DEFAULT_CONFIG, url: UrlOption = None) -> None:
    """Count facts by kind."""
    from rich.console import Console

    with open_journal(config, url) as journal:
        table = stats_table(journal.read())
    Console().print(table)


@contextmanager
def open_journal(config: Path, url: str | None) -> "Iterator[JournalReader]":
    """The journal to read; what is wrong with it ends the command with one sentence."""
    from trader.journal import JournalError, JournalReader

    address = url or settings_to_ask_by(config, "journal").journal.url
    with failing(JournalError), JournalReader.open(address) as journal:
        yield journal


def select(
    journal: "JournalReader", kinds: list[str] | None, since: str | None, until: str | None, order: str | None
) -> "Iterator[NumberedFact]":
    """The facts that match the options, oldest first; options that make no sense end the command."""
    from trader.cli.fact_lines import OrderFollower

    facts = journal.read(kinds=None if order else known_kinds(kinds), since=moment(since), until=moment(until))
    if order is None:
        return facts
    follower, wanted = OrderFollower(order), known_kinds(kinds)
    followed = (numbered for numbered in facts if follower.concerns(numbered[1]))
    return (each for each in followed if wanted is None or type(each[1]).__name__ in wanted)


def known_kinds(kinds: list[str] | None) -> set[str] | None:
    """Kinds as they are spelled in the journal, whatever the case they were typed in."""
    from trader.journal.codec import KINDS

    if not kinds:
        return None
    spelled = {kind.lower(): kind for kind in KINDS}
    unknown = [kind for kind in kinds if kind.lower() not in spelled]
    if unknown:
        fail(f"{', '.join(unknown)}: no such kind; there are {', '.join(sorted(KINDS))}")
    return {spelled[kind.lower()] for kind in kinds}


def moment(text: str | None) -> datetime | None:
    """A time as typed: ISO 8601, UTC unless it says otherwise, or so long ago (``90m``)."""
    from trader.clock import SystemClock

    if text is None:
        return None
    if ago := AGO.fullmatch(text.strip()):
        return SystemClock().now() - timedelta(**{AGO_UNITS[ago.group(2)]: int(ago.group(1))})
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not a time; write 2026-03-02, 2026-03-02T14:30:00 (UTC) or 2h for two hours ago")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def facts_table(facts: "Iterable[NumberedFact]") -> "Table":
    """Sequence, time, kind and a summary of each fact; a heading where the day changes."""
    from rich.table import Table
    from rich.text import Text

    from trader.cli.fact_lines import fact_line

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("seq", justify="right", style="dim", no_wrap=True)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("kind", no_wrap=True, style="cyan")
    table.add_column("what")
    day = None
    for sequence, fact in facts:
        at = fact.at.astimezone(UTC)
        if at.date() != day:
            day = at.date()
            table.add_row("", Text(f"{day}", "bold"))
        table.add_row(f"{sequence}", f"{at:%H:%M:%S.%f}"[:-3], type(fact).__name__, Text(fact_line(fact)))
    return table


def stats_table(facts: "Iterable[NumberedFact]") -> "Table":
    """How many facts of each kind there are, with the first and the last time of each."""
    from rich.table import Table

    seen: dict[str, tuple[int, datetime, datetime]] = {}
    for _, fact in facts:
        count, first, last = seen.get(type(fact).__name__, (0, fact.at, fact.at))
        seen[type(fact).__name__] = (count + 1, min(first, fact.at), max(last, fact.at))
    total = sum(count for count, _, _ in seen.values())
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0), show_footer=True)
    table.add_column("kind", "all", no_wrap=True)
    table.add_column("facts", f"{total:,}", justify="right")
    table.add_column("first (UTC)", no_wrap=True)
    table.add_column("last (UTC)", no_wrap=True)
    for kind, (count, first, last) in sorted(seen.items(), key=lambda item: -item[1][0]):
        table.add_row(kind, f"{count:,}", f"{first:%Y-%m-%d %H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}")
    return table


def write_json_lines(facts: "Iterable[NumberedFact]", file: IO[str]) -> int:
    """One object a line: ``seq``, then the fact with its kind as ``type``; amounts are strings. Gives the count."""
    import msgspec

    count = 0
    for sequence, fact in facts:
        line = {"seq": sequence, **msgspec.to_builtins(fact)}
        file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        count += 1
    return count


def write_csv(facts: "Iterable[NumberedFact]", file: IO[str]) -> int:
    """A header and a row a fact, with the whole fact as JSON in the last column. Gives the count."""
    import msgspec

    from trader.cli.fact_lines import fact_line

    rows = csv.writer(file)
    rows.writerow(CSV_COLUMNS)
    count = 0
    for sequence, fact in facts:
        body = msgspec.json.encode(fact).decode()
        rows.writerow((sequence, fact.at.isoformat(), type(fact).__name__, fact_line(fact), body))
        count += 1
    return count
