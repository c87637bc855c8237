"""One trace per order, from the tick to the last commission."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from observability import tracing as tracing_module
from observability.exemplars import trace_id
from observability.order_trace import OrderTrace, unix_ns
from observability.tracing import (
    LINGER,
    MAX_OPEN_TRACES,
    SpanSink,
    TraceBuilder,
    Tracing,
    TracingUnavailable,
    build_tracing,
    traces_url,
)
from trader.events import (
    AnyFact,
    CommissionBooked,
    DecisionMade,
    FillBooked,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderOutcome,
    OrderSent,
    OrdersJournaled,
    OrderState,
    OrderStateChanged,
    QuoteReceived,
)
from trader.settings import TracingSettings

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
MS = 1_000_000


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.traces: list[OrderTrace] = []
        self.closed = False

    def export(self, trace: OrderTrace) -> None:
        self.traces.append(trace)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def life(make_fact: Callable[..., Any]) -> Callable[..., list[Any]]:
    """The facts of one order that is filled: sent 4 ms after its tick, acknowledged after 20, filled after 50."""

    def facts(order_ref: str = "a", exec_id: str = "x1") -> list[Any]:
        def at(milliseconds: int) -> datetime:
            return NOW + timedelta(milliseconds=milliseconds)

        intended = make_fact(OrderIntended, order_ref=order_ref, at=at(2), risk_ns=(1_001 * MS, 1_002 * MS))
        intent = msgspec.structs.replace(intended.approved.intent, decided_ns=1_000 * MS, strategy="m")
        approved = type(intended.approved)(intent=intent, reduces=False)
        line = msgspec.structs.replace(make_fact(FillBooked).line, exec_id=exec_id, quantity=Decimal(5))
        commission = msgspec.structs.replace(make_fact(CommissionBooked).line, exec_id=exec_id)
        return [
            make_fact(DecisionMade, strategy="m", symbol=intent.terms.symbol, duration_s=0.001, at=at(2)),
            msgspec.structs.replace(intended, approved=approved),
            make_fact(OrdersJournaled, order_refs=(order_ref,), started_ns=1_002 * MS, ended_ns=1_003 * MS, at=at(2)),
            make_fact(OrderSent, order_ref=order_ref, sent_ns=1_004 * MS, at=at(4)),
            make_fact(OrderAcknowledged, order_ref=order_ref, duration_s=0.020, at=at(24)),
            make_fact(OrderStateChanged, order_ref=order_ref, new=OrderState.WORKING, at=at(24)),
            make_fact(FillBooked, order_ref=order_ref, line=line, replaced_quantity=Decimal(0), at=at(54)),
            make_fact(OrderFinalized, order_ref=order_ref, outcome=OrderOutcome.FILLED, filled=Decimal(5), at=at(54)),
            make_fact(CommissionBooked, line=commission, at=at(60)),
        ]

    return facts


def feed(builder: TraceBuilder, facts: list[AnyFact]) -> None:
    for fact in facts:
        builder.fold(fact)


def spans_of(facts: list[AnyFact]) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    tracing = Tracing(SpanSink(exporter, batched=False))
    tracing.start()
    for fact in facts:
        tracing.observe(fact)
    tracing.stop()
    return {span.name: span for span in exporter.get_finished_spans()}


def milliseconds(span: ReadableSpan) -> tuple[float, float]:
    """A span's start and end, from the tick."""
    tick = unix_ns(NOW)
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.start_time - tick) / MS, (span.end_time - tick) / MS


def test_an_orders_spans_reach_from_the_tick_to_the_commission(life: Callable[..., list[Any]]) -> None:
    spans = spans_of(life())
    assert {name: milliseconds(span) for name, span in spans.items()} == {
        "order": (0, 60),
        "decide": (0, 1),
        "risk": (1, 2),
        "journal": (2, 3),
        "submit": (3, 4),
        "acknowledge": (4, 24),
        "fill": (4, 54),
        "commission": (54, 60),
    }


def test_a_hand_over_that_carries_an_earlier_time_is_not_placed_before_the_intent(
    life: Callable[..., list[Any]],
) -> None:
    facts = life()
    facts[3] = msgspec.structs.replace(facts[3], at=NOW - timedelta(milliseconds=500))
    assert milliseconds(spans_of(facts)["submit"]) == (3, 4)


def test_an_order_that_nobody_timed_is_told_in_what_is_known(life: Callable[..., list[Any]]) -> None:
    facts = life()
    facts[1] = msgspec.structs.replace(facts[1], risk_ns=())
    del facts[2]
    spans = spans_of(facts)
    assert milliseconds(spans["decide and risk"]) == (0, 1)
    assert milliseconds(spans["submit"]) == (1, 4)


def test_the_spans_of_an_order_are_one_trace_with_its_reference(life: Callable[..., list[Any]]) -> None:
    spans = spans_of(life("run-7"))
    root = spans.pop("order")
    assert root.attributes is not None
    assert f"{root.context.trace_id:032x}" == trace_id("run-7")
    assert root.attributes["order.ref"] == "run-7"
    assert root.attributes["order.outcome"] == "filled"
    assert root.parent is None
    for span in spans.values():
        assert span.parent is not None
        assert span.parent.span_id == root.context.span_id
        assert span.context.trace_id == root.context.trace_id


def test_a_change_of_state_is_an_event_of_the_order(life: Callable[..., list[Any]]) -> None:
    root = spans_of(life())["order"]
    assert [event.name for event in root.events] == ["tick", "state working"]


def test_a_rejected_order_is_an_error(life: Callable[..., list[Any]], make_fact: Callable[..., Any]) -> None:
    rejected = make_fact(OrderFinalized, order_ref="a", outcome=OrderOutcome.REJECTED, filled=Decimal(0))
    assert not spans_of([*life()[:3], rejected])["order"].status.is_ok


def test_orders_at_the_same_time_are_traces_of_their_own(life: Callable[..., list[Any]]) -> None:
    kept = Kept()
    pairs = zip(life("a", "x1"), life("b", "x2"), strict=True)
    feed(TraceBuilder(kept), [fact for pair in pairs for fact in pair])
    assert [trace.order_ref for trace in kept.traces] == ["a", "b"]
    assert all(trace.complete for trace in kept.traces)


def test_a_commission_that_comes_before_the_order_is_final_is_taken(life: Callable[..., list[Any]]) -> None:
    facts = life()
    facts[-1], facts[-2] = facts[-2], facts[-1]
    kept = Kept()
    feed(TraceBuilder(kept), facts)
    assert [trace.complete for trace in kept.traces] == [True]


def test_an_order_that_is_final_before_its_fill_waits_for_it(life: Callable[..., list[Any]]) -> None:
    facts = life()
    facts[-2], facts[-3] = facts[-3], facts[-2]
    kept = Kept()
    builder = TraceBuilder(kept)
    feed(builder, facts[:-2])
    assert kept.traces == []
    feed(builder, facts[-2:])
    assert [step.name for step in kept.traces[0].steps][-2:] == ["fill", "commission"]


def test_a_commission_that_never_comes_does_not_keep_a_trace(
    life: Callable[..., list[Any]], make_fact: Callable[..., Any]
) -> None:
    kept = Kept()
    builder = TraceBuilder(kept)
    feed(builder, life()[:-1])
    assert kept.traces == []
    builder.fold(make_fact(DecisionMade, at=NOW + LINGER + timedelta(seconds=1)))
    assert len(kept.traces) == 1


def test_there_is_a_limit_on_open_traces(make_fact: Callable[..., Any]) -> None:
    kept = Kept()
    builder = TraceBuilder(kept)
    for number in range(MAX_OPEN_TRACES + 3):
        builder.fold(make_fact(OrderIntended, order_ref=str(number)))
    assert [trace.order_ref for trace in kept.traces] == ["0", "1", "2"]


def test_stopping_hands_over_what_is_open(life: Callable[..., list[Any]]) -> None:
    kept = Kept()
    tracing = Tracing(kept)
    tracing.start()
    for fact in life()[:4]:
        tracing.observe(fact)
    tracing.stop()
    assert [trace.order_ref for trace in kept.traces] == ["a"]
    assert kept.closed


def test_every_fact_is_taken_without_failure(every_fact: list[Any]) -> None:
    builder = TraceBuilder(Kept())
    feed(builder, every_fact)
    builder.close()


def test_ticks_are_not_queued(make_fact: Callable[..., Any]) -> None:
    tracing = Tracing(Kept())
    tracing.observe(make_fact(QuoteReceived))
    assert tracing._worker._items.empty()


def test_tracing_is_off_unless_an_endpoint_is_set() -> None:
    assert build_tracing(TracingSettings()) is None


def test_a_missing_exporter_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing_module, "OTLP_MODULE", "opentelemetry.exporter.not_there")
    with pytest.raises(TracingUnavailable, match="OTLP exporter is not installed; install it"):
        build_tracing(TracingSettings(otlp_endpoint="http://127.0.0.1:4318/v1/traces"))


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
)
def test_an_endpoint_without_a_path_gets_the_protocols_own(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


def test_without_tracing_opentelemetry_is_not_imported() -> None:
    code = "import sys, observability.stack; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
