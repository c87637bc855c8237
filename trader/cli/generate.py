"""``trader generate``: write the files that are made from others: rules, their tests, dashboards, units, references.

Rules: the list of what is generated is ``observability.generate.ARTIFACTS``; the reference of the configuration is
added here, because it is made from the settings. With ``--check`` nothing is written.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader.cli.plumbing import EXIT_FAILED, EXIT_UNUSABLE, fail

if TYPE_CHECKING:
    from observability.generate import Artifact, Files

REFERENCE = Path("docs/configuration.md")


def register(parent: typer.Typer) -> None:
    """Add ``trader generate`` to the command line."""
    parent.command("generate")(generate_command)


def artifacts() -> "tuple[Artifact, ...]":
    """Everything that is generated."""
    from observability.generate import ARTIFACTS, Artifact

    return (*ARTIFACTS, Artifact("reference of the configuration", _reference))


def generate_command(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 when a file is not current.")
    ] = False,
    root: Annotated[Path, typer.Option(help="The checkout.")] = Path(),
) -> None:
    """Write every generated file that is not current, or name those that are not."""
    from observability.generate import SPEC, stale, write
    from observability.slo import SpecError
    from observability.units import UnitTemplateError

    if not (root / SPEC).exists():
        fail(f"{root / SPEC} does not exist; run this in a checkout, or name one with --root", EXIT_UNUSABLE)
    changed = 0
    for artifact in artifacts():
        try:
            files = artifact.render(root)
        except (SpecError, UnitTemplateError, ImportError) as error:
            fail(f"{artifact.name} cannot be generated: {error}", EXIT_UNUSABLE)
        for difference in stale(root, files):
            changed += 1
            typer.echo(f"{difference.path}: {'not current' if check else 'written'}\n{difference.text}")
            if not check:
                write(root, difference, files)
    if check and changed:
        fail(f"{changed} generated files are not current; run: trader generate", EXIT_FAILED)
    if not changed:
        typer.echo("all generated files are current")


def _reference(_root: Path) -> "Files":
    from trader.settings_file import reference

    return {REFERENCE: reference()}
