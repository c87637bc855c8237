"""One order a bucket, and one trace id for an order wherever it is named."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from observability.collectors import SnapshotCollector
from observability.exemplars import Exemplars, trace_id
from observability.families import new_registry
from observability.instruments import Instruments
from observability.loops import LoopTicks
from trader.clock import ManualClock
from trader.events import DecisionMade, FillBooked, OrderAcknowledged
from trader.snapshot import ACK_BOUNDS_S, DECISION_BOUNDS_S, HistogramView, Snapshot

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)


def test_a_trace_id_is_32_digits_and_depends_on_the_reference_alone() -> None:
    assert trace_id("ibt-r-1") == trace_id("ibt-r-1")
    assert trace_id("ibt-r-1") != trace_id("ibt-r-2")
    assert len(trace_id("")) == 32
    assert int(trace_id("ibt-r-1"), 16)


def test_the_newest_order_of_a_bucket_is_kept() -> None:
    exemplars = Exemplars((0.1, 0.35))
    for value, order in ((0.05, "a"), (0.2, "b"), (0.35, "c"), (9.0, "d")):
        exemplars.note(value, order, NOW)
    found = [exemplar and (exemplar.labels["trace_id"], exemplar.value) for exemplar in exemplars.read()]
    assert found == [(trace_id("a"), 0.05), (trace_id("c"), 0.35), (trace_id("d"), 9.0)]


def test_an_empty_bucket_has_none() -> None:
    assert Exemplars((0.1,)).read() == [None, None]


@pytest.fixture
def exposition(snapshot: Snapshot, clock: ManualClock, make_fact: Callable[..., Any]) -> str:
    """OpenMetrics after one order: decided in 0.3 s, acknowledged after 1.8 s, filled after 4 s."""
    registry = new_registry()
    instruments = Instruments(registry, LoopTicks(clock))
    ack, decision = [0] * (len(ACK_BOUNDS_S) + 1), [0] * (len(DECISION_BOUNDS_S) + 1)
    ack[ACK_BOUNDS_S.index(2.0)] = decision[DECISION_BOUNDS_S.index(0.3)] = 1
    activity = msgspec.structs.replace(
        snapshot.activity,
        ack_duration=HistogramView(bounds=ACK_BOUNDS_S, counts=tuple(ack), total=1.8),
        decision_duration=HistogramView(bounds=DECISION_BOUNDS_S, counts=tuple(decision), total=0.3),
    )
    state = msgspec.structs.replace(snapshot, activity=activity)
    registry.register(SnapshotCollector(lambda: state, instruments))
    for fact in (
        make_fact(DecisionMade, duration_s=0.3, order_ref="r-1", at=NOW),
        make_fact(DecisionMade, duration_s=0.3, order_ref="", at=NOW + timedelta(seconds=1)),
        make_fact(OrderAcknowledged, duration_s=1.8, order_ref="r-1", at=NOW),
        make_fact(FillBooked, fill_duration_s=4.0, order_ref="r-1", at=NOW),
        make_fact(FillBooked, fill_duration_s=4.0, order_ref="", at=NOW),
    ):
        instruments.observe(fact)
    return generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("name", "le", "value"),
    [
        ("trader_decision_duration_seconds", "0.3", 0.3),
        ("trader_order_ack_duration_seconds", "2.0", 1.8),
        ("trader_order_fill_duration_seconds", "5.0", 4.0),
    ],
)
def test_a_latency_histogram_leads_to_the_orders_trace(exposition: str, name: str, le: str, value: float) -> None:
    families = {family.name: family for family in text_string_to_metric_families(exposition)}
    found = {
        sample.labels["le"]: (sample.exemplar.labels, sample.exemplar.value)
        for sample in families[name].samples
        if sample.exemplar
    }
    assert found == {le: ({"trace_id": trace_id("r-1")}, value)}


def test_lines_of_an_order_name_its_trace(make_fact: Callable[..., Any], clock: ManualClock) -> None:
    import io

    from observability.logs import FactLogger, configure_logging
    from trader.events import BrokerErrorReceived, CommissionBooked, ErrorClass, OrderIntended

    stream = io.StringIO()
    pipeline = configure_logging("DEBUG", clock, stream, False)
    fill = make_fact(FillBooked, order_ref="r-1")
    told = [
        make_fact(DecisionMade, outcome="enter", order_ref="r-1"),
        make_fact(OrderIntended, order_ref="r-1", order_id=5),
        make_fact(BrokerErrorReceived, request_id=5, code=399, error_class=ErrorClass.NOTICE),
        make_fact(OrderAcknowledged, order_ref="r-1"),
        fill,
        make_fact(CommissionBooked, line=msgspec.structs.replace(make_fact(CommissionBooked).line,
                                                                exec_id=fill.line.exec_id)),
    ]  # fmt: skip
    for fact in told:
        FactLogger(pipeline).observe(fact)
    pipeline.stop()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("trace_id") for line in lines] == [trace_id("r-1")] * len(told)
