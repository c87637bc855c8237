"""The gateway adapter against the simulated gateway, over a real loopback socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

import pytest

from trader.clock import AnchoredClock
from trader.contracts import OrderType, Side, TradingMode
from trader.events import (
    AnyFact,
    Approved,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerOrderStatus,
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    CancelReason,
    CommissionReceived,
    DisconnectReason,
    ExecutionReceived,
    Intent,
    OpenOrderReceived,
    OrderSendFailed,
    OrderSent,
    OrderStatusReceived,
    OrderTerms,
    PlaceOrder,
    QuoteReceived,
    RequestBrokerState,
    RequestFinished,
    RequestKind,
    RequestOutcome,
    Resubscribe,
    SubscriptionChangedReceived,
    SubscriptionStatus,
)
from trader.gateway.ib import IbGateway
from trader.gateway.protocol import GatewayError
from trader.settings import Settings
from trader.simulator.market import SyntheticMarket
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
PATIENCE_S = 60.0
F = TypeVar("F")


class Facts:
    """What the gateway has said, and a way to wait for what it will say."""

    def __init__(self) -> None:
        self.seen: list[AnyFact] = []
        self._waiting: list[tuple[Callable[[AnyFact], bool], asyncio.Future[AnyFact]]] = []

    def __call__(self, fact: AnyFact) -> None:
        self.seen.append(fact)
        for wanted, future in self._waiting:
            if not future.done() and wanted(fact):
                future.set_result(fact)

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.seen if isinstance(fact, kind)]

    def next(self, kind: type[F], fits: Callable[[Any], bool] = lambda _: True) -> Coroutine[Any, Any, F]:
        """The next fact of ``kind`` that fits, counted from this call."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((lambda fact: isinstance(fact, kind) and fits(fact), future))
        return patiently(future)


async def patiently(future: "asyncio.Future[Any]") -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await future


def market() -> SyntheticMarket:
    return SyntheticMarket(["AAPL", "MSFT"], seed=7, start=START, interval_s=0.1)


def settings(port: int, **changes: Any) -> Settings:
    values = {"instruments": ("AAPL", "MSFT"), "gateway": {"port": port}, **changes}
    return Settings(**values)


def gateway_of(config: Settings, facts: Facts, clock: AnchoredClock | None = None, **options: Any) -> IbGateway:
    instruments = {item.symbol: item.instrument() for item in config.instruments}
    return IbGateway(config, instruments, clock or AnchoredClock(), facts, rng=Random(1), **options)


def order(gateway: IbGateway, order_id: int, ref: str = "ref-1", **changes: Any) -> PlaceOrder:
    values = {"symbol": "AAPL", "side": Side.BUY, "quantity": Decimal(100), "order_type": OrderType.MARKET, **changes}
    terms = OrderTerms(**values)
    intent = Intent(terms=terms, strategy="test", reason="test", reference_price=None, decided_ns=0)
    return PlaceOrder(
        approved=Approved(intent=intent, reduces=False),
        instrument=gateway.instruments[terms.symbol],
        order_ref=ref,
        order_id=order_id,
    )


@asynccontextmanager
async def running(
    facts: Facts, *, speed: float = 1.0, clock: AnchoredClock | None = None, **changes: Any
) -> AsyncIterator[tuple[IbGateway, SimulatedGatewayServer, BrokerConnectedReceived]]:
    """A simulated gateway and the adapter, connected."""
    server = SimulatedGatewayServer(market(), ServerOptions(port=0, speed=speed))
    gateway = gateway_of(settings(await server.start(), **changes), facts, clock)
    task = asyncio.get_running_loop().create_task(gateway.run())
    try:
        connected = await facts.next(BrokerConnectedReceived)
        yield gateway, server, connected
    finally:
        await gateway.close()
        await task
        await server.stop()


async def test_it_connects_qualifies_and_streams_quotes() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, connected):
        assert connected.accounts == ("DU1234567",)
        assert connected.client_id == 1
        await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "MSFT")
        quote = (await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "AAPL")).quote
        assert 0 < quote.bid <= quote.ask
        assert quote.bid_size > 0
        assert all(item.con_id > 0 for item in gateway.instruments.values())
        subscribed = {
            fact.symbol
            for fact in facts.of(SubscriptionChangedReceived)
            if fact.status is SubscriptionStatus.SUBSCRIBED
        }
        assert subscribed == {"AAPL", "MSFT"}


async def test_a_market_order_is_reported_from_its_frame_to_its_commission() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, connected):
        await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "AAPL")
        executed = facts.next(ExecutionReceived)
        filling = facts.next(OrderStatusReceived, lambda fact: fact.status is BrokerOrderStatus.FILLED)
        charged = facts.next(CommissionReceived)
        gateway.execute(order(gateway, connected.next_valid_id))
        execution, filled, commission = await executed, await filling, await charged
        sent = facts.of(OrderSent)[0]
        assert sent.order_ref == "ref-1"
        assert execution.line.order_ref == "ref-1"
        assert execution.line.quantity == 100
        assert execution.line.executed_at.tzinfo is not None
        assert abs((execution.line.executed_at - START).total_seconds()) < 60
        assert filled.perm_id == execution.line.perm_id > 0
        assert commission.line.exec_id == execution.line.exec_id
        assert commission.line.amount == 1
        assert commission.line.realized_pnl is None
        kinds = [type(fact) for fact in facts.seen]
        order_of_facts = [kinds.index(kind) for kind in (OrderSent, OpenOrderReceived, ExecutionReceived)]
        assert order_of_facts == sorted(order_of_facts)
        assert facts.of(OpenOrderReceived)[0].line.order_ref == "ref-1"


async def test_the_brokers_state_is_complete() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, connected):
        await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "AAPL")
        waiting = facts.next(CommissionReceived)
        gateway.execute(order(gateway, connected.next_valid_id, "bought"))
        await waiting
        gateway.execute(
            order(
                gateway,
                connected.next_valid_id + 1,
                "resting",
                order_type=OrderType.LIMIT,
                limit_price=Decimal("1.00"),
                quantity=Decimal(5),
            )
        )
        gateway.execute(RequestBrokerState(reason="test"))
        state = await facts.next(BrokerStateReceived)
        assert state.positions is not None
        assert [(line.instrument.symbol, line.quantity) for line in state.positions] == [("AAPL", 100)]
        assert state.open_orders is not None
        ((ref, limit, filled),) = [(line.order_ref, line.limit_price, line.filled) for line in state.open_orders]
        assert (ref, limit, filled) == ("resting", Decimal(1), 0)
        assert state.completed_orders is not None
        assert [(line.order_ref, line.filled) for line in state.completed_orders] == [("bought", 100)]
        assert state.executions is not None
        assert [line.order_ref for line in state.executions] == ["bought"]
        assert [line.exec_id for line in state.commissions] == [line.exec_id for line in state.executions]


async def test_a_request_during_a_request_leads_to_exactly_one_more() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, _connected):
        asked = facts.next(RequestFinished, lambda fact: fact.kind is RequestKind.POSITIONS)
        first = facts.next(BrokerStateReceived)
        gateway.execute(RequestBrokerState(reason="test"))
        await asked
        for _ in range(5):
            gateway.execute(RequestBrokerState(reason="test"))
        await first
        second = await facts.next(BrokerStateReceived)
        assert second.positions == ()
        await gateway.broker_state("after")
        assert len(facts.of(BrokerStateReceived)) == 2


async def test_orders_are_cancelled_one_by_one_and_all_at_once() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, connected):
        first = connected.next_valid_id
        for number in range(3):
            limit = {"order_type": OrderType.LIMIT, "limit_price": Decimal("1.00")}
            gateway.execute(order(gateway, first + number, f"ref-{number}", **limit))
        gateway.execute(CancelOrder(order_ref="ref-0", order_id=first))
        cancelled = await facts.next(
            OrderStatusReceived, lambda fact: fact.order_id == first and fact.status is BrokerOrderStatus.CANCELLED
        )
        assert cancelled.filled == 0
        gateway.execute(CancelAllOrders(reason=CancelReason.PANIC))
        await facts.next(
            OrderStatusReceived, lambda fact: fact.order_id == first + 2 and fact.status is BrokerOrderStatus.CANCELLED
        )
        state = await gateway.broker_state("test")
        assert state.open_orders == ()


async def test_it_comes_back_after_the_gateway_was_away() -> None:
    facts = Facts()
    async with running(facts) as (gateway, server, connected):
        lost = facts.next(BrokerDisconnectedReceived)
        await server.close_port()
        server.drop_connections()
        assert (await lost).reason is DisconnectReason.CLOSED
        gateway.execute(order(gateway, connected.next_valid_id))
        assert facts.of(OrderSendFailed)[0].order_ref == "ref-1"
        assert not facts.of(OrderSent)
        again, quoted = facts.next(BrokerConnectedReceived), facts.next(QuoteReceived)
        await server.open_port()
        assert (await again).client_id == connected.client_id
        await quoted


async def test_its_clock_follows_the_simulated_one() -> None:
    facts, clock = Facts(), AnchoredClock()
    async with running(facts, speed=60.0, clock=clock) as (_, _server, connected):
        assert clock.anchored
        assert clock.speed == 60.0
        assert connected.at.date() == START.date()


async def test_a_tick_by_tick_quote_carries_the_exchanges_time() -> None:
    facts = Facts()
    async with running(facts, market_data={"feed": "tick_by_tick"}) as (_, _server, _connected):
        fact = await facts.next(QuoteReceived)
        assert fact.quote.at.microsecond == 0
        assert abs((fact.quote.at - START).total_seconds()) < 60


async def test_it_subscribes_again_when_told() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, _connected):
        await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "AAPL")
        gateway.execute(Resubscribe(symbols=("AAPL",)))
        await facts.next(RequestFinished, lambda fact: fact.kind is RequestKind.MARKET_DATA)
        await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "AAPL")


async def test_a_busy_client_id_is_reported_by_its_name() -> None:
    facts, others = Facts(), Facts()
    async with running(facts) as (_, server, _connected):
        other = gateway_of(settings(server.port), others)
        with pytest.raises(GatewayError, match="client id 1 is in use"):
            await other.connect_once()


async def test_panic_gets_in_beside_the_service_and_flattens() -> None:
    facts, others = Facts(), Facts()
    async with running(facts) as (gateway, server, connected):
        await facts.next(QuoteReceived, lambda fact: fact.quote.symbol == "AAPL")
        bought = facts.next(CommissionReceived)
        gateway.execute(order(gateway, connected.next_valid_id))
        await bought
        panic = gateway_of(settings(server.port), others, client_id=999)
        await panic.connect_once()
        state = await panic.broker_state("panic")
        assert state.positions is not None
        (position,) = state.positions
        assert position.instrument.symbol == "AAPL"
        sold = others.next(ExecutionReceived, lambda fact: fact.line.order_ref == "panic-1")
        panic.execute(CancelAllOrders(reason=CancelReason.PANIC))
        next_id = others.of(BrokerConnectedReceived)[0].next_valid_id
        panic.execute(order(panic, next_id, "panic-1", side=Side.SELL, quantity=position.quantity))
        await sold
        after = await panic.broker_state("panic")
        assert after.positions is not None
        assert all(line.quantity == 0 for line in after.positions)
        assert not others.of(QuoteReceived)
        await panic.close()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": TradingMode.PAPER}, "mode is paper but what answers at .* is a simulated gateway"),
        ({"account": "DU999"}, "account DU999 is not managed by this gateway, which has DU1234567"),
        ({"mode": TradingMode.LIVE, "account": "U1"}, "account U1 is not managed"),
    ],
)
async def test_it_refuses_a_gateway_or_an_account_that_is_not_meant(changes: dict[str, Any], sentence: str) -> None:
    facts = Facts()
    server = SimulatedGatewayServer(market(), ServerOptions(port=0))
    gateway = gateway_of(settings(await server.start(), **changes), facts)
    with pytest.raises(GatewayError, match=sentence):
        await gateway.run()
    assert not facts.of(BrokerConnectedReceived)
    await server.stop()


async def test_an_unknown_symbol_is_named_in_one_sentence() -> None:
    facts = Facts()
    server = SimulatedGatewayServer(market(), ServerOptions(port=0))
    config = settings(await server.start(), instruments=("AAPL", "NOSUCH"))
    with pytest.raises(GatewayError, match="instrument NOSUCH cannot be used: the broker knows no such contract"):
        await gateway_of(config, facts).run()
    await server.stop()


async def test_closing_twice_is_closing_once() -> None:
    facts = Facts()
    async with running(facts) as (gateway, _, _connected):
        await gateway.close()
        await gateway.close()
    (fact,) = facts.of(BrokerDisconnectedReceived)
    assert fact.reason is DisconnectReason.STOPPING


async def test_every_request_of_the_start_is_accounted_for() -> None:
    facts = Facts()
    async with running(facts):
        finished = {fact.kind for fact in facts.of(RequestFinished) if fact.outcome is RequestOutcome.OK}
        assert {RequestKind.ACCOUNT, RequestKind.SERVER_TIME, RequestKind.CONTRACT_DETAILS} <= finished


async def test_an_error_of_ours_in_the_sink_ends_the_run_with_it() -> None:
    server = SimulatedGatewayServer(market(), ServerOptions(port=0))
    config = settings(await server.start())

    def sink(fact: AnyFact) -> None:
        if isinstance(fact, QuoteReceived):
            raise ZeroDivisionError("the engine failed")

    instruments = {item.symbol: item.instrument() for item in config.instruments}
    gateway = IbGateway(config, instruments, AnchoredClock(), sink)
    with pytest.raises(ZeroDivisionError, match="the engine failed"):
        await gateway.run()
    await server.stop()
