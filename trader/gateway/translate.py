"""From the wire's text to values: amounts, times, contracts, order statuses.

Rules: pure functions of text. A number that is not set, not a number or infinite is ``None``, never zero.
Amounts go from text to Decimal without passing through a float. A text that cannot be understood raises
``Untranslatable`` with what it was.
"""

from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from trader.contracts import ZERO, Side
from trader.events import BrokerOrderStatus, CommissionLine, OrderStatusReceived

# An unset double is 1.7976931348623157E308 on the wire; nothing real comes near.
UNSET_FROM: Final = Decimal("1e300")
UNSET_INTEGER: Final = 2**31 - 1
# Some gateways report a commission of −1 while they do not know it yet.
COMMISSION_UNKNOWN: Final = Decimal(-1)

# A gateway's handshake names its zone by an abbreviation that Java made; these are the ones that mean a region.
ABBREVIATED_ZONES: Final = {
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "MST": "America/Denver",
    "MDT": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "BST": "Europe/London",
    "MET": "Europe/Berlin",
    "CET": "Europe/Berlin",
    "CEST": "Europe/Berlin",
    "HKT": "Asia/Hong_Kong",
    "JST": "Asia/Tokyo",
}

SIDES: Final = {"BOT": Side.BUY, "SLD": Side.SELL, "BUY": Side.BUY, "SELL": Side.SELL, "SSHORT": Side.SELL}


class Untranslatable(ValueError):
    """A text of the broker that means nothing to us."""


class ContractText(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A contract as messages describe it."""

    con_id: int
    symbol: str
    security_type: str
    expiry: str = ""
    multiplier: str = ""
    exchange: str = ""
    currency: str = ""
    local_symbol: str = ""


def contract_text(fields: list[str]) -> ContractText:
    """A contract from the eleven fields of an execution or a position (conId … tradingClass)."""
    con_id, symbol, kind, expiry, _strike, _right, multiplier, exchange, currency, local_symbol, _class = fields
    return ContractText(
        con_id=whole(con_id),
        symbol=symbol,
        security_type=kind,
        expiry=expiry.split(" ")[0],
        multiplier=multiplier,
        exchange=exchange,
        currency=currency,
        local_symbol=local_symbol,
    )


def amount(text: str) -> Decimal | None:
    """A price or quantity; None when it is empty, unset, NaN or infinite."""
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Untranslatable(f"{text!r} is not a number") from None
    if not value.is_finite() or abs(value) >= UNSET_FROM:
        return None
    return tidy(value)


def amount_of_float(value: float | Decimal | None) -> Decimal | None:
    """The same for a number that a decoder has already made."""
    return None if value is None else amount(repr(value) if isinstance(value, float) else str(value))


def required(text: str, what: str) -> Decimal:
    """An amount without which the message means nothing."""
    value = amount(text)
    if value is None:
        raise Untranslatable(f"{what} is {text!r}")
    return value


def tidy(value: Decimal) -> Decimal:
    """``value`` without the trailing zeros of a float's text: 100.0 → 100, 5.50 → 5.5."""
    whole_value = value.to_integral_value()
    return whole_value.quantize(Decimal(1)) if value == whole_value and abs(value) < 10**20 else value.normalize()


def whole(text: str) -> int:
    """An id; 0 when empty or unset (executions of manual orders carry an unset order id)."""
    if not text:
        return 0
    try:
        value = int(text)
    except ValueError:
        raise Untranslatable(f"{text!r} is not a whole number") from None
    return 0 if value == UNSET_INTEGER else value


def side(text: str) -> Side:
    found = SIDES.get(text)
    if found is None:
        raise Untranslatable(f"{text!r} is not a side")
    return found


def order_status(text: str) -> BrokerOrderStatus:
    try:
        return BrokerOrderStatus(text)
    except ValueError:
        raise Untranslatable(f"{text!r} is not an order status") from None


def zone(name: str) -> tzinfo:
    """The time zone called ``name``: any IANA name, or an abbreviation that a gateway uses for a region."""
    try:
        return ZoneInfo(ABBREVIATED_ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Untranslatable(f"{name!r} is not a time zone") from None


def handshake_zone(text: str) -> tzinfo | None:
    """The zone in a handshake's time (``20131007 09:31:02 EST``); None when it names none that is known."""
    parts = text.split(None, 2)
    if len(parts) < 3:
        return None
    try:
        return zone(parts[2])
    except Untranslatable:
        return None


def execution_time(text: str, server_zone: tzinfo | None) -> datetime:
    """When an execution happened, in UTC.

    ``20131007 09:31:02 US/Eastern`` carries its zone; ``20131007-13:31:02`` is UTC; without either it is in
    the zone of the gateway, ``server_zone``, and untranslatable when that is not known.
    """
    parts = text.split()
    try:
        if len(parts) == 1 and "-" in text:
            return datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
        if len(parts) == 1 and text.isdigit() and len(text) > 8:
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.strptime(" ".join(parts[:2]), "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - its zone follows
    except (ValueError, OverflowError, OSError):
        raise Untranslatable(f"{text!r} is not an execution's time") from None
    named = zone(" ".join(parts[2:])) if len(parts) > 2 else server_zone
    if named is None:
        raise Untranslatable(f"{text!r} names no time zone, and the gateway named none")
    return moment.replace(tzinfo=named).astimezone(UTC)


def status_fact(fields: list[str], at: datetime, received_ns: int) -> OrderStatusReceived:
    """An order status from its message: kind, orderId, status, filled, remaining, avg, permId, …"""
    return OrderStatusReceived(
        at=at,
        order_id=whole(fields[1]),
        perm_id=whole(fields[6]),
        client_id=whole(fields[9]),
        status=order_status(fields[2]),
        filled=amount(fields[3]) or ZERO,
        remaining=amount(fields[4]) or ZERO,
        why_held=fields[10] if len(fields) > 10 else "",
        received_ns=received_ns,
    )


def commission_line(fields: list[str]) -> CommissionLine:
    """A commission from its message: kind, version, execId, commission, currency, realizedPNL, …

    An amount that the broker does not know raises Untranslatable: a late commission is not a free trade.
    """
    value = amount(fields[3])
    if value is None or value == COMMISSION_UNKNOWN:
        raise Untranslatable(f"the commission of {fields[2]} is {fields[3]!r}, which is not known yet")
    return CommissionLine(exec_id=fields[2], amount=value, currency=fields[4], realized_pnl=amount(fields[5]))
