"""Daily: a backup of the journal and the configuration, made while the service trades, and verified.

Rules: the retention is the configuration's. A dry run makes nothing and says what there is.
"""

from importlib.metadata import version

from trader.maintenance.backup import BackupError, Created, Entry, Keep, Subject, create, entries
from trader.maintenance.context import Context
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit
from trader.settings import Settings

KEY = "backup"
TITLE = "Backup"
MEND = "trader backup create"


def keep_of(settings: Settings) -> Keep:
    """How many backups the configuration keeps."""
    wanted = settings.maintenance
    return Keep(daily=wanted.daily_backups, weekly=wanted.weekly_backups, monthly=wanted.monthly_backups)


def run(context: Context) -> Section:
    """Make the day's backup; a failure leaves everything as it was, and is a failed section."""
    subject = Subject.of(context.settings, context.config_file, version("ibkr-trading"))
    try:
        if context.dry_run:
            return _dry(entries(context.folders.backups))
        made = create(subject, context.folders.backups, keep_of(context.settings), context.clock)
        return section(made, entries(context.folders.backups))
    except BackupError as error:
        return Section(key=KEY, title=TITLE, outcome=Outcome.FAILED, sentence=str(error), mend=MEND)


def _dry(there: list[Entry]) -> Section:
    newest = f", the newest {there[0].path.name}" if there else ""
    sentence = f"a dry run makes no backup; there are {len(there)}{newest}"
    return Section(key=KEY, title=TITLE, outcome=Outcome.OK, sentence=sentence, tables=(_table(there),))


def section(made: Created, there: list[Entry]) -> Section:
    """What was made, and which backups there are now."""
    manifest = made.manifest
    figures = (
        Figure(label="Backup", value=made.path.name),
        Figure(label="Size", value=made.size_bytes, unit=Unit.BYTES),
        Figure(label="Made and verified in", value=made.duration_s, unit=Unit.SECONDS),
        Figure(label="Facts", value=manifest.books.last_sequence, unit=Unit.COUNT),
        Figure(label="Fills", value=manifest.books.fills, unit=Unit.COUNT),
        Figure(label="Backups kept", value=len(there), unit=Unit.COUNT),
    )
    notes = [f"removed as older: {name}" for name in made.removed]
    if manifest.masked:
        notes.append(f"secrets were replaced by stars in {', '.join(manifest.masked)}")
    warned = bool(manifest.lacks or made.not_removed or made.ahead)
    notes += [
        f"{name} is dated later than this one, so it counts as the newest: was the clock wrong?" for name in made.ahead
    ]
    if made.not_removed:
        notes.append(f"an older backup could not be removed: {made.not_removed}")
    return Section(
        key=KEY,
        title=TITLE,
        outcome=Outcome.WARNING if warned else Outcome.OK,
        sentence=f"{made.path.name} holds {manifest.books.last_sequence:,} facts, and was verified",
        figures=figures,
        tables=(_table(there),),
        notes=tuple(notes),
        missing=manifest.lacks,
    )


def _table(there: list[Entry]) -> Table:
    columns = (Column("Backup"), Column("Made", Unit.MOMENT), Column("Size", Unit.BYTES), Column("Checksum"))
    return Table.of(
        "Backups",
        columns,
        [(e.path.name, e.name.at, e.size_bytes, "there" if e.has_checksum else "missing") for e in there],
    )
