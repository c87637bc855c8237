"""The simulation finds what it is there to find: each deliberately broken copy of the service is caught by a few seeds.

A mutant is one plausible defect, put in with ``monkeypatch``; how it is caught is part of the table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from trader import risk
from trader.drills.simulation import Campaign, Violation, run_seed
from trader.engine import control, order_flow, recovery
from trader.events import BrokerStateReceived, CancelReason, OrderTrigger, PlaceOrder, RiskRule
from trader.ledger import Ledger, base_exec_id
from trader.loop import TradingLoop
from trader.reconcile import OrderFindings

SEEDS = range(60)
CRASH_POINTS = 1
# An order that lives twice is rare: of so many seeds, one that has it is early in these.
SEEDS_OF_DUPLICATES = range(90, 150)
Patch = pytest.MonkeyPatch


def journal_after_send(patch: Patch) -> None:
    append = TradingLoop.take

    def take(loop: Any, step: Any) -> None:
        commands, step.commands = step.commands, []
        for command in commands:
            loop.gateway.execute(command)
        append(loop, step)

    patch.setattr(TradingLoop, "take", take)


def executions_booked_again(patch: Patch) -> None:
    patch.setattr(Ledger, "knows", lambda ledger, exec_id: False)


def correction_added(patch: Patch) -> None:
    patch.setattr(Ledger, "superseded", lambda ledger, line: None)


def commission_added(patch: Patch) -> None:
    book = Ledger._book_commission

    def add(ledger: Any, line: Any) -> None:
        before = ledger._commission(base_exec_id(line.exec_id))
        book(ledger, line)
        if before is not None:
            ledger._commission_totals[before.currency] += before.amount

    patch.setattr(Ledger, "_book_commission", add)


def resent_on_timeout(patch: Patch) -> None:
    advance = order_flow.advance

    def resend(core: Any, step: Any, order: Any, trigger: Any, *rest: Any) -> None:
        advance(core, step, order, trigger, *rest)
        if trigger is OrderTrigger.TIMED_OUT:
            instrument = core.instruments[order.symbol]
            step.send(
                PlaceOrder(
                    approved=order.approved, instrument=instrument, order_ref=order.order_ref, order_id=order.order_id
                )
            )

    patch.setattr(order_flow, "advance", resend)


def unknown_taken_for_empty(patch: Patch) -> None:
    def emptied(event: BrokerStateReceived) -> BrokerStateReceived:
        names = ("positions", "open_orders", "completed_orders", "executions")
        return msgspec.structs.replace(event, **{name: getattr(event, name) or () for name in names})

    for module, name in ((recovery, "on_broker_state"), (control, "on_state_in_panic")):
        take = getattr(module, name)
        patch.setattr(module, name, lambda core, step, event, take=take: take(core, step, emptied(event)))


def gateways_order_id_believed(patch: Patch) -> None:
    connect = recovery.on_connected

    def believe(core: Any, step: Any, event: Any) -> None:
        connect(core, step, event)
        core.orders.next_order_id = event.next_valid_id

    patch.setattr(recovery, "on_connected", believe)


def entries_while_not_reconciled(patch: Patch) -> None:
    patch.setattr(risk, "RULES", tuple(rule for rule in risk.RULES if rule[0] is not RiskRule.NOT_READY))


def no_cancel_in_a_panic(patch: Patch) -> None:
    cancel, follow = order_flow.cancel, control._follow

    def keep(core: Any, step: Any, order: Any, reason: Any) -> None:
        if reason is not CancelReason.PANIC:
            cancel(core, step, order, reason)

    def without_cancels(core: Any, step: Any, wanted: Any) -> None:
        follow(core, step, msgspec.structs.replace(wanted, cancel_all=False))

    patch.setattr(order_flow, "cancel", keep)
    patch.setattr(control, "_follow", without_cancels)


def fills_dropped_while_not_connected(patch: Patch) -> None:
    book = order_flow.book_execution

    def drop(core: Any, *rest: Any) -> None:
        if core.link.reconciled:
            book(core, *rest)

    patch.setattr(order_flow, "book_execution", drop)
    patch.setattr(recovery, "book_execution", drop)


def matched_by_order_id(patch: Patch) -> None:
    def by_id(core: Any, line: Any) -> Any:
        return core.orders.get(core.orders._ref_by_order_id.get(line.order_id, ""))

    patch.setattr(order_flow, "_order_of", by_id)


def open_orders_not_doubted(patch: Patch) -> None:
    patch.setattr(recovery, "doubt_open_orders", lambda core, step, detail: None)


def duplicates_left_alive(patch: Patch) -> None:
    find = recovery.order_findings

    def without(*arguments: Any) -> OrderFindings:
        return msgspec.structs.replace(find(*arguments), duplicates=())

    patch.setattr(recovery, "order_findings", without)


def not_asked_after_a_restoration(patch: Patch) -> None:
    patch.setattr(recovery, "believed", lambda core, event: True)
    patch.setattr(recovery, "on_upstream_lost", lambda core, step, event: None)


MUTANTS: dict[Callable[[Patch], None], Sequence[str]] = {
    journal_after_send: ("an intent is durable before its order leaves",),
    executions_booked_again: ("an execution is booked once, and a correction replaces it",),
    correction_added: ("an execution is booked once, and a correction replaces it",),
    commission_added: ("the costs are the last word on each execution",),
    resent_on_timeout: ("an order is sent once",),
    unknown_taken_for_empty: ("nothing is sent before the broker was asked",),
    gateways_order_id_believed: ("an order id is used once", "the journal gives the state in memory"),
    entries_while_not_reconciled: ("nothing is sent before the broker was asked",),
    no_cancel_in_a_panic: ("a panic cancels everything, then closes",),
    fills_dropped_while_not_connected: (),
    matched_by_order_id: (),
    open_orders_not_doubted: (),
    duplicates_left_alive: ("nothing of ours lives on", "every intent has a known end"),
    not_asked_after_a_restoration: (),
}


def first_violation(seeds: range) -> Violation | None:
    campaign = Campaign(first=seeds.start, end=seeds.stop, crash_points=CRASH_POINTS)
    results = (run_seed(campaign, seed) for seed in seeds)
    return next((violation for result in results for violation in result.violations), None)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_copy_is_caught(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    seeds = SEEDS_OF_DUPLICATES if mutant is duplicates_left_alive else SEEDS
    found = first_violation(seeds)
    assert found is not None, f"{mutant.__name__} lives through seeds {seeds.start} to {seeds.stop}"
    print(found)
    expected = MUTANTS[mutant]
    assert not expected or found.invariant in expected
