"""Which session it is, how near its close is, and the facts of one opening and closing.

Rules: a session opens with the first event of it, be that a timer or a quote, and never opens twice: a clock that is
stepped back over an opening or a close makes no new session of an old one, or the books would begin again. Where
positions are not kept overnight, what was wanted in an earlier session is wanted no more.
"""

from datetime import datetime, timedelta
from typing import Final

from trader.contracts import ZERO
from trader.engine.core import Core, Step
from trader.events import SessionClosed, SessionOpened, SessionValued
from trader.session import CalendarExpired, Session

CLOCKS_DIFFER_MAX: Final = timedelta(minutes=1)


def session_of(core: Core, moment: datetime) -> Session | None:
    """The session that ``moment`` belongs to; looked up only when the last answer does not cover it."""
    session = core.session
    if session is not None and session.opens_at <= moment < session.closes_at:
        return session
    if core.closed_from <= moment < core.closed_until:
        return None
    return _look_up(core, moment)


def _look_up(core: Core, moment: datetime) -> Session | None:
    try:
        core.session = core.calendar.session_at(moment)
        if core.session is None:
            core.closed_from, core.closed_until = moment, core.calendar.next_session(moment).opens_at
        core.calendar_problem = ""
    except CalendarExpired as error:
        core.session, core.calendar_problem = None, str(error)
    return core.session


def follow(core: Core, step: Step, moment: datetime) -> Session | None:
    """The session at ``moment``, after telling what opened or closed since it was last followed."""
    session = session_of(core, moment)
    if (session.name if session else "") != core.session_name and not _untimely(core, session, moment):
        if core.session_name:
            _close(core, step, moment)
        if session is not None:
            _open(core, step, moment, session)
    return session


def _untimely(core: Core, session: Session | None, moment: datetime) -> bool:
    """Whether a late quote would open a session that is over, or a clock that went back open or close one again."""
    if session is not None and session.closes_at <= core.now():
        return True
    newest_at = core.newest_open_at
    if newest_at is not None:
        return moment < newest_at if session is None else session.opens_at <= newest_at
    opened_at = core.session_opened_at
    return opened_at is not None and timedelta(0) < opened_at - moment < CLOCKS_DIFFER_MAX


def _close(core: Core, step: Step, at: datetime) -> None:
    core.link.plan_question(core.clock.monotonic_ns(), 0.0)  # what the session did is compared at its end
    pnl = core.ledger.pnl_base(core.marks(), core.link.rates, session=True)
    step.emit(
        SessionClosed(
            at=at,
            calendar=core.calendar.name,
            session=core.session_name,
            realized=pnl.realized if pnl else None,
            unrealized=pnl.unrealized if pnl else None,
            commission=-pnl.commission if pnl else None,
            fees=ZERO if pnl else None,
        )
    )


def _open(core: Core, step: Step, at: datetime, session: Session) -> None:
    core.newest_open_at = session.opens_at
    total = core.ledger.pnl_base(core.marks(), core.link.rates, session=False)
    step.emit(
        SessionOpened(
            at=at,
            calendar=core.calendar.name,
            session=session.name,
            opened_at=session.opens_at,
            closes_at=session.closes_at,
            unrealized=total.unrealized if total else None,
            targets_void=core.settings.session.flatten_before_close_s > 0,
        )
    )
    core.unmet.update(core.targets)


def value(core: Core, step: Step) -> None:
    """Say what open positions are worth, once it is known, where the session's P&L still waits for it."""
    if not core.session_name or core.ledger.unrealized_at_open is not None:
        return
    total = core.ledger.pnl_base(core.marks(), core.link.rates, session=False)
    if total is not None and total.unrealized is not None:
        step.emit(SessionValued(at=core.now(), unrealized=total.unrealized))


def in_flatten_window(core: Core) -> bool:
    return closes_within(core, core.settings.session.flatten_before_close_s)


def closes_within(core: Core, seconds: float) -> bool:
    """Whether the session ends in ``seconds`` or less; no session is near to no close, and 0 asks for nothing."""
    if core.session is None or seconds == 0:
        return False
    return core.session.closes_at - core.now() <= timedelta(seconds=seconds)
