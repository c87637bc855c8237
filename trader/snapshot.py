"""A frozen view of the engine's state, read by scrapes, ``trader status`` and reports.

Rules: built by ``engine.snapshot`` at one moment, so its figures fit together; holds values only, never a
live object. ``None`` is "not known", which is not zero. Amounts in the base currency unless a field names
another; costs are negative, so that components add up to the net.
"""

from bisect import bisect_left
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from trader.contracts import OrderType, Side, TradingMode, TradingState
from trader.events import MarketDataMode, MismatchKind, OrderState, PolicyState

# Hot-path histograms are plain lists filled by the loop. Their bounds are seconds, inclusive, and contain
# the success metrics' thresholds exactly (0.35 for decisions, 2.0 for acknowledgements).
DECISION_BOUNDS_S: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.35, 0.5, 1.0, 2.5,
)  # fmt: skip
ACK_BOUNDS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
)  # fmt: skip
DATA_AGE_BOUNDS_S: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)


class Histogram:
    """Counts per bucket in a plain list; about 80 ns an observation, no locks (one writer, the loop)."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def freeze(self) -> "HistogramView":
        return HistogramView(bounds=self.bounds, counts=tuple(self.counts), total=self.total)


class HistogramView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Counts per bucket (not cumulative); the last one is above every bound. ``total`` is the sum, seconds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def share_within(self, threshold: float) -> float | None:
        """The share of observations ≤ ``threshold``, which must be a bound (else ValueError); None if none."""
        if threshold not in self.bounds:
            raise ValueError(f"{threshold} is not a bucket bound")
        if self.count == 0:
            return None
        return sum(self.counts[: self.bounds.index(threshold) + 1]) / self.count

    def quantile(self, q: float) -> float | None:
        """The ``q`` quantile, interpolated in its bucket as Prometheus does; None without observations."""
        rank = q * self.count
        if self.count == 0:
            return None
        below = 0
        for index, bound in enumerate(self.bounds):
            here = self.counts[index]
            if below + here >= rank and here:
                lower = self.bounds[index - 1] if index else 0.0
                return lower + (bound - lower) * (rank - below) / here
            below += here
        return self.bounds[-1]


class ConnectionView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    connected: bool
    upstream_connected: bool
    reconciled: bool
    client_id: int | None
    server_version: int | None
    last_heartbeat_at: datetime | None
    clock_offset_s: float | None
    farms: dict[str, bool]


class QuoteView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    symbol: str
    bid: float
    ask: float
    at: datetime
    stale: bool


class MarketDataView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    subscribed: int
    stale: int
    mode: MarketDataMode
    last_tick_at: datetime | None
    quotes: tuple[QuoteView, ...]


class PositionView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """``unrealized`` in the instrument's currency, None without a good quote; ``market_value`` likewise."""

    symbol: str
    currency: str
    quantity: Decimal
    average_cost: Decimal
    mark: Decimal | None
    market_value: Decimal | None
    unrealized: Decimal | None


class OrderView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    order_ref: str
    order_id: int
    perm_id: int
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    state: OrderState
    intended_at: datetime
    cancel_requested: bool


class PnlView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Profit and loss in ``currency`` since the session's start; costs negative; the sum is the net."""

    currency: str
    realized: Decimal | None
    unrealized: Decimal | None
    commission: Decimal | None
    fees: Decimal | None
    commissions_missing: int

    @property
    def net(self) -> Decimal | None:
        parts = (self.realized, self.unrealized, self.commission, self.fees)
        known = [part for part in parts if part is not None]
        return sum(known, Decimal(0)) if len(known) == len(parts) else None

    @property
    def gross(self) -> Decimal | None:
        if self.realized is None or self.unrealized is None:
            return None
        return self.realized + self.unrealized


class RiskView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Exposures and limits in the base currency; a limit of None is not known or not set."""

    gross_exposure: Decimal | None
    net_exposure: Decimal | None
    daily_loss_limit: Decimal
    drawdown_ratio: float | None
    equity: Decimal | None
    margin_cushion_ratio: float | None
    max_gross_exposure: Decimal | None = None
    max_position_notional: Decimal | None = None
    max_open_orders: int | None = None
    max_orders_per_minute: int | None = None
    orders_last_minute: int | None = None


class AccountView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the broker says of the account, in the base currency; None where it says nothing.

    ``gross_position_value`` has no futures. ``unrealized`` and ``realized``, which is of the broker's day, are after
    commissions, as the broker counts them.
    """

    net_liquidation: Decimal | None = None
    cash: Decimal | None = None
    gross_position_value: Decimal | None = None
    unrealized: Decimal | None = None
    realized: Decimal | None = None


class ActivityView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Counts and latencies since the process started."""

    ticks: int
    holds: dict[str, int]
    decision_duration: HistogramView
    data_age: HistogramView
    ack_duration: HistogramView
    signals: int
    orders_submitted: int
    orders_final: int
    orders_eligible: int
    orders_eligible_filled: int
    fills: int
    requests: int
    errors: int
    decisions: int


class PolicyView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The budget policy by success metric; ``alerts`` in words. ``heard_at`` is when Alertmanager last said something.

    Success metrics that no alert was ever told of are not listed; they are OK. ``receiving``: its word is taken at all.
    """

    states: dict[str, PolicyState]
    alerts: tuple[str, ...] = ()
    heard_at: datetime | None = None
    receiving: bool = False
    override_until: datetime | None = None
    override_reason: str = ""


class ResourceView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Use of what the process is limited in, as a ratio of the real limit (cgroup or rlimit); None: no limit known."""

    memory_ratio: float | None = None
    cpu_ratio: float | None = None
    open_files_ratio: float | None = None
    tasks_ratio: float | None = None


class Snapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The whole state. ``starts`` counts all starts by reason, ``starts_today`` those of the UTC day.

    ``session_elapsed_s`` is session time since the process started, ``session_available_s`` the part of it in which
    the service was ready, connected, fresh and not halted unplanned; both None when nobody measures them. The
    process, not the engine, fills ``resources``. ``journal_problem`` says why facts wait in memory; empty when all are
    durable. ``commission_missing_since`` is when the oldest fill without a reported commission was booked.
    """

    at: datetime
    started_at: datetime
    mode: TradingMode
    account: str
    strategy: str
    trading_state: TradingState
    state_reason: str
    ready: bool
    problems: tuple[str, ...]
    session_open: bool
    session_opened_at: datetime | None
    session_closes_at: datetime | None
    session_next_opens_at: datetime | None
    connection: ConnectionView
    market_data: MarketDataView
    positions: tuple[PositionView, ...]
    open_orders: tuple[OrderView, ...]
    orders_unknown: int
    oldest_unacknowledged_at: datetime | None
    pnl_base: PnlView
    pnl_by_currency: tuple[PnlView, ...]
    pnl_net_cumulative: Decimal | None
    pnl_as_of: datetime | None
    risk: RiskView
    reconciled_at: datetime | None
    mismatches: dict[MismatchKind, int]
    activity: ActivityView
    starts: dict[str, int]
    previous_exit_clean: bool
    panic_completed: bool = False
    reauthentication_due_at: datetime | None = None
    starts_today: dict[str, int] | None = None
    session_elapsed_s: float | None = None
    session_available_s: float | None = None
    resources: ResourceView | None = None
    policy: PolicyView | None = None
    broker_account: AccountView | None = None
    journal_problem: str = ""
    commission_missing_since: datetime | None = None
