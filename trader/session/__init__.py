"""When the market is open and when the broker is away.

Rules: both are data with a source and a date, never rules in code; a moment that the data does not cover
is an error, never "closed". The service only looks things up here: the extraction of a calendar, and the
library it needs, are in ``trader.cli.calendar``.
"""

from trader.session.calendar import AlwaysOpenCalendar, SessionCalendar, TableCalendar, available_calendars
from trader.session.table import CalendarError, CalendarExpired, CalendarTable, Session
from trader.session.windows import BrokerWindows, BrokerWindowsError, ResetWindow

__all__ = [
    "AlwaysOpenCalendar",
    "BrokerWindows",
    "BrokerWindowsError",
    "CalendarError",
    "CalendarExpired",
    "CalendarTable",
    "ResetWindow",
    "Session",
    "SessionCalendar",
    "TableCalendar",
    "available_calendars",
]
