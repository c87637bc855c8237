"""The engine's state as one frozen snapshot."""

from datetime import timedelta
from decimal import Decimal

from trader.contracts import ZERO, OrderType
from trader.engine.core import Core
from trader.engine.decisions import orders_last_minute
from trader.engine.sessions import session_of
from trader.events import OrderState
from trader.ledger import InstrumentBook, Pnl
from trader.orders import Order
from trader.session import CalendarExpired
from trader.snapshot import (
    AccountView,
    ConnectionView,
    MarketDataView,
    OrderView,
    PnlView,
    PolicyView,
    PositionView,
    QuoteView,
    RiskView,
    Snapshot,
)


def snapshot(core: Core) -> Snapshot:
    now = core.now()
    session = session_of(core, now)
    marks = core.marks()
    total = core.ledger.pnl_base(marks, core.link.rates, session=False)
    cumulative = _net(total)
    base = core.settings.base_currency
    try:
        next_open = core.calendar.next_session(now).opens_at
    except CalendarExpired:
        next_open = None
    return Snapshot(
        at=now,
        started_at=now - timedelta(microseconds=(core.clock.monotonic_ns() - core.started_ns) // 1_000),
        mode=core.settings.mode,
        account=core.settings.account or core.link.account,
        strategy=core.strategy.name,
        trading_state=core.trading_state,
        state_reason=core.state_reason,
        ready=not core.problems,
        problems=core.problems,
        session_open=session is not None,
        session_opened_at=session.opens_at if session else None,
        session_closes_at=session.closes_at if session else None,
        session_next_opens_at=next_open,
        connection=_connection(core),
        market_data=_market_data(core),
        positions=tuple(_position(core, book, marks) for book in core.ledger.books() if book.current.quantity),
        open_orders=tuple(_order(order) for order in core.orders.open()),
        orders_unknown=sum(1 for order in core.orders.open() if order.state is OrderState.UNKNOWN),
        oldest_unacknowledged_at=min((o.intended_at for o in core.orders.open() if not o.acknowledged), default=None),
        pnl_base=_pnl_view(base, core.ledger.pnl_base(marks, core.link.rates, session=True)),
        pnl_by_currency=tuple(
            _pnl_view(currency, core.ledger.pnl(currency, marks, session=True)) for currency in core.ledger.currencies()
        ),
        pnl_net_cumulative=cumulative,
        pnl_as_of=core.market_data.last_tick_at,
        risk=_risk(core, cumulative),
        reconciled_at=core.reconciled_at,
        mismatches=dict(core.mismatches),
        activity=core.statistics.freeze(core.market_data.ticks),
        starts=dict(core.starts),
        previous_exit_clean=core.previous_exit_clean,
        panic_completed=core.panic_completed,
        reauthentication_due_at=core.windows.next_authentication(now) if core.windows else None,
        starts_today=dict(core.starts_today),
        session_elapsed_s=core.statistics.session_elapsed_s,
        session_available_s=core.statistics.session_available_s,
        policy=_policy(core),
        journal_problem=core.journal_problem,
        commission_missing_since=core.ledger.commissions_missing_since(),
        broker_account=_broker_account(core),
    )


def net_cumulative(core: Core) -> Decimal | None:
    """All days' P&L after costs, as in the snapshot, for whoever wants nothing else of it."""
    return _net(core.ledger.pnl_base(core.marks(), core.link.rates, session=False))


def _broker_account(core: Core) -> AccountView:
    value, base = core.link.value, core.settings.base_currency
    return AccountView(
        net_liquidation=value("NetLiquidation", base),
        cash=value("TotalCashValue", base),
        gross_position_value=value("GrossPositionValue", base),
        unrealized=value("UnrealizedPnL", "BASE"),
        realized=value("RealizedPnL", "BASE"),
    )


def _policy(core: Core) -> PolicyView:
    policy = core.policy
    return PolicyView(
        states=policy.states(),
        alerts=tuple(
            f"{alert.name} ({slo}{', held' if alert.held else ''})"
            for slo, alerts in sorted(policy.alerts.items())
            for alert in alerts.values()
        ),
        heard_at=policy.heard_at,
        receiving=core.settings.policy.token_file is not None,
        override_until=policy.override_until,
        override_reason=policy.override_reason,
    )


def _connection(core: Core) -> ConnectionView:
    link = core.link
    return ConnectionView(
        connected=link.connected,
        upstream_connected=link.usable,
        reconciled=link.reconciled,
        client_id=link.client_id,
        server_version=link.server_version,
        last_heartbeat_at=link.last_heartbeat_at,
        clock_offset_s=link.clock_offset_s,
        farms=dict(link.farms),
    )


def _market_data(core: Core) -> MarketDataView:
    data = core.market_data
    return MarketDataView(
        subscribed=data.subscribed(),
        stale=len(data.stale),
        mode=data.mode,
        last_tick_at=data.last_tick_at,
        quotes=tuple(
            QuoteView(symbol=q.symbol, bid=q.bid, ask=q.ask, at=q.at, stale=q.symbol in data.stale)
            for q in data.quotes.values()
        ),
    )


def _position(core: Core, book: InstrumentBook, marks: dict[str, Decimal | None]) -> PositionView:
    mark = marks.get(book.instrument.symbol)
    holding = book.current
    return PositionView(
        symbol=book.instrument.symbol,
        currency=book.instrument.currency,
        quantity=holding.quantity,
        average_cost=holding.average_cost,
        mark=mark,
        market_value=None if mark is None else mark * holding.quantity * book.instrument.multiplier,
        unrealized=None if mark is None else core.ledger.unrealized(book, mark),
    )


def _order(order: Order) -> OrderView:
    terms = order.terms
    return OrderView(
        order_ref=order.order_ref,
        order_id=order.order_id,
        perm_id=max(order.perm_ids, default=0),
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        filled=order.filled,
        order_type=terms.order_type if terms else OrderType.LIMIT,
        limit_price=terms.limit_price if terms else None,
        state=order.state,
        intended_at=order.intended_at,
        cancel_requested=order.cancel_reason is not None,
    )


def _net(pnl: Pnl | None) -> Decimal | None:
    if pnl is None or pnl.unrealized is None:
        return None
    return pnl.realized + pnl.unrealized - pnl.commission


def _pnl_view(currency: str, pnl: Pnl | None) -> PnlView:
    return PnlView(
        currency=currency,
        realized=pnl.realized if pnl else None,
        unrealized=pnl.unrealized if pnl else None,
        commission=-pnl.commission if pnl else None,
        fees=ZERO if pnl else None,
        commissions_missing=pnl.commissions_missing if pnl else 0,
    )


def _risk(core: Core, cumulative: Decimal | None) -> RiskView:
    base = core.settings.base_currency
    net = core.session_net()
    limits = core.settings.risk
    cushion = core.link.value("Cushion", base)
    return RiskView(
        gross_exposure=core.gross_exposure(),
        net_exposure=_net_exposure(core),
        daily_loss_limit=limits.daily_loss_limit,
        drawdown_ratio=None if net is None else float((core.peak_net - net) / core.settings.strategy.capital),
        equity=core.link.value("NetLiquidation", base),
        margin_cushion_ratio=None if cushion is None else float(cushion),
        max_gross_exposure=limits.max_gross_exposure,
        max_position_notional=limits.max_position_notional,
        max_open_orders=limits.max_open_orders,
        max_orders_per_minute=limits.max_orders_per_minute,
        orders_last_minute=orders_last_minute(core),
    )


def _net_exposure(core: Core) -> Decimal | None:
    total = ZERO
    for symbol, instrument in core.instruments.items():
        units = core.ledger.position(symbol)
        if units == 0:
            continue
        mark, rate = core.market_data.mark(symbol, instrument.tick_size), core.rate(instrument.currency)
        if mark is None or rate is None:
            return None
        total += units * mark * instrument.multiplier * rate
    return total
