"""What commands share: the configuration option, and failures as one sentence with an exit code."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeAlias

import typer

if TYPE_CHECKING:
    from trader.settings import Settings

EXIT_FAILED = 1
EXIT_UNUSABLE = 2

CONFIG_VARIABLE = "TRADER_CONFIG"
ConfigOption: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="The configuration file.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT_CONFIG = Path("config.yaml")


def fail(sentence: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say ``sentence`` on stderr, in the journal as an error, and end the command."""
    prefix = "<3>ERROR " if _is_in_journal() else ""
    typer.echo("\n".join(prefix + line for line in sentence.splitlines()), err=True)
    raise typer.Exit(code)


def _is_in_journal() -> bool:
    if "JOURNAL_STREAM" not in os.environ:
        return False
    from observability.logs import is_journal_stream

    return is_journal_stream()


@contextmanager
def failing(*errors: type[Exception]) -> Iterator[None]:
    """Turn the named errors, whose text is made for people, into that text and an exit code."""
    try:
        yield
    except errors as error:
        fail(str(error))


def settings_from(path: Path, exit_code: int = EXIT_UNUSABLE) -> "Settings":
    """The settings in ``path``; one that cannot be used ends the command with every problem and ``exit_code``."""
    from trader.settings_file import ConfigurationError, load_settings

    try:
        return load_settings(path)
    except ConfigurationError as error:
        fail(str(error), exit_code)


def settings_to_ask_by(path: Path, *needed: str, tell: bool = True) -> "Settings":
    """The settings in ``path`` for asking a running service or its journal, which needs little of them.

    The service goes on with its configuration while somebody edits the file, so a mistake outside of the ``needed``
    sections is said, unless ``tell`` is off, and does not keep anybody from looking or from halting.
    """
    from trader.settings import Settings
    from trader.settings_file import ConfigurationError, load_settings

    try:
        return load_settings(path)
    except ConfigurationError as error:
        sections = {problem.key.partition(".")[0].partition("[")[0] for problem in error.problems}
        if error.rest is None or sections & set(needed) or not sections <= Settings.model_fields.keys():
            fail(str(error), EXIT_UNUSABLE)
        if tell:
            typer.echo(str(error), err=True)
        return error.rest
