"""The facts in groups, so that an observer can take them group by group.

Rules: every fact of ``AnyFact`` is in exactly one group. An observer asks for the groups one after the other
and ends in ``assert_never``; in a group a ``match`` does the same. So a new fact cannot be forgotten: the type
checker names every observer that has to decide about it.
"""

from typing import TypeAlias

from trader.events import (
    AccountValuesReceived,
    BadTickDropped,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    BrokerStateReceived,
    CancelIntended,
    CommissionBooked,
    CommissionReceived,
    ConnectFailedReceived,
    DecisionMade,
    DecodeFailed,
    DuplicateOrderBlocked,
    ExecutionIgnored,
    ExecutionReceived,
    FarmChangedReceived,
    FillBooked,
    HaltRequested,
    HeartbeatMissedReceived,
    HeartbeatReceived,
    IntentRefused,
    JournalLostReceived,
    JournalRestoredReceived,
    MaintenanceFinished,
    MarketDataModeReceived,
    MetricsScraped,
    MismatchFound,
    ObserverFailed,
    OpenOrderReceived,
    OrderAcknowledged,
    OrderAdopted,
    OrderFinalized,
    OrderIdsReserved,
    OrderIntended,
    OrderSendFailed,
    OrderSent,
    OrdersJournaled,
    OrderStateChanged,
    OrderStatusReceived,
    PacingWaited,
    PanicCompleted,
    PanicRequested,
    PanicStepped,
    PolicyAlertsReceived,
    PolicyChanged,
    PolicyOverridden,
    PolicyOverrideRequested,
    PositionAdopted,
    PositionReceived,
    QuoteReceived,
    QuotesConflated,
    QuoteStalenessChanged,
    ReadinessChanged,
    ReconciliationFinished,
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
    TradeReceived,
    TradingStateChanged,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)

# Come many times a second; what is to be known of them is in the snapshot.
HotFact: TypeAlias = QuoteReceived | TradeReceived

LifecycleFact: TypeAlias = (
    TimerElapsed
    | MetricsScraped
    | ScheduleFired
    | ServiceStarted
    | ServiceStopped
    | ReadinessChanged
    | ReloadFinished
    | ObserverFailed
    | SessionOpened
    | SessionValued
    | SessionClosed
    | MaintenanceFinished
    | StopRequested
)

ControlFact: TypeAlias = (
    TradingStateChanged
    | PanicRequested
    | PanicStepped
    | PanicCompleted
    | HaltRequested
    | ReduceOnlyRequested
    | ResumeRequested
    | PolicyAlertsReceived
    | PolicyOverrideRequested
    | PolicyChanged
    | PolicyOverridden
)

LinkFact: TypeAlias = (
    BrokerConnectedReceived
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
)

DataFact: TypeAlias = (
    BadTickDropped
    | QuotesConflated
    | SubscriptionChangedReceived
    | MarketDataModeReceived
    | QuoteStalenessChanged
    | AccountValuesReceived
    | PositionReceived
)

DecisionFact: TypeAlias = SignalChanged | DecisionMade | IntentRefused | StrategyFailed | DuplicateOrderBlocked

OrderFact: TypeAlias = (
    OrderIntended
    | OrdersJournaled
    | OrderSent
    | OrderSendFailed
    | OrderAcknowledged
    | OrderStateChanged
    | CancelIntended
    | OrderFinalized
    | FillBooked
    | ExecutionIgnored
    | CommissionBooked
)

# What the broker says of orders; the engine's own facts follow from it and are what observers tell.
OrderWordFact: TypeAlias = OrderStatusReceived | OpenOrderReceived | ExecutionReceived | CommissionReceived

BooksFact: TypeAlias = (
    OrderAdopted
    | PositionAdopted
    | OrderIdsReserved
    | MismatchFound
    | ReconciliationFinished
    | BrokerStateReceived
    | JournalLostReceived
    | JournalRestoredReceived
)
