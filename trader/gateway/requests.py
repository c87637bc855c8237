"""Requests that wait for their End message.

Rules: each request has a key (its id, or its kind where the protocol has no ids), rows that arrive for it and
an end. It is answered, refused, times out or is dropped, exactly once, and says which. A row that could not
be understood spoils the whole answer: half an answer must never look like a short one.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.events import RequestKind, RequestOutcome
from trader.gateway.timers import TimerHandle, Timers

Key = int | RequestKind
OnFinished = Callable[[RequestKind, RequestOutcome, float], None]
ROWS_MAX = 100_000


class RequestFailed(Exception):
    """A request without an answer. ``code`` is the broker's, 0 when it said nothing."""

    def __init__(self, kind: RequestKind, outcome: RequestOutcome, detail: str, code: int = 0) -> None:
        super().__init__(detail)
        self.kind = kind
        self.outcome = outcome
        self.detail = detail
        self.code = code


class Request:
    """One request under way. ``rows`` are kept by a key of their own, so that the last word on each wins."""

    def __init__(self, kind: RequestKind, started_ns: int) -> None:
        self.kind = kind
        self.started_ns = started_ns
        self.rows: dict[Hashable, Any] = {}
        self.spoiled = ""
        self.timer: TimerHandle | None = None
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


class Requests:
    """The requests of one connection."""

    def __init__(self, clock: Clock, timers: Timers, timeout_s: float, on_finished: OnFinished) -> None:
        self._clock = clock
        self._timers = timers
        self._timeout_s = timeout_s
        self._on_finished = on_finished
        self._open: dict[Key, Request] = {}

    def start(self, key: Key, kind: RequestKind) -> Request:
        """Begin waiting for ``key``; ValueError when it is waited for already."""
        if key in self._open:
            raise ValueError(f"a request {key} is under way")
        request = Request(kind, self._clock.monotonic_ns())
        request.timer = self._timers.call_later(self._timeout_s, lambda: self._time_out(key))
        self._open[key] = request
        return request

    def get(self, key: Key) -> Request | None:
        """The request under way for ``key``."""
        return self._open.get(key)

    def add(self, key: Key, row_key: Hashable, row: object) -> bool:
        """Keep a row of an answer; False when nobody asked."""
        request = self._open.get(key)
        if request is None:
            return False
        if len(request.rows) >= ROWS_MAX:
            request.spoiled = f"more than {ROWS_MAX} rows"
        else:
            request.rows[row_key] = row
        return True

    def row(self, key: Key, row_key: Hashable) -> Any | None:
        """A row kept so far, or None."""
        request = self._open.get(key)
        return None if request is None else request.rows.get(row_key)

    def spoil(self, key: Key, detail: str) -> bool:
        """A row of this answer was lost; False when nobody asked."""
        request = self._open.get(key)
        if request is not None:
            request.spoiled = detail
        return request is not None

    def end(self, key: Key) -> None:
        """The End message came."""
        request = self._pop(key)
        if request is None:
            return
        if request.spoiled:
            self._fail(request, RequestOutcome.ERROR, request.spoiled)
            return
        self._report(request, RequestOutcome.OK)
        if not request.future.done():
            request.future.set_result(list(request.rows.values()))

    def refuse(self, key: Key, code: int, message: str) -> bool:
        """The broker refused it; False when nobody asked."""
        request = self._pop(key)
        if request is not None:
            self._fail(request, RequestOutcome.ERROR, message, code)
        return request is not None

    def drop(self, key: Key, detail: str) -> None:
        """It was never sent."""
        request = self._pop(key)
        if request is not None:
            self._fail(request, RequestOutcome.DROPPED, detail)

    def drop_all(self, detail: str) -> None:
        for key in list(self._open):
            self.drop(key, detail)

    def _time_out(self, key: Key) -> None:
        request = self._pop(key)
        if request is not None:
            self._fail(request, RequestOutcome.TIMEOUT, f"no answer to {request.kind} within {self._timeout_s:g} s")

    def _pop(self, key: Key) -> Request | None:
        request = self._open.pop(key, None)
        if request is not None and request.timer is not None:
            request.timer.cancel()
        return request

    def _fail(self, request: Request, outcome: RequestOutcome, detail: str, code: int = 0) -> None:
        self._report(request, outcome)
        if not request.future.done():
            request.future.set_exception(RequestFailed(request.kind, outcome, detail, code))
            # Nobody may be waiting any more (a connection that is going down): that is not a defect.
            request.future.exception()

    def _report(self, request: Request, outcome: RequestOutcome) -> None:
        elapsed_ns = self._clock.monotonic_ns() - request.started_ns
        self._on_finished(request.kind, outcome, elapsed_ns / NANOSECONDS_PER_SECOND)
