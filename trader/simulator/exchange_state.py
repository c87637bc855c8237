"""What of an exchange outlives the process (``trader simulate --state FILE``).

Rules: plain JSON values with a version; decimals and times as text. Orders come back with what they were
waiting for; displayed sizes do not, the first quote brings them.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from trader.simulator.account import Fill, Holding
from trader.simulator.core import ExchangeCore
from trader.simulator.model import CommissionReported, Execution, ListedContract, OrderRequest
from trader.simulator.orders import WorkingOrder

VERSION: Final = 1


class StoredOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A live order; ``parent`` is the key of the order it waits for."""

    request: OrderRequest
    contract: ListedContract
    perm_id: int
    placed_at: datetime
    status: str
    quantity: Decimal
    filled: Decimal
    value: Decimal
    last_fill_price: Decimal
    stop: Decimal | None
    triggered: bool
    resting: bool
    transmitted: bool
    acknowledged: bool
    charged: Decimal
    oca_group: str
    oca_type: int
    expires_at: datetime | None
    parent: tuple[int, int] | None


class StoredLine(msgspec.Struct, frozen=True, kw_only=True):
    """A contract's last prices, which positions are valued with."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    close: Decimal | None


class ExchangeState(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    at: datetime
    contracts: dict[int, ListedContract]
    holdings: dict[int, Holding]
    day_start: dict[int, Holding]
    fills: tuple[Fill, ...]
    equity_at_day_start: Decimal
    executions: tuple[Execution, ...]
    commissions: tuple[CommissionReported, ...]
    execution_count: int
    orders: tuple[StoredOrder, ...]
    next_order_ids: dict[int, int]
    next_perm_id: int
    lines: dict[int, StoredLine]


_COPIED: Final = tuple(name for name in StoredOrder.__struct_fields__ if name != "parent")
_RESTORED: Final = tuple(name for name in _COPIED if name not in ("request", "contract", "perm_id", "placed_at"))


def dump(core: ExchangeCore) -> dict[str, Any]:
    """The state as JSON values."""
    holdings, day_start, fills = core.account.dump()
    state = ExchangeState(
        version=VERSION,
        at=core.now,
        contracts={con_id: line.contract for con_id, line in core.lines.items()},
        holdings=holdings,
        day_start=day_start,
        fills=fills,
        equity_at_day_start=core.valuation.equity_at_day_start,
        executions=core.log.all(),
        commissions=core.log.commissions(),
        execution_count=core.log.count,
        orders=tuple(_store(order) for order in core.orders.live()),
        next_order_ids=core.orders.next_ids,
        next_perm_id=core.orders.next_perm_id,
        lines={
            con_id: StoredLine(bid=line.bid, ask=line.ask, last=line.last, close=line.close)
            for con_id, line in core.lines.items()
        },
    )
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(state))
    return plain


def load(plain: dict[str, Any], core: ExchangeCore) -> datetime:
    """Put a dumped state into a new exchange; returns when it was dumped. Raises ValueError if it cannot be used."""
    state = _decode(plain)
    for con_id, contract in state.contracts.items():
        if core.book.by_con_id(con_id) is None:
            raise ValueError(f"the state trades {contract.symbol} (contract {con_id}), which this market does not list")
    core.account.load(state.holdings, state.day_start, state.fills)
    core.valuation.equity_at_day_start = state.equity_at_day_start
    core.log.load(state.executions, state.commissions, state.execution_count)
    for con_id, stored in state.lines.items():
        line = core.line(state.contracts[con_id])
        line.bid, line.ask, line.last, line.close = stored.bid, stored.ask, stored.last, stored.close
    for stored_order in state.orders:
        order = _restore(stored_order)
        order.parent = core.orders.get(stored_order.parent) if stored_order.parent else None
        core.orders.add(order)
        core.line(order.contract).orders.append(order)
    core.orders.next_perm_id = state.next_perm_id
    core.orders.next_ids.update(state.next_order_ids)
    return state.at


def _decode(plain: dict[str, Any]) -> ExchangeState:
    version = plain.get("version")
    if version != VERSION:
        raise ValueError(f"the state's version is {version!r}, but this program reads version {VERSION}")
    try:
        return msgspec.convert(plain, ExchangeState, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"the state cannot be read: {error}") from error


def _store(order: WorkingOrder) -> StoredOrder:
    parent = order.parent.key if order.waits_for_parent and order.parent is not None else None
    return StoredOrder(**{name: getattr(order, name) for name in _COPIED}, parent=parent)


def _restore(stored: StoredOrder) -> WorkingOrder:
    order = WorkingOrder(stored.request, stored.contract, stored.perm_id, stored.placed_at)
    for name in _RESTORED:
        setattr(order, name, getattr(stored, name))
    return order
