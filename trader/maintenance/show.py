"""Values as people read them, on a page and in a terminal.

Rules: pure. What is not known is a dash, which is not zero. A value is shown by its unit; one of another type than its
unit has is shown as it is.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from trader.maintenance.model import Outcome, Unit, Value
from trader.report import words

NOT_KNOWN: Final = words.UNKNOWN
BYTE_STEPS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
WORDS: Final = {
    Outcome.OK: "ok",
    Outcome.UNKNOWN: "not known",
    Outcome.WARNING: "warning",
    Outcome.FAILED: "failed",
}


def text_of(value: Value, unit: Unit, currency: str = "") -> str:
    """``value`` in words, with its unit."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, datetime):
        return f"{words.moment(value, UTC)} UTC"
    if isinstance(value, timedelta):
        return duration_text(value.total_seconds())
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return NOT_KNOWN
    return _number_text(value, unit, currency)


def _number_text(value: int | float | Decimal, unit: Unit, currency: str) -> str:
    match unit:
        case Unit.MONEY:
            return words.money(_decimal(value), currency)
        case Unit.RATIO:
            return _percent(float(value))
        case Unit.SECONDS:
            return duration_text(float(value))
        case Unit.BYTES:
            return bytes_text(float(value))
        case Unit.MOMENT:
            return text_of(datetime.fromtimestamp(float(value), UTC), unit)
        case Unit.COUNT | Unit.TEXT:
            return words.quantity(_decimal(value))


def _decimal(value: int | float | Decimal) -> Decimal | None:
    try:
        return value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None


def _percent(ratio: float) -> str:
    """Enough digits to tell 99.9 % from 100 %."""
    percent = ratio * 100
    near = min(abs(percent), abs(100 - percent))
    digits = 1 if near >= 1 or near == 0 else 2 if near >= 0.1 else 3
    text = f"{percent:,.{digits}f} %"
    return text.replace("-", words.MINUS if text.strip("-0. %") else "")


def duration_text(seconds: float) -> str:
    """``1.2 ms``, ``3.45 s``, ``12 min 3 s``, ``5 h 2 min``, ``3 d 4 h``."""
    sign, seconds = (words.MINUS if seconds < 0 else ""), abs(seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 0.1:
        return f"{sign}{seconds * 1_000:.3g} ms"
    if seconds < MINUTE_S - 0.005:
        return f"{sign}{seconds:.2f} s"
    whole = round(seconds)
    for size, name, part, part_name in (
        (DAY_S, "d", HOUR_S, "h"),
        (HOUR_S, "h", MINUTE_S, "min"),
        (MINUTE_S, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{sign}{whole // size} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{sign}{whole} s"


def bytes_text(size: float) -> str:
    """``999 B``, ``1.2 MB``; decimal, as disks are sold and ``df -H`` shows them."""
    step = 0
    while abs(size) >= 999.5 and step < len(BYTE_STEPS) - 1:
        size, step = size / 1_000, step + 1
    return f"{size:.0f} {BYTE_STEPS[step]}" if step == 0 or abs(size) >= 99.95 else f"{size:.1f} {BYTE_STEPS[step]}"


def sort_key(value: Value) -> float | str | None:
    """What a column sorts by: a number where there is one; None sorts as text and last."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float, Decimal)):
        return float(value) if math.isfinite(value) else None
    return value
