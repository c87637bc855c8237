"""Logs: JSON lines on stderr, as the journal likes them, written by a thread.

Rules: the caller pays for a look-up and a put on a queue; words are found and lines formatted in the thread. The
queue is bounded, what does not fit is dropped and counted. On a journal stream every line begins with its
priority (``<3>`` is an error). The same news again and again is told ``REPEATS_TOLD`` times a minute, then with
how often it was left out. No secret gets into a line: credentials in URLs and values of tokens are masked.
"""

import atexit
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias, TypeVar

from pythonjsonlogger.json import JsonFormatter

from observability.describe import SILENT, describe
from observability.entry import Entry, since_decision_ms
from observability.exemplars import TRACE_ID, trace_id
from observability.worker import Worker
from trader.clock import Clock
from trader.events import AnyFact, BrokerErrorReceived, CommissionBooked, FillBooked, OrderIntended, OrderSent

CAPACITY: Final = 10_000
MAX_LINE_CHARACTERS: Final = 16_384
REPEATS_TOLD: Final = 5
REPEATS_WINDOW: Final = timedelta(minutes=1)
MAX_NEWS: Final = 1_000
MAX_REMEMBERED: Final = 10_000
FACTS_LOGGER: Final = "trader.facts"
QUIETER_LOGGERS: Final = ("ib_async", "apscheduler", "asyncio", "aiohttp", "opentelemetry")

PRIORITIES: Final = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
# Bounded repetitions: a search must stay linear in the length of the line.
URL_PASSWORD: Final = re.compile(r"(\b[a-zA-Z][\w+.-]{0,30}://[^\s:/@\"]{0,100}:)[^\s@/\"]{1,1000}@")
SECRET_VALUE: Final = re.compile(
    r"(?i)((?:password|passwd|secret|token|authorization|api_key)\\?[\"']?\s*[:=]\s*\\?[\"']?(?:bearer\s+)?)[^\s\"'\\,;}]+"
)
BROKER_MESSAGE: Final = re.compile(r"(Error|Warning) -?\d+, reqId ")

Line: TypeAlias = logging.LogRecord | AnyFact
Key = TypeVar("Key")
Kept = TypeVar("Kept")


class TextStream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def masked(text: str) -> str:
    """``text`` without the credentials that it may contain."""
    return SECRET_VALUE.sub(r"\1***", URL_PASSWORD.sub(r"\1***@", text))


def is_journal_stream(environment: dict[str, str] | None = None, descriptor: int = 2) -> bool:
    """Whether ``descriptor`` is the stream to the journal that systemd set up (JOURNAL_STREAM names it)."""
    named = (os.environ if environment is None else environment).get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


class BrokerLibraryFilter(logging.Filter):
    """Takes ib_async's own lines for what they are worth.

    It logs each message of the broker, most of them as errors; they come as facts too, with what they mean, and
    are not told twice. Its other errors are warnings, since what follows from them is told by facts; an error
    with a traceback is one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("ib_async"):
            return True
        if BROKER_MESSAGE.match(record.getMessage()):
            return False
        if record.levelno >= logging.ERROR and not record.exc_info:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


class Repetition:
    """Decides which of many equal lines are told."""

    def __init__(self) -> None:
        self._news: dict[tuple[str, ...], tuple[datetime, int]] = {}

    def left_out(self, key: tuple[str, ...], at: datetime) -> int | None:
        """How many lines with this ``key`` were left out before this one, which is told; None when it is not."""
        since, count = self._news.get(key, (at, 0))
        if at - since >= REPEATS_WINDOW:
            since, told_late = at, max(0, count - REPEATS_TOLD)
            self._news[key] = (since, 1)
            return told_late
        if key not in self._news and len(self._news) >= MAX_NEWS:
            self._news.pop(next(iter(self._news)))
        self._news[key] = (since, count + 1)
        return 0 if count < REPEATS_TOLD else None


class OrderOfLine:
    """What a line about an order says that its fact does not: which order it is, and what it took to get there."""

    def __init__(self) -> None:
        self._order_refs: dict[str | int, str] = {}
        self._decided_ns: dict[str, int] = {}

    def order_ref(self, fact: AnyFact) -> str | None:
        """The order that ``fact`` is about; fills and intents are remembered, at most ``MAX_REMEMBERED``."""
        match fact:
            case FillBooked():
                self._remember(fact.line.exec_id, fact.order_ref)
            case OrderIntended():
                self._remember(fact.order_id, fact.order_ref)
                _put(self._decided_ns, fact.order_ref, fact.approved.intent.decided_ns)
            case CommissionBooked():
                return self._order_refs.get(fact.line.exec_id)
            case BrokerErrorReceived():
                return self._order_refs.get(fact.request_id)
            case _:
                pass
        return None

    def latency_ms(self, fact: AnyFact) -> float | None:
        """From the tick that an order was decided on to its frame's leaving; None for other facts and orders."""
        if not isinstance(fact, OrderSent):
            return None
        decided_ns = self._decided_ns.pop(fact.order_ref, None)
        return None if decided_ns is None else since_decision_ms(decided_ns, fact.sent_ns)

    def _remember(self, key: str | int, order_ref: str) -> None:
        _put(self._order_refs, key, order_ref)


def _put(remembered: dict[Key, Kept], key: Key, value: Kept) -> None:
    if len(remembered) >= MAX_REMEMBERED:
        remembered.pop(next(iter(remembered)))
    remembered[key] = value


class LogPipeline:
    """The queue, the thread behind it and the stream that it writes to."""

    def __init__(
        self, stream: TextStream, clock: Clock, level: int, with_priority: bool, capacity: int = CAPACITY
    ) -> None:
        self.level = level
        self._stream = stream
        self._clock = clock
        self._with_priority = with_priority
        self._repetition = Repetition()
        self._orders = OrderOfLine()
        self._formatter = JsonFormatter(
            ["happened_at", "levelname", "name", "message"],
            rename_fields={"happened_at": "time", "levelname": "level", "name": "logger", "exc_info": "exception"},
        )
        self._worker: Worker[Line] = Worker("logs", self._write, capacity)
        self._restore: list[Callable[[], None]] = []

    @property
    def dropped(self) -> int:
        """Lines that did not fit into the queue."""
        return self._worker.dropped

    def start(self) -> None:
        self._worker.start()

    def put(self, line: Line) -> None:
        self._worker.put(line)

    def stop(self) -> None:
        """Give the root logger its handlers back, write what is queued and end the thread."""
        while self._restore:
            self._restore.pop()()
        self._worker.stop()

    def take_over(self) -> None:
        """Become the root logger's only handler, at this pipeline's level."""
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        handler = QueueingHandler(self, self._clock)
        handler.addFilter(BrokerLibraryFilter())
        root.handlers[:] = [handler]
        root.setLevel(self.level)
        logging.captureWarnings(True)
        atexit.register(self.stop)
        self._restore += [
            lambda: root.handlers.__setitem__(slice(None), handlers),
            lambda: root.setLevel(level),
            lambda: logging.captureWarnings(False),
            lambda: atexit.unregister(self.stop),
        ]
        for name in QUIETER_LOGGERS:
            self._quiet(logging.getLogger(name))

    def _quiet(self, quieter: logging.Logger) -> None:
        level = quieter.level
        quieter.setLevel(max(self.level, logging.WARNING))
        self._restore.append(lambda: quieter.setLevel(level))

    def _write(self, line: Line) -> None:
        record = line if isinstance(line, logging.LogRecord) else self._record_of(line)
        if record is None:
            return
        text = self._formatter.format(record)
        if len(text) > MAX_LINE_CHARACTERS:
            text = self._formatter.format(_shortened(record))
        priority = f"<{PRIORITIES.get(record.levelno, 6)}>" if self._with_priority else ""
        self._stream.write(f"{priority}{masked(text)}\n")
        self._stream.flush()

    def _record_of(self, fact: AnyFact) -> logging.LogRecord | None:
        entry = describe(fact)
        order_ref = self._orders.order_ref(fact)
        if entry is None or entry.level < self.level:
            return None
        if order_ref is not None:
            entry.fields["order_ref"] = order_ref
        latency_ms = self._orders.latency_ms(fact)
        if latency_ms is not None:
            entry.fields["latency_ms"] = latency_ms
        about = entry.fields.get("order_ref")
        if about and isinstance(about, str):
            entry.fields[TRACE_ID] = trace_id(about)
        left_out = 0 if entry.repeats is None else self._repetition.left_out(entry.repeats, fact.at)
        return None if left_out is None else _record(fact, entry, left_out)


class QueueingHandler(logging.Handler):
    """Puts records on the pipeline's queue, with the service's time and the message made final."""

    def __init__(self, pipeline: LogPipeline, clock: Clock) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.msg, record.args = record.getMessage(), None
            record.happened_at = self._clock.now()
            self._pipeline.put(record)
        except Exception:  # noqa: BLE001 # the logging module's own rule: a handler never raises
            self.handleError(record)


class FactLogger:
    """The observer that logs: one line for every fact worth one."""

    def __init__(self, pipeline: LogPipeline) -> None:
        self._put = pipeline.put

    def observe(self, fact: AnyFact) -> None:
        if type(fact) not in SILENT:
            self._put(fact)


def configure_logging(
    level: str, clock: Clock, stream: TextStream | None = None, with_priority: bool | None = None
) -> LogPipeline:
    """Send all logging through a new pipeline, which is started; ``stop`` undoes it.

    ``stream`` is stderr by default. ``with_priority`` says whether lines begin with a journal priority; by
    default they do when they go to stderr and that is a stream to the journal.
    """
    numeric = logging.getLevelNamesMapping()[level]
    prefixed = stream is None and is_journal_stream() if with_priority is None else with_priority
    pipeline = LogPipeline(sys.stderr if stream is None else stream, clock, numeric, prefixed)
    pipeline.start()
    pipeline.take_over()
    return pipeline


def _record(fact: AnyFact, entry: Entry, left_out: int) -> logging.LogRecord:
    more = {"left_out": left_out} if left_out else {}
    return logging.makeLogRecord(
        {
            "name": FACTS_LOGGER,
            "levelno": entry.level,
            "levelname": logging.getLevelName(entry.level),
            "msg": entry.message,
            "happened_at": fact.at,
            "fact": type(fact).__name__,
            **entry.fields,
            **more,
        }
    )


def _shortened(record: logging.LogRecord) -> logging.LogRecord:
    """The record with its message cut and nothing else, for a line that would be too long."""
    return logging.makeLogRecord(
        {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "msg": masked(record.getMessage()[:MAX_LINE_CHARACTERS])[:2_000],
            "happened_at": getattr(record, "happened_at", None),
            "shortened": True,
        }
    )
