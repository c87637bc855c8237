"""Trading hours with the holidays and half days of an exchange's calendar.

Rules: the calendar's table says which weekdays have no session and which close early; outside the years it
covers, every weekday is an ordinary session.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from typing import Final

import msgspec

from trader.session.calendar import DATA_FOLDER
from trader.session.table import Session, read_table
from trader.simulator.hours import US_STOCK_HOURS, TradingHours

_US_STOCKS: Final = "XNYS"


@cache
def us_stock_hours() -> TradingHours:
    """Hours of US stocks with the holidays and half days of the New York Stock Exchange."""
    return with_sessions(US_STOCK_HOURS, read_table(DATA_FOLDER / f"{_US_STOCKS}.csv").sessions)


def with_sessions(hours: TradingHours, sessions: tuple[Session, ...]) -> TradingHours:
    """``hours``, closed on weekdays between the first and the last session that have none, and early where they do."""
    closes = {hours.local(item.opens_at).date(): hours.local(item.closes_at).time() for item in sessions}
    return msgspec.structs.replace(
        hours,
        holidays=frozenset(day for day in _weekdays(min(closes), max(closes)) if day not in closes),
        closes_early={day: close for day, close in closes.items() if close < hours.closes},
    )


def _weekdays(first: date, last: date) -> Iterator[date]:
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return (day for day in days if day.weekday() < 5)
