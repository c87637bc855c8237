"""Faults that the simulated gateway plays: what its options do to reports, orders and the link.

Rules: faults change what clients are told, never the exchange's books. Whether a fault hits is a function of
the seed, the fault and what it hits (an order, an execution, the n-th quote), so a run can be repeated and
one fault does not move another.
"""

from collections.abc import Iterator
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from trader.contracts import Side
from trader.simulator.executions import repeatable_id
from trader.simulator.fault_options import Faults, FaultsFileError, LinkFault, load_faults
from trader.simulator.model import (
    CommissionReported,
    ErrorReported,
    Execution,
    ExecutionReported,
    MarketEvent,
    OrderReported,
    OrderRequest,
    OrderView,
    QuoteReported,
    Report,
    StatusReported,
)

__all__ = ["Correction", "FaultInjector", "Faults", "FaultsFileError", "LinkFault", "load_faults", "spoil"]

MAX_REMEMBERED: Final = 10_000
_HASH_BYTES: Final = 8
_HASH_RANGE: Final = 2 ** (8 * _HASH_BYTES)


class Correction(NamedTuple):
    """What a server should have the exchange correct, ``delay_s`` from now (``Exchange.correct_execution``)."""

    delay_s: float
    exec_id: str
    price: Decimal


Delivery = tuple[float, Report]
_ORDER_MESSAGES: Final = {
    10349: "Order TIF was set to DAY based on order preset.",
    399: "Order Message:\nWarning: Your order will not be placed at the exchange until the market opens.",
    404: "Order held while securities are located.",
    2109: "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type.",
    161: "Cancel attempted when order is not in a cancellable state.",
}
_CANCEL_REFUSED: Final = (161, _ORDER_MESSAGES[161])
_UNSET_COMMISSION: Final = Decimal(-1)
_TEN: Final = Decimal(10)


class FaultInjector:
    """Plays ``faults`` on the reports of one exchange.

    A server asks ``admit`` before it places an order and ``admit_cancel`` before it cancels one, passes every
    report through ``deliveries``, and has executions corrected as ``correction`` says.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._link = sorted(faults.link, key=lambda item: item.at_s)
        self._acknowledged: dict[int, None] = {}
        self._silent_orders: dict[tuple[int, int], None] = {}
        self._silent_executions: dict[str, None] = {}
        self._quotes = 0
        self._quotes_pass = not (faults.bad_quote_ratio or faults.quote_delay_s)
        self._all_pass = _is_harmless(faults)

    def link_faults_due(self, elapsed_s: float) -> tuple[LinkFault, ...]:
        """Link faults whose time has come since the last call; each is returned once, in order of time."""
        due = [item for item in self._link if item.at_s <= elapsed_s]
        del self._link[: len(due)]
        return tuple(due)

    def admit(self, request: OrderRequest) -> ErrorReported | None:
        """The error to answer an order with instead of placing it; None lets it pass."""
        faults, key = self.faults, f"{request.client_id}/{request.order_id}"
        for name, ratio, code, message in (
            ("reject", faults.reject_ratio, 201, "Order rejected - reason:rejected by the simulated exchange."),
            (
                "price",
                faults.reject_price_ratio,
                110,
                "The price does not conform to the minimum price variation for this contract.",
            ),
            ("invalid", faults.reject_invalid_ratio, 321, "Error validating request.-'bN' : cause - simulated fault."),
        ):
            if self._hits(name, key, ratio):
                return ErrorReported(request.client_id, request.order_id, code, message)
        return None

    def admit_cancel(self, client_id: int, order_id: int) -> ErrorReported | None:
        """The error to answer a cancel with instead of carrying it out; None lets it pass."""
        if not self._hits("cancel", f"{client_id}/{order_id}", self.faults.cancel_refused_ratio):
            return None
        return ErrorReported(client_id, order_id, *_CANCEL_REFUSED)

    def correction(self, execution: Execution) -> Correction | None:
        """The correction that is to follow an execution; None for most, and for corrections themselves."""
        faults = self.faults
        if not execution.exec_id.endswith(".01") or not self._hits(
            "correction", repeatable_id(execution.exec_id), faults.correction_ratio
        ):
            return None
        sign = 1 if execution.side is Side.BUY else -1
        price = execution.price + sign * faults.correction_ticks * execution.order.contract.tick_size
        return Correction(faults.correction_delay_s, execution.exec_id, price) if price > 0 else None

    def deliveries(self, report: Report) -> tuple[Delivery, ...]:
        """What a report becomes: (delay in seconds, report) pairs, in the order to send; empty is lost."""
        if self._all_pass:
            return ((0.0, report),)
        match report:
            case QuoteReported():
                return self._quote(report)
            case OrderReported(order) | StatusReported(order):
                made = self._order(report, order)
            case ExecutionReported(execution):
                made = self._execution(report, execution)
            case CommissionReported():
                made = tuple(self._commission(report))
            case ErrorReported(client_id, request_id) if (client_id, request_id) in self._silent_orders:
                made = ()
            case _:
                made = ((0.0, report),)
        base = self.faults.report_delay_s
        return made if not base else tuple((base + delay, item) for delay, item in made)

    def _order(self, report: OrderReported | StatusReported, order: OrderView) -> tuple[Delivery, ...]:
        if self._is_silent(order.perm_id):
            _remember(self._silent_orders, (order.request.client_id, order.request.order_id))
            return ()
        return tuple(self._told_order(report, order))

    def _told_order(self, report: OrderReported | StatusReported, order: OrderView) -> Iterator[Delivery]:
        faults, key = self.faults, str(order.perm_id)
        first = order.perm_id not in self._acknowledged
        if first:
            _remember(self._acknowledged, order.perm_id)
        late = first and self._hits("ack", key, faults.late_ack_ratio)
        delay = faults.ack_delay_s if late else 0.0
        if first and faults.order_message_codes and self._hits("message", key, faults.order_message_ratio):
            code = self._choose("message", key, faults.order_message_codes)
            request = order.request
            yield delay, ErrorReported(request.client_id, request.order_id, code, _ORDER_MESSAGES[code])
        yield delay, report
        if self._hits("duplicate", f"{key}/{order.status}/{order.filled}", faults.duplicate_status_ratio):
            yield delay, StatusReported(order)

    def _execution(self, report: ExecutionReported, execution: Execution) -> tuple[Delivery, ...]:
        faults, key = self.faults, repeatable_id(execution.exec_id)
        if self._is_silent(execution.order.perm_id):
            _remember(self._silent_executions, execution.exec_id)
            return ()
        delayed = self._hits("execution", key, faults.execution_delay_ratio)
        early_commission = self._hits("first", key, faults.commission_first_ratio)
        return ((faults.execution_delay_s if delayed or early_commission else 0.0, report),)

    def _commission(self, report: CommissionReported) -> Iterator[Delivery]:
        faults, key = self.faults, repeatable_id(report.exec_id)
        if report.exec_id in self._silent_executions or self._hits("missing", key, faults.commission_missing_ratio):
            return
        delay = faults.commission_delay_s if self._hits("late", key, faults.commission_late_ratio) else 0.0
        if self._hits("first", key, faults.commission_first_ratio):
            delay = 0.0
        if self._hits("unset", key, faults.commission_unset_ratio):
            yield delay, msgspec.structs.replace(report, amount=_UNSET_COMMISSION)
            delay += faults.commission_delay_s
        yield delay, report

    def _quote(self, report: QuoteReported) -> tuple[Delivery, ...]:
        if self._quotes_pass:
            return ((0.0, report),)
        faults = self.faults
        self._quotes += 1
        key = str(self._quotes)
        if faults.bad_quote_kinds and self._hits("quote", key, faults.bad_quote_ratio):
            kind = self._choose("quote", key, faults.bad_quote_kinds)
            report = QuoteReported(report.con_id, spoil(report.event, kind))
        return ((faults.quote_delay_s, report),)

    def _is_silent(self, perm_id: int) -> bool:
        return self._hits("silent", str(perm_id), self.faults.no_callback_ratio)

    def _hits(self, fault: str, key: str, ratio: float) -> bool:
        return ratio > 0 and self._fraction(fault, key) < ratio

    def _choose(self, fault: str, key: str, choices: tuple[Any, ...]) -> Any:
        return choices[int(self._fraction(f"{fault} choice", key) * len(choices))]

    def _fraction(self, fault: str, key: str) -> float:
        """A number in [0, 1) that depends on the seed, the fault and the key alone."""
        text = f"{self.faults.seed}/{fault}/{key}"
        return int.from_bytes(blake2b(text.encode(), digest_size=_HASH_BYTES).digest(), "big") / _HASH_RANGE


def spoil(event: MarketEvent, kind: str) -> MarketEvent:
    """A market event with a quote that nobody should trade on."""
    bid, ask = event.bid, event.ask
    if kind == "crossed" and bid is not None and ask is not None:
        return msgspec.structs.replace(event, bid=ask + (ask - bid), ask=bid)
    if kind == "absurd":
        return msgspec.structs.replace(event, bid=bid and bid * _TEN, ask=ask and ask * _TEN)
    if kind == "nan":
        nan = Decimal("NaN")
        return msgspec.structs.replace(event, bid=None if bid is None else nan, ask=None if ask is None else nan)
    absent, none = Decimal(-1), Decimal(0)
    return msgspec.structs.replace(
        event,
        bid=None if bid is None else absent,
        bid_size=None if bid is None else none,
        ask=None if ask is None else absent,
        ask_size=None if ask is None else none,
    )


def _is_harmless(faults: Faults) -> bool:
    """Whether no report is ever touched (link faults and the server's own aside)."""
    ratios = (
        faults.duplicate_status_ratio,
        faults.no_callback_ratio,
        faults.late_ack_ratio,
        faults.report_delay_s,
        faults.execution_delay_ratio,
        faults.commission_missing_ratio,
        faults.commission_late_ratio,
        faults.commission_first_ratio,
        faults.commission_unset_ratio,
        faults.order_message_ratio,
        faults.bad_quote_ratio,
        faults.quote_delay_s,
    )
    return not any(ratios)


def _remember(memory: dict[Any, None], key: Any) -> None:
    """Add to a memory that forgets its oldest beyond a bound."""
    memory[key] = None
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]
