"""The exchange's session and the broker's resets as metrics for node_exporter's textfile collector.

Rules: what ``trader calendar textfile`` writes, at the stack's own clock.
"""

from datetime import datetime
from pathlib import Path

from trader import textfile
from trader.session import BrokerWindows, SessionCalendar
from trader.session.gauges import session_gauges


def session_metrics(calendar: SessionCalendar, windows: BrokerWindows | None, now: datetime) -> str:
    """The text of the file; raises CalendarError when the calendar does not cover ``now``."""
    return textfile.render(session_gauges(calendar, windows, now))


def write_session_file(path: Path, calendar: SessionCalendar, windows: BrokerWindows | None, now: datetime) -> None:
    """Replace ``path``; its folder must exist. Raises CalendarError and TextfileError."""
    textfile.write(path, session_gauges(calendar, windows, now))
