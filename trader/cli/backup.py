"""``trader backup create | list | verify | restore``: copies of the books, and the books brought back.

Rules: works beside a running service, but for the restore of live state, which is refused while one runs. Nothing is
overwritten: old state is moved aside, and only by an explicit option. Exit code 0 when what was asked is done and
verified, 1 when it failed or a backup is damaged, 2 when it cannot be done as things are; what failed changed nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from trader.cli.plumbing import (
    DEFAULT_CONFIG,
    EXIT_FAILED,
    EXIT_UNUSABLE,
    ConfigOption,
    JsonOption,
    fail,
    settings_to_ask_by,
)

if TYPE_CHECKING:
    from trader.maintenance.backup import Restored, Subject
    from trader.settings import Settings

NEEDED: Final = ("mode", "account", "base_currency", "journal", "session", "control", "maintenance")

FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="The folder of the backups instead of the configuration's.")
]
BackupsArgument = Annotated[
    list[str] | None, typer.Argument(help="Names or paths of backups, or newest (which is the default).")
]
BackupArgument = Annotated[str, typer.Argument(help="The name or path of a backup, or newest.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every backup in the folder.")]
ToOption = Annotated[
    Path | None, typer.Option("--to", help="Restore everything into this new folder; no state changes.")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Move the journal that is there aside, then restore.")]

app = typer.Typer(
    help="Backups of the journal and the configuration: make, list, verify, restore.", no_args_is_help=True
)


def register(parent: typer.Typer) -> None:
    """Add ``trader backup …`` to the command line."""
    parent.add_typer(app, name="backup")


@app.command("create")
def create_command(
    config: ConfigOption = DEFAULT_CONFIG, folder: FolderOption = None, as_json: JsonOption = False
) -> None:
    """Make a backup now, verify it, and thin out older ones; the service goes on trading."""
    from trader.cli.backup_view import created_lines, facts_of
    from trader.clock import SystemClock
    from trader.maintenance.backup import BackupError, create
    from trader.maintenance.backup_task import keep_of

    settings = _settings(config)
    try:
        made = create(_subject(settings, config), _folder(settings, folder), keep_of(settings), SystemClock())
    except BackupError as error:
        _fail(error)
    if as_json:
        _show_json({"path": str(made.path), **facts_of(made.manifest, made.size_bytes), "removed": made.removed})
    else:
        for line in created_lines(made):
            typer.echo(line)
    if made.not_removed:
        typer.echo(f"an older backup could not be removed: {made.not_removed}", err=True)


@app.command("list")
def list_command(
    config: ConfigOption = DEFAULT_CONFIG, folder: FolderOption = None, as_json: JsonOption = False
) -> None:
    """Show the backups, the newest first, by what they say of themselves; ``verify`` says whether it is true."""
    from rich.console import Console

    from trader.cli.backup_view import list_rows, list_table
    from trader.maintenance.backup import BackupError, entries

    place = folder or _folder(_settings(config), None)
    try:
        there = entries(place)
    except BackupError as error:
        _fail(error)
    rows = list_rows(there)
    if as_json:
        _show_json(rows)
    elif rows:
        Console().print(list_table(rows))
    else:
        typer.echo(f"there is no backup in {place}; make one with: trader backup create")


@app.command("verify")
def verify_command(
    backups: BackupsArgument = None,
    every: AllOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every byte: checksums, the journal's integrity, and the books that its facts come to."""
    from trader.cli.backup_view import told_of, verified_line
    from trader.maintenance.backup import BackupError, entries, find

    place = folder or _folder(_settings(config), None)
    try:
        if every:
            asked = [entry.path for entry in entries(place)]
        else:
            asked = [find(place, text) for text in backups or ["newest"]]
    except BackupError as error:
        _fail(error)
    told = [told_of(path) for path in asked]
    if as_json:
        _show_json(told)
    else:
        for each in told:
            typer.echo(verified_line(each), err=not each["whole"])
        if not told:
            typer.echo(f"there is no backup in {place}; make one with: trader backup create")
    raise typer.Exit(0 if all(each["whole"] for each in told) else EXIT_FAILED)


@app.command("restore")
def restore_command(
    backup: BackupArgument,
    to: ToOption = None,
    replace: ReplaceOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the journal back, or everything into a folder; state that is there is moved aside, never deleted."""
    from trader.cli.backup_view import facts_of, restored_lines
    from trader.maintenance.backup import BackupError

    try:
        if to is None:
            done = _restore_state(_settings(config), config, folder, backup, replace)
        else:
            done = _restore_to(config, folder, backup, to)
    except BackupError as error:
        _fail(error)
    if as_json:
        aside = [str(file) for file in done.aside]
        _show_json({"journal": str(done.journal), "aside": aside, "differs": done.differs, **facts_of(done.manifest)})
    else:
        for line in restored_lines(done, to):
            typer.echo(line)


def _restore_to(config: Path, folder: Path | None, backup: str, to: Path) -> "Restored":
    """Needs no configuration when it is said where the backup is: it may be what was lost."""
    from trader.maintenance.backup import find, restore_to

    if folder is None and not Path(backup).is_file():
        folder = _folder(_settings(config), None)
    return restore_to(find(folder or Path(), backup), to)


def _restore_state(settings: "Settings", config: Path, folder: Path | None, backup: str, replace: bool) -> "Restored":
    from trader.clock import SystemClock
    from trader.maintenance.backup import find, restore_state

    path = find(_folder(settings, folder), backup, settings.mode, settings.account)
    subject = _subject(settings, config)
    return restore_state(path, subject, settings.control.socket, SystemClock(), replace=replace)


def _settings(config: Path) -> "Settings":
    return settings_to_ask_by(config, *NEEDED)


def _subject(settings: "Settings", config: Path) -> "Subject":
    from importlib.metadata import version

    from trader.maintenance.backup import Subject

    return Subject.of(settings, config.absolute(), version("ibkr-trading"))


def _folder(settings: "Settings", folder: Path | None) -> Path:
    return folder.absolute() if folder is not None else settings.maintenance.backups_folder


def _fail(error: Exception) -> NoReturn:
    from trader.maintenance.backup import BackupRefused

    fail(str(error), EXIT_UNUSABLE if isinstance(error, BackupRefused) else EXIT_FAILED)


def _show_json(value: object) -> None:
    from trader.cli.status import as_pretty_json

    typer.echo(as_pretty_json(value))
