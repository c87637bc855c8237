"""Incidents of the link and of orders, played on the wire; docs/incidents.md lists them all.

Each test ends with the truth: our books are the broker's, no order was sent twice, no fill is missing; and says what
the service told of itself while it was degraded.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.incidents_bench import (
    A_POSITION,
    ASKED_FOR,
    CANCEL,
    COMMISSION,
    EXECUTION,
    OPEN_ORDER,
    PLACE,
    RESTING,
    STATUS,
    Bench,
    bench,
    is_working,
    rest,
    states_of,
    without,
)
from trader.events import (
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerStateReceived,
    ConnectFailedReceived,
    DisconnectReason,
    FillBooked,
    IntentRefused,
    MismatchFound,
    OrderState,
    SubscriptionChangedReceived,
    SubscriptionStatus,
)
from trader.gateway import link
from trader.gateway.protocol import GatewayError

pytestmark = pytest.mark.e2e


async def test_lean_242_orders_of_the_restart_second_vanish_and_their_ids_come_back(tmp_path: Path) -> None:
    """Lean.Brokerages.InteractiveBrokers #242."""
    async with bench(tmp_path, **RESTING) as b:
        gone = await rest(b)
        promised = b.server.exchange.next_order_id(1)

        await b.play("restart", 0.2, roll_back_ids=4, vanish_window_s=60)

        await b.until(lambda: states_of(b, gone)[-1] is OrderState.VANISHED, "the order to be given up")
        assert b.server.exchange.next_order_id(1) <= promised
        await b.until(lambda: is_working(b) and b.open() != [gone], "a new order")
        assert min(int(fields[1]) for fields in b.placed()[1:]) >= promised
        b.move(69.0, 69.01)
        await b.settle(100)


@pytest.mark.parametrize("code", [1101, 1102])
async def test_lean_249_a_fill_during_1100_that_nobody_tells_is_found_afterwards(tmp_path: Path, code: int) -> None:
    """Lean.Brokerages.InteractiveBrokers #249."""
    async with bench(tmp_path, **RESTING) as b:
        await rest(b)
        b.wire.say(4, 2, -1, 1100, "Connectivity has been lost", "")
        await b.until(lambda: not b.ready, "1100")
        assert "lost IB's servers (1100)" in (await b.readyz())[1]
        assert (await b.metrics())["trader_broker_upstream_connected"] == 0
        b.wire.down = without(STATUS, EXECUTION, COMMISSION, A_POSITION)
        b.move(69.0, 69.01)
        await b.pass_by(3)
        assert (b.position, b.open()) == (0, [])
        b.wire.down = lambda fields: (fields,)

        b.wire.say(4, 2, -1, code, "Connectivity has been restored", "")

        await b.settle(100)


async def test_lean_249_a_fill_while_disconnected_is_found_afterwards(tmp_path: Path) -> None:
    """Lean.Brokerages.InteractiveBrokers #249."""
    async with bench(tmp_path, **RESTING) as b:
        await rest(b)
        outage = b.play("disconnect", 0.5)
        await b.until(lambda: not b.core.link.connected, "the loss")
        b.move(69.0, 69.01)
        status, problems = await b.readyz()
        assert (status, "not connected to the gateway" in problems) == (503, True)
        assert (await b.metrics())["trader_broker_connected"] == 0
        await outage
        await b.settle(100)


async def test_nautilus_4564_nothing_leaves_during_1100_and_one_order_lives_after_it(tmp_path: Path) -> None:
    """nautilus_trader #4564: a modify during 1100 left two live orders."""
    async with bench(tmp_path, **RESTING) as b:
        old = await rest(b)
        outage = b.play("upstream_lost", 1.0)
        await b.until(lambda: not b.ready, "1100")
        left = len(b.wire.sent)

        b.core.strategy.wanted = Decimal(-100)  # type: ignore[attr-defined]
        b.wire.say(1, 6, _streaming_id(b), 1, 69.4, 500, 0)
        await b.until(lambda: b.core.targets["AAPL"] == -100, "another wish")
        await b.pass_by(3)

        assert [fields for fields in b.wire.sent[left:] if fields[0] in (PLACE, CANCEL)] == []
        await outage
        await b.until(lambda: is_working(b) and b.open() and b.open() != [old], "the other order, alone")
        assert len(b.open()) == 1
        b.move(70.5, 70.52)
        await b.settle(-100)


def _streaming_id(b: Bench) -> str:
    return next(fields[2] for fields in reversed(b.wire.sent) if fields[0] == "1")


async def test_nautilus_4564_a_second_living_order_of_one_reference_is_cancelled_and_alerted(tmp_path: Path) -> None:
    """nautilus_trader #4564: the forgotten one filled six hours later."""
    async with bench(tmp_path, **RESTING) as b:
        ref = await rest(b)
        b.place_elsewhere(ref, client_id=1, order_id=900)
        b.wire.hang_up()

        found = await b.until(lambda: [m for m in b.of(MismatchFound) if m.ours == "alive twice"], "the extra order")

        assert found[0].kind == "order"
        status, problems = await b.readyz()
        assert (status, "alive twice" in problems) == (503, True)
        await b.until(lambda: b.ready, "the extra order to be gone")
        assert (await b.metrics())['trader_reconciliation_mismatches_found_total{kind="order"}'] == 1
        assert [fields[2] for fields in b.wire.sent if fields[0] == CANCEL] == ["900"]
        assert b.open() == [ref]
        b.move(69.0, 69.01)
        await b.settle(100)


async def test_nautilus_4564_an_extra_order_of_another_client_is_alerted_and_ours_is_not_cancelled_instead(
    tmp_path: Path,
) -> None:
    """nautilus_trader #4564: a cancel names an order id, and that is ours under another client's number."""
    async with bench(tmp_path, **RESTING) as b:
        ref = await rest(b)
        order_id = b.core.orders.open()[0].order_id
        b.place_elsewhere(ref, client_id=5, order_id=order_id)
        b.wire.hang_up()

        await b.until(lambda: [m for m in b.of(MismatchFound) if m.ours == "alive twice"], "the extra order")
        await b.until(lambda: not b.ready, "its reason")
        assert [fields for fields in b.wire.sent if fields[0] == CANCEL] == []
        assert "another client" in (await b.readyz())[1]

        b.server.exchange.cancel(5, order_id)
        await b.until(lambda: b.ready, "the extra order to be gone")
        assert b.open() == [ref]
        b.move(69.0, 69.01)
        await b.settle(100)


async def test_lean_93_and_240_an_order_without_any_callback_is_asked_for_and_never_sent_again(tmp_path: Path) -> None:
    """Lean.Brokerages.InteractiveBrokers #93, #240."""
    async with bench(tmp_path) as b:
        b.inject(no_callback_ratio=1.0)
        b.wire.up = without(*ASKED_FOR.values())
        b.wish(100)
        await b.until(lambda: any(o.state is OrderState.UNKNOWN for o in b.core.orders.open()), "the doubt")
        assert (await b.metrics())["trader_orders_unknown_state"] == 1
        assert (b.position, len(b.placed())) == (0, 1)

        b.wire.up = lambda fields: (fields,)

        await b.settle(100)
        assert len(b.placed()) == 1


async def test_lean_246_the_weekly_login_that_nobody_made_is_unhealthy_outside_the_announced_windows(
    tmp_path: Path,
) -> None:
    """Lean.Brokerages.InteractiveBrokers #246: three days of rejected orders."""
    async with bench(tmp_path) as b:
        sunday = datetime(2013, 10, 13, 5, 0, tzinfo=UTC).timestamp()
        assert (await b.metrics())["trader_broker_auth_expiry_timestamp_seconds"] == sunday
        await b.server.close_port()
        b.wire.hang_up()
        await b.until(lambda: b.of(ConnectFailedReceived), "an attempt that fails")

        status, problems = await b.readyz()
        assert (status, problems) == (503, "not connected to the gateway")
        assert (await b.metrics())["trader_broker_connected"] == 0
        b.core.strategy.wanted = Decimal(100)  # type: ignore[attr-defined]
        assert (b.of(IntentRefused), b.placed()) == ([], [])

        await b.server.open_port()
        await b.until(lambda: b.ready, "the gateway to be back")
        b.nudge()
        await b.settle(100)


async def test_lean_246_an_absence_in_an_announced_reset_is_told_apart(tmp_path: Path) -> None:
    """Lean.Brokerages.InteractiveBrokers #246."""
    async with bench(tmp_path, start=datetime(2013, 10, 8, 4, 30, tzinfo=UTC)) as b:
        await b.server.close_port()
        b.wire.hang_up()
        await b.until(lambda: b.of(ConnectFailedReceived), "an attempt that fails")
        status, problems = await b.readyz()
        assert (status, problems) == (
            503,
            "not connected to the gateway (the broker's announced reset, until 05:45 UTC)",
        )
        await b.server.open_port()
        await b.settle(0)


async def test_nautilus_3968_and_4412_a_farm_that_flaps_gets_its_subscriptions_again_and_costs_no_order(
    tmp_path: Path,
) -> None:
    """nautilus_trader #3968, #4412."""
    async with bench(tmp_path, **RESTING) as b:
        await rest(b)
        flap = b.play("farm_flap", 0.4, data_lost=True)
        await b.until(lambda: b.core.link.farms.get("usfarm") is False, "the farm to break")
        assert (await b.metrics())['trader_market_data_farm_connected{farm="usfarm"}'] == 0
        assert b.ready
        await flap
        ticks = b.core.market_data.last_tick_at if hasattr(b.core.market_data, "last_tick_at") else None
        await b.until(lambda: b.core.link.farms.get("usfarm") is True, "the farm to be back")
        b.move(69.0, 69.01)
        await b.until(lambda: b.core.market_data.quotes["AAPL"].bid == 69.0, "quotes to flow again")
        assert ticks is None or b.core.market_data.last_tick_at != ticks
        assert (b.of(BrokerDisconnectedReceived), b.wire.clients) == ([], 1)
        assert {fact.client_id for fact in b.of(BrokerConnectedReceived)} == {1}
        await b.settle(100)


async def test_ib_async_152_a_client_id_that_stays_busy_ends_the_service_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ib_async #152: the gateway held a dead clientId. A service that ends is paged by its unit."""
    monkeypatch.setattr(link, "BACKOFF_FIRST_S", 0.01)
    async with bench(tmp_path, gateway={"backoff_max_s": 1}) as b:
        b.server.gateway.ids_busy = True
        b.wire.hang_up()
        error = await b.ended()
        assert isinstance(error, GatewayError)
        assert "client id 1 is in use" in str(error)
        tried = [fact.reason for fact in b.of(ConnectFailedReceived)]
        assert tried.count(DisconnectReason.CLIENT_ID_BUSY) == link.CLIENT_ID_ATTEMPTS_MAX

        b.server.gateway.ids_busy = False
        await b.serve()
        b.wish(100)
        await b.settle(100)
        assert {fields[2] for fields in b.wire.sent if fields[0] == "71"} == {"1"}


async def test_ib_gateway_docker_336_a_port_that_is_open_is_no_gateway_that_lives(tmp_path: Path) -> None:
    """ib-gateway-docker #336: port open, gateway dead."""
    async with bench(tmp_path, **RESTING) as b:
        await rest(b)
        b.wire.silent = True
        lost = await b.until(lambda: b.of(BrokerDisconnectedReceived), "the silence to be noticed")
        assert lost[0].reason is DisconnectReason.HEARTBEAT_LOST
        await b.until(lambda: b.of(ConnectFailedReceived), "an attempt on the open port")
        assert b.of(ConnectFailedReceived)[0].reason is DisconnectReason.HANDSHAKE_TIMEOUT
        assert (await b.readyz())[0] == 503
        samples = await b.metrics()
        assert (samples["trader_broker_connected"], samples["trader_orders_unknown_state"]) == (0, 1)
        b.move(69.0, 69.01)

        b.wire.silent = False
        b.wire.hang_up()

        await b.settle(100)


async def test_a_competing_session_takes_the_data_and_no_order_is_made_on_what_is_left(tmp_path: Path) -> None:
    """10197: another login of the same user takes the market data."""
    async with bench(tmp_path, market_data={"stale_after_s": 0.3}) as b:
        theft = b.play("competing_session", 0.8)
        await b.until(
            lambda: SubscriptionStatus.LOST in {fact.status for fact in b.of(SubscriptionChangedReceived)}, "10197"
        )
        await b.until(lambda: b.core.market_data.is_stale("AAPL", b.core.now()), "stale quotes")
        assert (await b.metrics())["trader_market_data_subscribed_symbols"] == 0
        b.core.targets["AAPL"] = Decimal(100)
        b.core.unmet.add("AAPL")
        await b.pass_by(3)
        assert b.placed() == []
        await theft
        b.wish(100)
        await b.until(lambda: b.position == 100 or b.nudge(), "a fill on a fresh quote")
        await b.settle(100)


async def test_an_order_whose_fate_is_unknown_at_a_start_is_asked_for_by_its_reference(tmp_path: Path) -> None:
    """The process dies between an order and its answer; the fill comes while nobody is there."""
    async with bench(tmp_path, **RESTING) as b:
        b.wire.down = without(STATUS, OPEN_ORDER, EXECUTION, COMMISSION)
        b.wish(100)
        await b.until(b.open, "an order at the gateway")
        await b.kill()
        b.move(69.0, 69.01)
        b.wire.down = lambda fields: (fields,)

        await b.serve()

        await b.settle(100)
        assert len(b.placed()) == 1
        state = b.of(BrokerStateReceived)[-1]
        assert state.executions is not None
        assert {line.order_ref for line in state.executions} == {b.of(FillBooked)[0].order_ref}
