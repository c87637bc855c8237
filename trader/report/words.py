"""Numbers and times as people read them. ``None`` is an em dash: not known, which is not zero."""

from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

UNKNOWN: Final = "—"
MINUS: Final = "\N{MINUS SIGN}"


def money(amount: Decimal | None, currency: str = "", signed: bool = False) -> str:
    """``−1,234.50 USD``; with ``signed`` a plus sign too."""
    if amount is None:
        return UNKNOWN
    text = f"{abs(amount):,.2f}"
    sign = _sign(amount, signed) if text.strip("0.,") else ""
    return f"{sign}{text} {currency}".rstrip()


def quantity(amount: Decimal | None, signed: bool = False) -> str:
    if amount is None:
        return UNKNOWN
    text = f"{abs(amount):,f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{_sign(amount, signed)}{text}"


def price(amount: Decimal | float | None) -> str:
    """At least two decimals, at most five, without trailing zeros beyond the second."""
    if amount is None:
        return UNKNOWN
    whole, _, decimals = f"{amount:,.5f}".partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def share(ratio: float | None, digits: int = 1) -> str:
    return UNKNOWN if ratio is None else f"{ratio * 100:.{digits}f} %"


def basis_points(ratio: float | None) -> str:
    if ratio is None:
        return UNKNOWN
    text = f"{abs(ratio) * 10_000:.1f}"
    return f"{MINUS if ratio < 0 and text != '0.0' else ''}{text}"


def count(number: int) -> str:
    return f"{number:,}"


def moment(at: datetime, zone: tzinfo) -> str:
    """``2013-10-07 09:30:00``; milliseconds only when there are some."""
    local = at.astimezone(zone)
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{local.microsecond // 1000:03d}" if local.microsecond else text


def period(started_at: datetime, ended_at: datetime, zone: tzinfo) -> str:
    """``7 October 2013`` or ``7–9 October 2013``, in full where months or years differ."""
    first, last = started_at.astimezone(zone).date(), ended_at.astimezone(zone).date()
    if first == last:
        return f"{first.day} {first:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last.day} {last:%B %Y}"
    if first.year == last.year:
        return f"{first.day} {first:%B} – {last.day} {last:%B %Y}"
    return f"{first.day} {first:%B %Y} – {last.day} {last:%B %Y}"


def _sign(amount: Decimal, signed: bool) -> str:
    if amount < 0:
        return MINUS
    return "+" if signed and amount > 0 else ""
