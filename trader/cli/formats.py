"""How figures look to a person: amounts, quantities, durations, marks. Pure; ``–`` is "not known"."""

from datetime import datetime
from decimal import Decimal

from rich.text import Text

NOT_KNOWN = "–"
MILLION = 1_000_000


def amount(value: Decimal | None, digits: int = 2) -> Text:
    """An amount of money, right for a column."""
    return Text(NOT_KNOWN, "dim") if value is None else Text(f"{value:,.{digits}f}")


def signed(value: Decimal | None, style: str = "") -> Text:
    """A profit or a loss: the sign always, green or red."""
    if value is None:
        return Text(NOT_KNOWN, "dim")
    colour = "green" if value > 0 else "red" if value < 0 else "dim"
    return Text(f"{value:+,.2f}" if value else "0.00", f"{style} {colour}".strip())


def quantity(value: Decimal) -> str:
    """As many digits as there are, with thousands separated."""
    return f"{value.normalize():,f}" if value else "0"


def price(value: Decimal | float | None) -> Text:
    if value is None:
        return Text(NOT_KNOWN, "dim")
    return Text(f"{value:,.5f}".rstrip("0").ljust(len(f"{value:,.2f}"), "0"))


def span(seconds: float) -> str:
    """A duration in its two largest units: ``42 s``, ``3 min 05 s``, ``2 h 04 min``, ``3 d 07 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600:02d} h"


def ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def compact(value: Decimal) -> str:
    """An amount for narrow places: whole units below a million, then millions."""
    return f"{value:,.0f}" if abs(value) < MILLION else f"{value / MILLION:,.2f} M"


def light(good: bool, words_good: str, words_bad: str) -> Text:
    """A traffic light with words, so that it does not depend on colour."""
    if good:
        return Text.assemble(("● ", "green"), words_good)
    return Text.assemble(("○ ", "red"), (words_bad, "red"))
