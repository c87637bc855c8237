"""The gateway without sockets: what it delivers, in which order, and when."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from trader.clock import ManualClock
from trader.contracts import Instrument, OrderType, Side
from trader.events import (
    AnyFact,
    Approved,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    BrokerOrderStatus,
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    CancelReason,
    CommissionReceived,
    DisconnectReason,
    ErrorClass,
    ExecutionReceived,
    Intent,
    OpenOrderReceived,
    OrderSendFailed,
    OrderSent,
    OrderStatusReceived,
    OrderTerms,
    PlaceOrder,
    PositionReceived,
    QuoteReceived,
    RequestBrokerState,
    Resubscribe,
    SubscriptionChangedReceived,
    SubscriptionStatus,
    TradeReceived,
)
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.inprocess import Deliveries, InProcessGateway
from trader.simulator.model import CommissionReported, ExecutionReported, MarketEvent, OrderRequest, Report
from trader.simulator.options import ExchangeOptions
from trader.simulator.translate import instrument_of

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
CLIENT_ID = 7


class Bench:
    """An exchange, the gateway over it, and all facts that came out."""

    def __init__(
        self,
        latency_s: float = 0.0,
        faults: Deliveries | None = None,
        symbols: Iterable[str] = ("SPY",),
        trades: bool = True,
    ):
        self.book = ContractBook(("SPY", "IBM"), START.date())
        self.clock = ManualClock(START)
        self.exchange = Exchange(self.book, ExchangeOptions(history_bars=0), START, 1, lambda report: None)
        self.facts: list[AnyFact] = []
        self.gateway = InProcessGateway(
            self.exchange,
            {symbol: self.instrument(symbol) for symbol in symbols},
            self.clock,
            self.facts.append,
            CLIENT_ID,
            timedelta(seconds=latency_s),
            faults,
            trades,
        )
        self.exchange.listener = self.gateway.listen
        self.gateway.connect()
        self.gateway.flush()
        self.connect_facts = self.drain()

    def instrument(self, symbol: str) -> Instrument:
        contract = self.book.by_key(symbol)
        assert contract is not None
        return instrument_of(contract, symbol)

    def drain(self) -> list[AnyFact]:
        taken = list(self.facts)
        self.facts.clear()
        return taken

    def quote(
        self, after_s: float, bid: str | None = "100.00", ask: str | None = "100.02", symbol: str = "SPY"
    ) -> None:
        self.gateway.apply(
            MarketEvent(
                at=START + timedelta(seconds=after_s),
                symbol=symbol,
                bid=Decimal(bid) if bid else None,
                bid_size=Decimal(1000) if bid else None,
                ask=Decimal(ask) if ask else None,
                ask_size=Decimal(1000) if ask else None,
            )
        )

    def place(self, order_id: int, side: Side = Side.BUY, limit: str = "100.02", quantity: int = 100) -> None:
        terms = OrderTerms(
            symbol="SPY", side=side, quantity=Decimal(quantity), order_type=OrderType.LIMIT, limit_price=Decimal(limit)
        )
        intent = Intent(terms=terms, strategy="test", reason="test", reference_price=100.01, decided_ns=0)
        self.gateway.execute(
            PlaceOrder(
                approved=Approved(intent=intent, reduces=False),
                instrument=self.instrument("SPY"),
                order_ref=f"ref-{order_id}",
                order_id=order_id,
            )
        )


def kinds(facts: Iterable[AnyFact]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def only(facts: Iterable[AnyFact], kind: type) -> list:
    return [fact for fact in facts if isinstance(fact, kind)]


def test_it_says_what_a_client_learns_on_connecting() -> None:
    connected, account, subscribed, mode = Bench().connect_facts
    assert ("NetLiquidation", "USD") in [(item.tag, item.currency) for item in account.values]
    assert isinstance(connected, BrokerConnectedReceived)
    assert (connected.client_id, connected.accounts, connected.next_valid_id) == (CLIENT_ID, ("DU1234567",), 1)
    assert subscribed == SubscriptionChangedReceived(at=START, symbol="SPY", status=SubscriptionStatus.SUBSCRIBED)
    assert mode.symbol == "SPY"


def test_a_row_becomes_a_quote_and_a_trade_at_the_rows_time() -> None:
    bench = Bench()
    at = START + timedelta(seconds=3)
    row = MarketEvent(
        at=at, symbol="SPY", bid=Decimal("99.5"), bid_size=Decimal(300), ask=Decimal("99.6"), ask_size=Decimal(200),
        last=Decimal("99.55"), last_size=Decimal(50),
    )  # fmt: skip
    bench.gateway.apply(row)
    quote, trade = bench.drain()
    assert isinstance(quote, QuoteReceived)
    assert isinstance(trade, TradeReceived)
    assert (quote.quote.bid, quote.quote.bid_size, quote.quote.ask, quote.quote.ask_size) == (99.5, 300, 99.6, 200)
    assert (quote.at, quote.quote.at, quote.received_ns) == (at, at, 3_000_000_000)
    assert (trade.price, trade.size, trade.at) == (99.55, 50.0, at)


def test_a_row_without_bid_and_ask_is_no_quote() -> None:
    bench = Bench()
    bench.gateway.apply(MarketEvent(at=START, symbol="SPY", last=Decimal(99), last_size=Decimal(1)))
    assert kinds(bench.drain()) == ["TradeReceived"]


def test_trades_can_be_left_untold() -> None:
    bench = Bench(trades=False)
    bench.gateway.apply(MarketEvent(at=START, symbol="SPY", last=Decimal(99), last_size=Decimal(1)))
    assert bench.drain() == []


def test_a_missing_side_keeps_its_last_value() -> None:
    bench = Bench()
    bench.quote(1, bid="100.00", ask=None)
    assert bench.drain() == []
    bench.quote(2, bid="100.00", ask="100.02")
    bench.quote(3, bid="100.01", ask=None)
    last = bench.drain()[-1]
    assert (last.quote.bid, last.quote.ask) == (100.01, 100.02)


def test_an_instrument_that_is_not_subscribed_is_silent() -> None:
    bench = Bench(symbols=["SPY"])
    bench.quote(1, symbol="IBM")
    assert bench.drain() == []


def test_a_marketable_order_tells_its_whole_life_in_the_order_of_the_wire() -> None:
    bench = Bench()
    bench.quote(1)
    bench.drain()
    bench.place(1)
    assert bench.drain() == [], "nothing is delivered from inside a command"
    bench.gateway.flush()
    facts = bench.drain()
    assert kinds(facts) == [
        "OrderSent", "OpenOrderReceived", "OrderStatusReceived", "ExecutionReceived", "OpenOrderReceived",
        "OrderStatusReceived", "CommissionReceived", "PositionReceived",
    ]  # fmt: skip
    execution = only(facts, ExecutionReceived)[0].line
    assert (execution.order_ref, execution.quantity, execution.price) == ("ref-1", 100, Decimal("100.02"))
    assert only(facts, OrderStatusReceived)[-1].status is BrokerOrderStatus.FILLED
    assert only(facts, CommissionReceived)[0].line.amount == Decimal("1.00")
    assert only(facts, PositionReceived)[0].line.quantity == 100


def test_a_resting_order_fills_after_the_quote_that_fills_it() -> None:
    bench = Bench()
    bench.quote(1)
    bench.place(1, limit="99.90")
    bench.gateway.flush()
    bench.drain()
    bench.quote(2, bid="99.88", ask="99.90")
    assert kinds(bench.drain())[:2] == ["QuoteReceived", "ExecutionReceived"]


def test_latency_lets_the_market_move_before_an_order_arrives() -> None:
    bench = Bench(latency_s=0.5)
    bench.quote(1)
    bench.place(1, limit="100.10")
    bench.quote(1.4, bid="100.05", ask="100.07")
    assert only(bench.drain(), ExecutionReceived) == []
    bench.quote(2, bid="100.20", ask="100.22")
    filled = only(bench.drain(), ExecutionReceived)[0]
    assert filled.line.price == Decimal("100.07")
    assert filled.at == START + timedelta(seconds=1.5)
    assert filled.received_ns == 1_500_000_000


def test_a_cancel_ends_an_order() -> None:
    bench = Bench()
    bench.quote(1)
    bench.place(1, limit="99.00")
    bench.gateway.execute(CancelOrder(order_ref="ref-1", order_id=1))
    bench.gateway.flush()
    facts = bench.drain()
    assert only(facts, OrderStatusReceived)[-1].status is BrokerOrderStatus.CANCELLED
    assert only(facts, BrokerErrorReceived)[-1].error_class is ErrorClass.ORDER_CANCELLED


def test_a_global_cancel_ends_orders_of_other_clients_too_but_tells_only_our_own() -> None:
    bench = Bench()
    bench.quote(1)
    foreign = OrderRequest(
        client_id=99, order_id=5, con_id=bench.instrument("SPY").con_id, side=Side.BUY, quantity=Decimal(10),
        order_type=OrderType.LIMIT, limit_price=Decimal("99.00"),
    )  # fmt: skip
    bench.exchange.place(foreign)
    bench.place(1, limit="99.00")
    bench.gateway.execute(CancelAllOrders(reason=CancelReason.PANIC))
    bench.gateway.flush()
    assert bench.exchange.open_orders() == ()
    assert {fact.client_id for fact in only(bench.drain(), OrderStatusReceived)} == {CLIENT_ID}


def test_the_brokers_state_is_answered_completely() -> None:
    bench = Bench()
    bench.quote(1)
    bench.place(1)
    bench.place(2, limit="99.00")
    bench.gateway.flush()
    bench.drain()
    bench.gateway.execute(RequestBrokerState(reason="test"))
    bench.gateway.flush()
    (state,) = bench.drain()
    assert isinstance(state, BrokerStateReceived)
    assert [(line.instrument.symbol, line.quantity) for line in state.positions or ()] == [("SPY", 100)]
    assert [line.order_ref for line in state.open_orders or ()] == ["ref-2"]
    assert [line.order_ref for line in state.completed_orders or ()] == ["ref-1"]
    assert [line.order_ref for line in state.executions or ()] == ["ref-1"]
    assert [line.amount for line in state.commissions] == [Decimal("1.00")]


def test_a_broker_that_knows_nothing_says_none_and_not_unknown() -> None:
    bench = Bench()
    bench.gateway.execute(RequestBrokerState(reason="test"))
    bench.gateway.flush()
    (state,) = bench.drain()
    assert (state.positions, state.open_orders, state.completed_orders, state.executions) == ((), (), (), ())


def test_resubscribing_answers_for_each_symbol_and_refuses_unknown_ones() -> None:
    bench = Bench()
    bench.gateway.execute(Resubscribe(symbols=("SPY", "XXX")))
    bench.gateway.flush()
    changed = only(bench.drain(), SubscriptionChangedReceived)
    assert [(fact.symbol, fact.status) for fact in changed] == [
        ("SPY", SubscriptionStatus.SUBSCRIBED),
        ("XXX", SubscriptionStatus.REFUSED),
    ]


@pytest.mark.parametrize("meanwhile", ["gone before", "gone on the way", "gone and back"])
def test_a_question_without_a_link_has_no_answer(meanwhile: str) -> None:
    bench = Bench(latency_s=0.1)
    if meanwhile == "gone before":
        bench.gateway.disconnect(DisconnectReason.CLOSED, "test")
    bench.gateway.execute(RequestBrokerState(reason="test"))
    bench.gateway.disconnect(DisconnectReason.CLOSED, "test")
    if meanwhile == "gone and back":
        bench.gateway.connect()
    bench.gateway.advance_to(START + timedelta(seconds=1))
    (answer,) = (fact for fact in bench.facts if isinstance(fact, BrokerStateReceived))
    assert (answer.positions, answer.open_orders, answer.completed_orders, answer.executions) == (None,) * 4


def test_a_cancel_without_a_link_does_not_leave() -> None:
    bench = Bench()
    bench.gateway.disconnect(DisconnectReason.CLOSED, "test")
    bench.gateway.flush()
    pending = bench.gateway.pending
    bench.gateway.execute(CancelOrder(order_ref="r", order_id=1))
    bench.gateway.execute(CancelAllOrders(reason=CancelReason.PANIC))
    bench.gateway.execute(Resubscribe())
    assert bench.gateway.pending == pending


def test_an_order_while_disconnected_certainly_did_not_leave() -> None:
    bench = Bench()
    bench.gateway.disconnect(DisconnectReason.CLOSED, "test")
    bench.place(1)
    bench.gateway.flush()
    lost, failed = bench.drain()
    assert isinstance(lost, BrokerDisconnectedReceived)
    assert isinstance(failed, OrderSendFailed)
    assert bench.exchange.open_orders() == ()


def test_what_is_under_way_when_the_link_breaks_is_lost_but_happened() -> None:
    bench = Bench(latency_s=1)
    bench.quote(1)
    bench.place(1)
    bench.gateway.flush()
    bench.gateway.disconnect(DisconnectReason.CLOSED, "test")
    bench.gateway.advance_to(START + timedelta(seconds=10))
    assert kinds(bench.drain()) == ["QuoteReceived", "OrderSent", "BrokerDisconnectedReceived"]
    assert len(bench.exchange.executions()) == 1
    bench.gateway.connect()
    bench.gateway.flush()
    assert kinds(bench.drain())[0] == "BrokerConnectedReceived"


class LateAndLost:
    """Commissions come five seconds late, executions twice."""

    def deliveries(self, report: Report) -> list[tuple[float, Report]]:
        if isinstance(report, CommissionReported):
            return [(5.0, report)]
        if isinstance(report, ExecutionReported):
            return [(0.0, report), (0.0, report)]
        return [(0.0, report)]


def test_faults_delay_and_repeat_what_is_delivered() -> None:
    bench = Bench(faults=LateAndLost())
    bench.quote(1)
    bench.place(1)
    bench.gateway.flush()
    facts = bench.drain()
    assert len(only(facts, ExecutionReceived)) == 2
    assert only(facts, CommissionReceived) == []
    bench.gateway.advance_to(START + timedelta(seconds=20))
    (late,) = only(bench.drain(), CommissionReceived)
    assert late.at == START + timedelta(seconds=6)


def test_the_same_input_gives_the_same_facts() -> None:
    def run() -> list[AnyFact]:
        bench = Bench(latency_s=0.3, faults=LateAndLost())
        for second in range(20):
            bench.quote(second, bid=f"{100 + second % 3}.00", ask=f"{100 + second % 3}.02")
            bench.place(second + 1, side=Side.BUY if second % 2 else Side.SELL, limit="101.00")
        bench.gateway.advance_to(START + timedelta(minutes=1))
        return bench.drain()

    assert run() == run()


def test_an_instrument_the_exchange_does_not_list_is_refused() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="lists no contract"):
        InProcessGateway(bench.exchange, {"SPY": Instrument("SPY")}, bench.clock, bench.facts.append)


async def test_run_stays_until_close_and_close_disconnects() -> None:
    bench = Bench()
    await bench.gateway.close()
    await bench.gateway.close()
    await bench.gateway.run()
    assert kinds(bench.drain()) == ["BrokerDisconnectedReceived"]


def test_open_orders_carry_what_was_sent() -> None:
    bench = Bench()
    bench.quote(1)
    bench.place(3, side=Side.SELL, limit="105.00", quantity=40)
    bench.gateway.flush()
    facts = bench.drain()
    sent, line = only(facts, OrderSent)[0], only(facts, OpenOrderReceived)[0].line
    assert (sent.order_ref, sent.order_id) == ("ref-3", 3)
    assert (line.order_ref, line.side, line.quantity, line.limit_price) == ("ref-3", Side.SELL, 40, Decimal("105.00"))
    assert line.perm_id > 0
