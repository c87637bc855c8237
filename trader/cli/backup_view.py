"""What ``trader backup`` tells: what was made, which backups there are, whether they are whole, what to type next.

Rules: nothing is written. A figure is the manifest's, and the manifest's only where the backup was not verified.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trader.maintenance.backup import BackupError, Created, Entry, Manifest, Restored, verify
from trader.maintenance.backup.archive import read_manifest

if TYPE_CHECKING:
    from rich.console import RenderableType

UNITS: Final = (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000))


def facts_of(manifest: Manifest, size_bytes: int | None = None) -> dict[str, Any]:
    """What a backup holds, for JSON; amounts are strings."""
    books = manifest.books
    told = {
        "made_at": manifest.made_at,
        "mode": manifest.mode,
        "account": manifest.account,
        "version": manifest.version,
        "config_hash": manifest.config_hash,
        "last_sequence": books.last_sequence,
        "last_at": books.last_at,
        "facts": books.facts,
        "fills": books.fills,
        "positions": books.positions,
        "balances": books.balances,
        "open_orders": books.open_orders,
        "members": manifest.members,
        "lacks": manifest.lacks,
        "masked": manifest.masked,
    }
    return told if size_bytes is None else {"size_bytes": size_bytes, **told}


def created_lines(made: Created) -> Iterator[str]:
    """What was made, what it lacks, what was thinned out."""
    yield f"{made.path}"
    yield f"{books_line(made.manifest)}; {size(made.size_bytes)}, made and verified in {made.duration_s:.1f} s"
    yield from _remarks(made.manifest)
    if made.ahead:
        yield f"! {ahead_line(made)}"
    if made.removed:
        yield f"removed as older: {', '.join(made.removed)}"


def books_line(manifest: Manifest) -> str:
    """``48,213 facts, 52 fills; holds 100 SPY, -20 AAPL``."""
    books = manifest.books
    held = [f"{plain(position.quantity)} {symbol}" for symbol, position in books.positions.items() if position.quantity]
    orders = f", {len(books.open_orders)} open orders" if books.open_orders else ""
    return f"{books.last_sequence:,} facts, {books.fills:,} fills{orders}; holds {', '.join(held) or 'nothing'}"


def ahead_line(made: Created) -> str:
    """That other backups are dated later than one that was made just now."""
    return f"{', '.join(made.ahead)} is dated later than now, so it counts as the newest: was the clock wrong?"


def _remarks(manifest: Manifest) -> Iterator[str]:
    yield from (f"! {text}" for text in manifest.lacks)
    if manifest.masked:
        yield f"! secrets were replaced by stars in {', '.join(manifest.masked)}; keep them in files of their own"


def list_rows(there: Iterable[Entry]) -> list[dict[str, Any]]:
    """A row a backup, by its name and its manifest; ``problem`` where that cannot be read or a checksum is missing."""
    return [_row(entry) for entry in there]


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": entry.path.name,
        "made_at": entry.name.at,
        "mode": entry.name.mode,
        "account": entry.name.account,
        "size_bytes": entry.size_bytes,
        "problem": "" if entry.has_checksum else "its checksum is missing",
    }
    try:
        manifest = read_manifest(entry.path)
    except BackupError as error:
        return {**row, "problem": str(error).removeprefix(f"{entry.path} ")}
    return {**row, "last_sequence": manifest.books.last_sequence, "fills": manifest.books.fills}


def list_table(rows: Sequence[dict[str, Any]]) -> "RenderableType":
    """The rows of ``list_rows`` as a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("backup", no_wrap=True)
    for heading in ("facts", "fills", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in rows:
        counts = [f"{row[key]:,}" if key in row else "–" for key in ("last_sequence", "fills")]
        table.add_row(row["name"], *counts, size(row["size_bytes"]), Text(row["problem"], "red"))
    return table


def told_of(path: Path) -> dict[str, Any]:
    """What verifying ``path`` finds, for JSON; ``whole`` says whether it is what it was made as."""
    try:
        verified = verify(path)
    except BackupError as error:
        return {"path": str(path), "whole": False, "problem": str(error)}
    told = {"path": str(path), "whole": True, **facts_of(verified.manifest, verified.size_bytes)}
    return {**told, "line": books_line(verified.manifest)}


def verified_line(told: dict[str, Any]) -> str:
    """One line about a backup that was looked at."""
    return f"✓ {told['path']}: whole; {told['line']}" if told["whole"] else f"✗ {told['problem']}"


def restored_lines(done: Restored, to: Path | None) -> Iterator[str]:
    """What was restored, where the old state is, what to type next."""
    yield f"restored and verified: {done.journal}"
    yield f"as of {done.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC: {books_line(done.manifest)}"
    yield from (f"the old state is at {path}" for path in done.aside)
    for name in done.differs:
        yield f"! {Path(name).name} in the backup is not the one in force; see it with --to FOLDER"
    yield from _remarks(done.manifest)
    if to is None:
        yield "next: start the service, which asks the broker and goes on only when both agree"
    elif done.manifest.is_sqlite:
        yield f"next: trader journal stats --url sqlite:///{done.journal}"
    else:
        yield f"next: psql --single-transaction --file={done.journal} URL, into a database without a journal"


def size(count: int) -> str:
    """A number of bytes in its largest unit."""
    for unit, step in UNITS:
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} bytes"


def plain(value: Decimal) -> str:
    """A quantity without zeros behind it."""
    return f"{value.normalize():,f}" if value else "0"
