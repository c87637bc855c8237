"""The simulated exchange and broker: market, matching, commissions, books.

Rules: pure and clock-driven. Time is what ``apply`` and ``advance_to`` say it is and never goes back; the
same calls give the same reports, in order, to the one listener. Nothing is reported before it is true in the
books. This module passes time, answers queries and does what only a simulator can. ``order_entry`` takes
orders in, ``trading`` is their life, ``matching`` says at what price, ``valuation`` what things are worth.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from trader.clock import require_aware
from trader.contracts import ZERO
from trader.simulator import exchange_state
from trader.simulator.account import Fill
from trader.simulator.bars import Bar, What
from trader.simulator.contract_book import ContractBook
from trader.simulator.core import ExchangeCore
from trader.simulator.executions import fill_id
from trader.simulator.line import BookTop
from trader.simulator.model import (
    CommissionReported,
    Execution,
    ExecutionReported,
    Listener,
    MarketEvent,
    OrderRequest,
    OrderView,
    PositionRecord,
    PositionReported,
    QuoteReported,
)
from trader.simulator.options import ExchangeOptions
from trader.simulator.order_entry import OrderEntry
from trader.simulator.trading import Trading
from trader.simulator.valuation import AccountValue

__all__ = ["Bar", "BookTop", "Exchange", "ExchangeOptions"]


class Exchange:
    """One broker with one account. Reports go to ``listener``, which may be replaced at any time."""

    def __init__(
        self, book: ContractBook, options: ExchangeOptions, start: datetime, seed: int, listener: Listener
    ) -> None:
        require_aware(start)
        self._core = ExchangeCore(book, options, start.astimezone(UTC), seed, listener)
        self._trading = Trading(self._core)
        self._entry = OrderEntry(self._core, self._trading)
        self._wake = options.hours.next_change(start)

    @property
    def now(self) -> datetime:
        return self._core.now

    @property
    def book(self) -> ContractBook:
        return self._core.book

    @property
    def options(self) -> ExchangeOptions:
        return self._core.options

    @property
    def listener(self) -> Listener:
        return self._core.listener

    @listener.setter
    def listener(self, listener: Listener) -> None:
        self._core.listener = listener

    # -- time and market

    def apply(self, event: MarketEvent) -> None:
        """Take one market event: time moves to it, the quote is reported, orders trigger and trade.

        Raises ValueError for a market key that the contract book does not list.
        """
        core, at = self._core, event.at
        if at >= self._wake:
            self.advance_to(at)
        elif at > core.now:
            core.now = at
        line = core.lines_by_key.get(event.symbol) or core.line_of_key(event.symbol)
        line.update(event)
        core.listener(QuoteReported(line.con_id, event))
        if line.orders:
            self._trading.match(line, event)

    def advance_to(self, moment: datetime) -> None:
        """Let time pass: orders expire, the market opens and closes, days begin. A past moment is ignored."""
        while self._wake <= moment:
            self._pass(self._wake)
        if moment > self._core.now:
            self._core.now = moment

    def _pass(self, moment: datetime) -> None:
        core, hours = self._core, self._core.options.hours
        day = hours.trading_date(core.now)
        core.now = max(core.now, moment)
        self._wake = hours.next_change(core.now)
        self._trading.pass_time()
        if hours.trading_date(core.now) != day:
            self._start_day()

    def _start_day(self) -> None:
        self._core.valuation.start_day()
        for line in self._core.lines.values():
            line.start_day()

    # -- orders from clients

    def place(self, request: OrderRequest) -> None:
        """Enter a new order, or modify the live one with this client id and order id; see ``OrderEntry``."""
        self._entry.place(request)

    def cancel(self, client_id: int, order_id: int) -> None:
        """Cancel one order; 10147 when it is not known, 10148 when it is over."""
        self._entry.cancel(client_id, order_id)

    def cancel_all(self) -> None:
        """Cancel every live order of the account, whoever placed it."""
        self._entry.cancel_all()

    # -- queries

    def open_orders(self, client_id: int | None = None) -> tuple[OrderView, ...]:
        """Live orders, of one client or of all, oldest first; those not transmitted are not shown."""
        return tuple(
            order.view()
            for order in self._core.orders.live()
            if order.acknowledged and client_id in (None, order.key[0])
        )

    def completed_orders(self) -> tuple[OrderView, ...]:
        """Orders that ended on the current day, in that order."""
        today = self._today()
        return tuple(order.view() for order in self._core.orders.completed() if today(order.completed_at))

    def executions(
        self,
        client_id: int = 0,
        since: datetime | None = None,
        symbol: str = "",
        security_type: str = "",
        side: str = "",
    ) -> tuple[Execution, ...]:
        """Executions of the current day, or from ``since`` on; ``side`` is BUY or SELL, empty fits all.

        Corrected ones come with their latest revision only.
        """
        today = self._today()
        return tuple(
            item
            for item in self._core.log.all()
            if (item.at >= since if since is not None else today(item.at))
            and (not client_id or item.order.request.client_id == client_id)
            and (not symbol or item.order.contract.symbol == symbol)
            and (not security_type or item.order.contract.security_type == security_type)
            and (not side or item.side == side)
        )

    def _today(self) -> Callable[[datetime | None], bool]:
        hours = self._core.options.hours
        today = hours.trading_date(self._core.now)
        return lambda moment: moment is not None and hours.trading_date(moment) == today

    def commission(self, exec_id: str) -> CommissionReported | None:
        return self._core.log.commission(exec_id)

    def positions(self) -> tuple[PositionRecord, ...]:
        return self._core.valuation.positions()

    def account_values(self) -> tuple[AccountValue, ...]:
        """(tag, value, currency) triples; see ``Valuation.account_values``."""
        return self._core.valuation.account_values()

    def pnl(self) -> tuple[Decimal, Decimal, Decimal]:
        """(daily, unrealized, realized today) in the base currency."""
        return self._core.valuation.pnl()

    def pnl_single(self, con_id: int) -> PositionRecord | None:
        """One contract's position, flat or not; None for a contract that is not listed."""
        contract = self._core.book.by_con_id(con_id)
        return self._core.valuation.position(contract) if contract is not None else None

    def quote(self, con_id: int) -> BookTop | None:
        """The market of one contract; None when nothing was ever heard of it."""
        line = self._core.lines.get(con_id)
        return line.top() if line is not None and line.at is not None else None

    def next_order_id(self, client_id: int) -> int:
        return self._core.orders.next_order_id(client_id)

    def bars(
        self, con_id: int, end: datetime, duration_s: float, bar_size_s: float, what: What = "TRADES"
    ) -> tuple[Bar, ...]:
        """Bars of the exchange's own history, oldest first; see ``BarHistory.bars``."""
        line = self._core.lines.get(con_id)
        if line is None or line.history is None:
            return ()
        return line.history.bars(end, duration_s, bar_size_s, what)

    # -- what only a simulator does

    def correct_execution(
        self, exec_id: str, price: Decimal | None = None, quantity: Decimal | None = None
    ) -> Execution | None:
        """Correct an execution of the day: a new revision replaces it, in the books too.

        Returns the correction, or None when the day has no such execution. Raises ValueError for a price or
        a quantity that no execution can have; quantity 0 busts the trade.
        """
        if (price is not None and not price > 0) or (quantity is not None and not quantity >= 0):
            raise ValueError(f"an execution cannot be corrected to {quantity} at {price}")
        core, old = self._core, self._core.log.get(exec_id)
        if old is None or not core.account.has_fill(old.order.contract.con_id, fill_id(exec_id)):
            return None
        contract, before = old.order.contract, core.log.commission(exec_id)
        corrected = core.log.revise(old, price, quantity)
        fill = Fill(
            fill_id=fill_id(exec_id),
            con_id=contract.con_id,
            side=old.side,
            quantity=corrected.quantity,
            price=corrected.price,
            commission=before.amount if before is not None else ZERO,
        )
        realized = core.account.correct(fill, contract)
        client_id = old.order.request.client_id
        report = CommissionReported(corrected.exec_id, client_id, fill.commission, contract.currency, realized)
        core.log.record_commission(report)
        core.listener(ExecutionReported(corrected))
        core.listener(report)
        core.listener(PositionReported(core.valuation.position(contract)))
        return corrected

    def restart(self, roll_back_ids: int = 0, lose_orders_ms: int = 0) -> None:
        """A gateway restart: next order ids fall back, unfilled orders of the last moments are lost silently."""
        core = self._core
        horizon = core.now - timedelta(milliseconds=lose_orders_ms)
        lost = [
            order for order in core.orders.live() if lose_orders_ms and order.placed_at >= horizon and not order.filled
        ]
        core.orders.forget(lost)
        for order in lost:
            core.line(order.contract).orders.remove(order)
        core.orders.roll_back(roll_back_ids)

    def dump_state(self) -> dict[str, Any]:
        """Everything that outlives the process, as plain JSON values."""
        return exchange_state.dump(self._core)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a dumped state; call it before any order. Raises ValueError when it does not fit."""
        hours = self._core.options.hours
        saved_at = exchange_state.load(state, self._core)
        if hours.trading_date(saved_at) != hours.trading_date(self._core.now):
            self._start_day()
        self._trading.pass_time()
