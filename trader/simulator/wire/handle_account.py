"""Requests about the account: values, positions, profit and loss."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from trader.simulator.wire import encode_account as encode
from trader.simulator.wire import encode_reference
from trader.simulator.wire.codec import FieldCursor
from trader.simulator.wire.encode_account import AccountValue
from trader.simulator.wire.handler import Handler, HandlerTable
from trader.simulator.wire.values import FigureWatch, ValueWatch

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

UPDATES: Final = "updates"
WATCHES_MAX: Final = 64


def account_updates(session: "Session", cursor: FieldCursor) -> None:
    subscribe = cursor.flag()
    session.account_subscribed = subscribe
    if not subscribe:
        session.values.pop(UPDATES, None)
        return
    gateway = session.gateway
    account = gateway.account
    watch = ValueWatch(_everything, partial(encode.account_value, account=account))
    session.values[UPDATES] = watch
    frames = [watch.changes((*gateway.clock_values(), *gateway.exchange.account_values()))]
    frames += [encode.portfolio_value(item, account, session.version) for item in gateway.exchange.positions()]
    frames += [encode.account_time(gateway.local_time()), encode.account_end(account)]
    session.write(b"".join(frames))


def account_updates_multi(session: "Session", cursor: FieldCursor) -> None:
    request_id, account, model = cursor.integer(), cursor.string(""), cursor.string("")
    if not _known_account(session, request_id, account):
        return
    gateway = session.gateway
    render = partial(encode.account_update_multi, request_id, account=gateway.account, model=model)
    _watch(session, f"multi {request_id}", request_id, ValueWatch(_everything, render))
    session.write(encode.account_update_multi_end(request_id))


def account_summary(session: "Session", cursor: FieldCursor) -> None:
    request_id, _, tags = cursor.integer(), cursor.string(""), cursor.string("")
    gateway = session.gateway
    base = gateway.exchange_options.base_currency
    render = partial(encode.account_summary, request_id, account=gateway.account)
    select = partial(encode.select_summary, tags=tags, base_currency=base)
    _watch(session, f"summary {request_id}", request_id, ValueWatch(select, render))
    session.write(encode.account_summary_end(request_id))


def cancel_watch(kind: str, session: "Session", cursor: FieldCursor) -> None:
    session.values.pop(f"{kind} {cursor.integer()}", None)


def positions(session: "Session", cursor: FieldCursor) -> None:
    session.positions_subscribed = True
    gateway = session.gateway
    frames = [encode.position(item, gateway.account, session.version) for item in gateway.exchange.positions()]
    session.write(b"".join(frames) + encode.position_end())


def cancel_positions(session: "Session", cursor: FieldCursor) -> None:
    session.positions_subscribed = False


def positions_multi(session: "Session", cursor: FieldCursor) -> None:
    request_id, account, model = cursor.integer(), cursor.string(""), cursor.string("")
    if not _known_account(session, request_id, account) or not _has_room(session, request_id):
        return
    session.position_requests[request_id] = model
    gateway = session.gateway
    frames = [
        encode.position_multi(request_id, item, gateway.account, model, session.version)
        for item in gateway.exchange.positions()
    ]
    session.write(b"".join(frames) + encode.position_multi_end(request_id))


def cancel_positions_multi(session: "Session", cursor: FieldCursor) -> None:
    session.position_requests.pop(cursor.integer(), None)


def pnl(session: "Session", cursor: FieldCursor) -> None:
    request_id, account = cursor.integer(), cursor.string("")
    if not _known_account(session, request_id, account):
        return
    exchange = session.gateway.exchange
    _follow(session, f"pnl {request_id}", request_id, FigureWatch(lambda: encode.pnl(request_id, *exchange.pnl())))


def pnl_single(session: "Session", cursor: FieldCursor) -> None:
    request_id, account = cursor.integer(), cursor.string("")
    cursor.string("")
    con_id = cursor.integer()
    if not _known_account(session, request_id, account):
        return
    exchange, version = session.gateway.exchange, session.version
    watch = FigureWatch(lambda: encode.pnl_single(request_id, exchange.pnl_single(con_id), version))
    _follow(session, f"single {request_id}", request_id, watch)


def cancel_figures(kind: str, session: "Session", cursor: FieldCursor) -> None:
    session.figures.pop(f"{kind} {cursor.integer()}", None)


def managed_accounts(session: "Session", cursor: FieldCursor) -> None:
    session.write(encode_reference.managed_accounts(session.gateway.account))


def family_codes(session: "Session", cursor: FieldCursor) -> None:
    session.write(encode_reference.family_codes(session.gateway.account))


def _everything(values: Iterable[AccountValue]) -> Iterable[AccountValue]:
    return values


def _watch(session: "Session", key: str, request_id: int, watch: ValueWatch) -> None:
    if _has_room(session, request_id):
        session.values[key] = watch
        session.write(watch.changes(session.gateway.exchange.account_values()))


def _follow(session: "Session", key: str, request_id: int, watch: FigureWatch) -> None:
    if _has_room(session, request_id):
        session.figures[key] = watch
        session.write(watch.changes())


def _has_room(session: "Session", request_id: int) -> bool:
    if len(session.values) + len(session.figures) + len(session.position_requests) < WATCHES_MAX:
        return True
    session.send_error(request_id, 322, "Error processing request:-'too many account subscriptions'")
    return False


def _known_account(session: "Session", request_id: int, account: str) -> bool:
    if account in ("", "All", session.gateway.account):
        return True
    session.send_error(request_id, 321, f"Error validating request:-'Invalid account code {account!r}'")
    return False


HANDLERS: Final[HandlerTable] = {
    6: Handler(account_updates, has_id=False),
    17: Handler(managed_accounts, has_id=False),
    61: Handler(positions, has_id=False),
    62: Handler(account_summary),
    63: Handler(partial(cancel_watch, "summary")),
    64: Handler(cancel_positions, has_id=False),
    74: Handler(positions_multi),
    75: Handler(cancel_positions_multi),
    76: Handler(account_updates_multi),
    77: Handler(partial(cancel_watch, "multi")),
    80: Handler(family_codes, first_field=1, has_id=False),
    92: Handler(pnl, first_field=1),
    93: Handler(partial(cancel_figures, "pnl"), first_field=1),
    94: Handler(pnl_single, first_field=1),
    95: Handler(partial(cancel_figures, "single"), first_field=1),
}
