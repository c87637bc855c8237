"""The alerts as shipped: loaded, tested, about series that exist, and each with a runbook."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import promql_parser
import pytest

from observability.catalogue import Kind
from observability.selectors import METRICS, Matcher, Selector, metric_called, require_alternatives, require_known
from observability.slo import Saturation, load
from tests.rules.foreign_metrics import COUNTER, FOREIGN
from tests.rules.lean import run_unit_tests
from tests.rules.rulebook import (
    ALERTS,
    Document,
    Rule,
    alerts,
    groups_about,
    judges,
    names,
    rule_files,
    rules,
    run_promtool,
    unit_test_files,
    uses,
)
from trader.cli import COMMANDS

PAGE, TICKET, NONE = "page", "ticket", "none"
BOTH = {PAGE, TICKET}
# Page = now, ticket = this week. A test that fails here asks whether somebody is to be woken.
SEVERITIES: dict[str, dict[str, set[str]]] = {
    "slo": {
        "SLOBurnFast": {PAGE}, "SLOBurnSlow": {TICKET}, "SLOBudgetExhausted": {TICKET}, "SLOUnmeasured": {TICKET},
        "FillRateBelowObjective": {TICKET}, "OrderLatencyAboveObjective": {TICKET}, "NetPnLNegative": {TICKET},
    },
    "broker": {
        "BrokerDisconnected": BOTH, "BrokerHeartbeatStale": {PAGE}, "BrokerNotReadyBeforeOpen": {PAGE},
        "BrokerReauthDue": {TICKET}, "BrokerConnectionFlapping": {TICKET}, "BrokerPacing": {TICKET},
        "BrokerDecodeFailures": {PAGE},
    },
    "market_data": {"MarketDataStale": {PAGE}, "MarketDataNotLive": {PAGE}, "MarketDataPartial": {TICKET}},
    "orders": {
        "OrderUnacknowledged": {PAGE}, "OrderStateUnknown": {PAGE}, "ReconciliationMismatch": {PAGE},
        "ReconciliationStale": {PAGE}, "NoFillsThisSession": {PAGE}, "OrderRejectsBurst": {PAGE},
        "DecisionLoopStalled": {PAGE}, "NoDecisions": {PAGE}, "JournalUnavailable": {PAGE},
    },
    "risk": {
        "TradingWhileHalted": {PAGE}, "DailyLossLimitNear": {TICKET}, "DailyLossLimitBreached": {PAGE},
        "MarginCushionLow": {PAGE}, "PnLNotTrustworthy": {PAGE}, "UnplannedHalt": {PAGE}, "PanicFlagPresent": {PAGE},
        "CommissionMissing": {TICKET},
    },
    "resources": {
        "UnitMemoryHigh": {TICKET}, "UnitMemoryCritical": {PAGE}, "UnitCPUHigh": {TICKET}, "CPUThrottled": {TICKET},
        "FDsHigh": {TICKET}, "TasksHigh": {TICKET}, "UnitOOMKilled": {PAGE},
    },
    "systemd": {
        "TraderNotActive": {PAGE}, "UnplannedRestart": {TICKET}, "CrashLoop": {PAGE}, "UnitFailed": {TICKET},
        "TaskOverdue": BOTH, "TaskFailed": {TICKET}, "TimerMissing": {TICKET}, "MaintenanceOverrun": {PAGE},
        "MaintenanceDeclared": {NONE}, "CalendarExpiring": BOTH, "PanicDrillOverdue": {TICKET},
        "ConfigReloadFailed": {TICKET}, "DrillBoundUnmet": {PAGE},
    },
    "host": {
        "HostDown": {PAGE}, "DiskFillsIn24h": {TICKET}, "DiskLow": BOTH, "ClockSkew": BOTH,
        "ClockNotSynchronising": {TICKET}, "MemoryStall": {TICKET}, "FilesystemReadOnly": {PAGE},
    },
    "monitoring": {
        "Watchdog": {NONE}, "TargetDown": BOTH, "TargetAbsent": BOTH, "CollectorFailed": {TICKET},
        "TextfileError": {TICKET}, "PrometheusConfigReloadFailed": {TICKET}, "RuleEvaluationFailures": {TICKET},
        "NotConnectedToAlertmanager": {PAGE}, "AlertmanagerNotificationsFailing": {PAGE}, "SampleLimitHit": {TICKET},
        "PageDrillOverdue": {TICKET}, "BudgetPolicyStale": {TICKET}, "ObserverFailing": {TICKET},
    },
}  # fmt: skip
OF_THE_SYSTEM = {"amtool", "df", "dmesg", "free", "journalctl", "ping", "promtool", "systemctl", "timedatectl"}
ACTED_ON_BY_THE_POLICY = {"SLOBudgetExhausted", "NetPnLNegative"}
ANNOTATIONS = {"summary", "description", "first_command", "runbook_url"}
RUNBOOK_SECTIONS = ["Meaning", "Impact", "First command", "Diagnosis", "Mitigation", "Drill"]
TARGET_LABELS = {"job", "instance"}
RECORDED = names([rule for rule in rules() if not rule.is_alert])
COUNTING = {"increase", "rate", "irate", "resets", "changes"}
ALERT_RULES = [rule for rule in rules() if rule.is_alert]


def identity(rule: Rule) -> str:
    labels = [rule.document["labels"][key] for key in ("severity", "slo", "window") if key in rule.document["labels"]]
    return "-".join([rule.name, *labels])


EVERY_ALERT = pytest.mark.parametrize("alert", sorted(alerts()))
EVERY_ALERT_RULE = pytest.mark.parametrize("rule", ALERT_RULES, ids=identity)


def test_the_rules_load_without_a_warning() -> None:
    code, output = run_promtool("check", "rules", "--lint=all", "--lint-fatal", *rule_files())
    assert code == 0, output


@pytest.mark.parametrize(
    "file", [f for f in unit_test_files() if not f.name.startswith("slo_")], ids=lambda file: file.name
)
def test_the_unit_tests_of_the_symptoms_pass(file: Path, tmp_path: Path) -> None:
    code, output = run_unit_tests(file, tmp_path)
    assert code == 0, output


def test_every_alert_wakes_somebody_or_waits_as_intended() -> None:
    found: dict[str, dict[str, set[str]]] = {}
    for rule in ALERT_RULES:
        labels = rule.document["labels"]
        found.setdefault(labels["group"], {}).setdefault(rule.name, set()).add(labels["severity"])
    assert found == SEVERITIES


def test_the_policy_acts_on_budgets_and_on_the_net_result_only() -> None:
    assert {rule.name for rule in ALERT_RULES if "policy" in rule.document["labels"]} == ACTED_ON_BY_THE_POLICY


@EVERY_ALERT_RULE
def test_every_rule_has_a_check_that_fires_and_one_that_stays_quiet(rule: Rule) -> None:
    checks = [
        (instances(group.document["input_series"], "series"), check.get("exp_samples") or ())
        for group in groups_about(rule.name)
        for _, check in group.checks()
        if judges(check, rule)
    ]
    fired = [str(sample["labels"]) for _, samples in checks for sample in samples]
    assert fired, "no check sees it fire"
    severity = rule.document["labels"]["severity"]
    by_severity = [labels for labels in fired if "severity=" in labels]
    assert not by_severity or any(f'severity="{severity}"' in labels for labels in by_severity), severity
    if rule.name != "Watchdog":  # which always fires
        assert any(not samples or there - instances(samples, "labels") for there, samples in checks), "never quiet"


def instances(documents: Sequence[Document], key: str) -> set[str]:
    return {name for document in documents for name in re.findall(r'\binstance="([^"]*)"', str(document[key]))}


@EVERY_ALERT_RULE
def test_an_annotation_says_what_broke_what_to_type_and_where_to_read(rule: Rule) -> None:
    annotations = rule.document["annotations"]
    assert set(annotations) == ANNOTATIONS
    assert annotations["runbook_url"].endswith(f"/{rule.name}.md")
    assert all(text.strip() and len(text) < 1_000 for text in annotations.values())


@EVERY_ALERT_RULE
def test_the_first_command_exists(rule: Rule) -> None:
    command = re.sub(r"\{\{.*?\}\}", "VALUE", rule.document["annotations"]["first_command"])
    words = shlex.split(command)
    if words[0] == "trader":
        assert words[1] in COMMANDS
    else:
        assert words[0] in {
            "amtool",
            "df",
            "dmesg",
            "free",
            "journalctl",
            "ping",
            "promtool",
            "systemctl",
            "timedatectl",
        }


@EVERY_ALERT
def test_every_alert_has_a_runbook_with_every_section(alert: str) -> None:
    file = ALERTS / "runbooks" / f"{alert}.md"
    assert file.exists()
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [heading for heading in headings if heading in RUNBOOK_SECTIONS] == RUNBOOK_SECTIONS
    for body in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert len(body.split()) >= 3, "a section is empty"


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert {file.stem for file in (ALERTS / "runbooks").glob("*.md")} - {"README"} <= set(alerts())


# -- about series that exist


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_every_metric_and_label_in_a_rule_is_exported_or_recorded(rule: Rule) -> None:
    for use in uses(rule.expr):
        if use.metric in RECORDED:
            continue
        if use.metric in FOREIGN:
            _, labels = FOREIGN[use.metric]
            assert use.labels <= TARGET_LABELS | set(labels), use
            continue
        metric_called(use.metric)
        if use.metric in METRICS:
            selector = Selector(use.metric, tuple(Matcher(*matcher) for matcher in use.matchers))
            require_known(selector, *TARGET_LABELS)
            require_alternatives(selector)


def test_no_foreign_metric_is_listed_that_no_rule_uses() -> None:
    assert set(FOREIGN) == {use.metric for rule in rules() for use in uses(rule.expr)} & set(FOREIGN)


def is_counter(name: str) -> bool:
    if name in FOREIGN:
        return FOREIGN[name][0] == COUNTER
    metric = METRICS.get(name)
    return metric is not None and metric.kind is Kind.COUNTER


@EVERY_ALERT_RULE
def test_a_counter_is_only_counted_and_a_gauge_never(rule: Rule) -> None:
    counted: set[str] = set()
    seen: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            seen.add(node.name or "")
        if isinstance(node, promql_parser.Call) and node.func.name in COUNTING:
            counted.update(use.metric for use in uses(node.prettify()))

    promql_parser.walk(promql_parser.parse(rule.expr), visit)
    counters = {name for name in seen if is_counter(name) or name.endswith("restarts_total")}
    assert counted == counters


@EVERY_ALERT_RULE
def test_a_count_of_events_is_rounded(rule: Rule) -> None:
    for found in re.finditer(r"increase\(", rule.expr):
        assert re.search(r"round\((?:sum without \([\w, ]*\) \(\s*)?$", rule.expr[: found.start()]), rule.expr


@EVERY_ALERT_RULE
def test_no_aggregation_drops_the_labels_of_the_target_but_in_a_gate(rule: Rule) -> None:
    gates = r"on \(\) \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
    for found in re.finditer(r"\b(?:sum|max|min|avg|count)\b(?! without| by)\s*\(", re.sub(gates, "", rule.expr)):
        pytest.fail(f"{found.group()} drops job and instance: {rule.expr}")


@pytest.mark.parametrize("name", sorted(SEVERITIES["resources"]))
def test_resources_are_high_at_the_limit_of_the_objectives(name: str) -> None:
    """The one number of the resources' objective stands in ``slo.yaml``; the tickets begin there."""
    (slo,) = [slo for slo in load(ALERTS / "slo.yaml").slos.values() if isinstance(slo, Saturation)]
    (rule,) = alerts()[name]
    limit = re.search(r" / \w+ >= ([0-9.]+)", rule.expr)
    if limit is not None:
        assert float(limit[1]) == slo.below_ratio or (
            name == "UnitMemoryCritical" and float(limit[1]) > slo.below_ratio
        )
