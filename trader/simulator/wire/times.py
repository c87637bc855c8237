"""Dates and times as the protocol writes and reads them.

Rules: from version 174 a time names its zone (``20131007 09:30:00 US/Eastern``); before, it is in the gateway's
own zone with two spaces (``20131007  09:30:00``). Requests may also use ``20131007-13:30:00``, which is UTC.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trader.simulator.wire.codec import ZONED_TIMES, BadRequest


def stamp(moment: datetime, version: int, zone: str) -> str:
    """``moment`` as the gateway writes it to a client of ``version``."""
    local = moment.astimezone(ZoneInfo(zone))
    if version < ZONED_TIMES:
        return local.strftime("%Y%m%d  %H:%M:%S")
    return f"{local:%Y%m%d %H:%M:%S} {zone}"


def day(moment: datetime, zone: str) -> str:
    """The date of ``moment`` in the gateway's zone."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y%m%d")


def parse_stamp(text: str, zone: str) -> datetime:
    """A time as a client writes it; a date alone is its midnight. BadRequest when it is no time."""
    head, _, tail = text.strip().partition(" ")
    clock, _, named = tail.strip().partition(" ")
    if "-" in head:
        head, _, clock = head.partition("-")
        named = named or "UTC"
    try:
        tzinfo = ZoneInfo(named.strip() or zone)
        naive = datetime.strptime(f"{head} {clock or '00:00:00'}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - zoned below
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise BadRequest(f"the date, time or time zone {text[:60]!r} is invalid") from None
    return naive.replace(tzinfo=tzinfo).astimezone(UTC)
