"""Monthly: the newest backup and a random older one, restored and compared with the live journal's books of that day.

Rules: a backup is restored into the job's scratch, checked by SQLite, folded, and its books compared with those that
the live journal comes to at the same fact. Which older one is tried is told by its seed. A journal that was restored
from an earlier point since has another history, which is said and is no damage. That there is no backup is a warning
until the daily job has made one, and a failure from then on.
"""

import random
import shutil
from collections.abc import Sequence
from typing import Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND
from trader.journal import JournalDamaged, JournalError, JournalReader
from trader.maintenance.backup import BackupError, Books, Entry, Manifest, entries, restore_to
from trader.maintenance.backup.books import difference, fold, same_history, up_to
from trader.maintenance.backup.folder import of_books
from trader.maintenance.context import Context
from trader.maintenance.metrics import read_records
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit, Value, worst

KEY: Final = "backup_verification"
TITLE: Final = "Backups restored and compared"
SEEDS: Final = 2**32
MEND: Final = "trader backup verify --all"
CREATE: Final = "trader backup create"
BACKUP: Final = "backup"
"""The daily task that makes them."""
COLUMNS: Final = (
    Column("Backup"),
    Column("Made", Unit.MOMENT),
    Column("Facts", Unit.COUNT),
    Column("Fills", Unit.COUNT),
    Column("Positions", Unit.COUNT),
    Column("Took", Unit.SECONDS),
    Column("Found"),
)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One backup that was tried; ``manifest`` is None when it could not be restored."""

    entry: Entry
    outcome: Outcome
    found: str
    took_s: float
    manifest: Manifest | None = None


def run(context: Context) -> Section:
    """Restore two backups into scratch and compare them with the live journal."""
    settings = context.settings
    try:
        there = of_books(entries(context.folders.backups), settings.mode, settings.account)
    except BackupError as error:
        return Section(key=KEY, title=TITLE, outcome=Outcome.FAILED, sentence=str(error), mend=MEND)
    if not there:
        return _none_there(context)
    seed = random.SystemRandom().randrange(SEEDS)
    chosen = choose(there, seed)
    if context.dry_run:
        sentence = f"a dry run restores nothing; it would be {' and '.join(entry.path.name for entry in chosen)}"
        return Section(key=KEY, title=TITLE, outcome=Outcome.OK, sentence=sentence)
    return section([_try(context, entry) for entry in chosen], len(there), seed)


def _none_there(context: Context) -> Section:
    """Before the first backup there is nothing to verify; after it, its absence is a loss."""
    records, note = read_records(context.settings.maintenance.work_folder, context.clock.now())
    made = records[BACKUP].last_success if BACKUP in records else None
    sentence = f"there is no backup of these books in {context.folders.backups}, so none can be verified"
    if made is not None:
        sentence += f"; the daily job made one at {made:%Y-%m-%d %H:%M} UTC: it was moved or deleted since"
    return Section(
        key=KEY, title=TITLE, outcome=Outcome.WARNING if made is None else Outcome.FAILED, sentence=sentence,
        missing=(note,) if note else (), mend=CREATE,
    )  # fmt: skip


def choose(there: Sequence[Entry], seed: int) -> tuple[Entry, ...]:
    """The newest of ``there``, which are the newest first, and one of the others by ``seed``."""
    if len(there) == 1:
        return (there[0],)
    return (there[0], random.Random(seed).choice(there[1:]))


def _try(context: Context, entry: Entry) -> Trial:
    begun_ns = context.clock.monotonic_ns()
    folder = context.folders.scratch / entry.path.name
    manifest: Manifest | None = None
    try:
        manifest = restore_to(entry.path, folder).manifest
        outcome, found = against_live(manifest, context.settings.journal.url)
    except BackupError as error:
        outcome, found = Outcome.FAILED, str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # so that there has to be room for one at a time
    took_s = (context.clock.monotonic_ns() - begun_ns) / NANOSECONDS_PER_SECOND
    return Trial(entry=entry, outcome=outcome, found=found, took_s=took_s, manifest=manifest)


def against_live(manifest: Manifest, journal_url: str) -> tuple[Outcome, str]:
    """Whether the live journal comes to the manifest's books at the manifest's last fact, and how not."""
    try:
        live = books_at(journal_url, manifest.books.last_sequence, manifest.books.base_currency)
    except (BackupError, JournalDamaged) as error:
        return Outcome.FAILED, f"whole, but the live journal is not: {error}"
    except JournalError as error:
        return Outcome.UNKNOWN, f"whole; not compared, because the live journal cannot be read: {error}"
    return compare(manifest.books, live)


def books_at(journal_url: str, last_sequence: int, base_currency: str) -> Books:
    """The books that the live journal comes to at a fact; raises JournalError, BackupDamaged when not whole."""
    with JournalReader.open(journal_url) as journal:
        return fold(up_to(journal.read(), last_sequence), base_currency, "the live journal")


def compare(backup: Books, live: Books) -> tuple[Outcome, str]:
    """The verdict on a whole backup, by the live journal's books at the same fact."""
    if not same_history(backup, live):
        return Outcome.WARNING, (
            f"whole, but the live journal has another fact {backup.last_sequence}: it was restored from an earlier "
            "point since, or is another journal"
        )
    wrong = difference(backup, live)
    if wrong:
        return Outcome.FAILED, f"whole, but the live journal comes to other books at the same fact: {wrong}"
    return Outcome.OK, "whole; its books are those of the live journal at the same fact"


def section(trials: Sequence[Trial], there: int, seed: int) -> Section:
    """What the trials found."""
    outcome = worst(trial.outcome for trial in trials)
    bad = [trial for trial in trials if trial.outcome is not Outcome.OK]
    if bad:
        sentence = f"{bad[0].entry.path.name}: {bad[0].found}"
    else:
        number = "one backup" if len(trials) == 1 else f"{len(trials)} backups"
        sentence = f"{number} restored, folded, and found to be the live journal's books of that day"
    return Section(
        key=KEY,
        title=TITLE,
        outcome=outcome,
        sentence=sentence,
        figures=(
            Figure(label="Backups there", value=there, unit=Unit.COUNT),
            Figure(label="Restored and compared", value=len(trials) - len(bad), unit=Unit.COUNT, outcome=outcome),
            Figure(label="Seed of the choice", value=str(seed)),
        ),
        tables=(Table.of("Restored", COLUMNS, [_row(trial) for trial in trials]),),
        missing=tuple(trial.found for trial in trials if trial.outcome is Outcome.UNKNOWN),
        mend=MEND if outcome is Outcome.FAILED else "",
    )


def _row(trial: Trial) -> tuple[Value, ...]:
    books = trial.manifest.books if trial.manifest is not None else None
    return (
        trial.entry.path.name,
        trial.entry.name.at,
        books.last_sequence if books else None,
        books.fills if books else None,
        sum(1 for position in books.positions.values() if position.quantity) if books else None,
        trial.took_s,
        trial.found,
    )
