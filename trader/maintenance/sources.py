"""Where a task's figures come from besides the configuration: the units' log lines and Prometheus.

Rules: what cannot be got raises ``Unavailable`` with one reason that a report can name; nothing is ever invented.
Every answer has a bound, and one that was cut is as good as none, so it raises too.
"""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeVar

from trader.clock import Clock, SystemClock

if TYPE_CHECKING:
    from trader.stack.client import Client, Sample, Series

T = TypeVar("T")

OUR_UNITS: Final = "ibkr-*"
LINES_MAX: Final = 2_000_000
LINE_MAX_BYTES: Final = 1_000_000
READ_MAX_S: Final = 600.0
POINTS_MAX: Final = 10_000
"""Prometheus refuses a range of more than 11,000 points a series."""
REASON_MAX_CHARACTERS: Final = 300
JOURNALCTL: Final = "journalctl"
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC"}
# journalctl's words for a user who sees only what is his own; it goes on then, and ends well.
NOT_PERMITTED: Final = ("insufficient permissions", "not seeing messages")
# Its words for patterns of which it has not one unit, whatever the time.
NO_SUCH_UNIT: Final = "add filter for units: No data available"
MICROSECONDS: Final = timedelta(microseconds=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Unavailable(Exception):
    """Figures cannot be got; the text is the reason, fit for ``Section.missing``."""


class LogsUnavailable(Unavailable):
    """The journal of the host cannot be read, or not as a whole."""


class PrometheusUnavailable(Unavailable):
    """There is no Prometheus, it does not answer, or it refuses the question."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the host's journal.

    ``unit`` is who it is about (systemd's own words on a unit too), ``priority`` 0 (worst) to 7, 6 when nothing is
    said. ``fields`` are those of a JSON line, empty for another; ``message`` is then the whole text. ``from_systemd``
    says that systemd wrote it and not the unit; ``message_id`` is systemd's id of that news, else empty.
    """

    at: datetime
    unit: str
    priority: int
    message: str
    fields: Mapping[str, Any]
    from_systemd: bool = False
    message_id: str = ""


class Logs(Protocol):
    """Who has the log lines."""

    def lines(self, since: datetime, until: datetime, units: Sequence[str]) -> Iterator[LogLine]:
        """The lines of ``units`` (patterns), oldest first; ``until`` is not included. Raises LogsUnavailable."""
        ...


class Metrics(Protocol):
    """Who has the metrics' history."""

    def query(self, promql: str, at: datetime) -> "list[Sample]":
        """Instant values at ``at``; raises PrometheusUnavailable."""
        ...

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> "list[Series]":
        """Values over a time; raises PrometheusUnavailable."""
        ...


class JournalctlLogs:
    """The host's journal, through ``journalctl``, which is read as it writes and never held as a whole."""

    def __init__(self, program: str = JOURNALCTL, clock: Clock | None = None) -> None:
        self._program = program
        self._clock = clock or SystemClock()

    def lines(self, since: datetime, until: datetime, units: Sequence[str]) -> Iterator[LogLine]:
        command = [
            self._program, "--output=json", "--all", "--no-pager", "--utc",
            f"--since=@{since.timestamp():.6f}", f"--until=@{until.timestamp():.6f}",
            *(f"--unit={unit}" for unit in units),
        ]  # fmt: skip
        with TemporaryFile() as said:
            process = self._start(command, said)
            with process:
                try:
                    assert process.stdout is not None
                    yield from self._read(process.stdout, until)
                    code = process.wait(timeout=READ_MAX_S)
                except subprocess.TimeoutExpired as error:
                    raise LogsUnavailable(f"{self._program} did not end within {READ_MAX_S:.0f} s") from error
                finally:
                    process.kill()
            _require_permitted(self._program, code, _text_of(said))

    def _start(self, command: Sequence[str], said: IO[bytes]) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=ENVIRONMENT
            )
        except FileNotFoundError as error:
            raise LogsUnavailable(f"{self._program} is not installed") from error
        except OSError as error:
            raise LogsUnavailable(f"{self._program} cannot be run ({error.strerror})") from error

    def _read(self, stream: IO[bytes], until: datetime) -> Iterator[LogLine]:
        deadline_ns = self._clock.monotonic_ns() + int(READ_MAX_S * 1e9)
        count = 0
        while raw := stream.readline(LINE_MAX_BYTES):
            count += 1
            if count > LINES_MAX:
                raise LogsUnavailable(f"the journal has more than {LINES_MAX:,} lines of our units in this time")
            if self._clock.monotonic_ns() > deadline_ns:
                raise LogsUnavailable(f"reading the journal took longer than {READ_MAX_S:.0f} s")
            line = log_line(raw)
            if line is not None and line.at < until:
                yield line


def _text_of(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read(4_000).decode(errors="replace")


def _require_permitted(program: str, code: int, said: str) -> None:
    if any(words in said for words in NOT_PERMITTED):
        raise LogsUnavailable("the journal may not be read by this user; add the user to the group systemd-journal")
    if code != 0 and NO_SUCH_UNIT in said:
        raise LogsUnavailable(
            "the journal has no such unit: none of ours has written to it yet, or this user may not read it "
            "(group systemd-journal)"
        )
    if code != 0:
        first = said.strip().splitlines()[:1]
        reason = first[0] if first else f"it ended with {code}"
        raise LogsUnavailable(f"{program}: {reason}"[:REASON_MAX_CHARACTERS])


def log_line(raw: bytes) -> LogLine | None:
    """One line of ``journalctl --output=json``; None for what is none."""
    try:
        entry = json.loads(raw)
        at = EPOCH + int(entry["__REALTIME_TIMESTAMP"]) * MICROSECONDS
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    text = _as_text(entry.get("MESSAGE"))
    fields = _fields(text)
    about = entry.get("UNIT")
    priority = _as_text(entry.get("PRIORITY"))
    return LogLine(
        at=at,
        unit=_as_text(about or entry.get("_SYSTEMD_UNIT")),
        priority=int(priority) if priority.isdigit() else 6,
        message=str(fields.get("message", text)),
        fields=fields,
        from_systemd=about is not None,
        message_id=_as_text(entry.get("MESSAGE_ID")),
    )


def _as_text(value: object) -> str:
    """A field's text: journald tells what is not UTF-8 as numbers, and a repeated field as a list."""
    if isinstance(value, list):
        if all(isinstance(item, int) and 0 <= item <= 255 for item in value):
            return bytes(value).decode(errors="replace")
        return "\n".join(str(item) for item in value)
    return "" if value is None else str(value)


def _fields(text: str) -> Mapping[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # deeply nested brackets are a text too
        return {}
    return found if isinstance(found, dict) else {}


class NoMetrics:
    """When the configuration names no Prometheus."""

    def query(self, promql: str, at: datetime) -> "list[Sample]":
        raise PrometheusUnavailable("no Prometheus is configured (maintenance.prometheus_url)")

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> "list[Series]":
        raise PrometheusUnavailable("no Prometheus is configured (maintenance.prometheus_url)")


class PrometheusMetrics:
    """A Prometheus by its URL. Each question is one connection; not to be asked inside a running event loop."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def query(self, promql: str, at: datetime) -> "list[Sample]":
        return self._ask(lambda client: client.query(promql, at))

    def query_range(self, promql: str, since: datetime, until: datetime, step_s: float) -> "list[Series]":
        points = (until - since).total_seconds() / step_s
        if points > POINTS_MAX:
            raise PrometheusUnavailable(
                f"a range of {points:,.0f} points is more than the {POINTS_MAX:,} that it gives"
            )
        return self._ask(lambda client: client.query_range(promql, since, until, step_s))

    def _ask(self, question: "Callable[[Client], Awaitable[T]]") -> T:
        from trader.stack import StackError
        from trader.stack.client import Client

        async def asked() -> T:
            client = Client(self._url, self._url)
            try:
                return await question(client)
            finally:
                await client.close()

        try:
            return asyncio.run(asked())
        except StackError as error:
            raise PrometheusUnavailable(str(error)[:REASON_MAX_CHARACTERS]) from error
        except (KeyError, TypeError, ValueError) as error:
            raise PrometheusUnavailable(f"the answer of {self._url} is not understood ({error})") from error


def sqlite_file(url: str) -> Path | None:
    """The file of a journal kept in SQLite; None for another."""
    name = url.removeprefix("sqlite:///").partition("?")[0]
    return Path(name) if url.startswith("sqlite:///") and name not in ("", ":memory:") else None
