"""What each gauge and plain counter reads from the snapshot: one line a metric.

Rules: a reading is a pure function from the snapshot to label values and numbers; None says "not known".
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

from observability.catalogue import OTHER, Metric, broker, core, lifecycle, market_data, orders, policy, risk
from trader.contracts import TradingState
from trader.events import MismatchKind, PolicyState, StartReason
from trader.snapshot import PnlView, Snapshot

Number: TypeAlias = float | int | bool | Decimal | datetime
Readings: TypeAlias = Iterable[tuple[tuple[str, ...], Number | None]]
Read: TypeAlias = Callable[[Snapshot], Readings]

# What the source or the reason of a trading state contains, and the label it goes under; the first that fits counts.
HALT_WORDS: Final = (
    ("daily_loss", ("daily loss", "daily_loss", "loss limit")),
    ("reconciliation", ("reconcil", "mismatch")),
    ("policy", ("policy", "budget")),
    ("strategy", ("strategy",)),
    ("operator", ("operator", "control", "cli", "by hand")),
)


def halt_reason(state: TradingState, text: str) -> str | None:
    """The label of ``trader_halted`` for ``state`` entered because of ``text``; None when trading is active."""
    if state is TradingState.ACTIVE:
        return None
    if state is TradingState.PANIC:
        return "panic"
    lowered = text.lower()
    return next((label for label, words in HALT_WORDS if any(word in lowered for word in words)), OTHER)


def one(value: Number | None) -> Readings:
    return (((), value),)


def one_hot(values: Iterable[str], current: str | None) -> Readings:
    """1 for ``current``, 0 for the others."""
    return [((value,), 1 if value == current else 0) for value in values]


def in_base(snapshot: Snapshot, value: Number | None) -> Readings:
    return (((snapshot.pnl_base.currency,), value),)


def components(pnl: PnlView) -> Readings:
    amounts = (pnl.realized, pnl.unrealized, pnl.commission, pnl.fees)
    return [((pnl.currency, name), amount) for name, amount in zip(risk.COMPONENTS, amounts, strict=True)]


def farms(snapshot: Snapshot) -> Readings:
    """The first farms by name; those beyond the limit share ``other``, which is up when all of them are."""
    by_name = sorted(snapshot.connection.farms.items())
    room = market_data.MAX_FARMS - 1
    yield from (((farm,), up) for farm, up in by_name[:room])
    if by_name[room:]:
        yield (OTHER,), all(up for _, up in by_name[room:])


def counts(values: Iterable[StrEnum], known: dict[str, int]) -> Readings:
    """A number for every value, 0 where none was counted."""
    return [((value,), known.get(value, 0)) for value in values]


def oldest_unacknowledged(snapshot: Snapshot) -> Readings:
    at = snapshot.oldest_unacknowledged_at
    return one(0 if at is None else at)


def policy_states(snapshot: Snapshot) -> Readings:
    known = snapshot.policy.states if snapshot.policy else {}
    return [((slo,), known.get(slo, PolicyState.OK)) for slo in policy.SLOS]


def policy_heard(snapshot: Snapshot) -> Readings:
    """From the start on there is something to wait for; so a policy that never hears anything is noticed too."""
    view = snapshot.policy
    if view is None or not view.receiving:
        return one(None)
    return one(view.heard_at or snapshot.started_at)


def policy_override(snapshot: Snapshot) -> Readings:
    until = snapshot.policy.override_until if snapshot.policy else None
    return one(0 if until is None else until)


def currencies(snapshot: Snapshot) -> tuple[PnlView, ...]:
    return tuple(sorted(snapshot.pnl_by_currency, key=lambda pnl: pnl.currency))[: risk.MAX_CURRENCIES]


GAUGES: Final[tuple[tuple[Metric, Read], ...]] = (
    (core.READY, lambda s: one(s.ready)),
    (core.JOURNAL_UP, lambda s: one(not s.journal_problem)),
    (core.MODE, lambda s: one_hot(core.MODE.labels[0].values, s.mode)),
    (core.TRADING_STATE, lambda s: one_hot(core.TRADING_STATE.labels[0].values, s.trading_state)),
    (broker.CONNECTED, lambda s: one(s.connection.connected)),
    (broker.UPSTREAM_CONNECTED, lambda s: one(s.connection.upstream_connected)),
    (broker.HEARTBEAT_LAST_SUCCESS, lambda s: one(s.connection.last_heartbeat_at)),
    (broker.AUTH_EXPIRY, lambda s: one(s.reauthentication_due_at)),
    (broker.CLOCK_OFFSET, lambda s: one(s.connection.clock_offset_s)),
    (market_data.LAST_TICK, lambda s: one(s.market_data.last_tick_at)),
    (market_data.SUBSCRIBED, lambda s: one(s.market_data.subscribed)),
    (market_data.STALE, lambda s: one(s.market_data.stale)),
    (market_data.MODE, lambda s: one_hot(market_data.MODE.labels[0].values, s.market_data.mode)),
    (market_data.FARM_CONNECTED, farms),
    (orders.OPEN, lambda s: one(len(s.open_orders))),
    (orders.OLDEST_UNACKED, oldest_unacknowledged),
    (orders.UNKNOWN_STATE, lambda s: one(s.orders_unknown)),
    (orders.RECONCILED, lambda s: one(s.reconciled_at)),
    (orders.MISMATCHES, lambda s: counts(MismatchKind, {str(k): v for k, v in s.mismatches.items()})),
    (risk.PNL_SESSION, lambda s: [item for pnl in currencies(s) for item in components(pnl)]),
    (risk.PNL_SESSION_BASE, lambda s: components(s.pnl_base)),
    (risk.PNL_NET_CUMULATIVE, lambda s: in_base(s, s.pnl_net_cumulative)),
    (risk.PNL_AS_OF, lambda s: one(s.pnl_as_of)),
    (risk.COMMISSIONS_MISSING, lambda s: [((p.currency,), p.commissions_missing) for p in currencies(s)]),
    (risk.COMMISSION_MISSING_OLDEST, lambda s: one(s.commission_missing_since)),
    (risk.EQUITY, lambda s: in_base(s, s.risk.equity)),
    (risk.DRAWDOWN, lambda s: one(s.risk.drawdown_ratio)),
    (risk.DAILY_LOSS_LIMIT, lambda s: in_base(s, s.risk.daily_loss_limit)),
    (
        risk.EXPOSURE,
        lambda s: [
            ((s.pnl_base.currency, "gross"), s.risk.gross_exposure),
            ((s.pnl_base.currency, "net"), s.risk.net_exposure),
        ],
    ),
    (risk.MARGIN_CUSHION, lambda s: one(s.risk.margin_cushion_ratio)),
    (lifecycle.PREVIOUS_EXIT_CLEAN, lambda s: one(s.previous_exit_clean)),
    (policy.STATE, policy_states),
    (policy.LAST_EVALUATION, policy_heard),
    (policy.OVERRIDE_EXPIRY, policy_override),
)

COUNTERS: Final[tuple[tuple[Metric, Read], ...]] = (
    (market_data.TICKS, lambda s: one(s.activity.ticks)),
    (lifecycle.STARTS, lambda s: counts(StartReason, s.starts)),
)
