"""What happens to live orders: they wait, trigger, trade, expire, and drag others along.

Rules: control flow only; whether and at what price an order trades is ``matching``. Books change before
anyone is told. A fill is reported as execution, order, commission, position; an order that ends without
filling as its status and, where IB sends one, error 202.
"""

from decimal import Decimal
from typing import Final

from trader.contracts import ZERO, OrderType, SecurityType, TimeInForce
from trader.simulator import matching
from trader.simulator.account import Fill
from trader.simulator.commissions import order_commission
from trader.simulator.core import ExchangeCore
from trader.simulator.executions import fill_id
from trader.simulator.line import MarketLine
from trader.simulator.model import (
    CommissionReported,
    Execution,
    ExecutionReported,
    MarketEvent,
    OrderReported,
    PositionReported,
    StatusReported,
)
from trader.simulator.orders import CANCELLED, FILLED, INACTIVE, PENDING_CANCEL, SUBMITTED, WorkingOrder

CANCELLED_NOTICE: Final = (202, "Order Canceled - reason:")
_IMMEDIATE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_REDUCING_OCA_TYPES: Final = frozenset({2, 3})
_OUTSIDE_RTH_IGNORED: Final = (
    "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and "
    "destination. PlaceOrder is now being processed."
)


class Trading:
    """The life of orders that exist, over the state of one exchange."""

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core

    # -- the market and the time

    def match(self, line: MarketLine, event: MarketEvent) -> None:
        """Let the line's orders, oldest first, meet what the event brought."""
        print_left = event.last_size or ZERO
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

    def attempt(self, order: WorkingOrder) -> None:
        """Let one order that is new, changed or released meet the market as it stands."""
        line = self._core.line(order.contract)
        if order.working and self._trigger(order, line):
            self._take_quote(order, line)
        self._settle(order)

    def pass_time(self) -> None:
        """Do what the time now calls for: orders expire, and those held for the open are released."""
        for order in self._core.orders.live():
            if order.live and order.expires_at is not None and order.expires_at <= self._core.now:
                self.finish(order, CANCELLED, CANCELLED_NOTICE)
        for order in self._core.orders.live():
            order.held_for_open = not self._may_trade_now(order)
            self._settle(order)

    def apply_hours(self, order: WorkingOrder) -> None:
        """Set when an order expires and whether it has to wait for the open; say so as IB does."""
        core, request, hours = self._core, order.request, self._core.options.hours
        order.expires_at = None
        if request.time_in_force is TimeInForce.DAY:
            kind = order.contract.security_type
            order.expires_at = hours.day_order_expiry(core.now, kind, _trades_outside_rth(order))
        if request.outside_rth and request.order_type is OrderType.MARKET and not hours.always_open:
            core.tell(request, (2109, _OUTSIDE_RTH_IGNORED))
        was_held, order.held_for_open = order.held_for_open, not self._may_trade_now(order)
        if order.held_for_open and not was_held:
            core.tell(request, (399, self._held_message(order)))

    def _may_trade_now(self, order: WorkingOrder) -> bool:
        hours, now = self._core.options.hours, self._core.now
        if hours.always_open or order.contract.security_type is not SecurityType.STOCK:
            return True
        return hours.is_extended(now) if _trades_outside_rth(order) else hours.is_regular(now)

    def _held_message(self, order: WorkingOrder) -> str:
        hours, contract = self._core.options.hours, order.contract
        now = self._core.now
        opens_at = hours.next_extended_open(now) if _trades_outside_rth(order) else hours.next_open(now)
        venue = contract.primary_exchange or contract.exchange
        return (
            f"Order Message:\n{order.request.side} {order.quantity:f} {contract.symbol} {venue}\n"
            "Warning: Your order will not be placed at the exchange until "
            f"{hours.local(opens_at):%Y-%m-%d %H:%M:%S} {hours.time_zone}."
        )

    # -- one order and the market

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
        self._core.listener(OrderReported(order.view()))
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
            self._core.listener(OrderReported(order.view()))

    def _end_immediate(self, order: WorkingOrder) -> None:
        """IOC: PendingCancel, then Cancelled, without a 202. FOK: Inactive."""
        if order.request.time_in_force is TimeInForce.FOK:
            self.finish(order, INACTIVE, None)
            return
        order.status = PENDING_CANCEL
        self._core.listener(StatusReported(order.view()))
        self.finish(order, CANCELLED, None)

    # -- fills

    def _execute(self, order: WorkingOrder, match: matching.Match) -> None:
        """Book one fill and report it."""
        order.filled += match.quantity
        order.value += match.price * match.quantity
        order.last_fill_price = match.price
        assert order.filled <= order.quantity, "an order never fills more than its quantity"
        order.status = SUBMITTED if order.remaining else FILLED
        execution = self._core.log.record(order.view(), match, self._core.now)
        commission = self._book(order, execution)
        if order.status == FILLED:
            self._retire(order)
        listener = self._core.listener
        listener(ExecutionReported(execution))
        listener(OrderReported(order.view()))
        listener(commission)
        listener(PositionReported(self._core.valuation.position(order.contract)))
        self._follow_up(order, match.quantity)

    def _book(self, order: WorkingOrder, execution: Execution) -> CommissionReported:
        """Take an execution into the account; returns its commission report."""
        contract = order.contract
        fill = Fill(
            fill_id=fill_id(execution.exec_id),
            con_id=contract.con_id,
            side=execution.side,
            quantity=execution.quantity,
            price=execution.price,
            commission=self._charge(order),
        )
        realized = self._core.account.book(fill, contract)
        report = CommissionReported(execution.exec_id, order.key[0], fill.commission, contract.currency, realized)
        self._core.log.record_commission(report)
        return report

    def _charge(self, order: WorkingOrder) -> Decimal:
        """The commission of the newest fill: what the order's total grew by."""
        contract = order.contract
        value = order.value * contract.multiplier
        rate = self._core.valuation.rate(contract.currency)
        total = order_commission(self._core.options.commission, contract, order.filled, value, rate)
        charge = max(ZERO, total - order.charged)
        order.charged += charge
        return charge

    def _follow_up(self, order: WorkingOrder, quantity: Decimal) -> None:
        """What a fill does to other orders: its group is cancelled or reduced, its children come alive."""
        for other in self._core.orders.group(order):
            if other.live:
                self._cut(other, order, quantity)
        if order.status == FILLED:
            for child in self._core.orders.children(order):
                self._release(child)

    def _cut(self, other: WorkingOrder, filled: WorkingOrder, quantity: Decimal) -> None:
        """Cancel or reduce an order whose group has another one filled by ``quantity``."""
        if filled.status == FILLED or filled.oca_type not in _REDUCING_OCA_TYPES:
            self.finish(other, CANCELLED, CANCELLED_NOTICE)
            return
        if quantity >= other.remaining:
            self.finish(other, CANCELLED, CANCELLED_NOTICE)
            return
        other.quantity -= quantity
        if other.acknowledged:
            self._core.listener(OrderReported(other.view()))

    def _release(self, child: WorkingOrder) -> None:
        """Set an order to work whose parent is done."""
        if child.live and child.acknowledged:
            self._core.listener(OrderReported(child.view()))
            self.attempt(child)

    # -- the end of an order

    def finish(self, order: WorkingOrder, status: str, notice: tuple[int, str] | None) -> None:
        """End an order that did not fill; its children go with it, or protect what did fill."""
        core = self._core
        order.status = status
        self._retire(order)
        if order.acknowledged or status == INACTIVE:
            core.listener(StatusReported(order.view()))
            if notice is not None:
                core.tell(order.request, notice)
        for child in core.orders.children(order):
            if not child.live:  # its group has cancelled it meanwhile
                continue
            if not order.filled:
                self.finish(child, CANCELLED, CANCELLED_NOTICE)
                continue
            child.quantity = min(child.quantity, order.filled)
            self._release(child)

    def _retire(self, order: WorkingOrder) -> None:
        order.completed_at = self._core.now
        self._core.line(order.contract).orders.remove(order)
        self._core.orders.complete(order)


def _trades_outside_rth(order: WorkingOrder) -> bool:
    """Whether the order may trade outside regular hours; IB ignores the wish of market orders."""
    return order.request.outside_rth and order.request.order_type is not OrderType.MARKET
