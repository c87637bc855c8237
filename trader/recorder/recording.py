"""The day's quotes and trades as they were seen, in the files that ``replay`` and ``simulate`` read.

Rules: one row a second and symbol — the last quote, the last trade price and the volume of that second —
sorted by time then symbol, written when the second has passed. The loop only keeps the second that is
running; a thread formats, compresses and writes. The queue between them is bounded, and when it is full
seconds are dropped and counted. When the disk fails, recording stops, is said once, and trading goes on.
"""

import logging
import queue
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from trader.clock import Clock
from trader.contracts import Quote
from trader.events import AnyFact, QuoteReceived, TradeReceived
from trader.recorder.files import RecordingFiles, Row

logger = logging.getLogger(__name__)

SECOND = timedelta(seconds=1)
# Facts may arrive a little out of order; a clock that jumps further back than this begins a new file.
OUT_OF_ORDER = timedelta(seconds=2)
QUEUE_MAX_SECONDS = 600
STOP_TIMEOUT_S = 10.0

Trades: TypeAlias = dict[str, tuple[float, float]]


class FinishedSecond:
    """What was seen in one second, handed over to the thread. ``trades`` maps to last price and volume."""

    __slots__ = ("quotes", "starts_at", "trades")

    def __init__(self, starts_at: datetime, quotes: dict[str, Quote], trades: Trades) -> None:
        self.starts_at = starts_at
        self.quotes = quotes
        self.trades = trades

    def rows(self, names: Mapping[str, str]) -> list[Row]:
        """One row for each symbol, by the name that ``names`` gives it, if any."""
        named = sorted((names.get(symbol, symbol), symbol) for symbol in self.quotes.keys() | self.trades.keys())
        return [(self.starts_at, name, self.quotes.get(symbol), self.trades.get(symbol)) for name, symbol in named]


class Recorder:
    """An observer of facts; ``observe`` costs under 1 µs and never waits.

    ``names`` are those that a recorded market uses, by the service's symbols, where they differ.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        max_file_bytes: int,
        keep_days: int,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make ``directory`` if need be; a disk that cannot be written is said and stops recording, no more."""
        self.dropped_seconds = 0
        self.stopped_reason: str | None = None
        self._names = names
        self._files = RecordingFiles(directory, max_file_bytes, keep_days)
        self._begin(_second_of(clock.now()))
        self._queue: queue.Queue[FinishedSecond | threading.Event | None] = queue.Queue(QUEUE_MAX_SECONDS)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()
        self._closed = False

    def observe(self, fact: AnyFact) -> None:
        """Take a quote or a trade; any other fact only tells that time has passed."""
        if not self._starts_at <= fact.at < self._ends_at:
            self._pass_time(fact.at)
        if type(fact) is QuoteReceived:
            self._quotes[fact.quote.symbol] = fact.quote
        elif type(fact) is TradeReceived:
            _, volume = self._trades.get(fact.symbol, (0.0, 0.0))
            self._trades[fact.symbol] = (fact.price, volume + fact.size)

    def flush(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Wait until every second that has passed is on the disk."""
        done = threading.Event()
        try:
            self._queue.put(done, timeout=timeout_s)
        except queue.Full:
            return
        done.wait(timeout_s)

    def close(self) -> None:
        """Write what there is, the running second too, and end. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        try:
            self._queue.put(None, timeout=STOP_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(STOP_TIMEOUT_S)

    def _begin(self, second: datetime) -> None:
        self._starts_at = second
        self._ends_at = second + SECOND
        self._quotes: dict[str, Quote] = {}
        self._trades: Trades = {}

    def _pass_time(self, moment: datetime) -> None:
        if self._starts_at - OUT_OF_ORDER <= moment < self._starts_at:
            return
        self._hand_over()
        self._begin(_second_of(moment))

    def _hand_over(self) -> None:
        if self.stopped_reason is not None or not (self._quotes or self._trades):
            return
        try:
            self._queue.put_nowait(FinishedSecond(self._starts_at, self._quotes, self._trades))
        except queue.Full:
            self.dropped_seconds += 1

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._guard(item)
            if isinstance(item, threading.Event):
                item.set()
        self._guard(None)

    def _guard(self, item: FinishedSecond | threading.Event | None) -> None:
        """Write a second, or all that is pending for anything else; a failing disk ends recording once."""
        if self.stopped_reason is not None:
            return
        try:
            if isinstance(item, FinishedSecond):
                self._files.write(item.rows(self._names))
            elif item is None:
                self._files.close()
            else:
                self._files.flush()
        except OSError as error:
            self.stopped_reason = error.strerror or str(error)
            self._files.abandon()
            logger.error(
                "recording of market data stopped: %s (%s); trading goes on, the next start records again",
                self.stopped_reason,
                self._files.directory,
            )


def _second_of(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
