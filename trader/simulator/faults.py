"""Faults that the simulated gateway plays: one frozen options object with a seed, and what follows from it.

Rules: faults change what clients are told, never the exchange's books. Whether a fault hits is a function of
the seed, the fault and what it hits (an order, an execution, the n-th quote), so a run can be repeated and
one fault does not move another. Probabilities are ratios from 0 to 1; durations are seconds of real time on
the wire and of virtual time in process. A loaded file must be understood entirely.
"""

from collections.abc import Iterator
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import yaml

from trader.contracts import Side
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

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Delay = Annotated[float, msgspec.Meta(ge=0, le=3600)]
LinkFaultKind = Literal[
    "disconnect",
    "stall",
    "upstream_lost",
    "farm_flap",
    "competing_session",
    "restart",
    "nightly_reset",
    "handshake_326",
    "pacing",
]
MAX_REMEMBERED: Final = 10_000
MAX_FILE_BYTES: Final = 1_000_000
_HASH_BYTES: Final = 8
_HASH_RANGE: Final = 2 ** (8 * _HASH_BYTES)


class LinkFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happens to the link ``at_s`` seconds after the start and lasts ``duration_s``.

    disconnect: sockets are dropped and new ones refused. stall: connected, and silent. upstream_lost: 1100,
    then 1101 with ``data_lost`` (subscriptions are gone) or 1102. farm_flap: 2103, then 2104, and the
    subscriptions stay silent until asked for again when ``data_lost``. competing_session: 10197 on every
    subscription. restart: sockets drop, next order ids fall by ``roll_back_ids`` and orders of the last
    ``vanish_window_s`` vanish. nightly_reset: 1100 repeated every ``repeat_s``, then 1102. handshake_326: each
    connecting client is told that its id is in use. pacing: each client is told 100 once.
    """

    at_s: Annotated[float, msgspec.Meta(ge=0)]
    kind: LinkFaultKind
    duration_s: Delay = 0.0
    data_lost: bool = False
    roll_back_ids: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    vanish_window_s: Delay = 0.0
    repeat_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, and how often. The default is a gateway without faults.

    Reports of orders: ``duplicate_status_ratio`` repeats a status, ``no_callback_ratio`` keeps an order's
    every report from its client, ``late_ack_ratio`` delays its first report by ``ack_delay_s``.
    ``execution_delay_ratio`` delays an execution, so that Filled comes before it.

    Commissions: missing, late, before the execution, or first −1 and then the true one.

    ``correction_ratio``: a new revision of an execution after ``correction_delay_s``, at a price off by
    ``correction_ticks``. ``reject_*`` refuse orders (201, 110, 321); ``cancel_refused_ratio`` answers a cancel
    with 161 and does nothing. ``order_message_ratio`` adds one of ``order_message_codes`` to a first report.

    Quotes: ``quote_delay_s`` holds all back; bad ones are crossed, ten times off, absent (−1, size 0) or NaN.
    ``delayed_data`` serves the delayed tick types. ``byte_split`` sends frames in pieces.
    """

    seed: int = 0
    duplicate_status_ratio: Ratio = 0.0
    no_callback_ratio: Ratio = 0.0
    late_ack_ratio: Ratio = 0.0
    ack_delay_s: Delay = 1.0
    report_delay_s: Delay = 0.0
    execution_delay_ratio: Ratio = 0.0
    execution_delay_s: Delay = 0.5
    commission_missing_ratio: Ratio = 0.0
    commission_late_ratio: Ratio = 0.0
    commission_delay_s: Delay = 5.0
    commission_first_ratio: Ratio = 0.0
    commission_unset_ratio: Ratio = 0.0
    correction_ratio: Ratio = 0.0
    correction_delay_s: Delay = 2.0
    correction_ticks: int = 1
    reject_ratio: Ratio = 0.0
    reject_price_ratio: Ratio = 0.0
    reject_invalid_ratio: Ratio = 0.0
    cancel_refused_ratio: Ratio = 0.0
    order_message_ratio: Ratio = 0.0
    order_message_codes: tuple[Literal[10349, 399, 404, 2109, 161], ...] = (10349, 399)
    bad_quote_ratio: Ratio = 0.0
    bad_quote_kinds: tuple[Literal["crossed", "absurd", "absent", "nan"], ...] = ("crossed", "absurd", "absent", "nan")
    quote_delay_s: Delay = 0.0
    delayed_data: bool = False
    byte_split: bool = False
    link: tuple[LinkFault, ...] = ()


class FaultsFileError(Exception):
    """A fault file that cannot be used; the message names the file and what is wrong."""


def load_faults(path: str | Path) -> Faults:
    """Read faults from a YAML or JSON file. Raises FaultsFileError with one sentence."""
    file = Path(path)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise FaultsFileError(f"{file}: larger than {MAX_FILE_BYTES} bytes, which no fault file needs")
        plain = yaml.safe_load(file.read_text(encoding="utf-8"))
        return msgspec.convert({} if plain is None else plain, Faults)
    except OSError as error:
        raise FaultsFileError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FaultsFileError(f"{file}: this is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else "?"
        raise FaultsFileError(f"{file}, line {line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise FaultsFileError(f"{file}: not valid YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise FaultsFileError(f"{file}: {error}") from None


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
            "correction", execution.exec_id, faults.correction_ratio
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
        faults, exec_id = self.faults, execution.exec_id
        if self._is_silent(execution.order.perm_id):
            _remember(self._silent_executions, exec_id)
            return ()
        delayed = self._hits("execution", exec_id, faults.execution_delay_ratio)
        early_commission = self._hits("first", exec_id, faults.commission_first_ratio)
        return ((faults.execution_delay_s if delayed or early_commission else 0.0, report),)

    def _commission(self, report: CommissionReported) -> Iterator[Delivery]:
        faults, exec_id = self.faults, report.exec_id
        if exec_id in self._silent_executions or self._hits("missing", exec_id, faults.commission_missing_ratio):
            return
        delay = faults.commission_delay_s if self._hits("late", exec_id, faults.commission_late_ratio) else 0.0
        if self._hits("first", exec_id, faults.commission_first_ratio):
            delay = 0.0
        if self._hits("unset", exec_id, faults.commission_unset_ratio):
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
