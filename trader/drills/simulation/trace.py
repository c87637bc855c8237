"""The history of one world, line by line: for a person who looks for the reason of a failure.

Rules: kept only when it is asked for; bounded, and the oldest go first. Quotes and beats that lead to nothing are
left out.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from trader.events import QuoteReceived, TimerElapsed

LINES_MAX: Final = 20_000
TEXT_MAX: Final = 400
_OMITTED: Final = frozenset({"at", "received_ns", "monotonic_ns", "sent_ns", "decided_ns", "risk_ns"})
_UNTOLD: Final = (QuoteReceived, TimerElapsed)


class TraceLine(msgspec.Struct, frozen=True):
    """``source`` is who did it: broker, exchange, process, journal, command, world."""

    at_s: float
    source: str
    text: str


class Trace:
    """The lines so far. ``told`` is off for a world whose history nobody reads."""

    def __init__(self, told: bool, elapsed_s: Callable[[], float]) -> None:
        self.lines: deque[TraceLine] = deque(maxlen=LINES_MAX)
        self._told = told
        self._elapsed_s = elapsed_s

    def note(self, source: str, text: str) -> None:
        if self._told:
            self.lines.append(TraceLine(round(self._elapsed_s(), 6), source, text))

    def value(self, source: str, value: object) -> None:
        """Note a fact, a command or a report."""
        if self._told and not isinstance(value, _UNTOLD):
            self.note(source, describe(value)[:TEXT_MAX])


def describe(value: Any) -> str:
    """A struct as its name and the fields that say something."""
    if not isinstance(value, msgspec.Struct):
        return str(value)
    fields = (
        (name, getattr(value, name))
        for name in value.__struct_fields__
        if name not in _OMITTED and getattr(value, name) not in (None, "", ())
    )
    return f"{type(value).__name__}({', '.join(f'{name}={_short(item)}' for name, item in fields)})"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_short(item) for item in value)}]"
    symbol = getattr(value, "symbol", None)
    if isinstance(value, msgspec.Struct) and type(value).__name__ in ("Instrument", "ListedContract"):
        return str(symbol)
    return describe(value)
