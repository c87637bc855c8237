"""One line of the log before it is formatted."""

import logging
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | list[str] | dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A level, a message and its fields. Entries with equal ``repeats`` are the same news again."""

    level: int
    message: str
    fields: dict[str, Value] = field(default_factory=dict)
    repeats: tuple[str, ...] | None = None


def debug(message: str, repeats: tuple[str, ...] | None = None, **fields: Value) -> Entry:
    return Entry(logging.DEBUG, message, fields, repeats)


def info(message: str, repeats: tuple[str, ...] | None = None, **fields: Value) -> Entry:
    return Entry(logging.INFO, message, fields, repeats)


def warning(message: str, repeats: tuple[str, ...] | None = None, **fields: Value) -> Entry:
    return Entry(logging.WARNING, message, fields, repeats)


def error(message: str, repeats: tuple[str, ...] | None = None, **fields: Value) -> Entry:
    return Entry(logging.ERROR, message, fields, repeats)


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to a microsecond."""
    return round(seconds * 1_000, 3)


def since_decision_ms(decided_ns: int, then_ns: int) -> float:
    """Milliseconds between two readings of the monotonic clock, to a microsecond."""
    return round((then_ns - decided_ns) / 1_000_000, 3)
