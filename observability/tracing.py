"""Traces: one per order, from the tick to the last commission, sent to a collector over OTLP.

Rules: off unless ``tracing.otlp_endpoint`` is set, and then only is OpenTelemetry imported, which takes start-up
time. The observer puts facts on a queue; a thread folds them (``order_trace.py``) and builds the spans when an
order is complete, final for ``LINGER`` without a commission, or one of too many.
"""

import importlib
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from observability.exemplars import trace_id
from observability.order_trace import OrderTrace, Step
from observability.worker import Worker
from trader.events import (
    AnyFact,
    CancelIntended,
    CommissionBooked,
    DecisionMade,
    FillBooked,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderSendFailed,
    OrderSent,
    OrdersJournaled,
    OrderStateChanged,
)
from trader.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

CAPACITY: Final = 10_000
MAX_OPEN_TRACES: Final = 1_000
MAX_DECISIONS: Final = 1_000
LINGER: Final = timedelta(minutes=1)
CLOSE_TIMEOUT_S: Final = 5.0
SERVICE_NAME: Final = "ibkr-trading"
TRACES_PATH: Final = "/v1/traces"
OTLP_MODULE: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

# Checked by type before anything is queued: the other facts say nothing about one order.
TRACED: Final = frozenset(
    (
        CancelIntended,
        CommissionBooked,
        DecisionMade,
        FillBooked,
        OrderAcknowledged,
        OrderFinalized,
        OrderIntended,
        OrdersJournaled,
        OrderSendFailed,
        OrderSent,
        OrderStateChanged,
    )
)


class TracingUnavailable(Exception):
    """Tracing is configured and cannot be done; the message says why and what to do."""


class TraceSink(Protocol):
    """Takes finished traces."""

    def export(self, trace: OrderTrace) -> None: ...

    def close(self) -> None: ...


class TraceBuilder:
    """Folds facts into order traces and hands the finished ones to ``sink``."""

    def __init__(self, sink: TraceSink) -> None:
        self._sink = sink
        self._traces: dict[str, OrderTrace] = {}
        self._ref_of_execution: dict[str, str] = {}
        self._decisions: dict[tuple[str, str], DecisionMade] = {}

    def fold(self, fact: AnyFact) -> None:
        """Take one fact in; facts that say nothing about an order change nothing."""
        match fact:
            case DecisionMade():
                self._decided(fact)
            case OrderIntended():
                self._begin(fact)
            case OrdersJournaled():
                for order_ref in fact.order_refs:
                    if order_ref in self._traces:
                        self._traces[order_ref].journaled = fact
            case CommissionBooked():
                self._commission(fact)
            case (
                OrderSent()
                | OrderSendFailed()
                | OrderAcknowledged()
                | OrderStateChanged()
                | CancelIntended()
                | OrderFinalized()
                | FillBooked()
            ):
                trace = self._traces.get(fact.order_ref)
                if trace is not None:
                    self._continue(trace, fact)
            case _:
                return
        self._finish_lingering(fact.at)

    def close(self) -> None:
        """Hand over every trace as far as it got."""
        for trace in list(self._traces.values()):
            self._finish(trace)
        self._sink.close()

    def _decided(self, fact: DecisionMade) -> None:
        """Keep the decision for the order that it leads to, which follows at once."""
        if len(self._decisions) >= MAX_DECISIONS:
            self._decisions.pop(next(iter(self._decisions)))
        self._decisions[fact.strategy, fact.symbol] = fact

    def _begin(self, fact: OrderIntended) -> None:
        if len(self._traces) >= MAX_OPEN_TRACES:
            self._finish(next(iter(self._traces.values())))
        intent = fact.approved.intent
        trace = OrderTrace(fact.order_ref, fact, self._decisions.pop((intent.strategy, intent.terms.symbol), None))
        self._traces[fact.order_ref] = trace

    def _continue(
        self,
        trace: OrderTrace,
        fact: OrderSent
        | OrderSendFailed
        | OrderAcknowledged
        | OrderStateChanged
        | CancelIntended
        | OrderFinalized
        | FillBooked,
    ) -> None:
        match fact:
            case OrderSent():
                trace.sent(fact)
            case OrderAcknowledged():
                trace.acknowledged(fact)
            case FillBooked():
                trace.filled(fact)
                self._ref_of_execution[fact.line.exec_id] = fact.order_ref
            case OrderFinalized():
                trace.final = fact
            case OrderSendFailed() | OrderStateChanged() | CancelIntended():
                trace.noted(fact)
        trace.last_at = fact.at
        if trace.complete:
            self._finish(trace)

    def _commission(self, fact: CommissionBooked) -> None:
        trace = self._traces.get(self._ref_of_execution.pop(fact.line.exec_id, ""))
        if trace is None:
            return
        trace.commission(fact)
        trace.last_at = fact.at
        if trace.complete:
            self._finish(trace)

    def _finish_lingering(self, now: datetime) -> None:
        """Final orders whose commission does not come, oldest first."""
        for trace in list(self._traces.values())[:2]:
            if trace.final is not None and trace.last_at is not None and now - trace.last_at > LINGER:
                self._finish(trace)

    def _finish(self, trace: OrderTrace) -> None:
        del self._traces[trace.order_ref]
        for exec_id in trace.missing_commissions:
            self._ref_of_execution.pop(exec_id, None)
        self._sink.export(trace)


class Tracing:
    """The observer that traces; ``observe`` costs a look-up and a put on a queue."""

    def __init__(self, sink: TraceSink) -> None:
        self._builder = TraceBuilder(sink)
        self._worker: Worker[AnyFact] = Worker("traces", self._builder.fold, CAPACITY)

    def observe(self, fact: AnyFact) -> None:
        if type(fact) in TRACED:
            self._worker.put(fact)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Fold what is queued, hand over what is open and end; within the worker's limit."""
        if self._worker.stop():
            self._builder.close()


def _order_ids() -> Any:
    """Span ids at random; the trace's id is the one that logs and exemplars name for the order of ``order_ref``."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class OrderIds(RandomIdGenerator):
        order_ref = ""

        def generate_trace_id(self) -> int:
            return int(trace_id(self.order_ref), 16)

    return OrderIds()


class SpanSink:
    """Finished traces as OpenTelemetry spans, sent in batches by the SDK's own thread."""

    def __init__(self, exporter: "SpanExporter", batched: bool = True) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._ids = _order_ids()
        self._provider = TracerProvider(
            resource=Resource({"service.name": SERVICE_NAME}), shutdown_on_exit=False, id_generator=self._ids
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter) if batched else SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("trader.orders")

    def export(self, trace: OrderTrace) -> None:
        from opentelemetry.trace import StatusCode, set_span_in_context

        self._ids.order_ref = trace.order_ref
        root = self._tracer.start_span("order", start_time=trace.start_ns, attributes=trace.attributes())
        context = set_span_in_context(root)
        for step in trace.steps:
            self._add(root, context, step)
        if trace.failed:
            root.set_status(StatusCode.ERROR)
        root.end(end_time=trace.end_ns)

    def close(self) -> None:
        """Send what is left, within ``CLOSE_TIMEOUT_S``: a collector that is away must not hold the service's end."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)

    def _add(self, root: Any, context: Any, step: Step) -> None:
        """An instant is an event of the order's span, a stretch a span of its own."""
        if step.start_ns == step.end_ns:
            root.add_event(step.name, attributes=step.attributes, timestamp=step.end_ns)
            return
        span = self._tracer.start_span(step.name, context=context, start_time=step.start_ns, attributes=step.attributes)
        span.end(end_time=step.end_ns)


def build_tracing(settings: TracingSettings, token: str | None = None) -> Tracing | None:
    """The tracing observer that ``settings`` ask for, None when off; TracingUnavailable when it cannot be done.

    ``token`` is the content of ``otlp_token_file``.
    """
    if settings.otlp_endpoint is None:
        return None
    return Tracing(SpanSink(_otlp_exporter(traces_url(settings.otlp_endpoint), token)))


def traces_url(endpoint: str) -> str:
    """``endpoint`` with OTLP's own path for traces, when it names none."""
    parts = urlsplit(endpoint)
    return endpoint if parts.path not in ("", "/") else urlunsplit(parts._replace(path=TRACES_PATH))


def _otlp_exporter(endpoint: str, token: str | None) -> "SpanExporter":
    try:
        module = importlib.import_module(OTLP_MODULE)
    except ImportError:
        raise TracingUnavailable(
            "tracing.otlp_endpoint is set but the OTLP exporter is not installed; "
            "install it (pip install 'ibkr-trading[tracing]') or remove the setting"
        ) from None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    exporter: SpanExporter = module.OTLPSpanExporter(endpoint=endpoint, headers=headers)
    return exporter
