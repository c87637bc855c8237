"""The durable state of a core as plain values, so that two can be compared and a difference can be told.

Rules: everything that the architecture calls durable and nothing else; what is volatile differs between a state that
was lived through and one that was folded from the journal.
"""

from typing import Any

from trader.engine.core import Core


def durable_state(core: Core) -> dict[str, Any]:
    """What a restart has to find again, by name."""
    ledger = core.ledger
    values: dict[str, Any] = {
        "next order id": core.orders.next_order_id,
        "trading state": (core.trading_state, core.state_reason, core.state_source, core.panic_completed),
        "targets": dict(core.targets),
        "session": (core.session_name, core.session_opened_at),
        "starts": (dict(core.starts), core.last_stop_clean),
        "reconciled": (core.ever_reconciled, core.reconciled_at, dict(core.mismatches)),
        "fills booked": ledger.fills_booked,
        "missing commissions": ledger.commissions_missing_since(),
        "unrealized at the open": ledger.unrealized_at_open,
    }
    for order in core.orders:
        values[f"order {order.order_ref}"] = (
            order.order_id, order.symbol, order.side, order.quantity, order.state, order.filled,
            tuple(sorted(order.perm_ids)), order.cancel_reason, order.acknowledged, order.intended_at,
        )  # fmt: skip
    for book in ledger.books():
        holding = book.current
        ids = sorted(line.exec_id for line in (*book.fills.values(), *book.fills_before.values()))
        values[f"book {book.instrument.symbol}"] = (holding.quantity, holding.cost, holding.realized, tuple(ids))
    for currency in ledger.currencies():
        values[f"money {currency}"] = ledger.pnl(currency, {}, session=False)
    return values


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """What differs first between two states, as text; empty when they are the same."""
    if ours == theirs:
        return ""
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            return f"{name}: in memory {ours.get(name)}, from the journal {theirs.get(name)}"
    return ""
