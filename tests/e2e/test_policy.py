"""The budget policy in a running service: messages of Alertmanager over HTTP, the operator on the command line."""

import json
import os
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import TradingState
from trader.events import PolicyChanged, PolicyOverridden, PolicyState, TradingStateChanged

pytestmark = pytest.mark.e2e
TOKEN = "a-token-of-some-length"


class Alertmanager:
    """Says to the service of ``rig`` what Alertmanager would."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        file = rig.folder / "policy-token"
        file.touch(0o600)
        file.write_text(TOKEN + "\n")
        rig.configure(policy={"token_file": str(file)})

    def tell(self, status: str, name: str = "SLOBudgetExhausted", token: str = TOKEN) -> int:
        """Send one alert about decision latency; the answer's status."""
        self.scrape()
        labels = {"alertname": name, "policy": "true", "slo": "decision_latency", "instance": "here"}
        body = {"version": "4", "alerts": [{"status": status, "labels": labels, "fingerprint": "f1"}]}
        return self._open("/alertmanager/webhook", json.dumps(body).encode(), {"Authorization": f"Bearer {token}"})[0]

    def scrape(self) -> str:
        """The metrics, read as Prometheus does."""
        return self._open("/metrics", None, {"X-Prometheus-Scrape-Timeout-Seconds": "10"})[1]

    def _open(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.rig.metrics_port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def is_state(state: TradingState) -> Any:
    return lambda snapshot: snapshot.trading_state is state


def test_an_exhausted_budget_stops_entries_until_it_is_resolved(rig: Any) -> None:
    alertmanager = Alertmanager(rig)
    service = rig.service()
    rig.wait(lambda s: s.activity.ticks == 0, "an answer")
    assert alertmanager.tell("firing", token="wrong") == 401
    assert alertmanager.tell("firing") == 200
    rig.simulator()
    refused = rig.wait(lambda s: s.ready and s.activity.signals > 0 and s.activity.ticks > 20, "a wish for a position")
    assert refused.trading_state is TradingState.REDUCE_ONLY
    assert refused.positions == ()
    metrics = alertmanager.scrape()
    assert 'trader_budget_policy_state{slo="decision_latency"} 2.0' in metrics
    assert 'trader_halted{reason="policy"} 1.0' in metrics
    assert 'trader_risk_blocks_total{rule="reduce_only"} 0.0' not in metrics
    assert "trader_budget_policy_last_evaluation_timestamp_seconds" in metrics

    service.kill()
    service.wait()
    rig.service()
    rig.wait(lambda s: s.ready and s.trading_state is TradingState.REDUCE_ONLY, "the policy's word after a crash")

    assert alertmanager.tell("resolved") == 200
    bought = rig.wait(lambda s: [p.quantity for p in s.positions] == [Decimal(100)], "a position of 100")
    assert bought.trading_state is TradingState.ACTIVE
    changes = [fact for fact in rig.facts() if isinstance(fact, PolicyChanged)]
    assert [fact.new for fact in changes] == [PolicyState.NO_NEW_ENTRIES, PolicyState.OK]


def test_an_operator_overrides_the_policy_for_a_while(rig: Any) -> None:
    alertmanager = Alertmanager(rig)
    rig.simulator()
    rig.service()
    rig.wait(is_state(TradingState.ACTIVE), "an answer")
    alertmanager.tell("firing")
    rig.wait(is_state(TradingState.REDUCE_ONLY), "reduce only")
    assert "only exits are allowed" in rig.command("resume").stdout

    refused = rig.command("policy", "override", "--for", "30d", "--reason", "too long")
    assert (refused.returncode, "an override may last 86400 s at most" in refused.stderr) == (1, True)
    said = rig.command("policy", "override", "--for", "6s", "--reason", "known cause")
    assert said.returncode == 0, said.stderr
    assert "overridden" in rig.command("policy", "show").stdout
    rig.wait(is_state(TradingState.REDUCE_ONLY), "the end of the override")

    facts = rig.facts()
    overrides = [(fact.source, fact.reason) for fact in facts if isinstance(fact, PolicyOverridden)]
    assert overrides == [("operator", "known cause"), ("policy", "the override expired")]
    states = [fact.new for fact in facts if isinstance(fact, TradingStateChanged)]
    assert states[-3:] == [TradingState.REDUCE_ONLY, TradingState.ACTIVE, TradingState.REDUCE_ONLY]
    assert "budget policy" in rig.command("status").stdout


def test_a_token_that_others_can_read_is_refused_in_one_sentence(rig: Any) -> None:
    Alertmanager(rig)
    os.chmod(rig.folder / "policy-token", 0o644)
    service = rig.service()
    assert service.wait(60) != 0
    assert "others can read it (mode 0644)" in rig.log()
    assert "Traceback" not in rig.log()
