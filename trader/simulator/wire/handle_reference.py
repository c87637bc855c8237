"""Requests for contracts, rules, time and ids, and those that are known here and not served."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from trader.simulator.hours import TradingHours
from trader.simulator.model import ListedContract
from trader.simulator.wire import encode_reference as encode
from trader.simulator.wire.codec import FieldCursor, frame
from trader.simulator.wire.handler import Handler, HandlerTable
from trader.simulator.wire.requests import read_contract

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

NO_DEFINITION: Final = 200
NO_DEFINITION_TEXT: Final = "No security definition has been found for the request"
SAMPLES_MAX: Final = 16
DAYS_OF_HOURS: Final = 5


def find_one(session: "Session", request_id: int, cursor: FieldCursor) -> ListedContract | None:
    """Read a contract and find it; None after error 200 when it is unknown or ambiguous."""
    found = session.gateway.find(read_contract(cursor))
    if len(found) == 1:
        return found[0]
    text = "The contract description specified is ambiguous." if found else NO_DEFINITION_TEXT
    session.send_error(request_id, NO_DEFINITION, text)
    return None


def contract_details(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    found = session.gateway.find(read_contract(cursor))
    if not found:
        session.send_error(request_id, NO_DEFINITION, NO_DEFINITION_TEXT)
        return
    hours = session.gateway.exchange_options.hours
    now = session.gateway.now()
    frames = [
        encode.contract_details(request_id, contract, _hours_text(hours, now), session.version) for contract in found
    ]
    session.write(b"".join(frames) + encode.contract_details_end(request_id))


def matching_symbols(session: "Session", cursor: FieldCursor) -> None:
    request_id, pattern = cursor.integer(), cursor.string("").strip().upper()
    found = [
        contract
        for contract in session.gateway.exchange.book.all()
        if pattern and (contract.symbol.startswith(pattern) or pattern in contract.long_name.upper())
    ]
    session.write(encode.symbol_samples(request_id, found[:SAMPLES_MAX], session.version))


def market_rule(session: "Session", cursor: FieldCursor) -> None:
    rule_id = cursor.integer()
    rule = session.gateway.exchange.book.market_rule(rule_id)
    if rule:
        session.write(encode.market_rule(rule_id, rule))
    else:
        session.send_error(rule_id, 321, f"Error validating request:-'there is no market rule {rule_id}'")


def current_time(session: "Session", cursor: FieldCursor) -> None:
    session.write(encode.current_time(int(session.gateway.now().timestamp())))


def option_parameters(session: "Session", cursor: FieldCursor) -> None:
    session.write(encode.option_parameters_end(cursor.integer()))


def user_info(session: "Session", cursor: FieldCursor) -> None:
    session.write(encode.user_info(cursor.integer()))


def ignore(session: "Session", cursor: FieldCursor) -> None:
    """Nothing to do and nothing to answer."""


def _hours_text(hours: TradingHours, now: datetime) -> tuple[str, str]:
    """Trading and liquid hours of the next days, as ``20131007:0930-20131007:1600;20131012:CLOSED``."""
    days = [hours.local(now).date() + timedelta(days=offset) for offset in range(DAYS_OF_HOURS)]
    trading, liquid = [], []
    for day in days:
        if hours.always_open:
            session = f"{day:%Y%m%d}:0000-{day:%Y%m%d}:2359"
            trading.append(session)
            liquid.append(session)
        elif not hours.is_session(day):
            trading.append(f"{day:%Y%m%d}:CLOSED")
            liquid.append(f"{day:%Y%m%d}:CLOSED")
        else:
            closes = hours.closes_early.get(day, hours.closes)
            trading.append(f"{day:%Y%m%d}:{hours.extended_opens:%H%M}-{day:%Y%m%d}:{hours.extended_closes:%H%M}")
            liquid.append(f"{day:%Y%m%d}:{hours.opens:%H%M}-{day:%Y%m%d}:{closes:%H%M}")
    return ";".join(trading), ";".join(liquid)


def _refused(code: int, text: str, *, with_request: bool = True) -> Callable[["Session", FieldCursor], None]:
    def refuse(session: "Session", cursor: FieldCursor) -> None:
        session.send_error(cursor.integer() if with_request else -1, code, text)

    return refuse


def _empty(message_id: int, *, with_request: bool) -> Callable[["Session", FieldCursor], None]:
    """An answer that lists nothing."""

    def answer(session: "Session", cursor: FieldCursor) -> None:
        session.write(frame(message_id, cursor.integer(), 0) if with_request else frame(message_id, 0))

    return answer


_DEPTH: Final = _refused(10092, "Deep market data is not supported for this combination of security type/exchange")
_NO_NEWS: Final = _refused(10276, "News feed is not allowed.")
_NO_SCANNER: Final = _refused(162, "Historical Market Data Service error message:the simulator has no scanner")
_NO_FUNDAMENTALS: Final = _refused(430, "The fundamentals data for the security specified is not available.")
_NO_OPTIONS: Final = _refused(200, NO_DEFINITION_TEXT)
_NO_TICKS: Final = _refused(10187, "Failed to request historical ticks:the simulator keeps bars only")
_NO_GROUPS: Final = _refused(10042, "Display groups are not available")
_NO_ADVISOR: Final = _refused(321, "Error validating request:-'this is no advisor account'", with_request=False)

HANDLERS: Final[HandlerTable] = {
    9: Handler(contract_details),
    10: Handler(_DEPTH),
    11: Handler(ignore),
    12: Handler(ignore, has_id=False),
    13: Handler(ignore, has_id=False),
    14: Handler(ignore, has_id=False),
    18: Handler(_NO_ADVISOR, has_id=False),
    19: Handler(_NO_ADVISOR, has_id=False),
    21: Handler(_NO_OPTIONS),
    22: Handler(_NO_SCANNER, first_field=1),
    23: Handler(ignore),
    24: Handler(lambda session, cursor: session.write(frame(19, 1, "<ScanParameterResponse/>")), has_id=False),
    49: Handler(current_time, has_id=False),
    52: Handler(_NO_FUNDAMENTALS),
    53: Handler(ignore),
    54: Handler(_NO_OPTIONS),
    55: Handler(_NO_OPTIONS),
    56: Handler(ignore),
    57: Handler(ignore),
    67: Handler(_NO_GROUPS),
    68: Handler(_NO_GROUPS),
    69: Handler(_NO_GROUPS),
    70: Handler(ignore),
    78: Handler(option_parameters, first_field=1),
    79: Handler(_empty(77, with_request=True), first_field=1),
    81: Handler(matching_symbols, first_field=1),
    82: Handler(_empty(80, with_request=False), first_field=1, has_id=False),
    83: Handler(_empty(82, with_request=True), first_field=1),
    84: Handler(_NO_NEWS, first_field=1),
    85: Handler(_empty(85, with_request=False), first_field=1, has_id=False),
    86: Handler(_NO_NEWS, first_field=1),
    88: Handler(_empty(89, with_request=True), first_field=1),
    89: Handler(ignore, first_field=1),
    91: Handler(market_rule, first_field=1),
    96: Handler(_NO_TICKS, first_field=1),
    100: Handler(_NO_NEWS, first_field=1),
    101: Handler(ignore, first_field=1),
    102: Handler(_NO_NEWS, first_field=1),
    103: Handler(ignore, first_field=1),
    104: Handler(user_info, first_field=1),
}
