"""Requests for streaming, snapshot and tick-by-tick market data."""

from typing import TYPE_CHECKING, Final

from trader.simulator.wire import encode_market as encode
from trader.simulator.wire.codec import BadRequest, FieldCursor
from trader.simulator.wire.feed import DELAYED, StreamingData, Subscription, TickByTickData
from trader.simulator.wire.handle_reference import NO_DEFINITION, NO_DEFINITION_TEXT
from trader.simulator.wire.handler import Handler, HandlerTable
from trader.simulator.wire.requests import read_contract, skip_market_data_legs

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

DATA_TYPES: Final = frozenset({1, 2, 3, 4})
DELAYED_TYPE: Final = 3
NOT_SUBSCRIBED: Final = (10167, "Requested market data is not subscribed. Displaying delayed market data.")
TOO_MANY_LINES: Final = (101, "Max number of tickers has been reached")
TOO_MANY_TICK_BY_TICK: Final = (10190, "Max number of tick-by-tick requests has been reached")


def market_data(session: "Session", cursor: FieldCursor) -> None:
    """reqMktData; generic ticks are accepted and bring nothing further."""
    request_id = cursor.integer()
    query = read_contract(cursor)
    skip_market_data_legs(cursor, query.security_type)
    if cursor.flag():
        cursor.skip(3)  # the contract of a delta-neutral combination
    cursor.string("")
    snapshot = cursor.flag()
    gateway = session.gateway
    found = gateway.find(query)
    if len(found) != 1:
        session.send_error(request_id, NO_DEFINITION, NO_DEFINITION_TEXT)
        return
    if request_id in session.streaming:
        session.send_error(request_id, 322, "Error processing request:-'Duplicate ticker id'")
        return
    if not snapshot and gateway.streaming_lines() >= gateway.options.market_data_lines:
        session.send_error(request_id, *TOO_MANY_LINES)
        return
    data_type = session.data_type
    if gateway.injector.faults.delayed_data and data_type not in DELAYED:
        session.send_error(request_id, *NOT_SUBSCRIBED)
        data_type = DELAYED_TYPE
    subscription = StreamingData(request_id, found[0], session.version, data_type)
    top = gateway.exchange.quote(found[0].con_id)
    opening = b"".join(subscription.opening(top))
    if snapshot:
        session.write(opening + encode.snapshot_end(request_id))
        gateway.market_asked()
        return
    session.write(opening)
    session.streaming[request_id] = subscription
    gateway.subscribe(session, subscription, top)


def cancel_market_data(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    _cancel(session, session.streaming, request_id)


def market_data_type(session: "Session", cursor: FieldCursor) -> None:
    data_type = cursor.integer()
    if data_type not in DATA_TYPES:
        raise BadRequest(f"there is no market data type {data_type}, only 1 to 4")
    session.data_type = data_type


def tick_by_tick(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    query, kind = read_contract(cursor), cursor.string("")
    gateway = session.gateway
    found = gateway.find(query)
    if len(found) != 1:
        session.send_error(request_id, NO_DEFINITION, NO_DEFINITION_TEXT)
    elif kind not in encode.TICK_BY_TICK_KINDS:
        raise BadRequest(f"there is no tick-by-tick data of the kind {kind[:20]!r}")
    elif request_id in session.tick_by_tick:
        session.send_error(request_id, 322, "Error processing request:-'Duplicate ticker id'")
    elif gateway.tick_by_tick_lines() >= gateway.options.tick_by_tick_lines:
        session.send_error(request_id, *TOO_MANY_TICK_BY_TICK)
    else:
        made = TickByTickData(request_id, found[0], session.version, encode.TICK_BY_TICK_KINDS[kind])
        session.tick_by_tick[request_id] = made
        gateway.subscribe(session, made, gateway.exchange.quote(found[0].con_id))


def cancel_tick_by_tick(session: "Session", cursor: FieldCursor) -> None:
    request_id = cursor.integer()
    _cancel(session, session.tick_by_tick, request_id)


def _cancel(session: "Session", own: dict[int, Subscription], request_id: int) -> None:
    subscription = own.pop(request_id, None)
    if subscription is None:
        session.send_error(request_id, 300, f"Can't find EId with tickerId:{request_id}")
    else:
        session.gateway.feed.remove(session, subscription)


HANDLERS: Final[HandlerTable] = {
    1: Handler(market_data),
    2: Handler(cancel_market_data),
    59: Handler(market_data_type, has_id=False),
    97: Handler(tick_by_tick, first_field=1),
    98: Handler(cancel_tick_by_tick, first_field=1),
}
