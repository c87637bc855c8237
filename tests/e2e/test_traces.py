"""Traces of a running service: its real orders at a collector, in the words of its log and its metrics."""

import json
import signal
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_the_service_sends_one_trace_an_order_that_log_and_metrics_name(
    rig: Any, otlp_collector: Callable[..., Any]
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    collector = otlp_collector()
    token = rig.folder / "otlp-token"
    token.touch(0o600)
    token.write_text("collectors-token")
    rig.configure(tracing={"otlp_endpoint": collector.url, "otlp_token_file": str(token)})
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.activity.fills > 0 and s.pnl_base.commissions_missing == 0, "an order that is paid for")
    request = urllib.request.Request(
        f"http://127.0.0.1:{rig.metrics_port}/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        metrics = answer.read().decode()
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0, rig.log()

    assert collector.requests[0][1]["authorization"] == "Bearer collectors-token"
    roots = [span for span in collector.spans if span.name == "order"]
    assert len(roots) == 1
    assert {span.trace_id for span in collector.spans} == {roots[0].trace_id}
    order = [span for span in collector.spans if span.name in ("decide", "risk", "journal", "submit", "acknowledge")]
    starts = [span.start_time_unix_nano for span in order]
    assert [span.name for span in order] == ["decide", "risk", "journal", "submit", "acknowledge"]
    assert starts == sorted(starts)
    assert {"fill", "commission"} <= {span.name for span in collector.spans}
    assert roots[0].events[0].name == "tick"

    trace_id = roots[0].trace_id.hex()
    lines = [json.loads(line) for line in rig.log().splitlines()]
    about = [line for line in lines if "order_ref" in line]
    assert {line["trace_id"] for line in about} == {trace_id}
    assert {"DecisionMade", "OrderIntended", "OrderSent", "OrderAcknowledged", "FillBooked", "CommissionBooked"} <= {
        line["fact"] for line in about
    }
    for histogram in ("decision", "order_ack", "order_fill"):
        found = [
            line for line in metrics.splitlines() if line.startswith(f"trader_{histogram}_duration_seconds_bucket")
        ]
        assert len([line for line in found if f'trace_id="{trace_id}"' in line]) == 1
