"""Amounts of bytes and spans of time in words. Pure."""

from datetime import timedelta

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def amount(count_bytes: float) -> str:
    """``8.0 GiB``."""
    unit = 0
    while count_bytes >= 1024 and unit < len(UNITS) - 1:
        count_bytes, unit = count_bytes / 1024, unit + 1
    return f"{count_bytes:.0f} {UNITS[unit]}" if unit == 0 else f"{count_bytes:.1f} {UNITS[unit]}"


def age(span: timedelta) -> str:
    """``4 min``, in the largest unit that says enough."""
    return seconds(span.total_seconds())


def seconds(count_s: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if count_s >= 2 * unit:
            return f"{count_s / unit:.0f} {name}"
    return f"{count_s:.0f} s"


def some(names: list[str], at_most: int = 3) -> str:
    """The first few of ``names``, and how many more there are."""
    told = ", ".join(names[:at_most])
    return f"{told} and {len(names) - at_most} more" if len(names) > at_most else told
