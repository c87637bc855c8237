"""The account as messages to clients: values, positions, profit and loss.

Rules: pure. The average cost of a position includes its contract's multiplier, as the broker's does. Sizes
are whole below version 163, and of pnlSingle in every version that reads them so.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from trader.contracts import ZERO
from trader.simulator.model import PositionRecord
from trader.simulator.wire.codec import UNSET_DOUBLE, FieldValue, frame, size_text
from trader.simulator.wire.encode_orders import contract_fields

AccountValue = tuple[str, str, str]
# These tell a client of the simulator how its clock runs; no real gateway sends them.
TIME_TAG: Final = "SimulatorTime"
SPEED_TAG: Final = "SimulatorSpeed"
LEDGER_TAGS: Final = frozenset(
    {
        "CashBalance",
        "Currency",
        "ExchangeRate",
        "FuturesPNL",
        "FxCashBalance",
        "NetLiquidationByCurrency",
        "RealizedPnL",
        "StockMarketValue",
        "TotalCashBalance",
        "UnrealizedPnL",
    }
)


def account_value(value: AccountValue, account: str) -> bytes:
    return frame(6, 2, *value, account)


def account_time(text: str) -> bytes:
    return frame(8, 1, text)


def account_end(account: str) -> bytes:
    return frame(54, 1, account)


def account_update_multi(request_id: int, value: AccountValue, account: str, model: str) -> bytes:
    return frame(73, 1, request_id, account, model, *value)


def account_update_multi_end(request_id: int) -> bytes:
    return frame(74, 1, request_id)


def account_summary(request_id: int, value: AccountValue, account: str) -> bytes:
    return frame(63, 1, request_id, account, *value)


def account_summary_end(request_id: int) -> bytes:
    return frame(64, 1, request_id)


def position(record: PositionRecord, account: str, version: int) -> bytes:
    return frame(61, 3, account, *_held(record, version))


def position_end() -> bytes:
    return frame(62, 1)


def position_multi(request_id: int, record: PositionRecord, account: str, model: str, version: int) -> bytes:
    return frame(71, 3, request_id, account, *_held(record, version), model)


def position_multi_end(request_id: int) -> bytes:
    return frame(72, 1, request_id)


def portfolio_value(record: PositionRecord, account: str, version: int) -> bytes:
    contract = record.contract
    value = record.market_price * record.quantity * contract.multiplier
    fields: list[FieldValue] = [7, 8, *contract_fields(contract, contract.primary_exchange or contract.exchange)]
    fields += [size_text(record.quantity, version), float(record.market_price), float(value), _average_cost(record)]
    return frame(*fields, float(record.unrealized), float(record.realized), account)


def pnl(request_id: int, daily: Decimal, unrealized: Decimal, realized: Decimal) -> bytes:
    return frame(94, request_id, float(daily), float(unrealized), float(realized))


def pnl_single(request_id: int, record: PositionRecord | None, version: int) -> bytes:
    """One contract's position, daily, unrealized and realized profit, and value; unset when it is not listed."""
    if record is None:
        return frame(95, request_id, 0, *[UNSET_DOUBLE] * 4)
    value = record.market_price * record.quantity * record.contract.multiplier
    daily = record.unrealized + record.realized
    amounts = [float(amount) for amount in (daily, record.unrealized, record.realized, value)]
    return frame(95, request_id, size_text(record.quantity, version), *amounts)


def select_summary(values: Iterable[AccountValue], tags: str, base_currency: str) -> list[AccountValue]:
    """The values that a summary request asks for by ``tags``: names, ``All``, ``$LEDGER[:CURRENCY]``.

    ``$LEDGER`` alone is the base currency; ``$LEDGER:ALL`` is every currency and their sum.
    """
    wanted = {tag.strip() for tag in tags.split(",") if tag.strip()}
    currencies = {tag.partition(":")[2] for tag in wanted if tag.startswith("$LEDGER")}
    if "" in currencies:
        currencies |= {"BASE", base_currency}

    def chosen(value: AccountValue) -> bool:
        tag, _, currency = value
        if tag in LEDGER_TAGS:
            return "ALL" in currencies or currency in currencies
        return "All" in wanted or tag in wanted

    return [value for value in values if chosen(value)]


def _held(record: PositionRecord, version: int) -> list[FieldValue]:
    fields = contract_fields(record.contract, "")
    return [*fields, size_text(record.quantity, version), _average_cost(record)]


def _average_cost(record: PositionRecord) -> float:
    return float(record.average_cost * record.contract.multiplier) if record.quantity != ZERO else 0.0
