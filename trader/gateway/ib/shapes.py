"""Our instruments and orders in ib_async's shapes, and its decoded orders as our lines.

Rules: an order says everything that matters itself, so that no preset of the gateway changes it: account, time in
force, outsideRth and its reference. Quantities and prices leave as plain decimal text.
"""

from decimal import Decimal
from typing import Final

from ib_async.contract import Contract, ContractDetails
from ib_async.order import Order, OrderState

from trader.contracts import ZERO, Instrument, OrderType, SecurityType
from trader.events import BrokerOrderStatus, OrderLine, OrderTerms
from trader.gateway import translate
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.translate import ContractText, Untranslatable

PRICED: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


def contract_of(instrument: Instrument) -> Contract:
    """The contract to ask or trade. A con_id alone decides where the type is none that the service knows."""
    known = instrument.security_type is not SecurityType.OTHER
    return Contract(
        secType=instrument.security_type.value if known else "",
        conId=instrument.con_id,
        symbol=(instrument.ib_symbol or instrument.symbol) if known else "",
        lastTradeDateOrContractMonth=instrument.expiry if known else "",
        multiplier=plain(instrument.multiplier) if instrument.security_type is SecurityType.FUTURE else "",
        exchange=instrument.exchange,
        primaryExchange=instrument.primary_exchange,
        currency=instrument.currency if known else "",
    )


def order_of(terms: OrderTerms, order_ref: str, account: str) -> Order:
    """The order that ``terms`` describe. Decimals are passed as text, which the encoder leaves alone."""
    order = Order(
        action=terms.side.value,
        orderType=terms.order_type.value,
        tif=terms.time_in_force.value,
        orderRef=order_ref,
        account=account,
        outsideRth=terms.outside_rth,
    )
    order.totalQuantity = plain(terms.quantity)  # type: ignore[assignment]
    if terms.limit_price is not None:
        order.lmtPrice = plain(terms.limit_price)  # type: ignore[assignment]
    if terms.stop_price is not None:
        order.auxPrice = plain(terms.stop_price)  # type: ignore[assignment]
    return order


def contract_text_of(contract: Contract) -> ContractText:
    return ContractText(
        con_id=_id(contract.conId),
        symbol=translate.name(contract.symbol),
        security_type=contract.secType,
        expiry=translate.name(contract.lastTradeDateOrContractMonth).split(" ")[0],
        multiplier=contract.multiplier,
        exchange=translate.name(contract.exchange),
        currency=translate.name(contract.currency),
        local_symbol=translate.name(contract.localSymbol),
    )


def order_line(
    contract: Contract, order: Order, state: OrderState, filled: Decimal, index: InstrumentIndex
) -> OrderLine:
    """An order as the broker describes it; ``filled`` comes from elsewhere, its description has no such field."""
    quantity = translate.amount_of_float(order.totalQuantity)
    if quantity is None or quantity < 0:
        raise Untranslatable(f"the quantity of an order is {order.totalQuantity!r:.80}")
    status = translate.order_status(state.status)
    return OrderLine(
        order_id=translate.checked_order_id(_id(order.orderId)),
        perm_id=_id(order.permId),
        client_id=_id(order.clientId),
        order_ref=translate.name(order.orderRef),
        symbol=index.resolve(contract_text_of(contract)).symbol,
        side=translate.side(order.action),
        quantity=quantity,
        filled=quantity if status is BrokerOrderStatus.FILLED else filled,
        status=status,
        limit_price=translate.amount_of_float(order.lmtPrice) if order.orderType in PRICED else None,
    )


def completed_line(contract: Contract, order: Order, state: OrderState, index: InstrumentIndex) -> OrderLine:
    """A completed order. Its total quantity may be given as 0, and then what was filled is all that is known."""
    filled = max(translate.amount_of_float(order.filledQuantity) or ZERO, ZERO)
    if not order.totalQuantity and filled:
        order.totalQuantity = float(filled)
    return order_line(contract, order, state, filled, index)


def candidate(details: ContractDetails) -> str:
    """One contract for a sentence that lists several."""
    contract = details.contract
    if contract is None:
        return "an unnamed contract"
    parts = (contract.localSymbol or contract.symbol, contract.primaryExchange or contract.exchange, contract.currency)
    expiry = contract.lastTradeDateOrContractMonth
    return " ".join(part for part in (*parts, expiry, f"(conId {contract.conId})") if part)


def plain(value: Decimal) -> str:
    """A number as it stands on the wire: digits, without an exponent."""
    return format(value, "f")


def _id(value: int) -> int:
    if abs(value) > translate.INTEGER_MAX:
        raise Untranslatable(f"{translate.shown(str(value))} is not an id")
    return 0 if value == translate.UNSET_INTEGER else value
