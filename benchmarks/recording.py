"""A recorded day out of random numbers, in the files that the service's own recorder writes.

Rules: the same seed gives the same rows. As many quotes as a day of four liquid stocks has: each symbol is quoted
about once a second through a session of the New York exchange, and three quotes in ten come with a trade.
"""

from datetime import UTC, datetime
from itertools import groupby, takewhile
from operator import itemgetter
from pathlib import Path
from typing import Final

from trader.contracts import Quote
from trader.recorder.files import RecordingFiles, Row
from trader.simulator.market import SyntheticMarket
from trader.simulator.model import MarketEvent

OPENS_AT: Final = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSES_AT: Final = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
SYMBOLS: Final = ("AIG", "BAC", "IBM", "SPY")
QUOTES: Final = 75_000
FILE_BYTES_MAX: Final = 1_000_000_000


def record_day(directory: Path, seed: int, quotes: int = QUOTES) -> Path:
    """Write a day of ``quotes`` quotes to ``directory``, evenly over the session; returns its one file."""
    interval_s = (CLOSES_AT - OPENS_AT).total_seconds() * len(SYMBOLS) / quotes
    market = SyntheticMarket(SYMBOLS, seed, OPENS_AT, interval_s)
    files = RecordingFiles(directory, FILE_BYTES_MAX, keep_days=1)
    rows = map(_row, takewhile(lambda item: item.at < CLOSES_AT, market.events()))
    for _, second in groupby(rows, key=itemgetter(0)):
        files.write(list(second))
    files.close()
    (file,) = directory.iterdir()
    return file


def _row(event: MarketEvent) -> Row:
    at = event.at.replace(microsecond=0)
    trade = None if event.last is None else (float(event.last), float(event.last_size or 0))
    assert event.bid is not None, "the synthetic market has two sides"
    assert event.ask is not None, "the synthetic market has two sides"
    quote = Quote(
        event.symbol, float(event.bid), float(event.bid_size or 0), float(event.ask), float(event.ask_size or 0), at
    )
    return at, event.symbol, quote, trade
