"""Facts to metrics: what is counted and timed as it happens.

Rules: every fact is named here, those without a metric in a group of their own, and the type checker holds it
(``assert_never``). Nothing here reads live objects; what is a state and not an event comes from the snapshot
(``collectors.py``). Children are bound once.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, assert_never

from prometheus_client import CollectorRegistry

from observability.catalogue import OTHER, broker, core, market_data, orders, risk
from observability.exemplars import TRACE_ID, Exemplars, trace_id
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
from observability.families import LabelValues, counter, counters, histogram
from observability.loops import LoopTicks
from trader.contracts import TradingState
from trader.events import (
    AccountValuesReceived,
    AnyFact,
    BadTickDropped,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    CancelIntended,
    CommissionBooked,
    ConnectFailedReceived,
    DecisionMade,
    DecisionOutcome,
    DecodeFailed,
    DuplicateOrderBlocked,
    ErrorClass,
    ExecutionIgnored,
    Fact,
    FarmChangedReceived,
    FillBooked,
    HaltRequested,
    HeartbeatMissedReceived,
    HeartbeatReceived,
    IntentRefused,
    MaintenanceFinished,
    MarketDataModeReceived,
    MetricsScraped,
    MismatchFound,
    ObserverFailed,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderSendFailed,
    OrderSent,
    OrdersJournaled,
    OrderStateChanged,
    PacingWaited,
    PanicCompleted,
    PanicRequested,
    PanicStepped,
    PolicyAlertsReceived,
    PolicyChanged,
    PolicyOverridden,
    PolicyOverrideRequested,
    PositionReceived,
    QuotesConflated,
    QuoteStalenessChanged,
    ReadinessChanged,
    ReduceOnlyRequested,
    ReloadFinished,
    RequestFinished,
    ResumeRequested,
    ScheduleFired,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SessionValued,
    SignalChanged,
    StopRequested,
    StrategyFailed,
    SubscriptionChangedReceived,
    TimerElapsed,
    TradingStateChanged,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.snapshot import Histogram

MAX_ORDERS_TO_SEND = 1_000


class Instruments:
    """All metrics that facts move, in ``registry``.

    ``decisions`` counts decisions by strategy and outcome; holds, which are no facts, are added at the scrape.
    """

    def __init__(self, registry: CollectorRegistry, ticks: LoopTicks, strategies: Sequence[str] = ()) -> None:
        self._ticks = ticks
        self._strategies = LabelValues(orders.DECISIONS.labels[0])
        self.decisions: dict[tuple[str, str], int] = {}
        for strategy in strategies:
            self.seed_strategy(strategy)
        self.reloaded_at: datetime | None = None
        self.config: tuple[str, str] | None = None
        self.trading_state: TradingState | None = None
        self.state_source = ""
        self._was_connected = False
        self._types_to_send: dict[str, str] = {}
        self._routes: dict[type[Fact], Callable[[Any], None]] = {}
        self._declare_link(registry)
        self._declare_trading(registry)

    def _declare_link(self, registry: CollectorRegistry) -> None:
        self._heartbeat_duration = histogram(broker.HEARTBEAT_DURATION, registry)
        self._heartbeats_missed = counter(broker.HEARTBEATS_MISSED, registry)
        self._disconnects = counters(broker.DISCONNECTS, registry)
        self._reconnects = counters(broker.RECONNECTS, registry)
        self._requests = counters(broker.REQUESTS, registry)
        self._errors = counters(broker.ERRORS, registry)
        self._pacing_waits = counter(broker.PACING_WAITS, registry)
        self._decode_failures = counter(broker.DECODE_FAILURES, registry)
        self._bad_ticks = counters(market_data.BAD_TICKS, registry)
        self._quotes_conflated = counter(market_data.QUOTES_CONFLATED, registry)
        self._reloads = counters(core.CONFIG_RELOADS, registry)
        self.observer_failures = counters(core.OBSERVER_FAILURES, registry)

    def _declare_trading(self, registry: CollectorRegistry) -> None:
        self._submitted = counters(orders.SUBMITTED, registry)
        self._final = counters(orders.FINAL, registry)
        self._fill_duration = histogram(orders.FILL_DURATION, registry)
        self.decision_exemplars = Exemplars(orders.DECISION_DURATION.buckets)
        self.ack_exemplars = Exemplars(orders.ACK_DURATION.buckets)
        # Slippage may be negative: a sum that falls is no counter, so only its buckets are exported.
        self.slippage = Histogram(orders.SLIPPAGE_BOUNDS)
        self._duplicates_blocked = counter(orders.DUPLICATES_BLOCKED, registry)
        self._mismatches_found = counters(orders.MISMATCHES_FOUND, registry)
        self._risk_blocks = counters(risk.RISK_BLOCKS, registry)
        self._orders_while_halted = counter(risk.ORDERS_WHILE_HALTED, registry)
        self._flatten_duration = histogram(risk.PANIC_FLATTEN_DURATION, registry)

    def seed_strategy(self, strategy: str) -> None:
        """Make every outcome of ``strategy`` a series at 0."""
        label = self._strategies.fold(strategy)
        for outcome in DecisionOutcome:
            self.decisions.setdefault((label, outcome), 0)

    def strategy_label(self, strategy: str) -> str:
        """The label value for ``strategy``: itself, or ``other`` when there are too many."""
        label = self._strategies.fold(strategy)
        if (label, DecisionOutcome.HOLD) not in self.decisions:
            self.seed_strategy(label)
        return label

    def observe(self, fact: AnyFact) -> None:
        """Count and time ``fact``."""
        handle = self._routes.get(type(fact))
        if handle is None:
            handle = self._routes[type(fact)] = self._route(fact)
        handle(fact)

    def _route(self, fact: AnyFact) -> Callable[[Any], None]:
        """Who takes facts like this one; asked once for each kind."""
        if isinstance(fact, MismatchFound):
            return self._mismatch
        if isinstance(fact, HotFact | OrderWordFact | BooksFact):
            return _ignore
        if isinstance(fact, LifecycleFact):
            return self._lifecycle
        if isinstance(fact, ControlFact):
            return self._control
        if isinstance(fact, LinkFact):
            return self._link
        if isinstance(fact, DataFact):
            return self._data
        if isinstance(fact, DecisionFact):
            return self._decision
        if isinstance(fact, OrderFact):
            return self._order
        assert_never(fact)

    def _mismatch(self, fact: MismatchFound) -> None:
        self._mismatches_found.get(fact.kind).inc()

    def _lifecycle(self, fact: LifecycleFact) -> None:
        match fact:
            case TimerElapsed():
                self._ticks.tick("engine")
            case ServiceStarted():
                self.config = (fact.version, fact.config_hash)
            case ReloadFinished():
                self._reload(fact)
            case ObserverFailed():
                self.observer_failures.get(fact.observer if fact.observer in core.OBSERVERS else OTHER).inc()
            case (
                MetricsScraped()
                | ScheduleFired()
                | ServiceStopped()
                | ReadinessChanged()
                | SessionOpened()
                | SessionValued()
                | SessionClosed()
                | MaintenanceFinished()
                | StopRequested()
            ):
                pass
            case _:
                assert_never(fact)

    def _reload(self, fact: ReloadFinished) -> None:
        self._reloads.get("refused" if fact.problems else "applied").inc()
        if not fact.problems:
            self.reloaded_at = fact.at

    def _control(self, fact: ControlFact) -> None:
        match fact:
            case TradingStateChanged():
                self.trading_state, self.state_source = fact.new, fact.source
            case PanicCompleted():
                self._flatten_duration.observe(fact.duration_s)
            case (
                PanicRequested()
                | PanicStepped()
                | HaltRequested()
                | ReduceOnlyRequested()
                | ResumeRequested()
                | PolicyAlertsReceived()
                | PolicyOverrideRequested()
                | PolicyChanged()
                | PolicyOverridden()
            ):
                pass
            case _:
                assert_never(fact)

    def _link(self, fact: LinkFact) -> None:
        match fact:
            case HeartbeatReceived():
                self._heartbeat_duration.observe(fact.duration_s)
            case HeartbeatMissedReceived():
                self._heartbeats_missed.inc()
            case RequestFinished():
                self._requests.get(fact.kind, fact.outcome).inc()
            case BrokerErrorReceived():
                self._error(fact)
            case PacingWaited():
                self._pacing_waits.inc()
            case DecodeFailed():
                self._decode_failures.inc()
            case BrokerConnectedReceived():
                self._connected()
            case BrokerDisconnectedReceived():
                self._disconnects.get(fact.reason).inc()
            case ConnectFailedReceived():
                self._reconnects.get("failed").inc()
            case UpstreamLostReceived() | UpstreamRestoredReceived() | FarmChangedReceived():
                pass
            case _:
                assert_never(fact)

    def _error(self, fact: BrokerErrorReceived) -> None:
        code = str(fact.code)
        error_class = ErrorClass.NOTICE if fact.code in broker.GOOD_NEWS else fact.error_class
        known = code in broker.KNOWN_CODES.get(error_class, ())
        self._errors.get(error_class, code if known else OTHER).inc()

    def _connected(self) -> None:
        if self._was_connected:
            self._reconnects.get("connected").inc()
        self._was_connected = True

    def _data(self, fact: DataFact) -> None:
        match fact:
            case BadTickDropped():
                self._bad_ticks.get(fact.reason).inc()
            case QuotesConflated():
                self._quotes_conflated.inc(fact.superseded)
            case (
                SubscriptionChangedReceived()
                | MarketDataModeReceived()
                | QuoteStalenessChanged()
                | AccountValuesReceived()
                | PositionReceived()
            ):
                pass
            case _:
                assert_never(fact)

    def _decision(self, fact: DecisionFact) -> None:
        match fact:
            case DecisionMade():
                self.decisions[self.strategy_label(fact.strategy), fact.outcome] += 1
                if fact.order_ref:
                    self.decision_exemplars.note(fact.duration_s, fact.order_ref, fact.at)
            case IntentRefused():
                self._risk_blocks.get(fact.rule).inc()
            case DuplicateOrderBlocked():
                self._duplicates_blocked.inc()
            case SignalChanged() | StrategyFailed():
                pass
            case _:
                assert_never(fact)

    def _order(self, fact: OrderFact) -> None:
        match fact:
            case OrderIntended():
                self._intended(fact)
            case OrderSent():
                self._sent(fact)
            case OrderSendFailed():
                self._types_to_send.pop(fact.order_ref, None)
            case OrderFinalized():
                self._final.get(fact.outcome, "true" if fact.eligible else "false").inc()
            case FillBooked():
                self._filled(fact)
            case OrderAcknowledged():
                self.ack_exemplars.note(fact.duration_s, fact.order_ref, fact.at)
            case OrdersJournaled() | OrderStateChanged() | CancelIntended() | CommissionBooked() | ExecutionIgnored():
                pass
            case _:
                assert_never(fact)

    def _intended(self, fact: OrderIntended) -> None:
        if len(self._types_to_send) >= MAX_ORDERS_TO_SEND:
            self._types_to_send.pop(next(iter(self._types_to_send)))
        self._types_to_send[fact.order_ref] = fact.approved.intent.terms.order_type
        if self._is_forbidden(fact):
            self._orders_while_halted.inc()

    def _is_forbidden(self, fact: OrderIntended) -> bool:
        """Halted forbids every order, panic and reduce-only those that do not reduce."""
        match self.trading_state:
            case TradingState.HALTED:
                return True
            case TradingState.PANIC | TradingState.REDUCE_ONLY:
                return not fact.approved.reduces
            case TradingState.ACTIVE | None:
                return False

    def _sent(self, fact: OrderSent) -> None:
        order_type = self._types_to_send.pop(fact.order_ref, None)
        if order_type is not None:
            self._submitted.get(order_type).inc()

    def _filled(self, fact: FillBooked) -> None:
        if fact.fill_duration_s is not None and math.isfinite(fact.fill_duration_s):
            exemplar = {TRACE_ID: trace_id(fact.order_ref)} if fact.order_ref else None
            self._fill_duration.observe(fact.fill_duration_s, exemplar)
        if fact.slippage_ratio is not None and math.isfinite(fact.slippage_ratio):
            self.slippage.observe(fact.slippage_ratio)


def _ignore(fact: AnyFact) -> None:
    """A fact that no metric counts: what it changes is in the snapshot."""
