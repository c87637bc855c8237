"""The reference of every key, as Markdown, written from the models and the texts beside their fields."""

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from trader import settings
from trader.settings import Settings
from trader.settings_file.problems import KeyPath, dotted
from trader.settings_file.schema import is_reloadable, section_of

HEADER: Final = """\
<!-- DO NOT EDIT: written from trader/settings.py by `trader check --reference > docs/configuration.md` -->

# Configuration reference

`config.yaml` holds every setting; `config.example.yaml` is a complete one with comments. Only `instruments`
has to be given. `trader check config.yaml` names everything that is wrong at once, with its line, and prints
the settings in force.

- An unknown key is an error. `true` and `false` are the only flags; text that looks like a number is quoted.
- A relative path lies beside the configuration file.
- Amounts are in `base_currency`; `_s` is seconds, `_bytes` bytes, `_ratio` a share between 0 and 1.
- A key marked *reload* may change while the service runs (`trader reload`, SIGHUP). A reload that changes
  any other key, or is not valid as a whole, is refused with its reasons, and the old settings stay.
- Secrets are in files that only the service's user can read, or come as systemd credentials: `credential:NAME` in
  place of a secret's file means the one that the unit passes by `LoadCredential=NAME:FILE`.
"""

BOUNDS: Final = (
    ("gt", "> {}"), ("ge", "≥ {}"), ("lt", "< {}"), ("le", "≤ {}"),
    ("min_length", "at least {} long"), ("max_length", "at most {} long"), ("pattern", "`{}`"),
)  # fmt: skip
KINDS: Final = {bool: "flag", int: "whole number", float: "number", Decimal: "number", str: "text", Path: "path"}


def reference() -> str:
    """The whole page."""
    return HEADER + "".join(_sections())


def _sections() -> Iterator[str]:
    yield _section("Top level", Settings, ())
    for name, field in Settings.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            yield _section(f"`{name}`", section, (name,))


def _section(title: str, model: type[BaseModel], prefix: KeyPath) -> str:
    about = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(model.__doc__ or ""))
    lines = [f"\n## {title}\n", about, "\n| key | value | default | meaning |", "|---|---|---|---|"]
    lines += [_row(model, name, field, (*prefix, name)) for name, field in model.model_fields.items()]
    return "\n".join(lines) + "\n"


def _row(model: type[BaseModel], name: str, field: FieldInfo, path: KeyPath) -> str:
    meaning = texts().get((model.__name__, name), "")
    if section_of(field.annotation) is not None and not meaning:
        meaning = f"Section [`{name}`](#{name})."
    mark = " *reload*" if section_of(field.annotation) is None and is_reloadable(path) else ""
    cells = (f"`{dotted(path)}`", _value(field), _default(field), f"{meaning}{mark}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(field: FieldInfo) -> str:
    bounds = [text.format(_bound(limit)) for limit, text in _limits(field.metadata)]
    return ", ".join([_kind(field.annotation), *bounds])


def _limits(metadata: list[Any]) -> Iterator[tuple[Any, str]]:
    for item in metadata:
        for name, text in BOUNDS:
            limit = getattr(item, name, None)
            if limit is not None:
                yield limit, text


def _bound(limit: Any) -> str:
    return f"{limit:,}" if isinstance(limit, int) and limit >= 10_000 else str(limit)


def _kind(annotation: Any) -> str:
    if section_of(annotation) is not None:
        return "list" if typing.get_origin(annotation) is tuple else "section"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " / ".join(f"`{member.value}`" for member in annotation)
    if typing.get_origin(annotation) is Literal:
        return " / ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) is dict:
        return "section"
    kinds = [KINDS[each] for each in (annotation, *typing.get_args(annotation)) if each in KINDS]
    return kinds[0] if kinds else "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) or default in (PydanticUndefined, {}):
        return ""
    if default is None or default == "":
        return "not set"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@cache
def texts() -> dict[tuple[str, str], str]:
    """The text below each field of the models: (class, field) → one paragraph."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(settings)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                paragraph = " ".join(str(ast.literal_eval(text.value)).split())
                found[node.name, field.target.id] = paragraph
    return found
