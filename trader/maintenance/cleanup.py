"""Weekly: old logs and recordings are deleted, by age and by size, and everything that was is listed.

Rules: only below ``logs`` and in the recordings' folder, where only recordings are deleted. Never the journal, the
configuration, a backup (``trader backup`` keeps those) or a report (kept by number). Links are not followed. A dry
run lists. While the clock is known to be wrong nothing is deleted for its age.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from trader.doctor import Verdict
from trader.doctor.model import Absent, NotVisible
from trader.doctor.system import clock as judged_clock
from trader.maintenance.context import Context
from trader.maintenance.ground import (
    Deletion,
    Found,
    Ground,
    Identity,
    Refused,
    delete,
    identity_of,
    remove_empty,
    survey,
)
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit
from trader.maintenance.plain import plain
from trader.maintenance.show import bytes_text
from trader.maintenance.surplus import Limits, Surplus, choose
from trader.recorder.files import NAME as RECORDING
from trader.settings import Settings

KEY: Final = "cleanup"
TITLE: Final = "Logs and reports cleaned up"
LOGS: Final = "logs"
DATABASE_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
PROBLEMS_MAX: Final = 20


class Area(NamedTuple):
    """A folder that is cleaned up; ``recordings_only``: no other files of it are looked at."""

    name: str
    root: Path
    limits: Limits
    recordings_only: bool = False


@dataclass
class Cleaned:
    """One area, after it was cleaned up or, in a dry run, before."""

    area: Area
    ground: Ground
    surplus: list[Surplus]
    deleted: list[Surplus] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def freed_bytes(self) -> int:
        return sum(item.file.size_bytes for item in self.deleted)


def run(context: Context) -> Section:
    """Clean up every area; one that may not be cleaned is told and left."""
    by_age = not _clock_is_wrong(context)
    protected = protected_of(context)
    cleaned: list[Cleaned] = []
    refused: list[str] = []
    absent: list[str] = []
    for area in areas_of(context):
        try:
            cleaned.append(_clean(context, area, protected, by_age=by_age))
        except Refused as error:
            (absent if error.absent else refused).append(f"{area.name}: {plain(area.root)}: {error}")
    return section(cleaned, refused, absent, by_age=by_age, dry_run=context.dry_run)


def areas_of(context: Context) -> list[Area]:
    """The folders that this configuration has. ``logs`` is the folder of that name around the reports."""
    settings, reports = context.settings, context.folders.reports
    roots = [reports.parent] if reports.parent.name == LOGS else []
    if context.place.site.config == context.config_file:
        roots.append(context.place.site.base / LOGS)
    wanted = settings.maintenance
    limits = Limits(timedelta(days=wanted.log_days), wanted.log_max_bytes)
    areas = [Area("Logs", root, limits) for root in dict.fromkeys(roots)]
    recordings = settings.recorder.directory
    if recordings is not None:
        areas.append(Area("Recordings", recordings, Limits(timedelta(days=settings.recorder.keep_days)), True))
    return areas


def protected_of(context: Context) -> frozenset[Identity]:
    """What is never deleted and, of folders, never gone into; by what it is and not by its name."""
    settings, folders = context.settings, context.folders
    paths = [
        context.config_file, context.config_file.parent, settings.panic.flag, settings.control.socket,
        settings.maintenance.work_folder, folders.reports, folders.backups, *_journal_files(context),
        *_secret_files(settings),
    ]  # fmt: skip
    journal = context.journal_file
    if journal is not None:
        paths.append(journal.parent)
    if folders.textfile is not None:
        paths.append(folders.textfile)
    return frozenset(identity for path in paths if (identity := identity_of(path)) is not None)


def _journal_files(context: Context) -> list[Path]:
    journal = context.journal_file
    return [] if journal is None else [journal.with_name(journal.name + suffix) for suffix in DATABASE_SUFFIXES]


def _secret_files(settings: Settings) -> list[Path]:
    named = (settings.tracing.otlp_token_file, settings.policy.token_file)
    return [path for path in named if path is not None]


def _clock_is_wrong(context: Context) -> bool:
    try:
        return judged_clock(context.place).verdict is Verdict.FAILED
    except (NotVisible, Absent):
        return False


def _clean(context: Context, area: Area, protected: frozenset[Identity], *, by_age: bool) -> Cleaned:
    ground = survey(area.root, protected)
    if area.recordings_only:
        ground.files = [file for file in ground.files if len(file.parts) == 1 and RECORDING.fullmatch(file.name)]
    journal = context.journal_file
    if journal is not None:  # by its name too: a copy of it is not ours to judge
        ground.files = [file for file in ground.files if not file.name.startswith(journal.name)]
    limits = area.limits if by_age else area.limits._replace(keep=None)
    surplus = choose(ground.files, limits, context.clock.now().timestamp())
    done = Cleaned(area, ground, surplus)
    if not context.dry_run:
        for item in surplus:
            _delete(done, item)
    return done


def _delete(done: Cleaned, item: Surplus) -> None:
    root, file = done.area.root, item.file
    try:
        ended = delete(root, file)
    except OSError as error:
        done.problems.append(f"{plain(_path(root, file))} cannot be deleted ({error.strerror})")
        return
    if ended is Deletion.DELETED:
        done.deleted.append(item)
        remove_empty(root, file.parts)


def _path(root: Path, file: Found) -> Path:
    return root.joinpath(*file.parts)


def section(cleaned: list[Cleaned], refused: list[str], absent: list[str], *, by_age: bool, dry_run: bool) -> Section:
    """What was deleted, or would be, and what could not be. Folders that are ``absent`` are no fault."""
    told = [item for one in cleaned for item in (one.surplus if dry_run else one.deleted)]
    size_bytes = sum(item.file.size_bytes for item in told)
    problems = [text for one in cleaned for text in (*one.problems, *map(plain, one.ground.problems))]
    above = [text for one in cleaned if (text := _above(one, dry_run=dry_run))]
    notes = [*_clock_note(by_age), *above, *problems[:PROBLEMS_MAX]]
    if len(problems) > PROBLEMS_MAX:
        notes.append(f"and {len(problems) - PROBLEMS_MAX:,} more that could not be looked at or deleted")
    verb = "would be deleted" if dry_run else "deleted"
    files = "one file" if len(told) == 1 else f"{len(told):,} files"
    sentence = f"{files} of {_amount(size_bytes)} {verb}" if told else f"nothing {'would be' if dry_run else 'was'} due"
    return Section(
        key=KEY,
        title=TITLE,
        outcome=Outcome.WARNING if notes or refused else Outcome.OK,
        sentence=f"{sentence}; {problems[0]}" if problems else sentence,
        figures=(
            Figure(label=f"Files {verb}", value=len(told), unit=Unit.COUNT),
            Figure(label=f"Size of what {'would be' if dry_run else 'was'} deleted", value=size_bytes, unit=Unit.BYTES),
        ),
        tables=(_areas_table(cleaned, dry_run=dry_run), _files_table(cleaned, verb, dry_run=dry_run)),
        notes=(*notes, "Reports are kept by number and backups by trader backup; neither is deleted here."),
        missing=(*refused, *absent),
    )


def _amount(size_bytes: int) -> str:
    return bytes_text(float(size_bytes))


def _clock_note(by_age: bool) -> list[str]:
    return [] if by_age else ["The clock is not synchronised, so nothing was deleted for its age."]


def _above(one: Cleaned, *, dry_run: bool) -> str:
    """That an area stays too large all the same."""
    limit = one.area.limits.size_max_bytes
    left = one.ground.size_bytes - sum(item.file.size_bytes for item in (one.surplus if dry_run else one.deleted))
    if one.ground.cut:
        return f"{plain(one.area.root)} holds more files than are looked at ({len(one.ground.files):,})"
    if limit is None or left <= limit:
        return ""
    return f"{plain(one.area.root)} still holds {_amount(left)}, above {_amount(limit)}: the newest files are kept"


def _areas_table(cleaned: list[Cleaned], *, dry_run: bool) -> Table:
    verb = "To be deleted" if dry_run else "Deleted"
    columns = (
        Column("What"), Column("Folder"), Column("Files", Unit.COUNT), Column("Size", Unit.BYTES),
        Column(verb, Unit.COUNT), Column("Freed", Unit.BYTES), Column("Kept for"), Column("At most", Unit.BYTES),
    )  # fmt: skip
    rows = []
    for one in cleaned:
        told, limits = (one.surplus if dry_run else one.deleted), one.area.limits
        rows.append(
            (
                one.area.name,
                plain(one.area.root),
                len(one.ground.files),
                one.ground.size_bytes,
                len(told),
                sum(item.file.size_bytes for item in told),
                f"{limits.keep.days} days" if limits.keep is not None else None,
                limits.size_max_bytes,
            )
        )
    return Table.of("Folders", columns, rows)


def _files_table(cleaned: list[Cleaned], verb: str, *, dry_run: bool) -> Table:
    columns = (Column("File"), Column("Size", Unit.BYTES), Column("Written", Unit.MOMENT), Column("Why"))
    rows = [
        (
            plain(_path(one.area.root, item.file)),
            item.file.size_bytes,
            datetime.fromtimestamp(item.file.modified_s, UTC),
            str(item.reason),
        )
        for one in cleaned
        for item in (one.surplus if dry_run else one.deleted)
    ]
    return Table.of(f"Files {verb}", columns, rows)
