"""From the file's values to settings, with every problem found in one run.

Rules: the models say what is valid. They stop at the first contradiction between values when single values
are wrong too, so those are set aside and the rest is judged again, until nothing new is found. What is
reported is only ever what the file says, not what setting a value aside has caused.
"""

import copy
import re
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trader.settings import Settings
from trader.settings_file.document import Document, read_document
from trader.settings_file.paths import resolve_paths, socket_problem
from trader.settings_file.problems import ConfigurationError, KeyPath, Problem, in_order
from trader.settings_file.schema import field_at, section_of, takes
from trader.settings_file.wording import sentence, shown

ROUNDS_MAX: Final = 6
KEY_PREFIX: Final = re.compile(r"^(?P<key>[a-z_.]+): (?P<text>.*)$", re.DOTALL)


def load_settings(path: Path) -> Settings:
    """The settings in the file at ``path``, paths made absolute; raises ConfigurationError with every problem."""
    document = read_document(path)
    settings, problems = _judge(document)
    problems = [*document.problems, *problems]
    if settings is not None:
        settings = resolve_paths(settings, path)
        too_long = socket_problem(settings)
        if too_long:
            problems.append(document.problem(("control", "socket"), too_long))
    if problems or settings is None:
        raise ConfigurationError(in_order(problems), settings)
    return settings


def _judge(document: Document) -> tuple[Settings | None, list[Problem]]:
    """Settings without the values that are wrong, when anything is left, and what is wrong with those."""
    values = copy.deepcopy(document.values)
    problems = _flags_for_numbers(document, values, ())
    settings, more = _rounds(document, values)
    return settings, [*problems, *more]


def _rounds(document: Document, values: Any) -> tuple[Settings | None, list[Problem]]:
    problems: list[Problem] = []
    set_aside: set[KeyPath] = set()
    for _ in range(ROUNDS_MAX):
        try:
            settings = Settings.model_validate(values)
        except ValidationError as error:
            errors = [(_path(detail), detail) for detail in error.errors(include_url=False)]
            fresh = [(path, detail) for path, detail in errors if not _caused(path, detail, set_aside)]
            if not fresh:
                return None, problems
            for path, detail in fresh:
                problems += _problems(document, path, detail)
                set_aside.add(path)
            for path in sorted({path for path, _ in fresh}, key=str, reverse=True):
                _set_aside(values, path)
        else:
            return settings, problems
    return None, problems


def _path(detail: ErrorDetails) -> KeyPath:
    return detail["loc"]


def _caused(path: KeyPath, detail: ErrorDetails, set_aside: set[KeyPath]) -> bool:
    """Whether an error was reported before, or says only that a value which was set aside is gone."""
    if path in set_aside or _counts_wrong_items(detail):
        return True
    is_contradiction = detail["type"] == "value_error" and isinstance(detail["input"], dict)
    return is_contradiction and any(gone[:-1] == path and _holds_a_value(gone) for gone in set_aside)


def _counts_wrong_items(detail: ErrorDetails) -> bool:
    """Whether a list is too short only because its items are wrong, which is told of each of them."""
    items = detail["input"]
    return detail["type"] == "too_short" and isinstance(items, (list, tuple)) and len(items) > 0


def _holds_a_value(path: KeyPath) -> bool:
    field = field_at(path)
    return field is not None and section_of(field.annotation) is None


def _problems(document: Document, path: KeyPath, detail: ErrorDetails) -> list[Problem]:
    """One problem, or several when a section's values contradict each other in several ways."""
    if detail["type"] != "value_error":
        return [document.problem(path, sentence(detail, path))]
    problems = []
    for line in sentence(detail, path).splitlines():
        match = KEY_PREFIX.match(line)
        key = tuple(match["key"].split(".")) if match else ()
        if match and field_at((*path, *key)) is not None:
            problems.append(document.problem((*path, *key), match["text"]))
        else:
            problems.append(document.problem(path, line))
    return problems


def _set_aside(values: Any, path: KeyPath) -> None:
    """Take the value at ``path`` out, so that its default takes its place; an item of a list gets a stand-in."""
    if not path:
        _set_contradictions_aside(values)
        return
    inside = values
    for part in path[:-1]:
        try:
            inside = inside[part]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if isinstance(inside, list) and isinstance(last, int) and last < len(inside):
        inside[last] = f"item {last}"
    elif isinstance(inside, dict) and last in inside:
        field = field_at(path)
        if field is not None and field.annotation is str and not isinstance(inside[last], str):
            inside[last] = str(inside[last])
        else:
            del inside[last]


def _set_contradictions_aside(values: Any) -> None:
    """Take out what sections can only contradict each other in: mode and account, and symbols listed twice."""
    if not isinstance(values, dict):
        return
    values.pop("mode", None)
    values.pop("account", None)
    instruments = values.get("instruments")
    if isinstance(instruments, list):
        by_symbol = {str(item["symbol"] if isinstance(item, dict) else item): item for item in instruments}
        values["instruments"] = list(by_symbol.values())


def _flags_for_numbers(document: Document, values: Any, path: KeyPath) -> list[Problem]:
    """Problems with ``true`` and ``false`` where no flag is wanted; they would count as 1 and 0. Set aside here."""
    problems: list[Problem] = []
    if path[:2] == ("strategy", "parameters"):
        return problems
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(items):
        here = (*path, key)
        field = field_at(here)
        if isinstance(value, (dict, list)):
            problems += _flags_for_numbers(document, value, here)
        elif isinstance(value, bool) and field is not None and not (takes(field, bool) or takes(field, str)):
            text = f"must not be {shown(value, here)}; see docs/configuration.md for what it takes"
            problems.append(document.problem(here, text))
            _set_aside(values, (key,))
    return problems
