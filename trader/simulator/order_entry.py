"""Orders as clients bring them: new ones, modifications, cancels, what-if questions.

Rules: a request with the client id and order id of a live order modifies it. A refused request changes
nothing. An order that is not to be transmitted is kept silently until it, or another one of its bracket, is.
"""

from typing import Final

import msgspec

from trader.contracts import ZERO
from trader.simulator import admission
from trader.simulator.commissions import order_commission
from trader.simulator.core import ExchangeCore
from trader.simulator.model import (
    ErrorReported,
    ListedContract,
    OrderPreview,
    OrderReported,
    OrderRequest,
)
from trader.simulator.orders import CANCELLED, INACTIVE, WorkingOrder
from trader.simulator.trading import CANCELLED_NOTICE, Trading

_BRACKET_OCA_TYPE: Final = 3


class OrderEntry:
    """The broker's door, over the state of one exchange."""

    def __init__(self, core: ExchangeCore, trading: Trading) -> None:
        self._core = core
        self._trading = trading

    def place(self, request: OrderRequest) -> None:
        """Enter a new order, modify a live one, or answer a what-if question."""
        core = self._core
        contract = core.book.by_con_id(request.con_id)
        if contract is None:
            core.tell(request, admission.NO_SUCH_CONTRACT)
            return
        objection = admission.object_to_request(request, contract, core.options.account)
        order = None if request.what_if else core.orders.get((request.client_id, request.order_id))
        if objection is None and order is not None:
            objection = admission.object_to_modification(request, order)
        if objection is not None:
            core.tell(request, objection)
        elif request.what_if:
            self._preview(request, contract)
        elif order is not None:
            self._modify(order, request)
        else:
            self._enter(request, contract)

    def cancel(self, client_id: int, order_id: int) -> None:
        """Cancel one order; 10147 when it is not known, 10148 when it is over."""
        order = self._core.orders.get((client_id, order_id))
        if order is None:
            message = f"OrderId {order_id} that needs to be cancelled is not found."
            self._core.listener(ErrorReported(client_id, order_id, 10147, message))
        elif not order.live:
            message = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
            self._core.listener(ErrorReported(client_id, order_id, 10148, message))
        else:
            self._trading.finish(order, CANCELLED, CANCELLED_NOTICE)

    def cancel_all(self) -> None:
        """Cancel every live order of the account, whoever placed it."""
        for order in self._core.orders.live():
            if order.live:
                self._trading.finish(order, CANCELLED, CANCELLED_NOTICE)

    def _enter(self, request: OrderRequest, contract: ListedContract) -> None:
        core = self._core
        parent = core.orders.get((request.client_id, request.parent_id)) if request.parent_id else None
        if request.parent_id and (parent is None or parent.status in (CANCELLED, INACTIVE)):
            core.tell(request, (135, f"Can't find order with id = {request.parent_id}"))
            return
        order = WorkingOrder(request, contract, core.orders.take_perm_id(), core.now)
        _attach(order, parent)
        objection = self._object_to_account(order)
        core.orders.add(order)
        core.line(contract).orders.append(order)
        if objection is not None:
            core.tell(request, objection)
            self._trading.finish(order, INACTIVE, None)
        elif request.transmit:
            self._transmit(order)

    def _modify(self, order: WorkingOrder, request: OrderRequest) -> None:
        if request.quantity > order.quantity:
            objection = self._object_to_margin(order, request)
            if objection is not None:
                self._core.tell(request, objection)
                return
        order.amend(request)
        if not order.transmitted:
            return
        if not order.acknowledged:
            self._transmit(order)
            return
        self._trading.apply_hours(order)
        order.status = order.live_status
        self._core.listener(OrderReported(order.view()))
        self._trading.attempt(order)

    def _transmit(self, order: WorkingOrder) -> None:
        """Send an order and, with it, what of its family was held back."""
        family = self._core.orders.untold(order)
        for member in family:
            member.transmitted = member.acknowledged = True
        for member in family:
            if member.live:
                self._trading.apply_hours(member)
                self._core.listener(OrderReported(member.view()))
                self._trading.attempt(member)

    def _object_to_account(self, order: WorkingOrder) -> admission.Objection | None:
        request = order.request
        live_orders = self._core.line(order.contract).orders
        allowed = self._core.options.max_orders_per_side
        return admission.object_to_count(live_orders, request.side, allowed) or self._object_to_margin(order, request)

    def _object_to_margin(self, order: WorkingOrder, request: OrderRequest) -> admission.Objection | None:
        """Whether the account cannot carry the order; what needs no more margin than now is always let in."""
        valuation = self._core.valuation
        needed = valuation.margin(order.contract, request.side.sign * (request.quantity - order.filled))
        if needed <= valuation.margin():
            return None
        return admission.object_to_margin(valuation.equity(), needed, self._core.options.base_currency)

    def _preview(self, request: OrderRequest, contract: ListedContract) -> None:
        """Answer a what-if order: nothing happens but one report with its margins and commission."""
        core, valuation = self._core, self._core.valuation
        price = request.limit_price or core.mark(contract.con_id) or ZERO
        value = price * request.quantity * contract.multiplier
        rate = valuation.rate(contract.currency)
        commission = rate * order_commission(core.options.commission, contract, request.quantity, value, rate)
        equity = valuation.equity()
        preview = OrderPreview(
            margin_before=valuation.margin(),
            margin_after=valuation.margin(contract, request.side.sign * request.quantity),
            equity_before=equity,
            equity_after=equity - commission,
            commission=commission,
            currency=core.options.base_currency,
        )
        order = WorkingOrder(request, contract, 0, core.now)
        core.listener(OrderReported(msgspec.structs.replace(order.view(), preview=preview)))


def _attach(order: WorkingOrder, parent: WorkingOrder | None) -> None:
    """Make an order the child of another one. A parent's exits cancel one another, as at IB, unless named."""
    order.parent = parent
    if parent is not None and not order.oca_group and parent.request.side is not order.request.side:
        order.oca_group = str(parent.perm_id)
        order.oca_type = _BRACKET_OCA_TYPE
