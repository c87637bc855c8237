"""Requests for historical and real-time bars, answered from the exchange's own history."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from trader.contracts import SecurityType
from trader.simulator.bars import Bar, What
from trader.simulator.model import ListedContract
from trader.simulator.wire import encode_market as encode
from trader.simulator.wire.bar_feed import STEP_S, BarSubscription
from trader.simulator.wire.codec import BadRequest, FieldCursor
from trader.simulator.wire.handle_reference import find_one
from trader.simulator.wire.handler import Handler, HandlerTable
from trader.simulator.wire.times import parse_stamp

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

NO_DATA: Final = 162
BARS_MAX: Final = 50_000
_WHAT: Final[dict[str, What]] = {
    "TRADES": "TRADES",
    "ADJUSTED_LAST": "TRADES",
    "MIDPOINT": "MIDPOINT",
    "BID": "BID",
    "ASK": "ASK",
    "BID_ASK": "MIDPOINT",
}
_BAR_UNITS_S: Final = {"sec": 1, "min": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
_DURATION_UNITS_S: Final = {"S": 1, "D": 86_400, "W": 604_800, "M": 2_592_000, "Y": 31_536_000}


def historical_data(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    contract = find_one(session, request_id, cursor)
    if contract is None:
        return
    cursor.skip()
    end_text, bar_text, duration_text = cursor.take(3)
    regular_only, what_text, date_format = cursor.flag(), cursor.string(""), cursor.integer(1)
    keep_up = cursor.flag()
    what, bar_size_s, duration_s = _what(what_text), _bar_size_s(bar_text), _duration_s(duration_text)
    end = _end(session, end_text, keep_up)
    start = end - timedelta(seconds=duration_s)
    bars = _bars(session, contract, end, duration_s, bar_size_s, what, regular_only=regular_only)
    if not bars and not keep_up:
        text = f"HMDS query returned no data: {contract.local_symbol}@{contract.exchange} {what_text.title()}"
        session.send_error(request_id, NO_DATA, f"Historical Market Data Service error message:{text}")
        return
    zone, version = session.gateway.options.time_zone, session.version
    dated = [(encode.bar_date(bar.at, bar_size_s, date_format, version, zone), bar) for bar in bars]
    if keep_up:
        last = bars[-1] if bars else None
        _keep(session, BarSubscription(request_id, contract, what, bar_size_s, False, date_format, last=last))
    session.write(encode.historical_data(request_id, dated, start, end, version, zone))


def real_time_bars(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    contract = find_one(session, request_id, cursor)
    if contract is None:
        return
    cursor.integer()
    what = _what(cursor.string("") or "TRADES")
    _keep(session, BarSubscription(request_id, contract, what, STEP_S, True))


def cancel_bars(session: "Session", cursor: FieldCursor) -> None:
    session.gateway.bar_feed.remove(session, cursor.integer())


def cancel_historical(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    session.gateway.bar_feed.remove(session, request_id)
    text = f"Historical Market Data Service error message:API historical data query cancelled: {request_id}"
    session.send_error(request_id, NO_DATA, text)


def head_timestamp(session: "Session", cursor: FieldCursor) -> None:
    """The first moment there is data of: the earliest bar that is still kept."""
    request_id = cursor.integer()
    contract = find_one(session, request_id, cursor)
    if contract is None:
        return
    cursor.skip(2)
    what, date_format = _what(cursor.string("")), cursor.integer(1)
    gateway = session.gateway
    bars = gateway.exchange.bars(contract.con_id, _after_now(session), _DURATION_UNITS_S["Y"], 1, what)
    if not bars:
        session.send_error(request_id, NO_DATA, "Historical Market Data Service error message:No head time stamp")
        return
    at = bars[0].at
    text = str(int(at.timestamp())) if date_format == 2 else f"{at:%Y%m%d-%H:%M:%S}"
    session.write(encode.head_timestamp(request_id, text))


def _bars(
    session: "Session",
    contract: ListedContract,
    end: datetime,
    duration_s: int,
    bar_size_s: int,
    what: What,
    *,
    regular_only: bool,
) -> list[Bar]:
    bars = session.gateway.exchange.bars(contract.con_id, end, duration_s, bar_size_s, what)[-BARS_MAX:]
    hours = session.gateway.exchange_options.hours
    if not regular_only or contract.security_type is not SecurityType.STOCK or bar_size_s >= encode.DAY_S:
        return list(bars)
    return [bar for bar in bars if hours.is_regular(bar.at)]


def _keep(session: "Session", subscription: BarSubscription) -> None:
    gateway = session.gateway
    if len(gateway.bar_feed) >= gateway.options.bar_subscriptions:
        session.send_error(subscription.request_id, 420, "Invalid Real-time Query:too many bars are requested")
    elif not gateway.bar_feed.add(session, subscription):
        session.send_error(subscription.request_id, 322, "Error processing request:-'Duplicate ticker id'")
    else:
        gateway.market_asked()


def _end(session: "Session", text: str, keep_up: bool) -> datetime:
    if not text.strip():
        return _after_now(session)
    if keep_up:
        raise BadRequest("an end time and keepUpToDate exclude each other")
    return parse_stamp(text, session.gateway.options.time_zone)


def _after_now(session: "Session") -> datetime:
    """The end of the second that is running, so that it is part of what comes before."""
    return session.gateway.now().replace(microsecond=0) + timedelta(seconds=1)


def _what(text: str) -> What:
    if text not in _WHAT:
        raise BadRequest(f"there are no bars of the kind {text[:30]!r}, only {', '.join(_WHAT)}")
    return _WHAT[text]


def _is_short(digits: str) -> bool:
    """Whether these are few digits, as ``int`` and a person read them."""
    return digits.isascii() and digits.isdigit() and len(digits) <= 9


def _bar_size_s(text: str) -> int:
    amount, _, unit = text.strip().partition(" ")
    unit_s = _BAR_UNITS_S.get(unit.rstrip("s"))
    if not _is_short(amount) or unit_s is None or not 0 < int(amount) <= 60:
        raise BadRequest(f"the bar size {text[:30]!r} is none; write 5 secs, 1 min, 1 hour or 1 day")
    return int(amount) * unit_s


def _duration_s(text: str) -> int:
    amount, _, unit = text.strip().partition(" ")
    unit_s = _DURATION_UNITS_S.get(unit.strip() or "S")
    if not _is_short(amount) or unit_s is None or not 0 < int(amount) <= 100_000:
        raise BadRequest(f"the duration {text[:30]!r} is none; write 1800 S, 1 D, 1 W, 1 M or 1 Y")
    return int(amount) * unit_s


HANDLERS: Final[HandlerTable] = {
    20: Handler(historical_data, first_field=1),
    25: Handler(cancel_historical),
    50: Handler(real_time_bars),
    51: Handler(cancel_bars),
    87: Handler(head_timestamp, first_field=1),
    90: Handler(lambda session, cursor: None, first_field=1),
}
