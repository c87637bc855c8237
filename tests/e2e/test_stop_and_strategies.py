"""Stopping as configured, reloading, and the strategies that come along, through a real socket."""

import signal
from decimal import Decimal
from typing import Any

import pytest

from trader.events import OrderIntended, ReloadFinished, ServiceStopped, SignalChanged

pytestmark = pytest.mark.e2e

# A limit far from the touch: the order works and is not filled.
PATIENT = {"cross_ticks": -100, "cancel_after_s": 3600}
LAZY = {"risk": {"price_collar_ratio": 0.5}, "execution": PATIENT}


def stop(rig: Any, service: Any) -> ServiceStopped:
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0, rig.log()
    last = rig.facts()[-1]
    assert isinstance(last, ServiceStopped)
    return last


def test_a_stop_cancels_working_orders(rig: Any) -> None:
    rig.configure(**LAZY)
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: any(order.perm_id for order in s.open_orders), "a working order")

    assert stop(rig, service).clean

    state = rig.broker_state()
    assert state.open_orders == ()
    assert [line.filled for line in state.completed_orders] == [0]


def test_a_stop_keeps_working_orders_when_so_configured_and_the_next_start_finds_them(rig: Any) -> None:
    rig.configure(**LAZY, stop={"cancel_orders": False})
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: any(order.perm_id for order in s.open_orders), "a working order")

    assert stop(rig, service).clean
    (kept,) = rig.broker_state().open_orders

    rig.service()
    snapshot = rig.wait(lambda s: s.ready and s.open_orders, "the order again")
    assert [order.order_ref for order in snapshot.open_orders] == [kept.order_ref]
    assert len([fact for fact in rig.facts() if isinstance(fact, OrderIntended)]) == 1


def test_a_stop_under_load_is_clean_and_leaves_no_order(rig: Any) -> None:
    rig.configure(strategy={"name": "own_strategies:Turner", "parameters": {"period_s": 1}})
    rig.simulator("--speed", "20")
    service = rig.service()
    rig.wait(lambda s: s.activity.fills >= 20, "load")

    assert stop(rig, service).clean
    assert rig.broker_state().open_orders == ()


def test_a_stop_flattens_when_so_configured(rig: Any) -> None:
    rig.configure(stop={"flatten": True})
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: [p.quantity for p in s.positions] == [Decimal(100)], "a position")

    assert stop(rig, service).clean
    assert [line for line in rig.broker_state().positions if line.quantity] == []


def test_a_reload_refuses_what_cannot_change_with_the_reason_and_changes_nothing(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")
    rig.configure(instruments=["SPY"], risk={"daily_loss_limit": 777})

    service.send_signal(signal.SIGHUP)

    rig.wait(lambda s: ReloadFinished.__name__ in rig.log(), "the answer")
    assert "instruments" in rig.log().splitlines()[-1]
    assert rig.snapshot().risk.daily_loss_limit != 777
    refused = rig.command("status", "--json")
    assert refused.returncode == 0


def test_target_weights_rebalances_on_its_schedule_in_simulated_time(rig: Any) -> None:
    rig.configure(
        strategy={
            "name": "target_weights",
            "capital": 100_000,
            "schedule": "35 9 * * mon-fri",
            "parameters": {"weights": {"SPY": 0.3, "AAPL": -0.2}},
        },
    )
    # The synthetic market begins at 9:30 in New York.
    rig.simulator("--speed", "100", "--start-on", "subscribed")
    rig.service()

    snapshot = rig.wait(lambda s: len(s.positions) == 2 and not s.open_orders, "both positions")

    sides = {position.symbol: position.quantity > 0 for position in snapshot.positions}
    assert sides == {"SPY": True, "AAPL": False}
    signals = [fact for fact in rig.facts() if isinstance(fact, SignalChanged)]
    assert all((fact.at.hour, fact.at.minute) in ((14, 35), (14, 34)) for fact in signals)


def test_observe_watches_and_sends_no_order(rig: Any) -> None:
    rig.configure(strategy={"name": "observe"})
    rig.simulator("--speed", "20")
    rig.service()

    rig.wait(lambda s: s.activity.ticks > 300, "ticks")

    assert [fact for fact in rig.facts() if isinstance(fact, OrderIntended)] == []
    assert rig.snapshot().activity.orders_submitted == 0


def test_two_services_trade_beside_each_other_on_one_gateway(rig: Any, second_rig: Any) -> None:
    """Both keep the books of the one account, and each trades its own instruments."""
    rig.configure(instruments=["SPY"])
    second_rig.configure(
        instruments=["AAPL"],
        gateway={"port": rig.port, "client_id": 2},
        strategy={"name": "own_strategies:Everything"},
    )
    rig.simulator()
    rig.service()
    second_rig.service()

    wanted = {"SPY": Decimal(100), "AAPL": Decimal(100)}
    for each in (rig, second_rig):
        each.wait(lambda s: s.ready and {p.symbol: p.quantity for p in s.positions} == wanted, "both positions")
        assert len([fact for fact in each.facts() if isinstance(fact, OrderIntended)]) == 1
