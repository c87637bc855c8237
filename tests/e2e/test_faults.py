"""Whatever goes wrong at the gateway: at the end the books are the broker's, and no order was sent twice."""

from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
import yaml

from trader.contracts import TradingState
from trader.control_messages import Command
from trader.events import CommissionBooked, FillBooked, OrderIntended

pytestmark = pytest.mark.e2e

SPEED = 30
# A service that has turned its positions over this often has met every ratio of a fault file.
FILLS_MIN = 10
QUICK: dict[str, dict[str, Any]] = {
    "gateway": {"heartbeat_interval_s": 0.3, "heartbeat_timeout_s": 0.7, "backoff_max_s": 1, "request_timeout_s": 1.5},
    "strategy": {"name": "own_strategies:Turner"},
    "execution": {"ack_timeout_s": 0.5, "retry_after_s": 1},
    "market_data": {"stale_after_s": 60},
    "risk": {"max_orders_per_minute": 2000},
}
ASK_OFTEN = {"gateway": {"reconcile_interval_s": 0.5}}


class Scenario(NamedTuple):
    """``faults`` is the fault file; ``config`` changes the configuration.

    ``seen`` are words that the service's log has to contain, or the fault did not happen.
    """

    faults: dict[str, Any]
    seen: tuple[str, ...] = ()
    config: dict[str, Any] | None = None


def link(kind: str, duration_s: float = 0.0, at_s: float = 0.7, **more: Any) -> dict[str, Any]:
    return {"link": [{"kind": kind, "at_s": at_s, "duration_s": duration_s, **more}]}


LOST, BACK, GONE = '"UpstreamLostReceived"', '"UpstreamRestoredReceived"', '"BrokerDisconnectedReceived"'
SLOW = {"report_delay_s": 0.1, "late_ack_ratio": 0.5, "ack_delay_s": 0.3, "duplicate_status_ratio": 1.0}
SCENARIOS = {
    "disconnect": Scenario(link("disconnect", 0.4), (GONE,)),
    "stall": Scenario(link("stall", 2.5), (GONE, "heartbeat_lost")),
    "slow and repeated reports": Scenario(SLOW),
    "executions after Filled": Scenario({"execution_delay_ratio": 0.5, "execution_delay_s": 0.3}),
    "no callback": Scenario({"no_callback_ratio": 0.3}, ('"unknown"',)),
    "late commission": Scenario({"commission_late_ratio": 0.5, "commission_delay_s": 0.6}),
    "commission first": Scenario({"commission_first_ratio": 0.5, "execution_delay_s": 0.2}),
    "missing commission": Scenario({"commission_missing_ratio": 0.5}, config=ASK_OFTEN),
    "commission -1": Scenario({"commission_unset_ratio": 0.5, "commission_delay_s": 0.4}),
    "correction": Scenario({"correction_ratio": 0.5, "correction_delay_s": 0.3, "correction_ticks": 3}),
    "reject": Scenario({"reject_ratio": 0.2, "reject_price_ratio": 0.2, "reject_invalid_ratio": 0.2}, ('"rejected"',)),
    "cancel refused": Scenario({"cancel_refused_ratio": 0.5}, ("161",), {"execution": {"cross_ticks": -1}}),
    "warnings": Scenario({"order_message_ratio": 1.0, "order_message_codes": [10349, 399, 404, 2109]}, ("10349",)),
    "1100 and 1102": Scenario(link("upstream_lost", 0.7), (LOST, BACK, "1102")),
    "1100 and 1101": Scenario(link("upstream_lost", 0.7, data_lost=True), (LOST, BACK, "1101")),
    "nightly reset": Scenario(link("nightly_reset", 1.0, repeat_s=0.3), (LOST, BACK)),
    "farm flap": Scenario(link("farm_flap", 0.6, data_lost=True), ("data farm usfarm lost",)),
    "competing session": Scenario(link("competing_session", 0.6), ("10197",)),
    "restart": Scenario(link("restart", 0.4, roll_back_ids=5, vanish_window_s=0.3), (GONE,)),
    "client id busy": Scenario(
        {"link": [link("disconnect", 0.2)["link"][0], link("handshake_326", 2.0)["link"][0]]}, ("client_id_busy",)
    ),
    "bad quotes and pacing": Scenario({"bad_quote_ratio": 0.2, "byte_split": True, **link("pacing")}, ('"code": 100',)),
}


def trade_through(rig: Any, scenario: Scenario) -> None:
    """Trade while the fault is played, then halt and wait until nothing is open, in doubt or still to be told."""
    file = rig.folder / "faults.yaml"
    file.write_text(yaml.safe_dump(scenario.faults))
    more = scenario.config or {}
    rig.configure(**{section: {**values, **more.get(section, {})} for section, values in QUICK.items()})
    rig.simulator("--speed", str(SPEED), "--start-on", "subscribed", "--faults", str(file))
    rig.service()
    rig.wait(lambda s: s.ready and all(word in rig.log() for word in scenario.seen), f"ready after {scenario.seen}")
    fills = rig.snapshot().activity.fills
    rig.wait(lambda s: s.activity.fills >= fills + FILLS_MIN, "trading to go on")
    rig.ask(Command.HALT, reason="the test is over")
    rig.wait(lambda s: s.trading_state is TradingState.HALTED and s.ready and not s.open_orders, "no open orders")
    rig.wait(lambda s: not s.orders_unknown and not s.pnl_base.commissions_missing, "every cost to be known")


def latest(executions: Any) -> dict[str, Any]:
    """Executions by their id without the revision; the highest revision counts."""
    found: dict[str, Any] = {}
    for line in sorted(executions, key=lambda item: item.exec_id):
        found[line.exec_id.rpartition(".")[0]] = (
            line.exec_id,
            line.instrument.symbol,
            line.side,
            line.quantity,
            line.price,
        )
    return found


def executions_agree(rig: Any) -> bool:
    booked = [fact.line for fact in rig.facts() if isinstance(fact, FillBooked)]
    return latest(booked) == latest(rig.broker_state().executions)


def assert_books_are_the_brokers(rig: Any, eventually: Any) -> None:
    # A correction may still be on its way.
    eventually(lambda: executions_agree(rig), "the executions to agree", rig.log)
    state, facts, snapshot = rig.broker_state(), rig.facts(), rig.snapshot()
    ours = {position.symbol: position.quantity for position in snapshot.positions}
    assert ours == {line.instrument.symbol: line.quantity for line in state.positions if line.quantity}
    assert state.open_orders == ()
    costs = {fact.line.exec_id: fact.line.amount for fact in facts if isinstance(fact, CommissionBooked)}
    theirs = {line.exec_id: line.amount for line in state.commissions}
    assert {exec_id: costs.get(exec_id) for exec_id in theirs} == theirs


def assert_no_order_was_sent_twice(rig: Any) -> None:
    state, facts = rig.broker_state(), rig.facts()
    intended = [fact for fact in facts if isinstance(fact, OrderIntended)]
    assert Counter(fact.order_id for fact in intended).most_common(1)[0][1] == 1
    perm_ids: dict[str, set[int]] = {}
    for line in (*state.completed_orders, *state.executions):
        perm_ids.setdefault(line.order_ref, set()).add(line.perm_id)
    assert {ref for ref, ids in perm_ids.items() if len(ids) > 1} == set()
    assert set(perm_ids) <= {fact.order_ref for fact in intended}
    filled: dict[str, Decimal] = {}
    for _, _, _, quantity, _ in latest(state.executions).values():
        assert quantity > 0
    for line in {line.exec_id.rpartition(".")[0]: line for line in state.executions}.values():
        filled[line.order_ref] = filled.get(line.order_ref, Decimal(0)) + line.quantity
    asked = {fact.order_ref: fact.approved.intent.terms.quantity for fact in intended}
    assert [ref for ref, quantity in filled.items() if quantity > asked[ref]] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_books_are_the_brokers_after(rig: Any, eventually: Any, name: str) -> None:
    trade_through(rig, SCENARIOS[name])

    assert_books_are_the_brokers(rig, eventually)
    assert_no_order_was_sent_twice(rig)
    assert "Traceback" not in rig.log()
