"""Orders, executions and commissions as messages to clients, field by field for every version.

Rules: pure; one function per message, each returns one frame. The gates follow the published readers of
versions 145 to 178; a message with one field too many or too few ends the strictest of them.
"""

from decimal import Decimal
from typing import Final

from trader.contracts import OrderType, SecurityType, Side
from trader.simulator.model import CommissionReported, Execution, ListedContract, OrderView
from trader.simulator.wire.codec import (
    AUTO_CANCEL_PARENT,
    DISCRETIONARY_LIMIT,
    DURATION,
    NO_FA_PROFILE,
    PEG_OFFSETS,
    POST_TO_ATS,
    PRICE_MANAGEMENT,
    PRICE_REVISION,
    UNSET_DOUBLE,
    UNSET_INTEGER,
    FieldValue,
    frame,
    size_text,
)
from trader.simulator.wire.requests import CONDITION_LENGTHS, GROUP_SEPARATOR
from trader.simulator.wire.times import stamp

LIVE: Final = -1
_NO_PEG_OFFSETS: Final = ("", "", UNSET_DOUBLE, "", "")
_NO_MARGINS: Final = (UNSET_DOUBLE,) * 9


def contract_fields(contract: ListedContract, exchange: str) -> list[FieldValue]:
    """The eleven fields of a contract: no primary exchange."""
    multiplier = contract.multiplier if contract.security_type is SecurityType.FUTURE else ""
    return [
        contract.con_id,
        contract.symbol,
        contract.security_type.value,
        contract.expiry,
        0.0,
        "",
        multiplier,
        exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    ]


def order_status(order: OrderView, version: int) -> bytes:
    request = order.request
    return frame(
        3,
        request.order_id,
        order.status,
        size_text(order.filled, version),
        size_text(order.remaining, version),
        float(order.average_price),
        order.perm_id,
        request.parent_id,
        float(order.last_fill_price),
        request.client_id,
        order.why_held,
        0.0,
    )


def open_order(order: OrderView, version: int, account: str, order_id: int | None = None) -> bytes:
    """``order_id`` replaces the order's own where another client looks at it."""
    raw = order.request.raw
    fields: list[FieldValue] = [5, order.request.order_id if order_id is None else order_id]
    fields += contract_fields(order.contract, order.request.exchange)
    fields += _terms(order, version, account)
    fields += [order.request.client_id, order.perm_id, order.request.outside_rth, _whole(raw, "hidden")]
    fields += [_double(raw, "discretionary"), _text(raw, "good_after_time"), ""]
    fields += _advisor(raw, version)
    fields += [_text(raw, "good_till_date"), _text(raw, "rule_80a"), _double(raw, "percent_offset")]
    fields += _short_sale(raw)
    fields += [_whole(raw, "auction_strategy")]
    fields += _box(raw)
    fields += [raw.get("display_size") or UNSET_INTEGER, _whole(raw, "block_order"), _whole(raw, "sweep_to_fill")]
    fields += [_whole(raw, "all_or_none"), _text(raw, "min_qty"), order.request.oca_type or 3, 0, 0, ""]
    fields += [order.request.parent_id, _whole(raw, "trigger_method")]
    # The delta-neutral type is the text "None", so its eight further fields follow.
    fields += [_text(raw, "volatility"), _whole(raw, "volatility_type"), "None", "", 0, "", "", "", "?", 0, 0, ""]
    fields += [_whole(raw, "continuous_update"), _whole(raw, "reference_price_type")]
    fields += [_trail_stop(order), _optional(order.request.trailing_percent), "", "", ""]
    fields += _groups(raw)
    fields += [_whole(raw, "opt_out_smart"), *_clearing(raw)]
    fields += [_whole(raw, "solicited"), order.request.what_if, order.status, *_preview(order)]
    fields += [_whole(raw, "randomize_size"), _whole(raw, "randomize_price"), *_conditions(raw)]
    fields += _adjusted(order)
    fields += _open_tail(raw, version)
    return frame(*fields)


def completed_order(order: OrderView, version: int, account: str, zone: str) -> bytes:
    raw = order.request.raw
    fields: list[FieldValue] = [101, *contract_fields(order.contract, order.request.exchange)]
    fields += _terms(order, version, account)
    fields += [order.perm_id, order.request.outside_rth, _whole(raw, "hidden")]
    fields += [_double(raw, "discretionary"), _text(raw, "good_after_time")]
    fields += _advisor(raw, version)
    fields += [_text(raw, "good_till_date"), _text(raw, "rule_80a"), _double(raw, "percent_offset")]
    fields += _short_sale(raw)
    fields += _box(raw)
    fields += [raw.get("display_size") or UNSET_INTEGER, _whole(raw, "sweep_to_fill"), _whole(raw, "all_or_none")]
    fields += [_text(raw, "min_qty"), order.request.oca_type or 3, _whole(raw, "trigger_method")]
    fields += [_text(raw, "volatility"), _whole(raw, "volatility_type"), "None", "", 0, 0, 0, ""]
    fields += [_whole(raw, "continuous_update"), _whole(raw, "reference_price_type")]
    fields += [_trail_stop(order), _optional(order.request.trailing_percent), ""]
    fields += _groups(raw)
    fields += _clearing(raw)
    fields += [_whole(raw, "solicited"), order.status]
    fields += [_whole(raw, "randomize_size"), _whole(raw, "randomize_price"), *_conditions(raw)]
    fields += [_trail_stop(order), UNSET_DOUBLE, _whole(raw, "cash_qty"), 0, 0, ""]
    fields += [size_text(order.filled, version), 0, 0, "Not an insider or substantial shareholder", 0, 0, 0]
    completed = stamp(order.completed_at, version, zone) if order.completed_at else ""
    fields += [completed, order.completed_status or order.status]
    if version >= PEG_OFFSETS:
        fields += _NO_PEG_OFFSETS
    return frame(*fields)


def execution_details(execution: Execution, version: int, account: str, zone: str, request_id: int = LIVE) -> bytes:
    """A fill; ``request_id`` is −1 for one that has just happened, else the request's that asks for it."""
    order = execution.order
    fields: list[FieldValue] = [11, request_id, order.request.order_id]
    fields += contract_fields(order.contract, execution.exchange)
    fields += [execution.exec_id, stamp(execution.at, version, zone), order.request.account or account]
    fields += [execution.exchange, "BOT" if execution.side is Side.BUY else "SLD"]
    fields += [
        size_text(execution.quantity, version),
        float(execution.price),
        order.perm_id,
        order.request.client_id,
        0,
    ]
    fields += [size_text(execution.cumulative, version), float(execution.average_price), order.request.order_ref]
    fields += ["", "", order.request.raw.get("model_code", ""), execution.liquidity]
    if version >= PRICE_REVISION:
        fields.append(0)
    return frame(*fields)


def commission_report(report: CommissionReported) -> bytes:
    realized = UNSET_DOUBLE if report.realized is None else float(report.realized)
    return frame(59, 1, report.exec_id, float(report.amount), report.currency, realized, UNSET_DOUBLE, "")


def _terms(order: OrderView, version: int, account: str) -> list[FieldValue]:
    request = order.request
    return [
        request.side.value,
        size_text(request.quantity, version),
        request.order_type.value,
        float(request.limit_price or 0),
        float(request.aux_price or 0),
        request.time_in_force.value,
        request.oca_group,
        request.account or account,
        request.raw.get("open_close", ""),
        request.raw.get("origin") or "0",
        request.order_ref,
    ]


def _advisor(raw: dict[str, str], version: int) -> list[FieldValue]:
    fields: list[FieldValue] = [_text(raw, "fa_group"), _text(raw, "fa_method"), _text(raw, "fa_percentage")]
    if version < NO_FA_PROFILE:
        fields.append(_text(raw, "fa_profile"))
    return [*fields, _text(raw, "model_code")]


def _short_sale(raw: dict[str, str]) -> list[FieldValue]:
    location = _text(raw, "designated_location")
    return [_text(raw, "settling_firm"), _whole(raw, "short_sale_slot"), location, raw.get("exempt_code") or "-1"]


def _box(raw: dict[str, str]) -> list[FieldValue]:
    names = ("starting_price", "stock_ref_price", "delta", "stock_range_lower", "stock_range_upper")
    return [_text(raw, name) for name in names]


def _groups(raw: dict[str, str]) -> list[FieldValue]:
    legs = _items(raw, "combo_legs")
    # No prices of legs, no routing parameters, no scale.
    fields: list[FieldValue] = [len(legs) // 8, *legs, 0, 0, "", "", ""]
    hedge = _text(raw, "hedge_type")
    return [*fields, hedge, _text(raw, "hedge_parameter")] if hedge else [*fields, ""]


def _clearing(raw: dict[str, str]) -> list[FieldValue]:
    fields: list[FieldValue] = [_text(raw, "clearing_account"), raw.get("clearing_intent") or "IB"]
    fields += [_whole(raw, "not_held"), 0, _text(raw, "algo_strategy")]
    if raw.get("algo_strategy"):
        parameters = _items(raw, "algo_parameters")
        fields += [len(parameters) // 2, *parameters]
    return fields


def _preview(order: OrderView) -> list[FieldValue]:
    """Margins and commission: only a what-if order has them."""
    preview = order.preview
    if preview is None:
        return [*_NO_MARGINS, *[UNSET_DOUBLE] * 3, "", ""]
    before, after = float(preview.margin_before), float(preview.margin_after)
    equity_before, equity_after = float(preview.equity_before), float(preview.equity_after)
    fields: list[FieldValue] = [before, before, equity_before]
    fields += [after - before, after - before, equity_after - equity_before]
    fields += [after, after, equity_after]
    return [*fields, float(preview.commission), "", "", preview.currency, ""]


def _conditions(raw: dict[str, str]) -> list[FieldValue]:
    items = _items(raw, "conditions")
    count = 0
    position = 0
    while position < len(items):
        position += 1 + CONDITION_LENGTHS[int(items[position])]
        count += 1
    if not count:
        return [0]
    return [count, *items, _whole(raw, "conditions_ignore_rth"), _whole(raw, "conditions_cancel")]


def _adjusted(order: OrderView) -> list[FieldValue]:
    raw = order.request.raw
    fields: list[FieldValue] = [raw.get("adjusted_type") or "None", raw.get("trigger_price") or UNSET_DOUBLE]
    fields += [_trail_stop(order) or UNSET_DOUBLE, raw.get("limit_offset") or UNSET_DOUBLE]
    names = ("adjusted_stop", "adjusted_stop_limit", "adjusted_trail")
    fields += [raw.get(name) or UNSET_DOUBLE for name in names]
    fields += [_whole(raw, "adjusted_unit"), _text(raw, "soft_name"), _text(raw, "soft_value"), ""]
    return [*fields, raw.get("cash_qty") or "0", _whole(raw, "no_auto_hedge"), _whole(raw, "oms_container")]


def _open_tail(raw: dict[str, str], version: int) -> list[FieldValue]:
    fields: list[FieldValue] = []
    if version >= DISCRETIONARY_LIMIT:
        fields.append(_whole(raw, "discretionary_limit"))
    if version >= PRICE_MANAGEMENT:
        fields.append(_whole(raw, "price_management"))
    if version >= DURATION:
        fields.append(_text(raw, "duration"))
    if version >= POST_TO_ATS:
        fields.append(_text(raw, "post_to_ats"))
    if version >= AUTO_CANCEL_PARENT:
        fields.append(_whole(raw, "auto_cancel_parent"))
    if version >= PEG_OFFSETS:
        fields += _NO_PEG_OFFSETS
    return fields


def _trail_stop(order: OrderView) -> FieldValue:
    if order.request.order_type is not OrderType.TRAIL:
        return ""
    return _optional(order.request.trail_stop_price)


def _optional(value: Decimal | None) -> FieldValue:
    return "" if value is None else float(value)


def _text(raw: dict[str, str], name: str) -> str:
    return raw.get(name, "")


def _whole(raw: dict[str, str], name: str) -> str:
    return raw.get(name) or "0"


def _double(raw: dict[str, str], name: str) -> str:
    return raw.get(name) or "0.0"


def _items(raw: dict[str, str], name: str) -> list[str]:
    joined = raw.get(name, "")
    return joined.split(GROUP_SEPARATOR) if joined else []
