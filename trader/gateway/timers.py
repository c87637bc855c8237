"""Waiting, injected: what the gateway's edge needs of an event loop besides its clock.

Rules: delays are seconds of the host's time, never of a simulated day. Tests pass timers that they move.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """``call_later`` runs ``callback`` once after ``delay_s`` unless its handle is cancelled first."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle: ...

    async def sleep(self, delay_s: float) -> None: ...


class LoopTimers:
    """The running event loop's own timers."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, callback)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
