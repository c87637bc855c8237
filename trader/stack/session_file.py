"""The exchange's session and the broker's resets as metrics for node_exporter's textfile collector.

Rules: absolute Unix times of the session that is open now or comes next, so that rules need no calendar; written
atomically, because node_exporter may read at any moment. Nothing of it depends on the trader.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from trader.session import BrokerWindows, SessionCalendar

# A window that is over is told for a while longer, so that rules which look back find it.
RESET_TOLD_AFTER: Final = timedelta(minutes=5)


def session_metrics(calendar: SessionCalendar, windows: BrokerWindows | None, now: datetime) -> str:
    """The text of the file; raises CalendarError when the calendar does not cover ``now``."""
    session = calendar.current_or_next(now)
    label = f'{{calendar="{calendar.name}"}}'
    lines = [
        _gauge("trader_session_open_timestamp_seconds", "When the session opens.", label, session.opens_at),
        _gauge("trader_session_close_timestamp_seconds", "When the session closes.", label, session.closes_at),
    ]
    if calendar.valid_until is not None:
        name = "trader_calendar_valid_until_timestamp_seconds"
        lines.append(_gauge(name, "From when on the calendar is not known.", label, calendar.valid_until))
    if windows is not None:
        reset = windows.window_at(now) or windows.next_reset(now - RESET_TOLD_AFTER)
        start, end = "trader_broker_reset_start_timestamp_seconds", "trader_broker_reset_end_timestamp_seconds"
        lines.append(_gauge(start, "When the broker may go away.", "", reset.starts_at))
        lines.append(_gauge(end, "When the broker has to be back.", "", reset.ends_at))
    return "".join(lines)


def write_session_file(path: Path, calendar: SessionCalendar, windows: BrokerWindows | None, now: datetime) -> None:
    """Replace ``path``; its folder must exist."""
    part = path.with_name(path.name + ".part")
    part.write_text(session_metrics(calendar, windows, now), encoding="utf-8")
    part.chmod(0o644)
    part.replace(path)


def _gauge(name: str, text: str, label: str, moment: datetime) -> str:
    return f"# HELP {name} {text} Unix time.\n# TYPE {name} gauge\n{name}{label} {moment.timestamp():.0f}\n"
