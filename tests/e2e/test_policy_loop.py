"""The closed loop on a real Prometheus and Alertmanager: slow decisions, a burnt budget, no entries, and back again.

The rules are the shipped ones, made from the shipped objectives with windows of seconds instead of days.
"""

import asyncio
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability import rules, slo
from trader.contracts import TradingState
from trader.events import PolicyChanged, PolicyState, TradingStateChanged
from trader.snapshot import Snapshot
from trader.stack import ALERTS_FOLDER, Programs, Stack, StackOptions

pytestmark = pytest.mark.e2e
TOKEN = "a-token-of-some-length"
ATTEMPTS = 900
PAUSE_S = 0.1

STRATEGY = '''
import json
import time
from decimal import Decimal
from pathlib import Path

from trader.strategy.api import Target


class Obedient:
    """Wants what ``wanted.json`` says. While ``slow`` is there, one decision in five takes 0.4 s longer."""

    name = "obedient"

    def __init__(self, folder):
        self.folder = Path(folder)
        self.decisions = 0

    def on_quote(self, quote, view):
        self.decisions += 1
        if self.decisions % 5 == 0 and (self.folder / "slow").exists():
            time.sleep(0.4)
        wanted = json.loads((self.folder / "wanted.json").read_text())
        return [Target(symbol, Decimal(quantity), "as told") for symbol, quantity in wanted.items()]

    def on_schedule(self, view):
        return []
'''


def in_seconds(shipped: Path, folder: Path) -> Path:
    """The shipped alerts with the objectives' windows in seconds; the rules are made anew from these."""
    shutil.copytree(shipped, folder)
    values = yaml.safe_load((shipped / "slo.yaml").read_text())
    at_once = {"for": "0s", "keep_firing_for": "0s"}
    values |= {"evaluation_interval": "1s", "long_evaluation_interval": "1s"}
    values["session"] |= {"length": "20s", "sessions_per_budget": 1}
    values["budget"] |= {"window": "20s", "burn_window": "4s", "min_events": 20, "exhausted": at_once}
    values["burn"]["fast"] |= {"pairs": [{"factor": 2, "long": "8s", "short": "4s"}], **at_once}
    values["burn"]["slow"] |= {"pairs": [{"factor": 1, "long": "16s", "short": "8s"}]}
    values["coverage"] |= {"window": "20s", "min_session": "10s"}
    for name in ("order_latency", "fill_rate"):
        values["slos"][name]["windows"] = ["20s"]
    spec = slo.parse(yaml.safe_dump(values))
    (folder / "rules" / "slo.rules.yml").write_text(rules.render(spec))
    return folder


class Loop:
    """A service that does as it is told, and the stack that watches it."""

    def __init__(self, rig: Any, programs: Programs) -> None:
        self.rig = rig
        self.programs = programs
        self.folder: Path = rig.folder
        (self.folder / "obedient_strategies.py").write_text(STRATEGY)
        token = self.folder / "policy-token"
        token.touch(0o600)
        token.write_text(TOKEN)
        self.want(SPY=100)
        rig.configure(
            strategy={"name": "obedient_strategies:Obedient", "parameters": {"folder": str(self.folder)}},
            policy={"token_file": str(token), "measured_within_s": 2, "confirm_resolved_s": 8},
        )

    def want(self, **quantities: int) -> None:
        part = self.folder / "wanted.part"
        part.write_text(json.dumps(quantities))
        part.replace(self.folder / "wanted.json")

    def stack(self) -> Stack:
        address = f"127.0.0.1:{self.rig.metrics_port}"
        return Stack(
            StackOptions(
                folder=self.folder / "stack",
                alerts=in_seconds(ALERTS_FOLDER, self.folder / "alerts"),
                traders=(address,),
                scrape_interval_s=1.0,
                evaluation_interval_s=1.0,
                timing_s={"group_wait": 0.1, "group_interval": 1.0, "repeat_interval": 2.0},
                resend_s=1.0,
                calendar="always",
                receivers={"policy": f"http://{address}/alertmanager/webhook"},
                token=TOKEN,
                programs=self.programs,
            )
        )

    async def wait(self, condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """The first snapshot that fulfils ``condition``."""
        for _ in range(ATTEMPTS):
            snapshot = await asyncio.to_thread(self.rig.snapshot)
            if snapshot is not None and condition(snapshot):
                return snapshot  # type: ignore[no-any-return]
            await asyncio.sleep(PAUSE_S)
        pytest.fail(f"waited for: {what}\n{self.rig.log()[-3000:]}")

    async def told(self, stack: Stack, expression: str) -> None:
        """Wait until ``expression`` gives something."""
        for _ in range(ATTEMPTS):
            if await stack.query(expression):
                return
            await asyncio.sleep(PAUSE_S)
        pytest.fail(f"waited for: {expression}")

    async def told_of_traces(self, stack: Stack) -> None:
        """Wait until Prometheus has exemplars of an order's latencies whose trace the log names too."""
        lines = [json.loads(line) for line in self.rig.log().splitlines()]
        logged = {line["trace_id"] for line in lines if "trace_id" in line}
        for histogram in ("trader_order_ack_duration_seconds", "trader_decision_duration_seconds"):
            query = urllib.parse.urlencode({"query": f"{histogram}_bucket", "start": 0, "end": 9_999_999_999})
            url = f"{stack.prometheus_url}/api/v1/query_exemplars?{query}"
            answer = json.loads(await asyncio.to_thread(read, url))
            found = {item["labels"]["trace_id"] for series in answer["data"] for item in series["exemplars"]}
            assert found
            assert found <= logged


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()  # type: ignore[no-any-return]


def held(snapshot: Snapshot) -> dict[str, Decimal]:
    return {position.symbol: position.quantity for position in snapshot.positions}


@pytest.fixture
def loop(rig: Any, programs: Programs) -> Loop:
    made = Loop(rig, programs)
    rig.simulator("--begin", "now")
    rig.service()
    return made


async def test_a_burnt_budget_stops_entries_and_a_repaired_service_trades_again(loop: Loop) -> None:
    await loop.wait(lambda s: held(s) == {"SPY": Decimal(100)}, "a position of 100")
    async with loop.stack() as stack:
        await loop.told(stack, 'slo:budget_remaining_ratio{slo="decision_latency"} > 0')
        await loop.wait(lambda s: s.policy is not None and s.policy.heard_at is not None, "the heartbeat")

        (loop.folder / "slow").touch()
        await loop.wait(lambda s: s.trading_state is TradingState.REDUCE_ONLY, "no entries")
        # A loop that is held up also lets data go stale: availability may burn, and page, beside it.
        page = await stack.inbox.wait_for("SLOBurnFast", 60.0, receiver="page", slo="decision_latency")
        assert page.labels["slo"] == "decision_latency"

        loop.want(SPY=0, AAPL=100)
        await loop.wait(lambda s: held(s) == {}, "the exit of SPY")
        await loop.told(stack, 'trader_risk_blocks_total{rule="reduce_only"} > 0')
        await loop.told(stack, 'trader_budget_policy_state{slo="decision_latency"} == 2')
        snapshot = await loop.wait(lambda s: not s.open_orders, "no order under way")
        assert held(snapshot) == {}
        assert snapshot.trading_state is TradingState.REDUCE_ONLY

        (loop.folder / "slow").unlink()
        await loop.wait(lambda s: s.trading_state is TradingState.ACTIVE, "a budget that is back")
        await loop.wait(lambda s: held(s) == {"AAPL": Decimal(100)}, "the entry that was refused before")
        await stack.inbox.wait_for("SLOBurnFast", 60.0, status="resolved", receiver="page")

        await loop.told_of_traces(stack)

    facts = loop.rig.facts()
    states = [(fact.new, fact.source) for fact in facts if isinstance(fact, TradingStateChanged)]
    assert states == [(TradingState.REDUCE_ONLY, "policy"), (TradingState.ACTIVE, "policy")]
    judged = [(fact.slo, fact.new) for fact in facts if isinstance(fact, PolicyChanged)]
    assert ("decision_latency", PolicyState.NO_NEW_ENTRIES) in judged
    assert [new for slo, new in judged if slo == "decision_latency"][-1] is PolicyState.OK


async def test_alerts_that_end_because_prometheus_died_change_nothing(loop: Loop) -> None:
    await loop.wait(lambda s: held(s) == {"SPY": Decimal(100)}, "a position of 100")
    async with loop.stack() as stack:
        await loop.told(stack, 'slo:budget_remaining_ratio{slo="decision_latency"} > 0')
        (loop.folder / "slow").touch()
        await loop.wait(lambda s: s.trading_state is TradingState.REDUCE_ONLY, "no entries")
        (loop.folder / "slow").unlink()

        await stack.prometheus.kill()
        died = await loop.wait(lambda s: "held" in str(s.policy), "an end that cannot be believed")
        assert died.trading_state is TradingState.REDUCE_ONLY

        await stack.prometheus.start()
        await loop.wait(lambda s: s.trading_state is TradingState.ACTIVE, "a budget that was measured again")
