"""Orders as messages: written by ib_async once for each kind, and filled in from then on.

Rules: all but six fields are the same in every order of one instrument, type and time in force. ib_async's encoder
writes those, around marks in the place of the six, which it passes on as they are; what is put in the place of the
marks is what the encoder would have written there. It takes 60 µs for it, in the moment in which time matters most.
"""

from typing import Any, Final

from ib_async.client import Client

from trader.contracts import Instrument, OrderType, TimeInForce
from trader.events import OrderTerms
from trader.gateway.ib.shapes import contract_of, order_of, plain

KINDS_MAX: Final = 1_000
# Text that no other field has: control characters do not occur in the names that the encoder is given.
MARK: Final = "\1"
FIELDS: Final = ("order_id", "action", "quantity", "limit_price", "stop_price", "order_ref")

Kind = tuple[Instrument, OrderType, TimeInForce, bool]


class OrderMessages:
    """The messages of one connection: of its version of the protocol, for its account."""

    def __init__(self, server_version: int, account: str) -> None:
        self._encoder: Any = _Encoder(server_version)
        self._account = account
        self._templates: dict[Kind, str] = {}

    def place(self, order_id: int, instrument: Instrument, terms: OrderTerms, order_ref: str) -> bytes:
        """The message that places an order, without the frame."""
        kind = (instrument, terms.order_type, terms.time_in_force, terms.outside_rth)
        template = self._templates.get(kind)
        if template is None:
            template = self._remember(kind, terms)
        limit, stop = terms.limit_price, terms.stop_price
        return (
            template
            % {
                "order_id": order_id,
                "action": terms.side.value,
                "quantity": plain(terms.quantity),
                "limit_price": "" if limit is None else plain(limit),
                "stop_price": "" if stop is None else plain(stop),
                "order_ref": order_ref,
            }
        ).encode()

    def _remember(self, kind: Kind, terms: OrderTerms) -> str:
        if len(self._templates) >= KINDS_MAX:
            self._templates.clear()
        template = self._templates[kind] = self._template(kind[0], terms)
        return template

    def _template(self, instrument: Instrument, terms: OrderTerms) -> str:
        order: Any = order_of(terms, _mark("order_ref"), self._account)
        order.action, order.totalQuantity = _mark("action"), _mark("quantity")
        order.lmtPrice, order.auxPrice = _mark("limit_price"), _mark("stop_price")
        self._encoder.placeOrder(_mark("order_id"), contract_of(instrument), order)
        text: str = self._encoder.written.replace("%", "%%")
        for name in FIELDS:
            text = text.replace(_mark(name), f"%({name})s")
        return text


def _mark(name: str) -> str:
    return f"{MARK}{name}{MARK}"


class _Encoder(Client):
    """ib_async's encoder, writing into ``written``."""

    def __init__(self, server_version: int) -> None:
        super().__init__(None)  # type: ignore[no-untyped-call]
        self.written = ""
        self._version = server_version

    def isConnected(self) -> bool:  # noqa: N802 - ib_async's name
        return True

    def serverVersion(self) -> int:  # noqa: N802 - ib_async's name
        return self._version

    def sendMsg(self, msg: str) -> None:  # noqa: N802 - ib_async's name
        self.written = msg
