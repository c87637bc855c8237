"""One order inside the exchange.

Rules: an order is live until one of ``FINAL`` statuses; a final order never changes. Its reported status
while it lives follows from what it waits for: a parent, a trigger, or the market's hours are PreSubmitted,
anything else is Submitted.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from trader.contracts import ZERO, OrderType
from trader.simulator.model import ListedContract, OrderRequest, OrderView

PRE_SUBMITTED: Final = "PreSubmitted"
SUBMITTED: Final = "Submitted"
PENDING_CANCEL: Final = "PendingCancel"
CANCELLED: Final = "Cancelled"
FILLED: Final = "Filled"
INACTIVE: Final = "Inactive"
FINAL: Final = frozenset({CANCELLED, FILLED, INACTIVE})
STOP_TYPES: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAIL})
LIMITED_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


class WorkingOrder:
    """Mutable state of one order; ``view()`` is what leaves the exchange.

    ``stop`` is the trigger price now (trails move it), ``resting`` says that the order waits for its price
    (it then trades at its own price), ``value`` is the sum of price times quantity of its fills, ``charged`` the
    commission of them. An order is ``acknowledged`` once its client has been told of it.
    """

    __slots__ = (
        "acknowledged",
        "charged",
        "completed_at",
        "contract",
        "expires_at",
        "filled",
        "held_for_open",
        "key",
        "last_fill_price",
        "oca_group",
        "oca_type",
        "parent",
        "perm_id",
        "placed_at",
        "quantity",
        "request",
        "resting",
        "status",
        "stop",
        "transmitted",
        "triggered",
        "value",
    )

    def __init__(self, request: OrderRequest, contract: ListedContract, perm_id: int, placed_at: datetime) -> None:
        self.key = (request.client_id, request.order_id)
        self.request = request
        self.contract = contract
        self.perm_id = perm_id
        self.placed_at = placed_at
        self.status = PRE_SUBMITTED
        self.quantity = request.quantity
        self.filled = ZERO
        self.value = ZERO
        self.last_fill_price = ZERO
        self.stop = initial_stop(request)
        self.triggered = request.order_type not in STOP_TYPES
        self.resting = False
        self.transmitted = request.transmit
        self.acknowledged = False
        self.charged = ZERO
        self.held_for_open = False
        self.parent: WorkingOrder | None = None
        self.oca_group = request.oca_group
        self.oca_type = request.oca_type or (1 if request.oca_group else 0)
        self.expires_at: datetime | None = None
        self.completed_at: datetime | None = None

    @property
    def live(self) -> bool:
        return self.status not in FINAL

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def waits_for_parent(self) -> bool:
        return self.parent is not None and self.parent.live

    @property
    def working(self) -> bool:
        """Whether it may trigger and trade now."""
        return self.transmitted and not self.held_for_open and not self.waits_for_parent

    @property
    def live_status(self) -> str:
        """The status that its state calls for, while it lives."""
        return SUBMITTED if self.triggered and self.working else PRE_SUBMITTED

    @property
    def why_held(self) -> str:
        if not self.live:
            return ""
        reasons = ("child" if self.waits_for_parent else "", "" if self.triggered else "trigger")
        return ",".join(filter(None, reasons))

    @property
    def limit(self) -> Decimal | None:
        """The worst price at which it may trade; None trades at any price."""
        return self.request.limit_price if self.request.order_type in LIMITED_TYPES else None

    @property
    def average_price(self) -> Decimal:
        return self.value / self.filled if self.filled else ZERO

    def amend(self, request: OrderRequest) -> None:
        """Take over a modified request; what has filled stays filled."""
        price_changed = (request.limit_price, request.aux_price) != (self.request.limit_price, self.request.aux_price)
        self.request = request
        self.quantity = request.quantity
        self.transmitted = request.transmit or self.transmitted
        if price_changed:
            self.resting = False
            if not self.triggered:
                self.stop = initial_stop(request)

    def view(self) -> OrderView:
        return OrderView(
            request=self._reported_request(),
            contract=self.contract,
            perm_id=self.perm_id,
            status=self.status,
            filled=self.filled,
            remaining=self.remaining,
            average_price=self.average_price,
            last_fill_price=self.last_fill_price,
            why_held=self.why_held,
            completed_at=self.completed_at,
            completed_status=self.status if self.completed_at else "",
        )

    def _reported_request(self) -> OrderRequest:
        """The request with what the broker has changed in it: reduced quantity, moved stop, OCA group."""
        changes: dict[str, object] = {}
        if self.quantity != self.request.quantity:
            changes["quantity"] = self.quantity
        if self.oca_group != self.request.oca_group or self.oca_type != self.request.oca_type:
            changes |= {"oca_group": self.oca_group, "oca_type": self.oca_type}
        if self.request.order_type is OrderType.TRAIL and self.stop != self.request.trail_stop_price:
            changes["trail_stop_price"] = self.stop
        return msgspec.structs.replace(self.request, **changes) if changes else self.request


def initial_stop(request: OrderRequest) -> Decimal | None:
    """The trigger price that an order arrives with; None for a trail that has none yet, or for no stop."""
    if request.order_type is OrderType.TRAIL:
        return request.trail_stop_price
    return request.aux_price if request.order_type in STOP_TYPES else None
