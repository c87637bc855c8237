"""The budget policy at work: its facts, and the trading state that follows from it.

Rules: the policy leads to *reduce only* and out of it again, and touches no other state: what an operator, the daily
loss limit, a failed strategy or a panic has stopped stays stopped. It never sends or cancels an order.
"""

from datetime import timedelta

from trader.contracts import TradingState
from trader.engine.control import change_state
from trader.engine.core import Core, Step
from trader.events import MetricsScraped, PolicyAlertsReceived, PolicyOverridden, PolicyOverrideRequested
from trader.policy import POLICY


def on_scraped(core: Core, step: Step, event: MetricsScraped) -> None:
    core.policy.scraped(core.settings.policy, event.monotonic_ns)


def on_alerts(core: Core, step: Step, event: PolicyAlertsReceived) -> None:
    for fact in core.policy.hear(core.settings.policy, event):
        step.emit(fact)
    follow(core, step)


def on_override(core: Core, step: Step, event: PolicyOverrideRequested) -> None:
    """Set the policy aside until the given moment, at most as long as is configured; or end that."""
    until = event.until
    if until is not None:
        until = min(until, event.at + timedelta(seconds=core.settings.policy.override_max_s))
    elif not core.policy.overridden:
        return
    step.emit(PolicyOverridden(at=event.at, source=event.source, reason=event.reason, until=until))
    follow(core, step)


def on_time(core: Core, step: Step) -> None:
    """Let overrides expire, and held alerts go."""
    now = core.now()
    expired = core.policy.expired(now)
    if expired is not None:
        step.emit(expired)
    for fact in core.policy.confirm(core.settings.policy, now, core.clock.monotonic_ns()):
        step.emit(fact)
    follow(core, step)


def follow(core: Core, step: Step) -> None:
    """Bring the trading state in line with the policy."""
    policy = core.policy
    if policy.stops_entries():
        if core.trading_state is TradingState.ACTIVE:
            change_state(core, step, TradingState.REDUCE_ONLY, POLICY, policy.reason())
        return
    if core.held_by_policy:
        reason = (
            f"budget policy overridden: {policy.override_reason}" if policy.overridden else "budget policy: resolved"
        )
        change_state(core, step, TradingState.ACTIVE, POLICY, reason)
        core.unmet.update(core.targets)
