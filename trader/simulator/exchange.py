"""The simulated exchange and broker: market, matching, commissions, books.

Rules: pure and clock-driven. Time is what ``apply`` and ``advance_to`` say it is and never goes back; the
same calls give the same reports, in order, to the one listener. Nothing is reported before it is true in the
books. Control flow is here; what an order may do is in ``matching``, what is refused in ``admission``, what
things are worth in ``valuation``, which orders exist in ``registry``.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from trader.clock import require_aware
from trader.contracts import OrderType, SecurityType, TimeInForce
from trader.simulator import admission, exchange_state, matching
from trader.simulator.account import Account, Fill
from trader.simulator.bars import Bar, What
from trader.simulator.commissions import order_commission
from trader.simulator.contract_book import ContractBook
from trader.simulator.executions import ExecutionLog, fill_id
from trader.simulator.line import BookTop, MarketLine
from trader.simulator.model import (
    CommissionReported,
    ErrorReported,
    Execution,
    ExecutionReported,
    ListedContract,
    Listener,
    MarketEvent,
    OrderPreview,
    OrderReported,
    OrderRequest,
    OrderView,
    PositionRecord,
    PositionReported,
    QuoteReported,
    StatusReported,
)
from trader.simulator.options import ExchangeOptions
from trader.simulator.orders import CANCELLED, FILLED, INACTIVE, PENDING_CANCEL, SUBMITTED, WorkingOrder
from trader.simulator.registry import OrderRegistry
from trader.simulator.valuation import AccountValue, Valuation

__all__ = ["BookTop", "Exchange", "ExchangeOptions"]

CANCELLED_NOTICE = (202, "Order Canceled - reason:")
_IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_REDUCING_OCA_TYPES = frozenset({2, 3})
_BRACKET_OCA_TYPE = 3


class Exchange:
    """One broker with one account. Reports go to ``listener``, which may be replaced at any time."""

    def __init__(
        self, book: ContractBook, options: ExchangeOptions, start: datetime, seed: int, listener: Listener
    ) -> None:
        require_aware(start)
        self.book = book
        self.options = options
        self.now = start
        self.listener = listener
        self._seed = seed
        self._lines: dict[int, MarketLine] = {}
        self._lines_by_key: dict[str, MarketLine] = {}
        self._orders = OrderRegistry(
            options.first_order_id, 1_000_000_000 + seed % 1_000 * 1_000_000, options.completed_kept
        )
        self._log = ExecutionLog(seed, options.executions_kept)
        self._account = Account(options.base_currency, options.starting_cash)
        self._valuation = Valuation(self._account, book, options, self._mark)
        self._wake = options.hours.next_change(start)

    # -- time and market

    def apply(self, event: MarketEvent) -> None:
        """Take one market event: time moves to it, the quote is reported, orders trigger and trade.

        Raises ValueError for a market key that the contract book does not list.
        """
        at = event.at
        if at >= self._wake:
            self.advance_to(at)
        elif at > self.now:
            self.now = at
        line = self._lines_by_key.get(event.symbol) or self._line_of_key(event.symbol)
        line.update(event)
        self.listener(QuoteReported(line.con_id, event))
        if line.orders:
            self._match(line, event)

    def advance_to(self, moment: datetime) -> None:
        """Let time pass: orders expire, the market opens and closes, days begin. A past moment is ignored."""
        while self._wake <= moment:
            self._pass(self._wake)
        if moment > self.now:
            self.now = moment

    def _pass(self, moment: datetime) -> None:
        hours = self.options.hours
        day = hours.trading_date(self.now)
        self.now = max(self.now, moment)
        self._wake = hours.next_change(self.now)
        for order in self._orders.live():
            if order.live and order.expires_at is not None and order.expires_at <= self.now:
                self._finish(order, CANCELLED, CANCELLED_NOTICE)
        for order in self._orders.live():
            order.held_for_open = not self._may_trade_now(order)
            self._settle(order)
        if hours.trading_date(self.now) != day:
            self._valuation.start_day()
            for line in self._lines.values():
                line.start_day()

    def _line_of_key(self, key: str) -> MarketLine:
        contract = self.book.by_key(key)
        if contract is None:
            raise ValueError(f"the market moves {key!r}, which is not in the contract book: list it there first")
        return self._line(contract)

    def _line(self, contract: ListedContract) -> MarketLine:
        line = self._lines.get(contract.con_id)
        if line is None:
            line = MarketLine(contract, self.options.history_bars)
            self._lines[contract.con_id] = line
            self._lines_by_key[line.key] = line
        return line

    def _mark(self, con_id: int) -> Decimal | None:
        line = self._lines.get(con_id)
        return line.mark if line is not None else None

    # -- orders from clients

    def place(self, request: OrderRequest) -> None:
        """Enter a new order, or modify the live one with this client id and order id."""
        contract = self.book.by_con_id(request.con_id)
        if contract is None:
            self._object(request, admission.NO_SUCH_CONTRACT)
            return
        objection = admission.object_to_request(request, contract, self.options.account)
        order = self._orders.get((request.client_id, request.order_id))
        if objection is None and order is not None and not request.what_if:
            objection = admission.object_to_modification(request, order)
        if objection is not None:
            self._object(request, objection)
        elif request.what_if:
            self._preview(request, contract)
        elif order is not None:
            self._modify(order, request)
        else:
            self._enter(request, contract)

    def cancel(self, client_id: int, order_id: int) -> None:
        """Cancel one order; 10147 when it is not known, 10148 when it is over."""
        order = self._orders.get((client_id, order_id))
        if order is None:
            message = f"OrderId {order_id} that needs to be cancelled is not found."
            self.listener(ErrorReported(client_id, order_id, 10147, message))
        elif not order.live:
            message = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
            self.listener(ErrorReported(client_id, order_id, 10148, message))
        else:
            self._finish(order, CANCELLED, CANCELLED_NOTICE)

    def cancel_all(self) -> None:
        """Cancel every live order of the account, whoever placed it."""
        for order in self._orders.live():
            if order.live:
                self._finish(order, CANCELLED, CANCELLED_NOTICE)

    def _enter(self, request: OrderRequest, contract: ListedContract) -> None:
        parent = self._orders.get((request.client_id, request.parent_id)) if request.parent_id else None
        if request.parent_id and (parent is None or parent.status in (CANCELLED, INACTIVE)):
            self._object(request, (135, f"Can't find order with id = {request.parent_id}"))
            return
        order = WorkingOrder(request, contract, self._orders.take_perm_id(), self.now)
        order.parent = parent
        self._join_bracket(order)
        self._orders.add(order)
        line = self._line(contract)
        objection = self._object_to_account(order, line)
        line.orders.append(order)
        if objection is not None:
            self._object(request, objection)
            self._finish(order, INACTIVE, None)
        elif request.transmit:
            self._transmit(order)

    def _join_bracket(self, order: WorkingOrder) -> None:
        """A parent's exits cancel one another even when the client named no group, as at IB."""
        parent = order.parent
        if parent is not None and not order.oca_group and parent.request.side is not order.request.side:
            order.oca_group = str(parent.perm_id)
            order.oca_type = _BRACKET_OCA_TYPE

    def _object_to_account(self, order: WorkingOrder, line: MarketLine) -> admission.Objection | None:
        request = order.request
        objection = admission.object_to_count(line.orders, request.side, self.options.max_orders_per_side)
        if objection is not None:
            return objection
        before = self._valuation.margin()
        needed = self._valuation.margin(order.contract, request.side.sign * order.remaining)
        if needed <= before:  # reducing is always allowed
            return None
        return admission.object_to_margin(self._valuation.equity(), needed, self.options.base_currency)

    def _modify(self, order: WorkingOrder, request: OrderRequest) -> None:
        order.amend(request)
        if not order.transmitted:
            return
        if not order.acknowledged:
            self._transmit(order)
            return
        self._apply_hours(order)
        order.status = order.live_status
        self.listener(OrderReported(order.view()))
        self._attempt(order)

    def _transmit(self, order: WorkingOrder) -> None:
        """Send an order and, with it, what of its family was held back."""
        family = self._orders.untold(order)
        for member in family:
            member.transmitted = member.acknowledged = True
        for member in family:
            if member.live:
                self._acknowledge(member)

    def _acknowledge(self, order: WorkingOrder) -> None:
        self._apply_hours(order)
        self.listener(OrderReported(order.view()))
        self._attempt(order)

    def _object(self, request: OrderRequest, objection: admission.Objection) -> None:
        code, message = objection
        self.listener(ErrorReported(request.client_id, request.order_id, code, message))

    def _preview(self, request: OrderRequest, contract: ListedContract) -> None:
        """Answer a what-if order: nothing happens but one report with its margins and commission."""
        order = WorkingOrder(request, contract, 0, self.now)
        valuation = self._valuation
        price = request.limit_price or self._mark(contract.con_id) or Decimal(0)
        value = price * request.quantity * contract.multiplier
        rate = valuation.rate(contract.currency)
        commission = rate * order_commission(self.options.commission, contract, request.quantity, value, rate)
        equity = valuation.equity()
        preview = OrderPreview(
            margin_before=valuation.margin(),
            margin_after=valuation.margin(contract, request.side.sign * request.quantity),
            equity_before=equity,
            equity_after=equity - commission,
            commission=commission,
            currency=self.options.base_currency,
        )
        self.listener(OrderReported(msgspec.structs.replace(order.view(), preview=preview)))

    # -- hours

    def _apply_hours(self, order: WorkingOrder) -> None:
        """Set when an order expires and whether it has to wait for the open; say so as IB does."""
        hours, request = self.options.hours, order.request
        if request.time_in_force is TimeInForce.DAY:
            order.expires_at = hours.day_order_expiry(self.now, order.contract.security_type, self._outside_rth(order))
        else:
            order.expires_at = None
        was_held, order.held_for_open = order.held_for_open, not self._may_trade_now(order)
        if request.outside_rth and request.order_type is OrderType.MARKET and not hours.always_open:
            self._object(request, (2109, _OUTSIDE_RTH_IGNORED))
        if order.held_for_open and not was_held:
            opens_at = hours.local(hours.next_open(self.now))
            message = _HELD_UNTIL_OPEN.format(order=_describe(order), opens_at=f"{opens_at:%Y-%m-%d %H:%M:%S}")
            self._object(request, (399, f"{message} {hours.time_zone}."))

    def _outside_rth(self, order: WorkingOrder) -> bool:
        return order.request.outside_rth and order.request.order_type is not OrderType.MARKET

    def _may_trade_now(self, order: WorkingOrder) -> bool:
        hours = self.options.hours
        if hours.always_open or order.contract.security_type is not SecurityType.STOCK:
            return True
        return hours.is_extended(self.now) if self._outside_rth(order) else hours.is_regular(self.now)

    # -- matching

    def _match(self, line: MarketLine, event: MarketEvent) -> None:
        """Let the line's orders, oldest first, meet what the event brought."""
        print_left = event.last_size or Decimal(0)
        for order in [item for item in line.orders if item.working]:
            if not order.live or not self._trigger(order, line):
                continue
            self._take_quote(order, line)
            if event.last is not None and order.live:
                match = matching.match_print(order, event.last, print_left)
                if match is not None:
                    print_left -= match.quantity
                    self._execute(order, match)
            self._settle(order)

    def _attempt(self, order: WorkingOrder) -> None:
        """Let one order that is new, changed or released meet the market as it stands."""
        line = self._line(order.contract)
        if order.working and self._trigger(order, line):
            self._take_quote(order, line)
        self._settle(order)

    def _trigger(self, order: WorkingOrder, line: MarketLine) -> bool:
        """Whether the order is triggered, now or before; a stop that is, becomes Submitted."""
        if order.triggered:
            return True
        reference = matching.trigger_reference(line, order.request.side)
        if reference is None:
            return False
        matching.follow_market(order, reference)
        if not matching.is_triggered(order, reference):
            return False
        order.triggered = True
        order.status = SUBMITTED
        self.listener(OrderReported(order.view()))
        return True

    def _take_quote(self, order: WorkingOrder, line: MarketLine) -> None:
        match = matching.match_quote(order, line)
        if match is None:
            order.resting = order.resting or matching.waits_for_price(order, line)
            return
        if order.request.time_in_force is TimeInForce.FOK and match.quantity < order.remaining:
            return
        matching.use_displayed(line, order.request.side, match.quantity)
        self._execute(order, match)

    def _settle(self, order: WorkingOrder) -> None:
        """Bring the reported status in line; end an immediate order that is left over."""
        if not order.live or not order.acknowledged:
            return
        if order.triggered and not order.waits_for_parent and order.request.time_in_force in _IMMEDIATE:
            self._end_immediate(order)
        elif order.live_status == SUBMITTED != order.status:
            order.status = SUBMITTED
            self.listener(OrderReported(order.view()))

    def _end_immediate(self, order: WorkingOrder) -> None:
        if order.request.time_in_force is TimeInForce.FOK:
            self._finish(order, INACTIVE, None)
            return
        order.status = PENDING_CANCEL
        self.listener(StatusReported(order.view()))
        self._finish(order, CANCELLED, None)

    def _execute(self, order: WorkingOrder, match: matching.Match) -> None:
        """Book one fill and report it: execution, order, commission, position."""
        contract = order.contract
        order.filled += match.quantity
        order.value += match.price * match.quantity
        order.last_fill_price = match.price
        assert order.filled <= order.quantity, "an order never fills more than its quantity"
        order.status = SUBMITTED if order.remaining else FILLED
        commission = self._charge(order)
        execution = self._log.record(order.view(), match, self.now)
        fill = Fill(
            fill_id=fill_id(execution.exec_id),
            con_id=contract.con_id,
            side=order.request.side,
            quantity=match.quantity,
            price=match.price,
            commission=commission,
        )
        realized = self._account.book(fill, contract)
        report = CommissionReported(execution.exec_id, order.key[0], commission, contract.currency, realized)
        self._log.record_commission(report)
        if order.status == FILLED:
            self._retire(order)
        self.listener(ExecutionReported(execution))
        self.listener(OrderReported(order.view()))
        self.listener(report)
        self.listener(PositionReported(self._valuation.position(contract)))
        self._follow_up(order, match.quantity)

    def _charge(self, order: WorkingOrder) -> Decimal:
        """The commission of the newest fill: what the order's total grew by."""
        contract = order.contract
        value = order.value * contract.multiplier
        rate = self._valuation.rate(contract.currency)
        total = order_commission(self.options.commission, contract, order.filled, value, rate)
        charge = max(Decimal(0), total - order.charged)
        order.charged += charge
        return charge

    def _follow_up(self, order: WorkingOrder, quantity: Decimal) -> None:
        """What a fill does to other orders: its group is cancelled or reduced, its children come alive."""
        for other in self._orders.group(order):
            if other.live:
                self._reduce(other, order, quantity)
        if order.status == FILLED:
            self._release_children(order)

    def _reduce(self, other: WorkingOrder, filled: WorkingOrder, quantity: Decimal) -> None:
        if filled.status == FILLED or filled.oca_type not in _REDUCING_OCA_TYPES:
            self._finish(other, CANCELLED, CANCELLED_NOTICE)
            return
        other.quantity -= min(other.remaining, quantity)
        if other.remaining == 0:
            self._finish(other, CANCELLED, CANCELLED_NOTICE)
        elif other.acknowledged:
            self.listener(OrderReported(other.view()))

    def _release_children(self, parent: WorkingOrder) -> None:
        for child in self._orders.children(parent):
            if child.live and child.acknowledged:
                self.listener(OrderReported(child.view()))
                self._attempt(child)

    def _retire(self, order: WorkingOrder) -> None:
        order.completed_at = self.now
        self._line(order.contract).orders.remove(order)
        self._orders.complete(order)

    def _finish(self, order: WorkingOrder, status: str, notice: admission.Objection | None) -> None:
        """End an order that did not fill; its children go with it, or protect what did fill."""
        children = self._orders.children(order)
        order.status = status
        self._retire(order)
        if order.acknowledged or status == INACTIVE:
            self.listener(StatusReported(order.view()))
            if notice is not None:
                self._object(order.request, notice)
        for child in children:
            if order.filled and child.quantity > order.filled:
                child.quantity = order.filled
            if not order.filled and child.live:
                self._finish(child, CANCELLED, CANCELLED_NOTICE)
            elif child.live and child.acknowledged:
                self.listener(OrderReported(child.view()))
                self._attempt(child)

    # -- queries

    def open_orders(self, client_id: int | None = None) -> tuple[OrderView, ...]:
        """Live orders, of one client or of all, oldest first; those not transmitted are not shown."""
        return tuple(
            order.view() for order in self._orders.live() if order.acknowledged and client_id in (None, order.key[0])
        )

    def completed_orders(self) -> tuple[OrderView, ...]:
        """Orders that ended on the current day, in that order."""
        today = self._today()
        return tuple(order.view() for order in self._orders.completed() if today(order.completed_at))

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
            for item in self._log.all()
            if (item.at >= since if since is not None else today(item.at))
            and (not client_id or item.order.request.client_id == client_id)
            and (not symbol or item.order.contract.symbol == symbol)
            and (not security_type or item.order.contract.security_type == security_type)
            and (not side or item.side == side)
        )

    def _today(self) -> Callable[[datetime | None], bool]:
        hours = self.options.hours
        today = hours.trading_date(self.now)
        return lambda moment: moment is not None and hours.trading_date(moment) == today

    def commission(self, exec_id: str) -> CommissionReported | None:
        return self._log.commission(exec_id)

    def positions(self) -> tuple[PositionRecord, ...]:
        return self._valuation.positions()

    def account_values(self) -> tuple[AccountValue, ...]:
        """(tag, value, currency) triples; see ``Valuation.account_values``."""
        return self._valuation.account_values()

    def pnl(self) -> tuple[Decimal, Decimal, Decimal]:
        """(daily, unrealized, realized today) in the base currency."""
        return self._valuation.pnl()

    def pnl_single(self, con_id: int) -> PositionRecord | None:
        """One contract's position, flat or not; None for a contract that is not listed."""
        contract = self.book.by_con_id(con_id)
        return self._valuation.position(contract) if contract is not None else None

    def quote(self, con_id: int) -> BookTop | None:
        """The market of one contract; None when nothing was ever heard of it."""
        line = self._lines.get(con_id)
        return line.top() if line is not None and line.at is not None else None

    def next_order_id(self, client_id: int) -> int:
        return self._orders.next_order_id(client_id)

    def bars(
        self, con_id: int, end: datetime, duration_s: float, bar_size_s: float, what: What = "TRADES"
    ) -> tuple[Bar, ...]:
        """Bars of the exchange's own history, oldest first; see ``BarHistory.bars``."""
        line = self._lines.get(con_id)
        if line is None or line.history is None:
            return ()
        return line.history.bars(end, duration_s, bar_size_s, what)

    # -- what only a simulator does

    def correct_execution(
        self, exec_id: str, price: Decimal | None = None, quantity: Decimal | None = None
    ) -> Execution | None:
        """Correct an execution of the day: a new revision replaces it, in the books too.

        Returns the correction, or None when the day has no such execution.
        """
        old = self._log.get(exec_id)
        if old is None:
            return None
        corrected = self._log.revise(old, price, quantity)
        contract, commission = old.order.contract, self._log.commission(old.exec_id)
        fill = Fill(
            fill_id=fill_id(exec_id),
            con_id=contract.con_id,
            side=old.side,
            quantity=corrected.quantity,
            price=corrected.price,
            commission=commission.amount if commission is not None else Decimal(0),
        )
        realized = self._account.correct(fill, contract)
        report = CommissionReported(
            corrected.exec_id, old.order.request.client_id, fill.commission, contract.currency, realized
        )
        self._log.record_commission(report)
        self.listener(ExecutionReported(corrected))
        self.listener(report)
        self.listener(PositionReported(self._valuation.position(contract)))
        return corrected

    def restart(self, roll_back_ids: int = 0, lose_orders_ms: int = 0) -> None:
        """A gateway restart: next order ids fall back, unfilled orders of the last moments are lost silently."""
        horizon = self.now - timedelta(milliseconds=lose_orders_ms)
        lost = [order for order in self._orders.live() if lose_orders_ms and order.placed_at >= horizon]
        self._orders.forget(order for order in lost if not order.filled)
        for line in self._lines.values():
            line.orders = [order for order in line.orders if order.filled or order not in lost]
        self._orders.roll_back(roll_back_ids)

    def dump_state(self) -> dict[str, Any]:
        """Everything that outlives the process, as plain JSON values."""
        return exchange_state.dump(self.now, self._account, self._log, self._orders, self._lines, self._valuation)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a dumped state; call it before any order. Raises ValueError when it does not fit."""
        exchange_state.load(state, self.book, self._account, self._log, self._orders, self._line, self._valuation)
        self._pass(self.now)


_OUTSIDE_RTH_IGNORED = (
    "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and "
    "destination. PlaceOrder is now being processed."
)
_HELD_UNTIL_OPEN = "Order Message:\n{order}\nWarning: Your order will not be placed at the exchange until {opens_at}"


def _describe(order: WorkingOrder) -> str:
    contract = order.contract
    venue = contract.primary_exchange or contract.exchange
    return f"{order.request.side} {order.quantity:f} {contract.symbol} {venue}"
