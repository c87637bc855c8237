"""Traces at a collector: the service's observer, OTLP over HTTP, and a receiver that decodes the protocol itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from observability.exemplars import trace_id
from observability.tracing import Tracing, build_tracing
from trader.contracts import Instrument, OrderType, Side
from trader.events import (
    Approved,
    CommissionBooked,
    CommissionLine,
    DecisionMade,
    DecisionOutcome,
    ExecutionLine,
    FillBooked,
    Intent,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderOutcome,
    OrderSent,
    OrdersJournaled,
    OrderTerms,
)
from trader.settings import TracingSettings

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

T0 = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
T0_NS = int(T0.timestamp()) * 1_000_000_000
MS = 1_000_000


def values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


@pytest.fixture
def collector(otlp_collector: Callable[..., Any]) -> Any:
    return otlp_collector()


def life(order_ref: str, number: int) -> list[Any]:
    """The facts of one order: a tick at T0, sent 4 ms later, acknowledged, filled in two parts, commissions paid."""

    def at(milliseconds: int) -> datetime:
        return T0 + timedelta(milliseconds=milliseconds)

    terms = OrderTerms(symbol="SPY", side=Side.BUY, quantity=Decimal(10), order_type=OrderType.MARKET)
    intent = Intent(terms=terms, strategy="m", reason="z", reference_price=100.25, decided_ns=1_000 * MS)
    fills = [
        ExecutionLine(
            exec_id=f"{order_ref}.{part}", order_id=number, perm_id=1, client_id=1, order_ref=order_ref,
            instrument=Instrument("SPY"), side=Side.BUY, quantity=Decimal(5), price=Decimal("100.26"),
            executed_at=at(50),
        )
        for part in (1, 2)
    ]  # fmt: skip
    return [
        DecisionMade(
            at=at(2), strategy="m", symbol="SPY", outcome=DecisionOutcome.ENTER, duration_s=0.002, data_age_s=0.5,
            order_ref=order_ref,
        ),
        OrderIntended(
            at=at(2), order_ref=order_ref, order_id=number, approved=Approved(intent=intent, reduces=False),
            risk_ns=(1_001 * MS, 1_002 * MS),
        ),
        OrdersJournaled(at=at(2), order_refs=(order_ref,), started_ns=1_002 * MS, ended_ns=1_003 * MS),
        OrderSent(at=at(4), order_ref=order_ref, order_id=number, sent_ns=1_004 * MS),
        OrderAcknowledged(at=at(24), order_ref=order_ref, duration_s=0.020),
        *(
            FillBooked(
                at=at(54 + part), order_ref=order_ref, line=fill, corrects=None, replaced_quantity=Decimal(0),
                slippage_ratio=0.0001, fill_duration_s=0.05,
            )
            for part, fill in enumerate(fills)
        ),
        OrderFinalized(
            at=at(55), order_ref=order_ref, symbol="SPY", order_type=OrderType.MARKET, outcome=OrderOutcome.FILLED,
            eligible=True, filled=Decimal(10), duration_s=0.05,
        ),
        *(
            CommissionBooked(at=at(60), line=CommissionLine(exec_id=fill.exec_id, amount=Decimal(1), currency="USD"))
            for fill in fills
        ),
    ]  # fmt: skip


def traced(url: str, facts: list[Any], token: str | None = None) -> None:
    tracing = build_tracing(TracingSettings(otlp_endpoint=url), token)
    assert isinstance(tracing, Tracing)
    tracing.start()
    for fact in facts:
        tracing.observe(fact)
    tracing.stop()


def span_times(spans: list[Any]) -> dict[str, list[tuple[float, float]]]:
    """By name, start and end of each span in ms from the tick."""
    found: dict[str, list[tuple[float, float]]] = {}
    for span in spans:
        times = ((span.start_time_unix_nano - T0_NS) / MS, (span.end_time_unix_nano - T0_NS) / MS)
        found.setdefault(span.name, []).append(times)
    return found


def test_a_collector_gets_the_whole_life_of_an_order(collector: Any) -> None:
    traced(collector.url, life("ibt-r-1", 1))
    assert span_times(collector.spans) == {
        "order": [(0, 60)],
        "decide": [(0, 1)],
        "risk": [(1, 2)],
        "journal": [(2, 3)],
        "submit": [(3, 4)],
        "acknowledge": [(4, 24)],
        "fill": [(4, 54), (4, 55)],
        "commission": [(54, 60), (55, 60)],
    }


def test_its_spans_are_children_of_the_order_in_the_trace_that_logs_and_metrics_name(collector: Any) -> None:
    traced(collector.url, [*life("ibt-r-1", 1), *life("ibt-r-2", 2)])
    roots = {span.trace_id.hex(): span for span in collector.spans if span.name == "order"}
    assert set(roots) == {trace_id("ibt-r-1"), trace_id("ibt-r-2")}
    for span in collector.spans:
        root = roots[span.trace_id.hex()]
        assert span.parent_span_id == (b"" if span is root else root.span_id)
    assert len({span.span_id for span in collector.spans}) == len(collector.spans)


def test_it_says_what_the_order_was(collector: Any) -> None:
    traced(collector.url, life("ibt-r-1", 1))
    root = next(span for span in collector.spans if span.name == "order")
    told = values(root.attributes)
    assert (told["order.ref"], told["order.symbol"], told["order.outcome"]) == ("ibt-r-1", "SPY", "filled")
    tick = root.events[0]
    assert (tick.name, tick.time_unix_nano) == ("tick", T0_NS)
    assert values(tick.attributes) == {"symbol": "SPY", "price": 100.25, "data_age_s": 0.5}
    assert collector.resources[0]["service.name"] == "ibkr-trading"


def test_it_uses_the_protocols_path_and_the_token(collector: Any) -> None:
    traced(collector.url, life("ibt-r-1", 1), token="secret-token")
    path, headers = collector.requests[0]
    assert path == "/v1/traces"
    assert headers["authorization"] == "Bearer secret-token"
    assert headers["content-type"] == "application/x-protobuf"


def test_a_collector_that_refuses_costs_the_traces_and_nothing_else(otlp_collector: Callable[..., Any]) -> None:
    refusing = otlp_collector(answer=400)
    traced(refusing.url, life("ibt-r-1", 1))
    assert refusing.requests
    assert refusing.spans == []
