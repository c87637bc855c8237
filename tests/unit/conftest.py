"""A snapshot of a service in the middle of a session, for tests of everything that reads snapshots."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trader.contracts import OrderType, Side, TradingMode, TradingState
from trader.events import MarketDataMode, OrderState
from trader.snapshot import (
    ACK_BOUNDS_S,
    DATA_AGE_BOUNDS_S,
    DECISION_BOUNDS_S,
    ActivityView,
    ConnectionView,
    Histogram,
    HistogramView,
    MarketDataView,
    OrderView,
    PnlView,
    PositionView,
    QuoteView,
    ResourceView,
    RiskView,
    Snapshot,
)

NOW = datetime(2013, 10, 7, 16, 52, 7, tzinfo=UTC)


def histogram(bounds: tuple[float, ...], values: list[float]) -> HistogramView:
    filled = Histogram(bounds)
    for value in values:
        filled.observe(value)
    return filled.freeze()


def seconds_ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def sample() -> Snapshot:
    return Snapshot(
        at=NOW,
        started_at=seconds_ago(7_460),
        mode=TradingMode.SIMULATED,
        account="DU1234567",
        strategy="mean_reversion",
        trading_state=TradingState.ACTIVE,
        state_reason="reconciled",
        ready=True,
        problems=(),
        session_open=True,
        session_opened_at=datetime(2013, 10, 7, 13, 30, tzinfo=UTC),
        session_closes_at=datetime(2013, 10, 7, 20, 0, tzinfo=UTC),
        session_next_opens_at=datetime(2013, 10, 8, 13, 30, tzinfo=UTC),
        connection=ConnectionView(
            connected=True,
            upstream_connected=True,
            reconciled=True,
            client_id=1,
            server_version=178,
            last_heartbeat_at=seconds_ago(2),
            clock_offset_s=0.0031,
            farms={"usfarm": True, "ushmds": True},
        ),
        market_data=MarketDataView(
            subscribed=4,
            stale=0,
            mode=MarketDataMode.LIVE,
            last_tick_at=seconds_ago(0.3),
            quotes=(QuoteView(symbol="SPY", bid=168.04, ask=168.05, at=seconds_ago(0.3), stale=False),),
        ),
        positions=(
            position("SPY", "200", "167.915", "168.045", "26.00"),
            position("BAC", "-1500", "13.865", "13.87", "-7.50"),
        ),
        open_orders=(
            OrderView(
                order_ref="mr-20131007-0041",
                order_id=41,
                perm_id=1_034_567_901,
                symbol="IBM",
                side=Side.BUY,
                quantity=Decimal(100),
                filled=Decimal(40),
                order_type=OrderType.LIMIT,
                limit_price=Decimal("181.83"),
                state=OrderState.WORKING,
                intended_at=seconds_ago(4),
                cancel_requested=False,
            ),
        ),
        orders_unknown=0,
        oldest_unacknowledged_at=None,
        pnl_base=PnlView(
            currency="USD",
            realized=Decimal("212.40"),
            unrealized=Decimal("18.50"),
            commission=Decimal("-58.20"),
            fees=Decimal("-1.12"),
            commissions_missing=0,
        ),
        pnl_by_currency=(),
        pnl_net_cumulative=Decimal("1240.11"),
        pnl_as_of=NOW,
        risk=RiskView(
            gross_exposure=Decimal("54414.00"),
            net_exposure=Decimal("12804.00"),
            daily_loss_limit=Decimal(2_000),
            drawdown_ratio=0.0012,
            equity=Decimal("100171.58"),
            margin_cushion_ratio=0.73,
            max_gross_exposure=Decimal(200_000),
            max_position_notional=Decimal(50_000),
            max_open_orders=20,
            max_orders_per_minute=60,
            orders_last_minute=3,
        ),
        reconciled_at=seconds_ago(184),
        mismatches={},
        activity=ActivityView(
            ticks=48_213,
            holds={"no_signal": 48_150},
            decision_duration=histogram(DECISION_BOUNDS_S, [0.00008] * 900 + [0.0002] * 95 + [0.002] * 5),
            data_age=histogram(DATA_AGE_BOUNDS_S, [0.02] * 50),
            ack_duration=histogram(ACK_BOUNDS_S, [0.012] * 38 + [0.08] * 3),
            signals=41,
            orders_submitted=41,
            orders_final=40,
            orders_eligible=40,
            orders_eligible_filled=38,
            fills=52,
            requests=61,
            errors=0,
            decisions=48_254,
        ),
        starts={"manual": 1},
        previous_exit_clean=True,
        starts_today={"manual": 1},
        session_elapsed_s=7_460.0,
        session_available_s=7_459.0,
        resources=ResourceView(memory_ratio=0.011, cpu_ratio=0.02, open_files_ratio=0.001, tasks_ratio=0.002),
    )


def position(symbol: str, quantity: str, cost: str, mark: str, unrealized: str) -> PositionView:
    return PositionView(
        symbol=symbol,
        currency="USD",
        quantity=Decimal(quantity),
        average_cost=Decimal(cost),
        mark=Decimal(mark),
        market_value=Decimal(quantity) * Decimal(mark),
        unrealized=Decimal(unrealized),
    )


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """A healthy snapshot with the named fields replaced; ``part__field=value`` replaces inside a part."""

    def make(**changes: Any) -> Snapshot:
        snapshot = sample()
        for name, value in changes.items():
            part, _, field = name.partition("__")
            new = msgspec.structs.replace(getattr(snapshot, part), **{field: value}) if field else value
            snapshot = msgspec.structs.replace(snapshot, **{part: new})
        return snapshot

    return make
