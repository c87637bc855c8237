"""What the broker refuses before an order exists: pure checks, each answering with IB's code and text.

Rules: a check returns ``(code, message)`` or None; the first objection wins. A refused new order leaves no
trace but its error; an order that only the account's margin stands against is reported as rejected.
"""

from decimal import Decimal
from typing import Final

from trader.contracts import OrderType, SecurityType, Side
from trader.simulator.model import ListedContract, OrderRequest
from trader.simulator.orders import FILLED, LIMITED_TYPES, WorkingOrder

Objection = tuple[int, str]

NO_SUCH_CONTRACT: Final[Objection] = (200, "No security definition has been found for the request")
DUPLICATE_ID: Final[Objection] = (103, "Duplicate order id")
MODIFY_FILLED: Final[Objection] = (104, "Cannot modify a filled order.")
MODIFY_MISMATCH: Final[Objection] = (105, "Order being modified does not match original order.")
PRICE_INCREMENT: Final[Objection] = (
    110,
    "The price does not conform to the minimum price variation for this contract.",
)
SIZE_ZERO: Final[Objection] = (434, "The order size cannot be zero.")
FRACTIONAL: Final[Objection] = (10243, "Fractional-sized order cannot be placed via API. Please use desktop version.")
LARGEST_QUANTITY: Final = Decimal(10) ** 9
# Beyond it a remainder by the tick size has more digits than a Decimal keeps.
LARGEST_PRICE: Final = Decimal(10**12)


def _invalid(cause: str) -> Objection:
    return 321, f"Error validating request.-'bN' : cause - {cause}"


def rejected(reason: str) -> Objection:
    """IB's 201 with its reason."""
    return 201, f"Order rejected - reason:{reason}"


def object_to_request(request: OrderRequest, contract: ListedContract, account: str) -> Objection | None:
    """Whether an order makes sense by itself."""
    if request.account and request.account != account:
        return _invalid(f"Invalid account code '{request.account}'.")
    return _object_to_quantity(request, contract) or _object_to_prices(request, contract)


def _object_to_quantity(request: OrderRequest, contract: ListedContract) -> Objection | None:
    if not request.quantity.is_finite() or request.quantity < 0 or request.quantity > LARGEST_QUANTITY:
        return _invalid("The order size is out of range.")
    if request.quantity == 0:
        return SIZE_ZERO
    if contract.security_type is not SecurityType.CASH and request.quantity != int(request.quantity):
        return FRACTIONAL
    return None


def _object_to_prices(request: OrderRequest, contract: ListedContract) -> Objection | None:
    kind = request.order_type
    if kind in LIMITED_TYPES and request.limit_price is None:
        return _invalid("Missing limit price")
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT) and request.aux_price is None:
        return _invalid("Missing stop price")
    if kind is OrderType.TRAIL and not (request.aux_price or request.trailing_percent):
        return _invalid("Missing trailing amount or percent")
    used = {
        OrderType.MARKET: (),
        OrderType.LIMIT: (request.limit_price,),
        OrderType.STOP: (request.aux_price,),
        OrderType.STOP_LIMIT: (request.limit_price, request.aux_price),
        OrderType.TRAIL: (request.aux_price, request.trail_stop_price),
    }[kind]
    prices = [price for price in used if price is not None]
    if any(
        not price.is_finite() or price <= 0 or price > LARGEST_PRICE or price % contract.tick_size for price in prices
    ):
        return PRICE_INCREMENT
    return None


def object_to_modification(request: OrderRequest, order: WorkingOrder) -> Objection | None:
    """Whether an order may become what ``request`` says."""
    if not order.live:
        return MODIFY_FILLED if order.status == FILLED else DUPLICATE_ID
    old = order.request
    if (request.con_id, request.side, request.order_type) != (old.con_id, old.side, old.order_type):
        return MODIFY_MISMATCH
    if request.quantity <= order.filled:
        return MODIFY_FILLED
    return None


def object_to_count(live_orders: list[WorkingOrder], side: Side, allowed: int) -> Objection | None:
    """Whether a contract has too many live orders on one side of the account."""
    count = sum(1 for order in live_orders if order.request.side is side)
    if count < allowed:
        return None
    return rejected(f"The maximum number of {allowed} working orders on one side of a contract is reached.")


def object_to_margin(equity: Decimal, needed: Decimal, currency: str) -> Objection | None:
    """Whether the equity carries the initial margin of everything after the order."""
    if needed <= equity:
        return None
    return rejected(
        "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        f"[{equity:.2f} {currency}] MUST EXCEED THE INITIAL MARGIN [{needed:.2f} {currency}]"
    )
