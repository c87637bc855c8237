"""Facts in words: one readable message for every fact worth a line in the log.

Rules: a line about an order carries its ``order_ref``; a line about something that took time carries
``latency_ms``. What endangers money or the link it flows through is an ERROR, what an operator should look at a
WARNING, the course of things INFO. Facts that come by the tick have no line. ``repeats`` names what makes two
lines the same news, for those that may come in floods.
"""

from datetime import UTC
from typing import Final, assert_never

from observability.describe_link import describe_data, describe_link
from observability.describe_orders import describe_books, describe_decision, describe_order
from observability.entry import Entry, error, info, milliseconds, warning
from observability.fact_groups import (
    BooksFact,
    ControlFact,
    DataFact,
    DecisionFact,
    HotFact,
    LifecycleFact,
    LinkFact,
    OrderFact,
    OrderWordFact,
)
from trader.contracts import TradingState
from trader.events import (
    AccountValuesReceived,
    AnyFact,
    BrokerStateReceived,
    CommissionReceived,
    ExecutionReceived,
    Fact,
    HaltRequested,
    HeartbeatReceived,
    MaintenanceFinished,
    MaintenanceOutcome,
    MetricsScraped,
    ObserverFailed,
    OpenOrderReceived,
    OrderIdsReserved,
    OrdersJournaled,
    OrderStatusReceived,
    PacingWaited,
    PanicCompleted,
    PanicRequested,
    PanicStepped,
    PolicyAlertsReceived,
    PolicyChanged,
    PolicyOverridden,
    PolicyOverrideRequested,
    PolicyState,
    PositionReceived,
    QuoteReceived,
    ReadinessChanged,
    ReduceOnlyRequested,
    ReloadFinished,
    ResumeRequested,
    ScheduleFired,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SessionValued,
    StopRequested,
    TimerElapsed,
    TradeReceived,
    TradingStateChanged,
)

# Never described: known to the caller, so that they need not be queued.
SILENT: Final[frozenset[type[Fact]]] = frozenset(
    (
        AccountValuesReceived,
        BrokerStateReceived,
        CommissionReceived,
        ExecutionReceived,
        HeartbeatReceived,
        MetricsScraped,
        OpenOrderReceived,
        OrderIdsReserved,
        OrderStatusReceived,
        OrdersJournaled,
        PacingWaited,
        PolicyAlertsReceived,
        PolicyOverrideRequested,
        PositionReceived,
        QuoteReceived,
        TimerElapsed,
        TradeReceived,
    )
)


def describe(fact: AnyFact) -> Entry | None:
    """The line for ``fact``, or None when it has none."""
    if isinstance(fact, HotFact | OrderWordFact):
        return None
    if isinstance(fact, OrderFact):
        return describe_order(fact)
    if isinstance(fact, DecisionFact):
        return describe_decision(fact)
    if isinstance(fact, LinkFact):
        return describe_link(fact)
    if isinstance(fact, DataFact):
        return describe_data(fact)
    if isinstance(fact, BooksFact):
        return describe_books(fact)
    if isinstance(fact, ControlFact):
        return describe_control(fact)
    if isinstance(fact, LifecycleFact):
        return describe_lifecycle(fact)
    assert_never(fact)


def describe_control(fact: ControlFact) -> Entry | None:
    match fact:
        case TradingStateChanged():
            return _trading_state(fact)
        case PanicRequested():
            return error(f"panic requested by {fact.source}", source=fact.source, repeats=("panic", fact.source))
        case PanicStepped():
            return error(f"panic: {fact.step} ({fact.detail})", step=fact.step, repeats=("panic_step", fact.step))
        case PanicCompleted():
            return error(
                f"panic completed: no orders, no positions after {fact.duration_s:.2f} s",
                latency_ms=milliseconds(fact.duration_s),
            )
        case HaltRequested():
            return warning(f"halt requested by {fact.source}: {fact.reason}", source=fact.source)
        case ReduceOnlyRequested():
            return warning(f"reduce-only requested by {fact.source}: {fact.reason}", source=fact.source)
        case ResumeRequested():
            return info(
                f"resume requested by {fact.source}", source=fact.source, accept_positions=fact.accept_positions
            )
        case PolicyChanged():
            return _policy_changed(fact)
        case PolicyOverridden():
            return _policy_overridden(fact)
        case PolicyAlertsReceived() | PolicyOverrideRequested():
            return None
        case _:
            assert_never(fact)


def _policy_changed(fact: PolicyChanged) -> Entry:
    make = info if fact.new is PolicyState.OK else warning
    alerts = [f"{alert.name}{' (held)' if alert.held else ''}" for alert in fact.alerts]
    words = fact.new.name.lower().replace("_", " ")
    return make(
        f"budget policy for {fact.slo}: {words} ({', '.join(alerts) or 'no alert'})",
        slo=fact.slo,
        policy_state=int(fact.new),
        alerts=alerts,
    )


def _policy_overridden(fact: PolicyOverridden) -> Entry:
    if fact.until is None:
        return info(f"the budget policy is in force again: {fact.reason}", source=fact.source)
    until = f"{fact.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return warning(f"budget policy overridden by {fact.source} until {until}: {fact.reason}", source=fact.source)


def _trading_state(fact: TradingStateChanged) -> Entry:
    makes = {TradingState.ACTIVE: info, TradingState.PANIC: error}
    return makes.get(fact.new, warning)(
        f"trading state {fact.old} -> {fact.new} by {fact.source}: {fact.reason}",
        state=fact.new,
        source=fact.source,
    )


def describe_lifecycle(fact: LifecycleFact) -> Entry | None:
    match fact:
        case ServiceStarted():
            return _started(fact)
        case ServiceStopped():
            make = info if fact.clean else error
            return make(f"service stopped: {fact.reason}", run_id=fact.run_id, clean=fact.clean)
        case ReadinessChanged():
            make = info if fact.ready else warning
            return make(
                "ready" if fact.ready else f"not ready: {'; '.join(fact.problems)}", problems=list(fact.problems)
            )
        case ReloadFinished():
            return _reloaded(fact)
        case ObserverFailed():
            return error(
                f"observer {fact.observer} failed: {fact.error}",
                observer=fact.observer,
                repeats=("observer", fact.observer),
            )
        case SessionOpened():
            return info(
                f"session {fact.session} of {fact.calendar} open until {fact.closes_at.astimezone(UTC):%H:%M:%S} UTC"
            )
        case SessionValued():
            return info(f"positions are worth {fact.unrealized:+.2f} above cost: the session's P&L counts from here")
        case SessionClosed():
            return _session_closed(fact)
        case MaintenanceFinished():
            return _maintenance(fact)
        case StopRequested():
            return info(f"stopping: {fact.reason}")
        case ScheduleFired():
            return info(f"schedule of {fact.strategy} came due", strategy=fact.strategy)
        case TimerElapsed() | MetricsScraped():
            return None
        case _:
            assert_never(fact)


def _started(fact: ServiceStarted) -> Entry:
    make = info if fact.previous_exit_clean else warning
    previous = "" if fact.previous_exit_clean else "; the run before did not end cleanly"
    return make(
        f"service {fact.version} started in mode {fact.mode} ({fact.reason}){previous}",
        run_id=fact.run_id,
        reason=fact.reason,
        version=fact.version,
        mode=fact.mode,
        config_hash=fact.config_hash,
    )


def _reloaded(fact: ReloadFinished) -> Entry:
    if fact.problems:
        return error(
            f"configuration not reloaded, the old one stays: {'; '.join(fact.problems)}", problems=list(fact.problems)
        )
    return info(f"configuration reloaded: {', '.join(fact.changed) or 'nothing changed'}", changed=list(fact.changed))


def _session_closed(fact: SessionClosed) -> Entry:
    amounts = (
        ("realized", fact.realized),
        ("unrealized", fact.unrealized),
        ("commission", fact.commission),
        ("fees", fact.fees),
    )
    told = ", ".join(f"{name} {'not known' if amount is None else f'{amount:.2f}'}" for name, amount in amounts)
    return info(
        f"session {fact.session} of {fact.calendar} closed: {told}",
        None,
        **{name: None if amount is None else f"{amount:.2f}" for name, amount in amounts},
    )


def _maintenance(fact: MaintenanceFinished) -> Entry:
    # A failed job is no error of the service, whose error rate counts these lines.
    make = warning if fact.outcome is MaintenanceOutcome.FAILED else info
    failed = [task for task, outcome in fact.tasks.items() if outcome is MaintenanceOutcome.FAILED]
    named = f"; failed: {', '.join(failed)}" if failed else ""
    return make(
        f"{fact.kind} maintenance of {fact.period} ended: {fact.outcome}{named}",
        maintenance=fact.kind,
        outcome=fact.outcome,
        duration_s=round(fact.duration_s, 1),
        failed=failed,
    )
