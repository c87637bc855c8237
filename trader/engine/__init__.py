"""The engine: all control flow of trading, in one place.

``process`` is synchronous, does no I/O and reads one injected clock: the same events give the same facts.
What happens for each kind of event can be read off one table; the modules beside this one are the leaves
that it names.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from trader.clock import Clock
from trader.contracts import Instrument, TradingState
from trader.engine import control, decisions, order_flow, policy, recovery, view
from trader.engine.core import Core, Step
from trader.events import (
    AccountValuesReceived,
    AnyFact,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    BrokerStateReceived,
    CommissionReceived,
    DecodeFailed,
    DurableFact,
    ExecutionReceived,
    Fact,
    FarmChangedReceived,
    HaltRequested,
    HeartbeatReceived,
    JournalLostReceived,
    JournalRestoredReceived,
    MarketDataModeReceived,
    MetricsScraped,
    OpenOrderReceived,
    OrderSendFailed,
    OrderSent,
    OrderStatusReceived,
    PanicRequested,
    PolicyAlertsReceived,
    PolicyOverrideRequested,
    PositionReceived,
    QuoteReceived,
    ReduceOnlyRequested,
    ResumeRequested,
    ScheduleFired,
    ServiceStarted,
    ServiceStopped,
    StartReason,
    StopRequested,
    SubscriptionChangedReceived,
    TimerElapsed,
    TradeReceived,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.session import BrokerWindows, SessionCalendar
from trader.settings import Settings
from trader.snapshot import Snapshot
from trader.strategy.api import Strategy

__all__ = ["Engine", "Step"]


def _on_connected(core: Core, step: Step, event: BrokerConnectedReceived) -> None:
    recovery.on_connected(core, step, event)
    if core.panic is not None:
        control.begin_panic(core, step)


def _on_broker_state(core: Core, step: Step, event: BrokerStateReceived) -> None:
    recovery.on_broker_state(core, step, event)
    control.on_state_in_panic(core, step, event)


def _on_timer(core: Core, step: Step, event: TimerElapsed) -> None:
    control.on_timer(core, step, event)
    policy.on_time(core, step)


def _on_resume(core: Core, step: Step, event: ResumeRequested) -> None:
    """An operator's resume does not resume against the budget policy; that takes an override."""
    control.on_resume(core, step, event)
    policy.follow(core, step)


def _on_execution(core: Core, step: Step, event: ExecutionReceived) -> None:
    order_flow.book_execution(core, step, event.line, event.received_ns)


def _on_commission(core: Core, step: Step, event: CommissionReceived) -> None:
    order_flow.book_commission(core, step, event.line)


def _on_heartbeat(core: Core, step: Step, event: HeartbeatReceived) -> None:
    core.link.last_heartbeat_at, core.link.clock_offset_s = event.at, event.clock_offset_s


def _on_farm(core: Core, step: Step, event: FarmChangedReceived) -> None:
    core.link.farms[event.farm] = event.connected


def _on_account_values(core: Core, step: Step, event: AccountValuesReceived) -> None:
    core.link.take_values(event.values)


def _on_subscription(core: Core, step: Step, event: SubscriptionChangedReceived) -> None:
    core.market_data.subscribe(event.symbol, event.status, event.at)


def _on_market_data_mode(core: Core, step: Step, event: MarketDataModeReceived) -> None:
    core.market_data.modes[event.symbol] = event.mode


# Quotes and trades do not pass here: they have a way of their own in ``Engine.process``. An event without a
# row changes nothing and is only told to the observers.
HANDLERS: Final[dict[type[Fact], Callable[[Core, Step, Any], None]]] = {
    TimerElapsed: _on_timer,
    ScheduleFired: decisions.on_schedule,
    OrderSent: order_flow.on_sent,
    OrderSendFailed: order_flow.on_send_failed,
    OrderStatusReceived: order_flow.on_status,
    OpenOrderReceived: order_flow.on_open_order,
    ExecutionReceived: _on_execution,
    CommissionReceived: _on_commission,
    BrokerErrorReceived: order_flow.on_error,
    BrokerConnectedReceived: _on_connected,
    BrokerDisconnectedReceived: recovery.on_disconnected,
    UpstreamLostReceived: recovery.on_upstream_lost,
    UpstreamRestoredReceived: recovery.on_upstream_restored,
    BrokerStateReceived: _on_broker_state,
    JournalLostReceived: recovery.on_journal_lost,
    JournalRestoredReceived: recovery.on_journal_restored,
    PositionReceived: recovery.on_position,
    DecodeFailed: recovery.on_decode_failed,
    HeartbeatReceived: _on_heartbeat,
    FarmChangedReceived: _on_farm,
    AccountValuesReceived: _on_account_values,
    SubscriptionChangedReceived: _on_subscription,
    MarketDataModeReceived: _on_market_data_mode,
    PanicRequested: control.on_panic,
    HaltRequested: control.on_halt,
    ReduceOnlyRequested: control.on_reduce_only,
    ResumeRequested: _on_resume,
    PolicyAlertsReceived: policy.on_alerts,
    PolicyOverrideRequested: policy.on_override,
    MetricsScraped: policy.on_scraped,
    StopRequested: control.on_stop,
}


class Engine:
    """One account's trading: events in, facts and commands out."""

    def __init__(
        self,
        settings: Settings,
        instruments: Mapping[str, Instrument],
        strategy: Strategy,
        calendar: SessionCalendar,
        clock: Clock,
        run_id: str,
        windows: BrokerWindows | None = None,
    ) -> None:
        self.core = Core(settings, instruments, strategy, calendar, clock, run_id, windows)

    def restore(self, facts: Iterable[DurableFact]) -> None:
        """Rebuild the state from a journal; before ``start``."""
        for fact in facts:
            self.core.apply(fact)

    def start(self, reason: StartReason, version: str, config_hash: str, boot_id: str = "") -> Step:
        """The first step of a run. Orders that were open are in doubt until the broker has been asked."""
        core, step = self.core, Step(self.core)
        core.previous_exit_clean = core.last_stop_clean
        step.emit(
            ServiceStarted(
                at=core.now(),
                run_id=core.run_id,
                reason=reason,
                previous_exit_clean=core.previous_exit_clean,
                version=version,
                mode=core.settings.mode,
                account=core.settings.account,
                config_hash=config_hash,
                boot_id=boot_id,
            )
        )
        recovery.doubt_open_orders(core, step, "the service was restarted")
        decisions.suspend_what_hung(core, step, reason)
        if core.trading_state is TradingState.PANIC and not core.panic_completed:
            control.begin_panic(core, step)
        return step

    def stop(self, reason: str, clean: bool) -> Step:
        """The last step of a run."""
        step = Step(self.core)
        step.emit(ServiceStopped(at=self.core.now(), run_id=self.core.run_id, reason=reason, clean=clean))
        return step

    def process(self, event: AnyFact) -> Step:
        """What ``event`` leads to: facts in order, and commands to carry out once those are durable."""
        core, step = self.core, Step(self.core)
        if isinstance(event, QuoteReceived):
            decisions.on_quote(core, step, event)
            return step
        if isinstance(event, TradeReceived):
            return step
        core.decided_ns = core.clock.monotonic_ns()
        if not isinstance(event, TimerElapsed):
            step.emit(event)
        handle = HANDLERS.get(type(event))
        if handle is not None:
            handle(core, step, event)
        control.update_readiness(core, step)
        if core.unmet:
            decisions.pursue_all(core, step)
        return step

    def snapshot(self) -> Snapshot:
        return view.snapshot(self.core)

    def reconfigure(self, settings: Settings) -> None:
        """Swap what may change at run time; the caller has validated the new settings."""
        self.core.settings = settings
        self.core.market_data.settings = settings.market_data

    @property
    def trading_state(self) -> TradingState:
        return self.core.trading_state

    @property
    def flattening(self) -> bool:
        """Whether a panic is under way and not everything is cancelled and flat yet."""
        return self.core.trading_state is TradingState.PANIC and not self.core.panic_completed

    def policy_notice(self) -> str | None:
        """A sentence for the operator while the budget policy keeps entries from being made, else None."""
        if not self.core.policy.stops_entries():
            return None
        return (
            f"only exits are allowed: {self.core.policy.reason()}; "
            "to open positions all the same: trader policy override --for 2h --reason WHY"
        )

    @property
    def stopped(self) -> bool:
        """Whether a requested stop has nothing left to wait for."""
        return bool(self.core.stopping) and control.stopped(self.core)
