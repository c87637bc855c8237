"""Requests about orders and executions."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from trader.contracts import Side
from trader.simulator.model import Execution
from trader.simulator.wire import encode_orders as encode
from trader.simulator.wire.codec import BadRequest, FieldCursor, frame
from trader.simulator.wire.encode_reference import next_valid_id
from trader.simulator.wire.handle_reference import NO_DEFINITION, NO_DEFINITION_TEXT, ignore
from trader.simulator.wire.handler import Handler, HandlerTable
from trader.simulator.wire.requests import order_request, read_order
from trader.simulator.wire.times import parse_stamp

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

OPEN_ORDER_END: Final = frame(53, 1)
COMPLETED_ORDERS_END: Final = frame(102)
_SIDES: Final = {"BUY": Side.BUY, "BOT": Side.BUY, "SELL": Side.SELL, "SLD": Side.SELL, "SSHORT": Side.SELL}


def place(session: "Session", cursor: FieldCursor) -> None:
    fields = read_order(cursor, session.version)
    gateway = session.gateway
    found = gateway.find(fields.contract)
    if len(found) != 1:
        session.send_error(fields.order_id, NO_DEFINITION, NO_DEFINITION_TEXT)
        return
    request = order_request(_client_id(session), fields, found[0].con_id, gateway.account)
    gateway.place(request)


def cancel(session: "Session", cursor: FieldCursor) -> None:
    session.gateway.cancel(_client_id(session), cursor.integer())


def cancel_all(session: "Session", cursor: FieldCursor) -> None:
    session.gateway.cancel_all()


def open_orders(session: "Session", cursor: FieldCursor) -> None:
    _send_open(session, session.client_id)


def all_open_orders(session: "Session", cursor: FieldCursor) -> None:
    _send_open(session, None)


def completed_orders(session: "Session", cursor: FieldCursor) -> None:
    gateway = session.gateway
    zone = gateway.options.time_zone
    orders = gateway.exchange.completed_orders()
    frames = [encode.completed_order(order, session.version, gateway.account, zone) for order in orders]
    session.write(b"".join(frames) + COMPLETED_ORDERS_END)


def executions(session: "Session", cursor: FieldCursor) -> None:
    gateway = session.gateway
    request_id, client_id = cursor.integer(), cursor.integer()
    account, since, symbol, security_type, exchange, side = (cursor.string("") for _ in range(6))
    wanted = gateway.exchange.executions(
        client_id=client_id,
        since=_since(since, gateway.options.time_zone),
        symbol=symbol,
        security_type=security_type,
        side=_SIDES[side].value if side in _SIDES else "",
    )
    frames: list[bytes] = []
    for execution in wanted:
        if account in ("", gateway.account) and exchange in ("", "SMART", execution.exchange):
            frames += _execution(session, execution, request_id)
    session.write(b"".join(frames) + frame(55, 1, request_id))


def request_ids(session: "Session", cursor: FieldCursor) -> None:
    session.write(next_valid_id(session.gateway.exchange.next_order_id(_client_id(session))))


def _execution(session: "Session", execution: Execution, request_id: int) -> list[bytes]:
    gateway = session.gateway
    zone = gateway.options.time_zone
    details = encode.execution_details(execution, session.version, gateway.account, zone, request_id)
    commission = gateway.exchange.commission(execution.exec_id)
    return [details] if commission is None else [details, encode.commission_report(commission)]


def _send_open(session: "Session", client_id: int | None) -> None:
    gateway = session.gateway
    frames: list[bytes] = []
    for order in gateway.exchange.open_orders(client_id):
        frames.append(encode.open_order(order, session.version, gateway.account))
        frames.append(encode.order_status(order, session.version))
    session.write(b"".join(frames) + OPEN_ORDER_END)


def _since(text: str, zone: str) -> datetime | None:
    return parse_stamp(text, zone) if text.strip() else None


def _client_id(session: "Session") -> int:
    if session.client_id is None:
        raise BadRequest("startApi has to come first")
    return session.client_id


HANDLERS: Final[HandlerTable] = {
    3: Handler(place, first_field=1),
    4: Handler(cancel),
    5: Handler(open_orders, has_id=False),
    7: Handler(executions),
    8: Handler(request_ids, has_id=False),
    15: Handler(ignore, has_id=False),
    16: Handler(all_open_orders, has_id=False),
    58: Handler(cancel_all, has_id=False),
    99: Handler(completed_orders, first_field=1, has_id=False),
}
