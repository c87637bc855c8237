"""Runs one task in a process of its own, so that one that hangs, crashes or eats memory ends alone.

Rules: the process is a fork of this one, which has a single thread; it leads a process group, so what a task started
goes with it. A task that raises, that is over its limit, or that dies is a failed section with one sentence; its
traceback goes to stderr. Nothing that a task prints gets to stdout.
"""

import os
import pickle
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.maintenance.context import Context
from trader.maintenance.model import Outcome, Section
from trader.maintenance.tasks import Task

SECTION_MAX_BYTES: Final = 64_000_000
LOOK_EVERY_S: Final = 0.2
GRACE_S: Final = 20.0
"""For a task that is ended: what a drill needs to stop its own processes."""
SENTENCE_MAX_CHARACTERS: Final = 500
CHUNK_BYTES: Final = 1 << 16

RunTask = Callable[[Task, Context, float], Section]


class _Raised(NamedTuple):
    """What a task's process sends instead of a section."""

    sentence: str


class Stop:
    """Whether the job was asked to end; set by a signal, or by a test."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self, *_: object) -> None:
        """Fit to be a signal's handler."""
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, no longer than until the stop is requested."""
        self._event.wait(seconds)


def failed_section(task: Task, context: Context, sentence: str) -> Section:
    """The section of a task that did not give one."""
    return Section(
        key=task.name, title=task.title, outcome=Outcome.FAILED, sentence=sentence[:SENTENCE_MAX_CHARACTERS],
        mend=f"journalctl -u ibkr-maintenance-{context.kind} -n 50",
    )  # fmt: skip


def sentence_of(error: BaseException) -> str:
    """What to say of an exception: our own are sentences, others need their name."""
    text = " ".join(str(error).split())
    ours = type(error).__module__.partition(".")[0] in ("trader", "observability")
    if text and (ours or isinstance(error, OSError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Forked:
    """Runs tasks; ``stop`` ends the one that runs."""

    def __init__(self, clock: Clock, stop: Stop) -> None:
        self._clock = clock
        self._stop = stop

    def __call__(self, task: Task, context: Context, limit_s: float) -> Section:
        """The section of ``task``, after at most ``limit_s`` and a grace."""
        sys.stdout.flush()
        sys.stderr.flush()
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns where there are threads; there are none but in tests.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process == 0:
            os.close(reader)
            _be_the_task(task, context, writer)
        os.close(writer)
        # Here too, because either of the two may be first.
        with suppress(OSError):
            os.setpgid(process, process)
        try:
            answer, why_not = self._answer(reader, limit_s)
        finally:
            os.close(reader)
            status = self._end(process)
        if why_not:
            return failed_section(task, context, why_not)
        return _section_of(task, context, answer, status)

    def _answer(self, reader: int, limit_s: float) -> tuple[bytes, str]:
        """All that the process sends, or why nobody waits for it any more."""
        deadline_ns = self._clock.monotonic_ns() + int(limit_s * NANOSECONDS_PER_SECOND)
        received = bytearray()
        while True:
            if self._stop.requested:
                return b"", "stopped half-way: the job was asked to end"
            if self._clock.monotonic_ns() > deadline_ns:
                return b"", f"did not end within {limit_s:.0f} s and was ended"
            ready, _, _ = select.select([reader], [], [], LOOK_EVERY_S)
            if not ready:
                continue
            chunk = os.read(reader, CHUNK_BYTES)
            if not chunk:
                return bytes(received), ""
            received += chunk
            if len(received) > SECTION_MAX_BYTES:
                return b"", f"its section is larger than {SECTION_MAX_BYTES // 1_000_000} MB"

    def _end(self, process: int) -> int:
        """End the process and its group if they still run; how the process ended."""
        _signal_group(process, signal.SIGTERM)
        give_up_ns = self._clock.monotonic_ns() + int(GRACE_S * NANOSECONDS_PER_SECOND)
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended or self._clock.monotonic_ns() > give_up_ns:
                break
            select.select([], [], [], LOOK_EVERY_S / 4)
        _signal_group(process, signal.SIGKILL)
        if not ended:
            _, status = os.waitpid(process, 0)
        return os.waitstatus_to_exitcode(status)


def _signal_group(process: int, number: signal.Signals) -> None:
    try:
        os.killpg(process, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left, or only zombies


def _section_of(task: Task, context: Context, answer: bytes, status: int) -> Section:
    try:
        found = pickle.loads(answer)
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, ValueError, TypeError):
        how = f"killed by signal {-status}" if status < 0 else f"ended with {status}"
        return failed_section(task, context, f"its process was {how} before it had a result")
    if isinstance(found, Section):
        return msgspec.structs.replace(found, key=task.name)
    return failed_section(task, context, found.sentence if isinstance(found, _Raised) else "gave no section")


def _be_the_task(task: Task, context: Context, writer: int) -> NoReturn:
    """The child: run the task, send what comes of it, and never return to the parent's code."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.dup2(2, 1)
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(_outcome_of(task, context), pipe)
        status = 0
    except BaseException:  # noqa: BLE001 # whatever it is must not unwind into the parent's code
        traceback.print_exc()
    finally:
        os._exit(status)


def _outcome_of(task: Task, context: Context) -> "Section | _Raised":
    try:
        return task.run(context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 # the others still run
        if sentence_of(error).startswith(type(error).__name__):
            traceback.print_exc()
        return _Raised(sentence_of(error))
