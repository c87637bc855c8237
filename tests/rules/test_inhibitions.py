"""What silences what: held against the rules, and tried on a real Alertmanager.

An inhibition works only when its source fires no later than its target would be sent, and when the labels in `equal`
are really on both alerts; two alerts that both lack such a label count as equal, which would silence too much.
"""

import re
import subprocess
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from trader.stack import ALERTS_FOLDER, Programs, Stack, StackOptions
from trader.stack.files import read_yaml, seconds_of

NEVER_INHIBITED = {
    "TradingWhileHalted", "DailyLossLimitBreached", "ReconciliationMismatch", "OrderUnacknowledged", "PanicFlagPresent",
    "Watchdog",
}  # fmt: skip

# A scrape, an evaluation and the group_wait of pages: how much later than by its `for` a source may come.
LAG_S = 15 + 15 + 5

# Alerts whose series come from the trader's own /metrics: they end with the scrape that fails, at once, so an alert
# that has to wait for HostDown or TraderNotActive can only be one that counts missing data.
ENDS_WITH_ITS_SERIES = {"HostDown", "TraderNotActive"}
COUNTS_MISSING_DATA = re.compile(
    "SLOBurn.*|SLOBudgetExhausted|SLOUnmeasured|Target.*|TaskOverdue|TimerMissing|CalendarExpiring"
)

DISK = {"alertname": "DiskLow", "mountpoint": "/"}
INACTIVE = {"alertname": "TraderNotActive", "name": "ibkr-trading.service"}
HOST_DOWN = {"alertname": "HostDown", "job": "node"}
NO_BROKER = {"alertname": "BrokerDisconnected"}
TICKET = {"severity": "ticket"}

# What fires, what may be silenced by it on the same machine, and whether it is. A page where nothing else is said.
INHIBITED = [
    (HOST_DOWN, {"alertname": "TargetDown"}, True),
    (HOST_DOWN, {"alertname": "SLOBurnFast"}, True),
    (HOST_DOWN, {"alertname": "TraderNotActive"}, True),
    (HOST_DOWN, {"alertname": "DiskLow", **TICKET}, True),
    (INACTIVE, {"alertname": "BrokerHeartbeatStale"}, True),
    (INACTIVE, {"alertname": "MarketDataStale"}, True),
    (INACTIVE, {"alertname": "DecisionLoopStalled"}, True),
    (INACTIVE, {"alertname": "SLOBurnFast"}, True),
    (INACTIVE, {"alertname": "CrashLoop"}, False),
    (NO_BROKER, {"alertname": "MarketDataStale"}, True),
    (NO_BROKER, {"alertname": "MarketDataNotLive"}, True),
    (NO_BROKER, {"alertname": "OrderRejectsBurst"}, True),
    (NO_BROKER, {"alertname": "OrderStateUnknown"}, False),
    (NO_BROKER, {"alertname": "BrokerDisconnected", **TICKET}, True),
    ({"alertname": "BrokerDisconnected", **TICKET}, {"alertname": "MarketDataStale"}, False),
    ({"alertname": "UnitMemoryCritical"}, {"alertname": "UnitMemoryHigh", **TICKET}, True),
    ({"alertname": "UnitMemoryHigh"}, {"alertname": "UnitMemoryCritical"}, False),
    (DISK, {**DISK, **TICKET}, True),
    (DISK, {**DISK, **TICKET, "mountpoint": "/srv"}, False),
    ({**DISK, **TICKET}, DISK, False),
    ({"alertname": "ClockSkew"}, {"alertname": "ClockSkew", **TICKET}, True),
    ({"alertname": "TargetDown"}, {"alertname": "TargetDown", **TICKET}, True),
    ({"alertname": "TargetDown"}, {"alertname": "TargetDown", **TICKET, "job": "node"}, False),
]


@cache
def alert_rules() -> list[dict[str, Any]]:
    files = sorted((ALERTS_FOLDER / "rules").glob("*.rules.yml"))
    rules = [rule for file in files for group in read_yaml(file)["groups"] for rule in group["rules"]]
    return [rule for rule in rules if "alert" in rule]


def labels_of(rule: dict[str, Any]) -> dict[str, str]:
    return {"alertname": rule["alert"], **rule["labels"]}


def matches(labels: dict[str, str], matchers: list[str]) -> bool:
    """Alertmanager's matching, for the forms that the file uses."""
    for matcher in matchers:
        parts = re.fullmatch(r'(\w+) (=|!=|=~|!~) "(.*)"', matcher)
        assert parts is not None, matcher
        name, operator, wanted = parts.groups()
        value = labels.get(name, "")
        found = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
        if found is operator.startswith("!"):
            return False
    return True


@cache
def config() -> dict[str, Any]:
    return read_yaml(ALERTS_FOLDER / "alertmanager.yml")


def route_of(labels: dict[str, str]) -> dict[str, Any]:
    """The route that tells a person."""
    routes = config()["route"]["routes"]
    return next(
        route for route in routes if matches(labels, route["matchers"]) and route["receiver"] in ("page", "ticket")
    )


def inhibitions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config()["inhibit_rules"]
    return found


def pairs() -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Every inhibition with each of its sources and targets among the rules."""
    rules = alert_rules()
    return [
        (inhibition, source, target)
        for inhibition in inhibitions()
        for source in rules
        if matches(labels_of(source), inhibition["source_matchers"])
        for target in rules
        if matches(labels_of(target), inhibition["target_matchers"]) and source is not target
    ]


def test_every_inhibition_has_sources_and_targets_among_the_rules() -> None:
    used = {id(inhibition) for inhibition, _, _ in pairs()}
    rules = alert_rules()
    for inhibition in inhibitions():
        for side in ("source_matchers", "target_matchers"):
            assert any(matches(labels_of(rule), inhibition[side]) for rule in rules), inhibition
    assert len(used) > 0


def test_no_inhibition_can_match_an_alert_that_is_never_inhibited() -> None:
    names = {rule["alert"] for rule in alert_rules()}
    assert names >= NEVER_INHIBITED
    for inhibition in inhibitions():
        for severity in ("page", "ticket", "none"):
            for name in NEVER_INHIBITED:
                assert not matches({"alertname": name, "severity": severity}, inhibition["target_matchers"]), name


# The condition itself is an age: it cannot hold earlier than this after what the source sees at once.
AGE_S = {"MarketDataStale": 60, "BrokerHeartbeatStale": 30}


def sent_s(rule: dict[str, Any]) -> float:
    """How soon after its cause an alert can be sent, in seconds."""
    wait_s = seconds_of(route_of(labels_of(rule)).get("group_wait", "1m"))
    return seconds_of(str(rule.get("for", "0s"))) + wait_s + AGE_S.get(rule["alert"], 0)


def test_a_source_fires_no_later_than_its_target_is_sent() -> None:
    late = set()
    for _, source, target in pairs():
        if source["alert"] in ENDS_WITH_ITS_SERIES and not COUNTS_MISSING_DATA.fullmatch(target["alert"]):
            continue
        source_s = seconds_of(str(source.get("for", "0s"))) + LAG_S
        if source_s > sent_s(target):
            late.add(f"{source['alert']} ({source_s:.0f} s) comes after {target['alert']} ({sent_s(target):.0f} s)")
    assert not late, "\n".join(sorted(late))


# Series over hours and days take promtool most of a minute, and no inhibition is about them.
SLOW = {"symptoms_days.test.yml", "symptoms_hours.test.yml"}


@cache
def fired_labels(promtool: Path) -> dict[str, list[dict[str, str]]]:
    """The label sets with which each alert fires in the unit tests of the rules, asked of promtool."""
    found: dict[str, list[dict[str, str]]] = {}
    for file in sorted((ALERTS_FOLDER / "tests").glob("symptoms_*.test.yml")):
        if file.name in SLOW:
            continue
        content = yaml.safe_load(file.read_text())
        asking = ALERTS_FOLDER / "tests" / file.name
        for text in _asked(promtool, content, asking):
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text))
            found.setdefault(labels.get("alertname", ""), []).append(labels)
    return found


def _asked(promtool: Path, content: dict[str, Any], file: Path) -> list[str]:
    """What fires, by promtool's complaint that nothing was expected to."""
    content["rule_files"] = [str((file.parent / name).resolve()) for name in content["rule_files"]]
    for test in content["tests"]:
        checks = [*test.get("promql_expr_test", []), *test.get("alert_rule_test", [])]
        times = sorted({check["eval_time"] for check in checks}, key=seconds_of)
        test.pop("alert_rule_test", None)
        query = 'ALERTS{alertstate="firing"}'
        test["promql_expr_test"] = [{"eval_time": at, "expr": query, "exp_samples": []} for at in times]
    said = subprocess.run(
        [promtool, "test", "rules", "/dev/stdin"], input=yaml.safe_dump(content), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    return re.findall(r"ALERTS\{[^}]*\}|\{__name__=\"ALERTS\"[^}]*\}", said.stdout + said.stderr)


def lacking(labels: dict[str, str], inhibition: dict[str, Any]) -> list[str]:
    return [f"{labels['alertname']} lacks {name}" for name in inhibition.get("equal", []) if name not in labels]


def test_the_equal_labels_are_on_both_sides_when_the_alerts_fire(programs: Programs) -> None:
    fired = [labels for sets in fired_labels(programs.promtool).values() for labels in sets]
    missing: set[str] = set()
    for inhibition in inhibitions():
        sources = [labels for labels in fired if matches(labels, inhibition["source_matchers"])]
        assert sources, f"no unit test fires {inhibition['source_matchers']}"
        missing.update(text for labels in sources for text in lacking(labels, inhibition))
        # Everything on a machine is silenced by its loss; what has no machine is simply not silenced.
        if inhibition["source_matchers"] != ['alertname = "HostDown"']:
            targets = [labels for labels in fired if matches(labels, inhibition["target_matchers"])]
            missing.update(text for labels in targets for text in lacking(labels, inhibition))
    assert not missing, "\n".join(sorted(missing))


def test_what_is_made_from_the_success_metrics_keeps_the_labels_that_inhibitions_join_on() -> None:
    assert {"job", "instance"} <= set(read_yaml(ALERTS_FOLDER / "slo.yaml")["target"]["labels"])


# -- on a real Alertmanager


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    options = StackOptions(
        folder=tmp_path_factory.mktemp("stack"), programs=programs, calendar=None, node_exporter=False,
        timing_s={"group_wait": 0.0, "group_interval": 1.0, "repeat_interval": 3600.0},
    )  # fmt: skip
    async with Stack(options) as stack:
        yield stack


async def states(stack: Stack, instance: str, expected: int) -> dict[tuple[str, str], bool]:
    """Whether each alert of ``instance`` is inhibited, by name and severity, once all are known."""

    async def known() -> dict[tuple[str, str], bool]:
        alerts = [alert for alert in await stack.routed_alerts() if alert.labels.get("instance") == instance]
        told = {(a.name, a.labels.get("severity", "")): bool(a.inhibited_by) for a in alerts}
        return told if len(alerts) == expected else {}

    return await stack.wait_for(known, f"{expected} alerts of {instance}", 20)


def whole(labels: dict[str, str], instance: str) -> dict[str, str]:
    job = {} if labels["alertname"] == "TraderNotActive" else {"job": "trader"}
    return {"severity": "page", **job, **labels, "instance": instance}


@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("number", "case"), list(enumerate(INHIBITED)))
async def test_alertmanager_inhibits_what_the_source_explains_and_nothing_else(
    stack: Stack, number: int, case: tuple[dict[str, str], dict[str, str], bool]
) -> None:
    source, target, inhibited = case
    here, elsewhere = f"here-{number}", f"elsewhere-{number}"
    await stack.client.post_alerts([whole(source, here)])
    await states(stack, here, 1)
    await stack.client.post_alerts([whole(target, here), whole(target, elsewhere)])
    told = await states(stack, here, 2)
    severity = target.get("severity", "page")
    assert told[target["alertname"], severity] is inhibited
    assert await states(stack, elsewhere, 1) == {(target["alertname"], severity): False}


@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_never_inhibited_is_sent_whatever_else_fires(stack: Stack) -> None:
    sources = ("HostDown", "TraderNotActive", "BrokerDisconnected", "UnitMemoryCritical", "DiskLow", "ClockSkew")
    firing = [whole({"alertname": name}, "worst") for name in sources]
    never = [whole({"alertname": name}, "worst") for name in sorted(NEVER_INHIBITED)]
    await stack.client.post_alerts(firing)
    await states(stack, "worst", len(firing))
    await stack.client.post_alerts(never)
    told = await states(stack, "worst", len(firing) + len(never))
    assert {
        name for (name, _), inhibited in told.items() if name in NEVER_INHIBITED and not inhibited
    } == NEVER_INHIBITED
    for name in NEVER_INHIBITED - {"Watchdog"}:
        notice = await stack.inbox.wait_for(name, 20, receiver="page")
        assert notice.labels["instance"] == "worst"


@pytest.mark.e2e
async def test_declared_maintenance_silences_tickets_only(programs: Programs, tmp_path: Path) -> None:
    options = StackOptions(
        folder=tmp_path, programs=programs, calendar=None, node_exporter=False, timing_s={"group_wait": 0.0}
    )
    async with Stack(options) as stack:
        await stack.client.post_alerts([{"alertname": "MaintenanceDeclared", "severity": "none", "kind": "weekly"}])

        async def declared() -> bool:
            return any(alert.name == "MaintenanceDeclared" for alert in await stack.routed_alerts())

        await stack.wait_for(declared, "the declaration", 20)
        sent = [
            whole({"alertname": "UnplannedRestart", "severity": "ticket"}, "m"),
            whole({"alertname": "SLOBudgetExhausted", "severity": "ticket", "policy": "true"}, "m"),
            whole({"alertname": "TraderNotActive", "severity": "page"}, "m"),
            whole({"alertname": "ReconciliationMismatch", "severity": "ticket"}, "m"),
        ]
        await stack.client.post_alerts(sent)
        told = await states(stack, "m", len(sent))
    assert told == {
        ("UnplannedRestart", "ticket"): True,
        ("SLOBudgetExhausted", "ticket"): True,
        ("TraderNotActive", "page"): False,
        ("ReconciliationMismatch", "ticket"): False,
    }
