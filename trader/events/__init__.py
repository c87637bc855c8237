"""All facts and commands: the one vocabulary of the service.

Rules: a fact is frozen and in the past tense, and carries the reasons and times that whoever observes it
needs; a command is imperative. Facts that end in ``Received`` or ``Requested`` come from outside and are
what ``engine.process`` takes; the others are what it decided. A ``DurableFact`` is journaled before any
command of the same step leaves the process, and folding the durable facts rebuilds the engine's state.
``AnyFact`` and ``Command`` are closed unions: a ``match`` over them ends in ``assert_never``.
"""

from typing import TypeAlias

from trader.events.base import (
    DurableFact,
    Fact,
)
from trader.events.commands import (
    CancelAllOrders,
    CancelOrder,
    Command,
    PlaceOrder,
    RequestBrokerState,
    Resubscribe,
)
from trader.events.decided import (
    CancelIntended,
    CommissionBooked,
    DecisionMade,
    DuplicateOrderBlocked,
    ExecutionIgnored,
    FillBooked,
    IntentRefused,
    MaintenanceFinished,
    MismatchFound,
    OrderAcknowledged,
    OrderAdopted,
    OrderFinalized,
    OrderIdsReserved,
    OrderIntended,
    OrderStateChanged,
    PanicCompleted,
    PanicStepped,
    PolicyChanged,
    PolicyOverridden,
    PositionAdopted,
    QuoteStalenessChanged,
    ReadinessChanged,
    ReconciliationFinished,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SessionValued,
    SignalChanged,
    StrategyFailed,
    TradingStateChanged,
)
from trader.events.lines import (
    AccountValue,
    AlertLine,
    Approved,
    CommissionLine,
    ExecutionLine,
    Intent,
    OrderLine,
    OrderTerms,
    PolicyAlert,
    PositionLine,
)
from trader.events.received import (
    AccountValuesReceived,
    BadTickDropped,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    BrokerStateReceived,
    CommissionReceived,
    ConnectFailedReceived,
    DecodeFailed,
    ExecutionReceived,
    FarmChangedReceived,
    HaltRequested,
    HeartbeatMissedReceived,
    HeartbeatReceived,
    JournalLostReceived,
    JournalRestoredReceived,
    MarketDataModeReceived,
    MetricsScraped,
    ObserverFailed,
    OpenOrderReceived,
    OrderSendFailed,
    OrderSent,
    OrdersJournaled,
    OrderStatusReceived,
    PacingWaited,
    PanicRequested,
    PolicyAlertsReceived,
    PolicyOverrideRequested,
    PositionReceived,
    QuoteReceived,
    QuotesConflated,
    ReduceOnlyRequested,
    ReloadFinished,
    RequestFinished,
    ResumeRequested,
    ScheduleFired,
    StopRequested,
    SubscriptionChangedReceived,
    TimerElapsed,
    TradeReceived,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.events.vocabulary import (
    BadTickReason,
    BrokerOrderStatus,
    CancelReason,
    DecisionOutcome,
    DisconnectReason,
    ErrorClass,
    MaintenanceKind,
    MaintenanceOutcome,
    MarketDataMode,
    MismatchKind,
    OrderOutcome,
    OrderState,
    OrderTrigger,
    PolicyState,
    RequestKind,
    RequestOutcome,
    RiskRule,
    StartReason,
    SubscriptionStatus,
)

AnyDurableFact: TypeAlias = (
    ServiceStarted
    | ServiceStopped
    | TradingStateChanged
    | PolicyChanged
    | PolicyOverridden
    | SessionOpened
    | SessionValued
    | SessionClosed
    | PanicCompleted
    | MaintenanceFinished
    | SignalChanged
    | OrderIntended
    | OrderStateChanged
    | CancelIntended
    | OrderAdopted
    | ExecutionIgnored
    | FillBooked
    | CommissionBooked
    | PositionAdopted
    | OrderIdsReserved
    | MismatchFound
    | ReconciliationFinished
)

AnyFact: TypeAlias = (
    AnyDurableFact
    | TimerElapsed
    | ScheduleFired
    | PanicRequested
    | HaltRequested
    | ReduceOnlyRequested
    | ResumeRequested
    | PolicyAlertsReceived
    | PolicyOverrideRequested
    | MetricsScraped
    | StopRequested
    | ReloadFinished
    | ObserverFailed
    | JournalLostReceived
    | JournalRestoredReceived
    | BrokerConnectedReceived
    | BrokerDisconnectedReceived
    | ConnectFailedReceived
    | UpstreamLostReceived
    | UpstreamRestoredReceived
    | FarmChangedReceived
    | HeartbeatReceived
    | HeartbeatMissedReceived
    | BrokerErrorReceived
    | RequestFinished
    | PacingWaited
    | DecodeFailed
    | QuoteReceived
    | TradeReceived
    | BadTickDropped
    | QuotesConflated
    | SubscriptionChangedReceived
    | MarketDataModeReceived
    | AccountValuesReceived
    | PositionReceived
    | OrdersJournaled
    | OrderSent
    | OrderSendFailed
    | OrderStatusReceived
    | OpenOrderReceived
    | ExecutionReceived
    | CommissionReceived
    | BrokerStateReceived
    | ReadinessChanged
    | PanicStepped
    | DecisionMade
    | IntentRefused
    | StrategyFailed
    | OrderAcknowledged
    | OrderFinalized
    | DuplicateOrderBlocked
    | QuoteStalenessChanged
)

__all__ = [
    "AccountValue",
    "AccountValuesReceived",
    "AlertLine",
    "AnyDurableFact",
    "AnyFact",
    "Approved",
    "BadTickDropped",
    "BadTickReason",
    "BrokerConnectedReceived",
    "BrokerDisconnectedReceived",
    "BrokerErrorReceived",
    "BrokerOrderStatus",
    "BrokerStateReceived",
    "CancelAllOrders",
    "CancelIntended",
    "CancelOrder",
    "CancelReason",
    "Command",
    "CommissionBooked",
    "CommissionLine",
    "CommissionReceived",
    "ConnectFailedReceived",
    "DecisionMade",
    "DecisionOutcome",
    "DecodeFailed",
    "DisconnectReason",
    "DuplicateOrderBlocked",
    "DurableFact",
    "ErrorClass",
    "ExecutionIgnored",
    "ExecutionLine",
    "ExecutionReceived",
    "Fact",
    "FarmChangedReceived",
    "FillBooked",
    "HaltRequested",
    "HeartbeatMissedReceived",
    "HeartbeatReceived",
    "Intent",
    "IntentRefused",
    "JournalLostReceived",
    "JournalRestoredReceived",
    "MaintenanceFinished",
    "MaintenanceKind",
    "MaintenanceOutcome",
    "MarketDataMode",
    "MarketDataModeReceived",
    "MetricsScraped",
    "MismatchFound",
    "MismatchKind",
    "ObserverFailed",
    "OpenOrderReceived",
    "OrderAcknowledged",
    "OrderAdopted",
    "OrderFinalized",
    "OrderIdsReserved",
    "OrderIntended",
    "OrderLine",
    "OrderOutcome",
    "OrderSendFailed",
    "OrderSent",
    "OrderState",
    "OrderStateChanged",
    "OrderStatusReceived",
    "OrderTerms",
    "OrderTrigger",
    "OrdersJournaled",
    "PacingWaited",
    "PanicCompleted",
    "PanicRequested",
    "PanicStepped",
    "PlaceOrder",
    "PolicyAlert",
    "PolicyAlertsReceived",
    "PolicyChanged",
    "PolicyOverridden",
    "PolicyOverrideRequested",
    "PolicyState",
    "PositionAdopted",
    "PositionLine",
    "PositionReceived",
    "QuoteReceived",
    "QuoteStalenessChanged",
    "QuotesConflated",
    "ReadinessChanged",
    "ReconciliationFinished",
    "ReduceOnlyRequested",
    "ReloadFinished",
    "RequestBrokerState",
    "RequestFinished",
    "RequestKind",
    "RequestOutcome",
    "Resubscribe",
    "ResumeRequested",
    "RiskRule",
    "ScheduleFired",
    "ServiceStarted",
    "ServiceStopped",
    "SessionClosed",
    "SessionOpened",
    "SessionValued",
    "SignalChanged",
    "StartReason",
    "StopRequested",
    "StrategyFailed",
    "SubscriptionChangedReceived",
    "SubscriptionStatus",
    "TimerElapsed",
    "TradeReceived",
    "TradingStateChanged",
    "UpstreamLostReceived",
    "UpstreamRestoredReceived",
]
