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

# An unset double is 1.7976931348623157E308 on the wire, an unset decimal 2**127 - 1; nothing real comes near either.
UNSET_FROM: Final = Decimal("1e15")
# What is finer is the noise of somebody's float. With the limit above, sums of amounts stay exact.
FINEST: Final = Decimal("1e-12")
UNSET_INTEGER: Final = 2**31 - 1
INTEGER_MAX: Final = 2**63 - 1
NAME_MAX_CHARACTERS: Final = 256
SHOWN_MAX_CHARACTERS: Final = 80
SHOWN_MAX_FIELDS: Final = 32
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
        symbol=name(symbol),
        security_type=kind,
        expiry=name(expiry).split(" ")[0],
        multiplier=multiplier,
        exchange=name(exchange),
        currency=name(currency),
        local_symbol=name(local_symbol),
    )


def amount(text: str) -> Decimal | None:
    """A price or quantity; None when it is empty, unset, NaN or infinite."""
    if not text:
        return None
    if not is_plain(text):
        raise Untranslatable(f"{shown(text)} is not a number")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Untranslatable(f"{shown(text)} is not a number") from None
    if not value.is_finite() or abs(value) >= UNSET_FROM:
        return None
    return tidy(value if value.as_tuple().exponent >= -12 else value.quantize(FINEST))  # type: ignore[operator]


def amount_of_float(value: float | Decimal | None) -> Decimal | None:
    """The same for a number that a decoder has already made."""
    return None if value is None else amount(repr(value) if isinstance(value, float) else str(value))


def required(text: str, what: str) -> Decimal:
    """An amount without which the message means nothing."""
    value = amount(text)
    if value is None:
        raise Untranslatable(f"{what} is {shown(text)}")
    return value


def not_negative(text: str, what: str) -> Decimal:
    """A quantity that has a side of its own, so that a sign would turn it round."""
    value = required(text, what)
    if value < 0:
        raise Untranslatable(f"{what} is {shown(text)}")
    return value


def tidy(value: Decimal) -> Decimal:
    """``value`` without the trailing zeros of a float's text: 100.0 → 100, 5.50 → 5.5."""
    whole_value = value.to_integral_value()
    return whole_value.quantize(Decimal(1)) if value == whole_value and abs(value) < 10**20 else value.normalize()


def whole(text: str) -> int:
    """An id; 0 when empty or unset (executions of manual orders carry an unset order id)."""
    if not text:
        return 0
    value = integer(text)
    return 0 if value == UNSET_INTEGER else value


def order_id(text: str) -> int:
    """The same for an order's id, which has 32 bits: one that is beyond would use up all that are left."""
    return checked_order_id(whole(text))


def checked_order_id(value: int) -> int:
    if abs(value) > UNSET_INTEGER:
        raise Untranslatable(f"{shown(str(value))} is not an order id")
    return value


def integer(text: str) -> int:
    """A whole number of at most 64 bits."""
    if not is_plain(text) or len(text) > 20:
        raise Untranslatable(f"{shown(text)} is not a whole number")
    try:
        value = int(text)
    except ValueError:
        raise Untranslatable(f"{shown(text)} is not a whole number") from None
    if abs(value) > INTEGER_MAX:
        raise Untranslatable(f"{shown(text)} is not a whole number")
    return value


def is_plain(text: str) -> bool:
    """Whether a number is written as the broker writes it; Python would also take 1_000 and other scripts' digits."""
    return text.isascii() and "_" not in text


def name(text: str) -> str:
    """A name or an id that will be kept; what is longer than any is none."""
    if len(text) > NAME_MAX_CHARACTERS:
        raise Untranslatable(f"{shown(text)} is too long for a name ({len(text)} characters)")
    return text


def shown(text: str) -> str:
    """``text`` as a sentence quotes it: shortened, so that a message cannot flood the log."""
    return repr(text if len(text) <= SHOWN_MAX_CHARACTERS else f"{text[:SHOWN_MAX_CHARACTERS]}…")


def shown_fields(fields: list[str]) -> str:
    """The beginning of a message as a sentence quotes it."""
    listed = ", ".join(shown(field) for field in fields[:SHOWN_MAX_FIELDS])
    return f"[{listed}, …]" if len(fields) > SHOWN_MAX_FIELDS else f"[{listed}]"


def side(text: str) -> Side:
    found = SIDES.get(text)
    if found is None:
        raise Untranslatable(f"{shown(text)} is not a side")
    return found


def order_status(text: str) -> BrokerOrderStatus:
    try:
        return BrokerOrderStatus(text)
    except ValueError:
        raise Untranslatable(f"{shown(text)} is not an order status") from None


def zone(name: str) -> tzinfo:
    """The time zone called ``name``: any IANA name, or an abbreviation that a gateway uses for a region."""
    try:
        return ZoneInfo(ABBREVIATED_ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Untranslatable(f"{shown(name)} is not a time zone") from None


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
        raise Untranslatable(f"{shown(text)} is not an execution's time") from None
    named = zone(" ".join(parts[2:])) if len(parts) > 2 else server_zone
    if named is None:
        raise Untranslatable(f"{shown(text)} names no time zone, and the gateway named none")
    try:
        return moment.replace(tzinfo=named).astimezone(UTC)
    except OverflowError:  # within a day of the first or the last year there is
        raise Untranslatable(f"{shown(text)} is not an execution's time") from None


def status_fact(fields: list[str], at: datetime, received_ns: int) -> OrderStatusReceived:
    """An order status from its message: kind, orderId, status, filled, remaining, avg, permId, …"""
    return OrderStatusReceived(
        at=at,
        order_id=order_id(fields[1]),
        perm_id=whole(fields[6]),
        client_id=whole(fields[9]),
        status=order_status(fields[2]),
        filled=_not_negative_or_unset(fields[3], "the filled quantity"),
        remaining=_not_negative_or_unset(fields[4], "the remaining quantity"),
        why_held=name(fields[10]) if len(fields) > 10 else "",
        received_ns=received_ns,
    )


def _not_negative_or_unset(text: str, what: str) -> Decimal:
    value = amount(text) or ZERO
    if value < 0:
        raise Untranslatable(f"{what} is {shown(text)}")
    return value


def commission_line(fields: list[str]) -> CommissionLine:
    """A commission from its message: kind, version, execId, commission, currency, realizedPNL, …

    An amount that the broker does not know raises Untranslatable: a late commission is not a free trade.
    """
    value = amount(fields[3])
    if value is None or value == COMMISSION_UNKNOWN:
        raise Untranslatable(f"the commission of {shown(fields[2])} is {shown(fields[3])}, which is not known yet")
    return CommissionLine(
        exec_id=name(fields[2]), amount=value, currency=name(fields[4]), realized_pnl=amount(fields[5])
    )
