"""What a person reads about a value that does not fit: what is wrong, and what to write instead."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

from trader.settings_file.problems import KeyPath
from trader.settings_file.schema import similar_key

SECRET_NAME: Final = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)
# Without the scheme before it: to look for that would take a time that grows with the square of a long word's length.
URL_PASSWORD: Final = re.compile(r"(?P<user>://[^/\s:@]*):[^/\s]*@")
MASK: Final = "********"

Wording = Callable[[Any, Mapping[str, Any]], str]

# By pydantic's error type: (the value, the error's context) → the sentence.
WORDINGS: Final[Mapping[str, Wording]] = {
    "missing": lambda value, ctx: "is missing; add it",
    "greater_than": lambda value, ctx: f"must be greater than {ctx['gt']}, not {value}",
    "greater_than_equal": lambda value, ctx: f"must be at least {ctx['ge']}, not {value}",
    "less_than": lambda value, ctx: f"must be less than {ctx['lt']}, not {value}",
    "less_than_equal": lambda value, ctx: f"must be at most {ctx['le']}, not {value}",
    "int_type": lambda value, ctx: f"must be a whole number, not {value}",
    "int_parsing": lambda value, ctx: f"must be a whole number, not {value}",
    "int_from_float": lambda value, ctx: f"must be a whole number, not {value}",
    "float_type": lambda value, ctx: f"must be a number, not {value}",
    "float_parsing": lambda value, ctx: f"must be a number, not {value}",
    "finite_number": lambda value, ctx: f"must be a finite number, not {value}",
    "decimal_type": lambda value, ctx: f"must be a number, not {value}",
    "decimal_parsing": lambda value, ctx: f"must be a number, not {value}",
    "bool_type": lambda value, ctx: f"must be true or false, not {value}",
    "bool_parsing": lambda value, ctx: f"must be true or false, not {value}",
    "string_type": lambda value, ctx: f"must be text, not {value}; put it in quotes",
    "string_too_short": lambda value, ctx: "must not be empty",
    "string_too_long": lambda value, ctx: f"must be at most {ctx['max_length']} characters long",
    "string_pattern_mismatch": lambda value, ctx: f"must look like {ctx['pattern']}, not {value}",
    "enum": lambda value, ctx: f"must be {_choices(ctx['expected'])}, not {value}",
    "literal_error": lambda value, ctx: f"must be {_choices(ctx['expected'])}, not {value}",
    "path_type": lambda value, ctx: f"must be the path of a file, not {value}",
    "dict_type": lambda value, ctx: f"must be a section of 'key: value' lines, not {value}",
    "model_type": lambda value, ctx: f"must be a section of 'key: value' lines, not {value}",
    "tuple_type": lambda value, ctx: f"must be a list ('- item' lines), not {value}",
    "too_short": lambda value, ctx: f"must list at least {ctx['min_length']}",
    "too_long": lambda value, ctx: f"must list at most {ctx['max_length']}, not {ctx['actual_length']}",
}


def sentence(error: ErrorDetails, path: KeyPath) -> str:
    """The sentence for one of pydantic's errors."""
    kind = error["type"]
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    wording = WORDINGS.get(kind)
    value = shown(error.get("input"), path)
    if kind == "model_type" and path and isinstance(path[-1], int):
        return f"must be a symbol (a number in quotes) or a section of 'key: value' lines, not {value}"
    if wording is None:
        return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {value}"
    return wording(value, error.get("ctx", {}))


def unknown_key(path: KeyPath) -> str:
    """The sentence for a key that does not exist."""
    known = similar_key(path)
    return f"unknown key; did you mean {known}?" if known else "unknown key; remove it (see docs/configuration.md)"


def shown(value: Any, path: KeyPath) -> str:
    """``value`` as the file writes it, shortened, without anything secret."""
    if path and SECRET_NAME.search(str(path[-1])):
        return MASK
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list, tuple)):
        return "a section" if isinstance(value, dict) else "a list"
    text = without_password(str(value))
    text = text if len(text) <= 60 else text[:57] + "…"
    return repr(text) if isinstance(value, str) else text


def without_password(text: str) -> str:
    """``text`` with the password of any URL in it replaced."""
    return URL_PASSWORD.sub(rf"\g<user>:{MASK}@", text)


def _choices(expected: str) -> str:
    """``'a', 'b' or 'c'`` without the quotes, which YAML does not need."""
    return expected.replace("'", "")
