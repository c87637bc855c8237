"""The end of the broker's day, after which the executions of the day are told no more.

Rules: they are asked for shortly before it, again and again until there is an answer, whatever the day was like.
A day that ended without such an answer while an order's fate was open is told as a mismatch: nothing can be asked
about it any more but the statement.
"""

from datetime import datetime, timedelta
from typing import Final

from trader.clock import NANOSECONDS_PER_SECOND
from trader.engine import recovery
from trader.engine.core import Core, Step
from trader.events import MismatchFound, MismatchKind

# Before the day's end; the first also comes before any reset that the broker ever announced for midnight.
CALLS: Final = (timedelta(minutes=20), timedelta(minutes=2))
RETRY_NS: Final = 15 * NANOSECONDS_PER_SECOND


def follow(core: Core, step: Step, now: datetime, now_ns: int) -> None:
    """Ask when a call is due; tell when a day ended that was not asked for."""
    link = core.link
    if core.windows is None:
        return
    if link.day_ends_at is None or now >= link.day_ends_at:
        if link.day_ends_at is not None:
            _end(core, step, link.day_ends_at)
        link.day_ends_at = core.windows.next_day_end(now)
    passed = [link.day_ends_at - before for before in CALLS if link.day_ends_at - before <= now]
    answered = link.executions_at is not None and bool(passed) and link.executions_at >= max(passed)
    waits = link.last_call_ns is not None and now_ns - link.last_call_ns < RETRY_NS
    if passed and not answered and not waits and link.usable:
        link.last_call_ns = now_ns
        recovery.ask(core, step, "the broker's day ends")


def _end(core: Core, step: Step, ended_at: datetime) -> None:
    link = core.link
    open_ended = [order for order in core.orders.open() if order.intended_at < ended_at]
    ended_since = [ref for ref, ended_ns in core.ended_ns.items() if ended_ns > link.executions_ns]
    if link.reconciled or not (open_ended or ended_since):
        return
    asked = f"{link.executions_at:%Y-%m-%d %H:%M:%S} UTC" if link.executions_at else "never"
    subject = f"the broker's day to {ended_at:%Y-%m-%d %H:%M} UTC"
    ours = f"last answered {asked}"
    step.emit(
        MismatchFound(at=core.now(), kind=MismatchKind.EXECUTION, subject=subject, ours=ours, theirs="told no more")
    )
