"""Every message of the gateway, turned into facts in the order in which it arrives.

Rules: nothing is kept of orders, executions or positions beyond the request that asks for them; no message
is dropped because of what is or is not known about its order. In particular, where ib_async's own objects
would lose something:

- an execution is a fact each time it is reported, live or asked for, and a correction is one more (it is the
  books that know which execution it replaces);
- a commission is a fact also when its execution has not been seen, and is never zero for want of a figure;
- a status of an order that nobody here knows is a fact like any other;
- an error never changes an order's status;
- a message that cannot be decoded is a fact too, is counted, and spoils the answer that it was a row of.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

import msgspec
from ib_async.contract import Contract, ContractDetails
from ib_async.decoder import Decoder
from ib_async.order import Order, OrderState

from trader.contracts import ONE, ZERO
from trader.events import (
    AccountValue,
    AccountValuesReceived,
    AnyFact,
    CommissionReceived,
    DecodeFailed,
    ExecutionLine,
    ExecutionReceived,
    OpenOrderReceived,
    OrderLine,
    OrderStatusReceived,
    PositionLine,
    PositionReceived,
    RequestKind,
)
from trader.gateway import translate
from trader.gateway.batch_clock import BatchClock
from trader.gateway.ib.shapes import completed_line, order_line
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.quotes import QuoteStream
from trader.gateway.requests import Requests
from trader.gateway.translate import Untranslatable

# Known messages that nothing here asks for or that say nothing new: 7 portfolio and 8 account time come with
# account updates, 45/46 generic and string ticks and 57 snapshot end with market data, 9 and 15 with the greeting.
IGNORED: Final = frozenset({"7", "8", "9", "12", "13", "14", "15", "21", "45", "46", "47", "57", "63", "64", "100"})
NAMES: Final = {
    "3": "order_status",
    "4": "error",
    "5": "open_order",
    "6": "account_value",
    "10": "contract_details",
    "11": "execution",
    "59": "commission",
    "61": "position",
    "101": "completed_order",
}
# The id-less answer that a message of this kind is a row of.
ROW_OF: Final = {
    "5": RequestKind.OPEN_ORDERS,
    "61": RequestKind.POSITIONS,
    "101": RequestKind.COMPLETED_ORDERS,
}
EXECUTION: Final = "11"
FILLED_KNOWN_MAX: Final = 4_096
ERROR_TEXT_MAX_CHARACTERS: Final = 2_000
LATEST_SERVER_TIME_S: Final = 253_402_300_799  # the end of the year 9999

OnError = Callable[[int, int, str], None]


class Inbound:
    """The messages of one connection. ``on_error(request_id, code, message)`` and the other two take the rest."""

    def __init__(
        self,
        *,
        clock: BatchClock,
        deliver: Callable[[AnyFact], None],
        index: InstrumentIndex,
        requests: Requests,
        quotes: QuoteStream,
        on_error: OnError,
        on_server_time: Callable[[int], None],
        on_account_value: Callable[[str, str], None],
        on_subscription: Callable[[int], None],
    ) -> None:
        self.now = clock.now()
        self.now_ns = clock.monotonic_ns()
        self.account = ""
        self.zone: tzinfo | None = None
        self._clock = clock
        self._deliver = deliver
        self._index = index
        self._requests = requests
        self._quotes = quotes
        self._on_error = on_error
        self._on_server_time = on_server_time
        self._on_account_value = on_account_value
        self._on_subscription = on_subscription
        self._values: list[AccountValue] = []
        # An open order's description does not say how much of it is filled; its last status did.
        self._filled: OrderedDict[tuple[int, int], Decimal] = OrderedDict()
        self._decoder = Decoder(self, 0)  # type: ignore[arg-type]
        self._ticks: dict[str, Callable[[list[str]], None]] = {
            "1": quotes.price,
            "2": quotes.size,
            "99": self._tick_by_tick,
        }
        self._handlers: dict[str, Callable[[list[str]], None]] = {
            "3": self._order_status,
            "4": self._error,
            "5": self._decoder.openOrder,
            "6": self._account_value,
            "10": self._decoder.contractDetails,
            "11": self._execution,
            "49": lambda fields: on_server_time(_server_time_s(fields[2])),
            "52": lambda fields: requests.end(int(fields[2])),
            "53": lambda _: requests.end(RequestKind.OPEN_ORDERS),
            "54": lambda _: requests.end(RequestKind.ACCOUNT),
            "55": lambda fields: requests.end(int(fields[2])),
            "58": self._market_data_type,
            "59": self._commission,
            "61": self._position,
            "62": lambda _: requests.end(RequestKind.POSITIONS),
            "81": lambda fields: on_subscription(int(fields[1])),
            "101": self._decoder.completedOrder,
            "102": lambda _: requests.end(RequestKind.COMPLETED_ORDERS),
        }

    def begin_session(self, server_version: int) -> None:
        """The version decides the layouts of the long messages."""
        self._decoder.serverVersion = server_version

    # -- one read of the socket

    def batch_began(self, read_bytes: int) -> None:
        self.now = self._clock.begin()
        self.now_ns = self._clock.monotonic_ns()
        self._quotes.begin(self.now, self.now_ns, read_bytes)

    def batch_ended(self) -> None:
        self._quotes.end()
        self._flush_values()
        self._clock.end()

    def message(self, fields: list[str]) -> None:
        kind = fields[0] if fields else ""
        handler = self._ticks.get(kind)
        if handler is None:
            if kind in IGNORED:
                return
            self._quotes.release()
            handler = self._handlers.get(kind)
        if handler is None:
            self._failed(kind, f"no message of this kind is known: {translate.shown_fields(fields[:8])}")
            return
        try:
            handler(fields)
        except (Untranslatable, ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            reason = str(error)[:ERROR_TEXT_MAX_CHARACTERS]
            self._misunderstood(kind, fields, reason, f"{reason} in {translate.shown_fields(fields)}")

    def overlong(self, fields: list[str], length: int) -> None:
        """A message longer than any that is understood, of which only the first ``fields`` were looked at."""
        self._quotes.release()
        kind = fields[0] if fields else ""
        detail = f"a message of {length} bytes is longer than any that is known"
        self._misunderstood(kind, fields, detail, f"{detail}: {translate.shown_fields(fields[:8])}")

    # -- handlers

    def _tick_by_tick(self, fields: list[str]) -> None:
        self._on_subscription(int(fields[1]))
        self._quotes.bid_ask(fields)

    def _market_data_type(self, fields: list[str]) -> None:
        self._on_subscription(int(fields[2]))
        self._quotes.mode(fields)

    def _error(self, fields: list[str]) -> None:
        text = fields[4][:ERROR_TEXT_MAX_CHARACTERS]
        self._on_error(translate.integer(fields[2]), translate.integer(fields[3]), text)

    def _order_status(self, fields: list[str]) -> None:
        fact = translate.status_fact(fields, self.now, self.now_ns)
        self._note_filled(fact.client_id, fact.order_id, fact.filled)
        self._amend_open_order(fact)
        self._deliver(fact)

    def openOrder(self, order_id: int, contract: Contract, order: Order, state: OrderState) -> None:  # noqa: N802
        """An open order, decoded by ib_async."""
        if order.whatIf or self._is_foreign(order.account):
            return
        filled = self._filled.get((order.clientId, order_id), ZERO)
        line = order_line(contract, order, state, filled, self._index)
        self._requests.add(RequestKind.OPEN_ORDERS, _order_key(line.client_id, line.order_id, line.perm_id), line)
        self._deliver(OpenOrderReceived(at=self.now, line=line, received_ns=self.now_ns))

    def completedOrder(self, contract: Contract, order: Order, state: OrderState) -> None:  # noqa: N802
        """A completed order, decoded by ib_async; it comes only when asked for."""
        if not self._is_foreign(order.account):
            line = completed_line(contract, order, state, self._index)
            self._requests.add(RequestKind.COMPLETED_ORDERS, line.perm_id or line.order_ref, line)

    def contractDetails(self, request_id: int, details: ContractDetails) -> None:  # noqa: N802
        """A contract's description, decoded by ib_async."""
        contract = details.contract
        self._requests.add(request_id, contract.conId if contract else 0, details)

    def _execution(self, fields: list[str]) -> None:
        if self._is_foreign(fields[16]):
            return
        line = ExecutionLine(
            exec_id=translate.name(fields[14]),
            order_id=translate.order_id(fields[2]),
            perm_id=translate.whole(fields[21]),
            client_id=translate.whole(fields[22]),
            order_ref=translate.name(fields[26]),
            instrument=self._index.resolve(translate.contract_text(fields[3:14])),
            side=translate.side(fields[18]),
            quantity=translate.not_negative(fields[19], "the quantity"),
            price=translate.required(fields[20], "the price"),
            executed_at=self._executed_at(fields),
        )
        self._requests.add(translate.whole(fields[1]), line.exec_id, line)
        self._deliver(ExecutionReceived(at=self.now, line=line, received_ns=self.now_ns))

    def _executed_at(self, fields: list[str]) -> datetime:
        # What was traded counts more than when: a fill whose time cannot be read is booked at its arrival, and
        # the failure is reported as critical.
        try:
            return translate.execution_time(fields[15], self.zone)
        except Untranslatable as error:
            self._failed(EXECUTION, f"{error}; execution {fields[14]} is taken to have happened now")
            return self.now

    def _commission(self, fields: list[str]) -> None:
        self._deliver(CommissionReceived(at=self.now, line=translate.commission_line(fields)))

    def _position(self, fields: list[str]) -> None:
        if self._is_foreign(fields[2]):
            return
        instrument = self._index.resolve(translate.contract_text(fields[3:14]))
        cost = translate.amount(fields[15]) or ZERO
        line = PositionLine(
            instrument=instrument,
            quantity=translate.required(fields[14], "the position"),
            # The wire's average cost is a contract's; ours is a unit's.
            average_cost=translate.tidy(cost / instrument.multiplier) if instrument.multiplier != ONE else cost,
        )
        # A row of an answer is no hint that something changed: hints lead to asking, and that would not end.
        if not self._requests.add(RequestKind.POSITIONS, instrument.con_id, line):
            self._deliver(PositionReceived(at=self.now, line=line))

    def _account_value(self, fields: list[str]) -> None:
        if self._is_foreign(fields[5] if len(fields) > 5 else ""):
            return
        tag, value, currency = (translate.name(field) for field in fields[2:5])
        self._on_account_value(tag, value)
        self._values.append(AccountValue(tag=tag, value=value, currency=currency))

    # -- helpers

    def _flush_values(self) -> None:
        if self._values:
            values, self._values = tuple(self._values), []
            self._deliver(AccountValuesReceived(at=self.now, values=values))

    def _is_foreign(self, account: str) -> bool:
        """Whether ``account`` is another one of the same login."""
        return bool(account) and bool(self.account) and account != self.account

    def _note_filled(self, client_id: int, order_id: int, filled: Decimal) -> None:
        self._filled[client_id, order_id] = filled
        self._filled.move_to_end((client_id, order_id))
        if len(self._filled) > FILLED_KNOWN_MAX:
            self._filled.popitem(last=False)

    def _amend_open_order(self, fact: OrderStatusReceived) -> None:
        key = _order_key(fact.client_id, fact.order_id, fact.perm_id)
        line = self._requests.row(RequestKind.OPEN_ORDERS, key)
        if isinstance(line, OrderLine):
            amended = msgspec.structs.replace(line, filled=fact.filled, status=fact.status)
            self._requests.add(RequestKind.OPEN_ORDERS, key, amended)

    def _spoil(self, kind: str, fields: list[str], detail: str) -> bool:
        """Whether the message was a row of an answer under way, which is no answer then."""
        answer: RequestKind | int | None = ROW_OF.get(kind)
        if answer is None and kind in ("10", EXECUTION):
            # Before version 164 ib_async's decoder takes the first field off, so the id is the second in both.
            text = "".join(fields[1:2])
            answer = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
        return answer is not None and self._requests.spoil(answer, f"a row could not be understood: {detail}")

    def _misunderstood(self, kind: str, fields: list[str], reason: str, detail: str) -> None:
        spoiled = self._spoil(kind, fields, reason)
        self._failed(kind, detail, lost=kind == EXECUTION and not spoiled)

    def _failed(self, kind: str, detail: str, *, lost: bool = False) -> None:
        name = NAMES.get(kind, f"message_{kind}" if kind.isascii() and kind.isdigit() and len(kind) <= 3 else "unknown")
        critical = kind == EXECUTION
        self._deliver(DecodeFailed(at=self.now, message_kind=name, detail=detail, critical=critical, lost=lost))


def _server_time_s(text: str) -> int:
    seconds = translate.integer(text)
    if not 0 < seconds <= LATEST_SERVER_TIME_S:
        raise Untranslatable(f"{translate.shown(text)} is not a time")
    return seconds


def _order_key(client_id: int, order_id: int, perm_id: int) -> tuple[int, int]:
    # Orders of a person at the gateway's screen have no id of their own; the permId is unique then.
    return (client_id, order_id) if order_id > 0 else (-1, perm_id)
