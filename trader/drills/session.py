"""The session that rules see during drills: open since a while and for a day, whatever the real market does."""

from typing import Final

from trader.clock import SystemClock
from trader.drills.bench import Bench

SESSION_FILE: Final = "session"
CALENDAR: Final = 'calendar="drills"'
OPEN: Final = "trader_session_open_timestamp_seconds"
CLOSE: Final = "trader_session_close_timestamp_seconds"
_ONE_DAY_S: Final = 86_400


def session_text() -> str:
    """The metrics file of a session that opened an hour ago."""
    now_s = SystemClock().now().timestamp()
    times = {
        OPEN: now_s - 3600,
        CLOSE: now_s + _ONE_DAY_S,
        "trader_session_elapsed_before_seconds": 0.0,
        "trader_calendar_valid_until_timestamp_seconds": now_s + 365 * _ONE_DAY_S,
    }
    return "".join(f"{name}{{{CALENDAR}}} {value}\n" for name, value in times.items())


async def session_file(bench: Bench) -> None:
    """Let the session be open again."""
    bench.write_textfile(SESSION_FILE, session_text())
