"""The models seen as a tree of keys: which keys a section has, what kind of value each takes."""

import types
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trader.settings import Settings
from trader.settings_file.problems import KeyPath, dotted


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model that ``annotation`` holds, directly or as the items of a sequence."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        section = section_of(argument)
        if section is not None:
            return section
    return None


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field that a key path means; None when there is none."""
    model: type[BaseModel] | None = Settings
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return None
        field = model.model_fields[part]
        model = section_of(field.annotation)
    return field


def takes(field: FieldInfo, kind: type) -> bool:
    """Whether a value of exactly ``kind`` is among what the field is declared to hold."""
    annotation = field.annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return kind in typing.get_args(annotation)
    return annotation is kind


def keys(model: type[BaseModel] = Settings, prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every key path that holds a value rather than a section, in the order of the models."""
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is None:
            yield (*prefix, name), field
        else:
            yield from keys(section, (*prefix, name))


def similar_key(path: KeyPath) -> str | None:
    """The key that the unknown key at ``path`` probably means: beside it, else in another section."""
    name = str(path[-1])
    parent = field_at(path[:-1]) if len(path) > 1 else None
    model = section_of(parent.annotation) if parent is not None else Settings
    if model is not None:
        close = get_close_matches(name, model.model_fields, n=1, cutoff=0.6)
        if close:
            return dotted((*path[:-1], close[0]))
    elsewhere = [dotted(known) for known, _ in keys() if known[-1] == name]
    return elsewhere[0] if elsewhere else None


def is_reloadable(path: KeyPath) -> bool:
    """Whether the key may change while the service runs, by its own mark or its section's."""
    model: type[BaseModel] = Settings
    for part in path:
        if _marked(model.model_config.get("json_schema_extra")):
            return True
        field = model.model_fields[str(part)]
        if _marked(field.json_schema_extra):
            return True
        model = section_of(field.annotation) or model
    return False


def _marked(extra: Any) -> bool:
    return isinstance(extra, dict) and bool(extra.get("reloadable"))
