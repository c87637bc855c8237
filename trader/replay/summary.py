"""A replay in figures: activity, costs, profit and loss, refusals.

Rules: pure; counts come from facts, amounts from the final snapshot's ledger and the commissions booked.
Costs are negative, so that components add up to the net; ``None`` is "not known".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Final

import msgspec

from trader.contracts import ZERO
from trader.events import AnyFact, IntentRefused, SessionOpened, SignalChanged, StrategyFailed
from trader.replay.orders import OrderRecord, fold_orders
from trader.replay.result import ReplayResult
from trader.report.model import CostSummary, EquityPoint, RefusalRow
from trader.snapshot import Snapshot
from trader.success_metrics import MetricVerdict, Verdict, evaluate

MEASURED_HERE: Final = frozenset({"error rate", "fill rate"})
NET_METRIC: Final = "net P&L after costs"


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall of the net from its highest before; ``amount`` is never positive."""

    amount: Decimal
    at: datetime


class ReplaySummary(msgspec.Struct, frozen=True, kw_only=True):
    """``fill_rate`` counts eligible orders only (see the engine's statistics); None without any."""

    files: tuple[str, ...]
    started_at: datetime
    ended_at: datetime
    sessions: int
    rows: int
    quotes: int
    trades: int
    wall_s: float
    quotes_per_s: float
    strategy: str
    currency: str
    signals: int
    orders: int
    orders_filled: int
    fills: int
    units: Decimal
    turnover: Decimal
    fill_rate: float | None
    costs: CostSummary
    max_drawdown: Drawdown | None
    refusals: tuple[RefusalRow, ...]
    strategy_failures: int
    last_strategy_failure: str
    open_positions: dict[str, Decimal]
    metrics: tuple[MetricVerdict, ...]


def summarize(result: ReplayResult) -> ReplaySummary:
    """All figures of one replay."""
    orders = fold_orders(result.facts)
    snapshot, activity = result.snapshot, result.snapshot.activity
    failures = [fact for fact in result.facts if isinstance(fact, StrategyFailed)]
    return ReplaySummary(
        files=result.files,
        started_at=result.started_at,
        ended_at=result.ended_at,
        sessions=_count(result.facts, SessionOpened),
        rows=result.rows,
        quotes=result.quotes,
        trades=result.trades,
        wall_s=result.wall_s,
        quotes_per_s=result.quotes_per_s,
        strategy=snapshot.strategy,
        currency=snapshot.pnl_base.currency,
        signals=_count(result.facts, SignalChanged),
        orders=len(orders),
        orders_filled=sum(1 for order in orders if order.filled == order.terms.quantity),
        fills=sum(len(order.executions) for order in orders),
        units=sum((order.filled for order in orders), ZERO),
        turnover=sum((order.turnover for order in orders), ZERO),
        fill_rate=activity.orders_eligible_filled / activity.orders_eligible if activity.orders_eligible else None,
        costs=costs_of(orders, snapshot.pnl_net_cumulative, snapshot.pnl_base.currency),
        max_drawdown=max_drawdown(result.equity),
        refusals=refusals_of(result.facts),
        strategy_failures=len(failures),
        last_strategy_failure=failures[-1].error if failures else "",
        open_positions={item.symbol: item.quantity for item in snapshot.positions if item.quantity},
        metrics=tuple(_of_a_replay(metric, snapshot) for metric in evaluate(snapshot)),
    )


def _of_a_replay(metric: MetricVerdict, snapshot: Snapshot) -> MetricVerdict:
    """What virtual time cannot measure is not measured; the net is that of the whole replay, not of its last day."""
    if metric.name in MEASURED_HERE:
        return metric
    net = snapshot.pnl_net_cumulative
    if metric.name != NET_METRIC or net is None or not snapshot.activity.fills:
        return MetricVerdict(metric.name, metric.target, "not measured in a replay", Verdict.UNKNOWN)
    verdict = Verdict.OK if net > 0 else Verdict.BROKEN
    return MetricVerdict(metric.name, metric.target, f"{net:+,.2f} {snapshot.pnl_base.currency}", verdict)


def costs_of(orders: Iterable[OrderRecord], net: Decimal | None, base_currency: str) -> CostSummary:
    """From the net back to the gross; a commission that is missing or in another currency leaves both unknown."""
    lines = list(chain.from_iterable(order.commissions.values() for order in orders))
    foreign = any(line.currency != base_currency for line in lines)
    missing = any(order.commission is None for order in orders)
    if foreign or missing:
        return CostSummary(gross=None, commission=None, fees=ZERO, net=net)
    commission = -sum((line.amount for line in lines), ZERO)
    return CostSummary(gross=None if net is None else net - commission, commission=commission, fees=ZERO, net=net)


def max_drawdown(points: Iterable[EquityPoint]) -> Drawdown | None:
    """None when no net figure is known; the start counts as zero."""
    peak, deepest = ZERO, None
    for point in points:
        if point.net is None:
            continue
        peak = max(peak, point.net)
        fall = point.net - peak
        if deepest is None or fall < deepest.amount:
            deepest = Drawdown(fall, point.at)
    return deepest


def refusals_of(facts: Iterable[AnyFact]) -> tuple[RefusalRow, ...]:
    """How often each rule refused, the most frequent first, each with its latest detail."""
    refused = [fact for fact in facts if isinstance(fact, IntentRefused)]
    counts = Counter(fact.rule for fact in refused)
    latest = {fact.rule: f"{fact.symbol}: {fact.detail}" for fact in refused}
    return tuple(RefusalRow(rule.value, number, latest[rule]) for rule, number in counts.most_common())


def _count(facts: Sequence[AnyFact], kind: type) -> int:
    return sum(1 for fact in facts if isinstance(fact, kind))
