"""What clients send: contracts and orders, read by their position in the message.

Rules: every supported version is read to the last field that matters; what follows is unknown and tolerated.
Fields that the exchange does not interpret are kept by name in ``OrderRequest.raw``, so that an open order
echoes what its client sent. Repeated groups are kept there too, joined by ``GROUP_SEPARATOR``.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from trader.contracts import OrderType, SecurityType, Side, TimeInForce
from trader.simulator.model import OrderRequest
from trader.simulator.wire.codec import (
    AUTO_CANCEL_PARENT,
    DISCRETIONARY_LIMIT,
    DURATION,
    NO_FA_PROFILE,
    POST_TO_ATS,
    PRICE_MANAGEMENT,
    BadRequest,
    FieldCursor,
    parse_number,
)

E = TypeVar("E", bound=StrEnum)

GROUP_SEPARATOR: Final = "\x1f"
BAG: Final = "BAG"
PEG_BENCHMARK: Final = frozenset({"PEG BENCH", "PEGBENCH"})

# Fields after the type of a condition: price, time, margin, execution, volume, percent change.
CONDITION_LENGTHS: Final = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ORDER_HEAD: Final = _names(
    "action quantity order_type limit_price aux_price tif oca_group account open_close origin order_ref transmit "
    "parent_id block_order sweep_to_fill display_size trigger_method outside_rth hidden"
)
_ADVISOR: Final = _names("discretionary good_after_time good_till_date fa_group fa_method fa_percentage")
_ORDER_BODY: Final = _names(
    "model_code short_sale_slot designated_location exempt_code oca_type rule_80a settling_firm all_or_none min_qty "
    "percent_offset etrade_only firm_quote_only nbbo_price_cap auction_strategy starting_price stock_ref_price delta "
    "stock_range_lower stock_range_upper override_percentage volatility volatility_type dn_type dn_aux"
)
_DELTA_NEUTRAL: Final = _names(
    "dn_con_id dn_settling_firm dn_clearing_account dn_clearing_intent dn_open_close dn_short_sale "
    "dn_short_sale_slot dn_location"
)
_TRAIL: Final = _names(
    "continuous_update reference_price_type trail_stop trail_percent scale_init scale_subs scale_increment"
)
_SCALE: Final = _names(
    "scale_adjust_value scale_adjust_interval scale_profit_offset scale_auto_reset scale_init_position "
    "scale_init_fill scale_random"
)
_ACTIVE: Final = _names("scale_table active_start active_stop hedge_type")
_CLEARING: Final = _names("opt_out_smart clearing_account clearing_intent not_held")
_MISC: Final = _names("algo_id what_if misc_options solicited randomize_size randomize_price")
_BENCHMARK: Final = _names("bench_con_id bench_decrease bench_change bench_reference bench_exchange")
_ADJUSTED: Final = _names(
    "adjusted_type trigger_price limit_offset adjusted_stop adjusted_stop_limit adjusted_trail adjusted_unit "
    "ext_operator soft_name soft_value cash_qty mifid_maker mifid_maker_algo mifid_trader mifid_trader_algo "
    "no_auto_hedge oms_container"
)
_TAIL: Final = (
    (DISCRETIONARY_LIMIT, "discretionary_limit"),
    (PRICE_MANAGEMENT, "price_management"),
    (DURATION, "duration"),
    (POST_TO_ATS, "post_to_ats"),
    (AUTO_CANCEL_PARENT, "auto_cancel_parent"),
)


class ContractQuery(msgspec.Struct, frozen=True):
    """A contract as a request describes it; empty fields were left open. ``con_id`` 0 is none."""

    con_id: int
    symbol: str
    security_type: str
    expiry: str
    strike: str
    right: str
    multiplier: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str


class OrderFields(msgspec.Struct):
    """One order message, taken apart and not yet judged. ``raw`` is every named field as text."""

    order_id: int
    contract: ContractQuery
    raw: dict[str, str]


def read_contract(cursor: FieldCursor) -> ContractQuery:
    """The twelve fields that describe a contract in every request."""
    return ContractQuery(cursor.integer(), *cursor.take(11))


def skip_market_data_legs(cursor: FieldCursor, security_type: str) -> None:
    """The legs of a combination in a market data request: contract, ratio, action, exchange."""
    if security_type == BAG:
        cursor.skip(4 * cursor.count())


def read_order(cursor: FieldCursor, version: int) -> OrderFields:
    """The fields of placeOrder after the message id, as ``version`` lays them out."""
    order_id = cursor.integer()
    contract = read_contract(cursor)
    cursor.skip(2)  # another identifier of the security, which no listed contract is found by
    raw: dict[str, str] = {}
    _named(cursor, raw, _ORDER_HEAD)
    if contract.security_type == BAG:
        _read_legs(cursor, raw)
    cursor.skip()  # the retired allocation of shares
    _named(cursor, raw, _ADVISOR)
    if version < NO_FA_PROFILE:
        _named(cursor, raw, ("fa_profile",))
    _named(cursor, raw, _ORDER_BODY)
    if raw["dn_type"]:
        _named(cursor, raw, _DELTA_NEUTRAL)
    _named(cursor, raw, _TRAIL)
    if (parse_number(raw["scale_increment"]) or 0) > 0:
        _named(cursor, raw, _SCALE)
    _read_routing(cursor, raw)
    _read_conditions(cursor, raw)
    _named(cursor, raw, _ADJUSTED)
    for since, name in _TAIL:
        if version >= since:
            raw[name] = cursor.string("")
    return OrderFields(order_id, contract, raw)


def _named(cursor: FieldCursor, raw: dict[str, str], names: tuple[str, ...]) -> None:
    raw.update(zip(names, cursor.take(len(names)), strict=True))


def _read_legs(cursor: FieldCursor, raw: dict[str, str]) -> None:
    raw["combo_legs"] = GROUP_SEPARATOR.join(cursor.take(8 * cursor.count()))
    cursor.skip(cursor.count())
    cursor.skip(2 * cursor.count())


def _read_routing(cursor: FieldCursor, raw: dict[str, str]) -> None:
    _named(cursor, raw, _ACTIVE)
    if raw["hedge_type"]:
        _named(cursor, raw, ("hedge_parameter",))
    _named(cursor, raw, _CLEARING)
    if cursor.flag():
        cursor.skip(3)  # the contract of a delta-neutral combination
    _named(cursor, raw, ("algo_strategy",))
    if raw["algo_strategy"]:
        raw["algo_parameters"] = GROUP_SEPARATOR.join(cursor.take(2 * cursor.count()))
    _named(cursor, raw, _MISC)


def _read_conditions(cursor: FieldCursor, raw: dict[str, str]) -> None:
    if raw["order_type"] in PEG_BENCHMARK:
        _named(cursor, raw, _BENCHMARK)
    fields: list[str] = []
    count = cursor.count()
    for _ in range(count):
        kind = cursor.integer()
        if kind not in CONDITION_LENGTHS:
            raise BadRequest(f"no order condition has the type {kind}")
        fields += [str(kind), *cursor.take(CONDITION_LENGTHS[kind])]
    if count:
        raw["conditions"] = GROUP_SEPARATOR.join(fields)
        _named(cursor, raw, ("conditions_ignore_rth", "conditions_cancel"))


def order_request(client_id: int, fields: OrderFields, con_id: int, account: str) -> OrderRequest:
    """The order for the exchange; BadRequest names the field that it cannot carry out."""
    raw = fields.raw
    return OrderRequest(
        client_id=client_id,
        order_id=fields.order_id,
        con_id=con_id,
        side=_side(raw["action"]),
        quantity=parse_number(raw["quantity"]) or Decimal(0),
        order_type=_order_type(raw["order_type"]),
        limit_price=parse_number(raw["limit_price"]),
        aux_price=parse_number(raw["aux_price"]),
        trailing_percent=parse_number(raw["trail_percent"]),
        trail_stop_price=parse_number(raw["trail_stop"]),
        time_in_force=_time_in_force(raw["tif"]),
        outside_rth=_truth(raw["outside_rth"]),
        order_ref=raw["order_ref"],
        oca_group=raw["oca_group"],
        oca_type=_whole(raw["oca_type"]),
        parent_id=_whole(raw["parent_id"]),
        transmit=_truth(raw["transmit"]),
        what_if=_truth(raw["what_if"]),
        account=raw["account"] or account,
        exchange=fields.contract.exchange or "SMART",
        raw=raw,
    )


def known_security_type(text: str) -> SecurityType | None:
    """The security type of a query; None when left open or not one that is listed here."""
    return _member(SecurityType, text)


def _side(text: str) -> Side:
    if text == "SSHORT":
        return Side.SELL
    return _required(Side, text, "action")


def _order_type(text: str) -> OrderType:
    name = {"MARKET": "MKT", "LIMIT": "LMT", "STOP": "STP", "STPLMT": "STP LMT"}.get(text, text)
    return _required(OrderType, name, "order type")


def _time_in_force(text: str) -> TimeInForce:
    return _required(TimeInForce, text, "time in force") if text else TimeInForce.DAY


def _member(kind: type[E], text: str) -> E | None:
    try:
        return kind(text)
    except ValueError:
        return None


def _required(kind: type[E], text: str, what: str) -> E:
    member = _member(kind, text)
    if member is None:
        known = ", ".join(item.value for item in kind)
        raise BadRequest(f"the {what} {text[:20]!r} is not supported here, only {known}")
    return member


def _truth(text: str) -> bool:
    return text.lower() in ("1", "true")


def _whole(text: str) -> int:
    return int(parse_number(text) or 0)
