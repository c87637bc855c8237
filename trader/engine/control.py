"""Trading state, sessions, timers and the panic: what happens without a word of the market.

Rules: "no entries" is latched before anything is cancelled, and everything is cancelled before anything is
flattened. A panic stays across restarts until an operator resumes. Deadlines of orders and answers are
monotonic, sessions and staleness follow the clock.
"""

from datetime import datetime

from trader import risk
from trader.clock import NANOSECONDS_PER_SECOND
from trader.contracts import TradingState
from trader.engine import decisions, last_call, order_flow, recovery, sessions
from trader.engine.core import AwaitedFills, Core, Step
from trader.events import (
    BrokerStateReceived,
    CancelAllOrders,
    CancelReason,
    HaltRequested,
    OrderState,
    OrderTrigger,
    PanicCompleted,
    PanicRequested,
    PanicStepped,
    QuoteStalenessChanged,
    ReadinessChanged,
    ReduceOnlyRequested,
    ResumeRequested,
    StopRequested,
    TimerElapsed,
    TradingStateChanged,
)
from trader.flatten import FlattenPhase, FlattenProcedure, FlattenStep
from trader.orders import PANIC, Order, is_closing_reference
from trader.policy import POLICY


def change_state(core: Core, step: Step, new: TradingState, source: str, reason: str) -> None:
    takes_over = core.held_by_policy and source != POLICY
    if core.trading_state is not new or takes_over:
        step.emit(TradingStateChanged(at=core.now(), old=core.trading_state, new=new, source=source, reason=reason))


# -- the operator's words


def on_panic(core: Core, step: Step, event: PanicRequested) -> None:
    if core.trading_state is TradingState.PANIC and (core.panic is not None or core.panic_completed):
        return
    change_state(core, step, TradingState.PANIC, event.source, f"panic raised by {event.source}")
    begin_panic(core, step)


def begin_panic(core: Core, step: Step) -> None:
    """Start the panic procedure, or start it again on a new connection."""
    now_ns = core.clock.monotonic_ns()
    if core.panic is None:
        core.panic = FlattenProcedure(now_ns)
    for order in core.orders.open():
        if not is_closing_reference(order.order_ref):
            order_flow.cancel(core, step, order, CancelReason.PANIC)
    if core.link.connected:
        _follow(core, step, core.panic.begin(now_ns))


def on_halt(core: Core, step: Step, event: HaltRequested) -> None:
    if core.trading_state is TradingState.PANIC:
        return
    change_state(core, step, TradingState.HALTED, event.source, event.reason)
    order_flow.cancel_all(core, step, CancelReason.HALT)


def on_reduce_only(core: Core, step: Step, event: ReduceOnlyRequested) -> None:
    if core.may_tighten:
        change_state(core, step, TradingState.REDUCE_ONLY, event.source, event.reason)


def on_resume(core: Core, step: Step, event: ResumeRequested) -> None:
    """Back to active. A panic that is still flattening goes on; the caller sees it in the state."""
    if event.accept_positions:
        core.link.accept_positions = True
        recovery.ask(core, step, "the operator accepts the broker's positions")
    if core.panic is not None and core.panic.phase is not FlattenPhase.DONE:
        return
    core.panic = None
    core.strategy_suspended = ""
    change_state(core, step, TradingState.ACTIVE, event.source, f"resumed by {event.source}")
    core.unmet.update(core.targets)


def on_stop(core: Core, step: Step, event: StopRequested) -> None:
    if core.stopping:
        return
    core.stopping = event.reason or "stopped"
    core.unmet.update(core.targets)
    if core.settings.stop.cancel_orders:
        for order in core.orders.open():
            if not _closes_position(order):
                order_flow.cancel(core, step, order, CancelReason.SHUTDOWN)


def stopped(core: Core) -> bool:
    """Whether a stop has nothing left to wait for."""
    stop = core.settings.stop
    if core.panic is not None and core.panic.phase is not FlattenPhase.DONE:
        return False
    may_flatten = stop.flatten and core.trading_state not in decisions.STATES_WITHOUT_ORDERS
    waiting_for_orders = (stop.cancel_orders or stop.flatten) and core.orders.open()
    waiting_for_flat = may_flatten and any(core.ledger.position(symbol) for symbol in core.targets)
    return not waiting_for_orders and not waiting_for_flat


# -- the panic


def _closes_position(order: Order) -> bool:
    return order.intent is not None and order.intent.strategy == PANIC


def on_state_in_panic(core: Core, step: Step, event: BrokerStateReceived) -> None:
    if core.panic is None or not recovery.believed(core, event):
        return
    closing = [order.order_ref for order in core.orders.open() if _closes_position(order)]
    _follow(core, step, core.panic.on_state(event, closing, core.clock.monotonic_ns()))


def _follow(core: Core, step: Step, wanted: FlattenStep) -> None:
    procedure = core.panic
    assert procedure is not None
    if wanted.note:
        step.emit(PanicStepped(at=core.now(), step=procedure.phase, detail=wanted.note))
    if wanted.cancel_all:
        step.send(CancelAllOrders(reason=CancelReason.PANIC))
    if wanted.withdraw:
        for order in core.orders.open():
            if _closes_position(order):
                order_flow.cancel(core, step, order, CancelReason.DUPLICATE)
    for closing in wanted.orders:
        approved = risk.approve_flatten(
            closing.instrument.symbol,
            closing.side,
            closing.quantity,
            reason="panic",
            decided_ns=core.clock.monotonic_ns(),
        )
        decisions.place(core, step, approved, closing.instrument)
    if wanted.ask:
        recovery.ask(core, step, "panic")
    if procedure.phase is FlattenPhase.DONE and not core.panic_completed:
        duration_s = (core.clock.monotonic_ns() - procedure.started_ns) / NANOSECONDS_PER_SECOND
        step.emit(PanicCompleted(at=core.now(), duration_s=duration_s))


# -- time


def on_timer(core: Core, step: Step, event: TimerElapsed) -> None:
    now, now_ns = event.at, event.monotonic_ns
    sessions.follow(core, step, now)
    last_call.follow(core, step, now, now_ns)
    _order_deadlines(core, step, now, now_ns)
    if core.link.connected:
        if core.panic is not None:
            _follow(core, step, core.panic.on_timer(now_ns))
        if core.link.next_ask_ns is not None and now_ns >= core.link.next_ask_ns:
            recovery.ask(core, step, "due")
    _staleness(core, step, now)
    _availability(core, now, now_ns)
    if core.trading_state is not TradingState.PANIC:  # which has to work when nothing can be valued
        sessions.value(core, step)
        _daily_loss(core, step)
    if sessions.in_flatten_window(core) or core.stopping:
        core.unmet.update(core.targets)


def _order_deadlines(core: Core, step: Step, now: datetime, now_ns: int) -> None:
    execution = core.settings.execution
    ack_timeout_ns = int(execution.ack_timeout_s * NANOSECONDS_PER_SECOND)
    for order in core.orders.open():
        ref = order.order_ref
        if order.state is OrderState.SENT and now_ns - core.sent_ns.get(ref, now_ns) > ack_timeout_ns:
            order_flow.advance(core, step, order, OrderTrigger.TIMED_OUT, "the broker has not said a word about it")
            recovery.ask_after(core, 0.0)
        awaited = core.awaited_fills.get(ref)
        if awaited is not None and now_ns - awaited.since_ns > ack_timeout_ns:
            core.awaited_fills[ref] = AwaitedFills(awaited.quantity, awaited.cancelled, now_ns)
            recovery.ask_after(core, 0.0)
        if order.cancel_reason is not None:
            _repeat_cancel(core, step, order, now_ns, ack_timeout_ns)
        elif _too_old(order, now, execution.cancel_after_s) and core.link.usable:
            order_flow.cancel(core, step, order, CancelReason.TIMEOUT)


def _too_old(order: Order, now: datetime, cancel_after_s: float) -> bool:
    may_expire = order.approved is not None and not _closes_position(order)
    # From far ahead of a clock that was stepped back, its age is not known.
    return may_expire and abs((now - order.intended_at).total_seconds()) > cancel_after_s


def _repeat_cancel(core: Core, step: Step, order: Order, now_ns: int, timeout_ns: int) -> None:
    sent_ns = core.cancel_sent_ns.get(order.order_ref, 0)
    if core.link.usable and core.link.reconciled and now_ns - sent_ns > timeout_ns:
        order_flow.send_cancel(core, step, order)
        recovery.ask_after(core, 1.0)


def _staleness(core: Core, step: Step, now: datetime) -> None:
    data = core.market_data
    stale = data.silent(now) if sessions.session_of(core, now) is not None else set()
    for symbol in sorted(stale ^ data.stale):
        step.emit(
            QuoteStalenessChanged(at=now, symbol=symbol, stale=symbol in stale, age_s=data.age_s(symbol, now) or 0.0)
        )
    data.stale = stale


def _availability(core: Core, now: datetime, now_ns: int) -> None:
    """Session time counts as available when the service could have traded: ready, fresh data, not stopped by us."""
    before_ns, core.last_timer_ns = core.last_timer_ns, now_ns
    if before_ns is None or sessions.session_of(core, now) is None:
        return
    subscribed = core.market_data.subscribed()
    fresh = subscribed > 0 and len(core.market_data.stale) < subscribed
    trading = core.trading_state in (TradingState.ACTIVE, TradingState.REDUCE_ONLY)
    available = not core.problems and fresh and trading
    core.statistics.session_time((now_ns - before_ns) / NANOSECONDS_PER_SECOND, available)


def _daily_loss(core: Core, step: Step) -> None:
    net = core.session_net()
    if net is None:
        return
    core.peak_net = max(core.peak_net, net)
    if core.may_tighten and net <= -core.settings.risk.daily_loss_limit:
        reason = f"the session's net P&L of {net:.2f} reached the daily loss limit"
        change_state(core, step, TradingState.REDUCE_ONLY, "risk", reason)


# -- readiness


def update_readiness(core: Core, step: Step) -> None:
    problems = tuple(_problems(core))
    if problems != core.problems:
        core.problems = problems
        step.emit(ReadinessChanged(at=core.now(), ready=not problems, problems=problems))
        if not problems:
            core.unmet.update(core.targets)
            core.retry_at.clear()
            core.retry_s.clear()


def _problems(core: Core) -> list[str]:
    link = core.link
    problems = []
    if not link.connected:
        problems.append("not connected to the gateway" + _announced(core))
    elif not link.upstream:
        problems.append("the gateway is not connected to IB" + _announced(core))
    if link.connected and not link.reconciled:
        problems.append(link.reconcile_problem)
    if core.journal_problem:
        problems.append(f"journal unavailable: {core.journal_problem}")
    if core.calendar_problem:
        problems.append(core.calendar_problem)
    return problems


def _announced(core: Core) -> str:
    """Words for an absence that the broker announced; empty when it is not one."""
    window = core.windows.window_at(core.now()) if core.windows else None
    return f" (the broker's announced reset, until {window.ends_at:%H:%M} UTC)" if window else ""
