"""Reference data and the connection's own messages to clients: contracts, rules, ids, errors.

Rules: pure. From version 164 the details of a contract carry no message version and no size multiplier, and
end in three sizes. An error carries its rejection details from version 166; before, one field fewer.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from trader.contracts import SecurityType
from trader.simulator.contract_book import MarketRule
from trader.simulator.model import ListedContract
from trader.simulator.wire.codec import (
    ADVANCED_REJECT,
    ISSUER_ID,
    SIZE_RULES,
    STOCK_TYPE,
    UNSET_INTEGER,
    FieldValue,
    frame,
)

ORDER_TYPES: Final = "ACTIVETIM,ADJUST,DAY,FOK,GTC,IOC,LMT,MKT,OCA,OUTRTH,STP,STPLMT,TRAIL,WHATIF"
_MARKET_NAMES: Final = {SecurityType.CASH: "IDEALPRO"}


def server_hello(version: int, time_text: str) -> bytes:
    return frame(version, time_text)


def error(request_id: int, code: int, message: str, version: int, rejection: str = "") -> bytes:
    fields: list[FieldValue] = [4, 2, request_id, code, message]
    if version >= ADVANCED_REJECT:
        fields.append(rejection)
    return frame(*fields)


def managed_accounts(account: str) -> bytes:
    return frame(15, 1, account)


def next_valid_id(order_id: int) -> bytes:
    return frame(9, 1, order_id)


def current_time(seconds: int) -> bytes:
    return frame(49, 1, seconds)


def contract_details(request_id: int, contract: ListedContract, hours: tuple[str, str], version: int) -> bytes:
    """``hours`` are the trading and the liquid hours as the protocol writes them."""
    is_stock = contract.security_type is SecurityType.STOCK
    is_future = contract.security_type is SecurityType.FUTURE
    fields: list[FieldValue] = [10] if version >= SIZE_RULES else [10, 8]
    fields += [request_id, contract.symbol, contract.security_type.value, contract.expiry, 0.0, ""]
    fields += [contract.exchange, contract.currency, contract.local_symbol]
    market_name = _MARKET_NAMES.get(contract.security_type, contract.trading_class)
    fields += [market_name, contract.trading_class, contract.con_id, contract.tick_size]
    if version < SIZE_RULES:
        fields.append(1)
    fields += [contract.multiplier if is_future else "", ORDER_TYPES, _exchanges(contract), 1, 0]
    fields += [contract.long_name, contract.primary_exchange, contract.expiry[:6], "", "", ""]
    fields += [contract.time_zone, *hours, "", 0, 0]
    fields += [1 if is_stock else UNSET_INTEGER, contract.symbol if is_future else "", "IND" if is_future else ""]
    fields += [str(contract.market_rule_id), contract.expiry]
    if version >= STOCK_TYPE:
        fields.append("COMMON" if is_stock else "")
    if version == SIZE_RULES - 1:
        fields.append("1")
    if version >= SIZE_RULES:
        fields += ["1", "1", "100" if is_stock else "1"]
    return frame(*fields)


def contract_details_end(request_id: int) -> bytes:
    return frame(52, 1, request_id)


def symbol_samples(request_id: int, contracts: Iterable[ListedContract], version: int) -> bytes:
    found = list(contracts)
    fields: list[FieldValue] = [79, request_id, len(found)]
    for contract in found:
        fields += [contract.con_id, contract.symbol, contract.security_type.value]
        fields += [contract.primary_exchange or contract.exchange, contract.currency, 0]
        if version >= ISSUER_ID:
            fields += [contract.long_name, ""]
    return frame(*fields)


def market_rule(rule_id: int, rule: MarketRule) -> bytes:
    steps: list[Decimal] = [value for step in rule for value in step]
    return frame(93, rule_id, len(rule), *steps)


def family_codes(account: str) -> bytes:
    return frame(78, 1, account, "")


def option_parameters_end(request_id: int) -> bytes:
    return frame(76, request_id)


def user_info(request_id: int) -> bytes:
    return frame(107, request_id, "")


def _exchanges(contract: ListedContract) -> str:
    return ",".join(dict.fromkeys(name for name in (contract.exchange, contract.primary_exchange) if name))
